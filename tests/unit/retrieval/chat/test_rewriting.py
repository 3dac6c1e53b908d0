"""retrieval/chat/rewriting.py against a scripted model: a question, or the last turn and the reason, in time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.chat.scripted_chat import ScriptedChat, chatting, completed, conversation_in, refused
from tests.loopback import HangUp, ResponseModel
from tests.unit.retrieval.chat.test_conversation import talk
from winnow.retrieval.chat.breaker import BreakerLimits
from winnow.retrieval.chat.client import ChatClient
from winnow.retrieval.chat.conversation import Conversation
from winnow.retrieval.chat.rewriting import ChatRewriter, RewriteReason, RewriteStatus, Rewriting
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.limits import REWRITE_REPLY_BYTES_MAX, REWRITE_TOKENS_MAX, REWRITES_IN_FLIGHT_MAX
from winnow.retrieval.tracing import RequestRecord, following, make_tracer

KEY = "sk-very-secret"
TALK = talk("Can I return a parcel?", "Yes, within 30 days.", "And who pays for the shipping?")
CHINESE = talk("租房合同可以提前解除吗？", "可以，需要提前三十天通知。", "那违约金是多少？")
QUESTION = "Who pays for the shipping of a returned parcel?"

Ask = Callable[..., Awaitable[Rewriting]]


@pytest.fixture
async def chat() -> AsyncIterator[ScriptedChat]:
    async with chatting() as scripted:
        yield scripted


def rewriter_of(url: str, *, timeout_ms: float = 5_000.0, limits: BreakerLimits | None = None) -> ChatRewriter:
    client = ChatClient(url, model="scripted", key=KEY, connections_max=REWRITES_IN_FLIGHT_MAX + 1)
    return ChatRewriter(client, secret=b"secret", timeout_ms=timeout_ms, limits=limits)


@pytest.fixture
async def rewriter(chat: ScriptedChat) -> AsyncIterator[ChatRewriter]:
    """Leaves the model alone after two failures, and checks it 10 ms later."""
    limits = BreakerLimits(failures_max=2, silence_seconds=0.05, pause_seconds=0.01, pause_seconds_max=0.01)
    made = rewriter_of(chat.url, limits=limits)
    yield made
    await made.close()


async def ask(
    rewriter: ChatRewriter, conversation: Conversation = TALK, *, tenant: str = "alice", ms: float = 10_000.0
) -> Rewriting:
    return await rewriter.rewrite(conversation, tenant=tenant, deadline=Deadline.after_ms(ms))


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Await a condition that another task brings about; the test's own time limit ends the wait."""
    while not await condition():
        await asyncio.sleep(0.005)


async def test_a_conversation_becomes_a_question(chat: ScriptedChat, rewriter: ChatRewriter) -> None:
    """One call, bounded, with the key; the answer tells its cost."""
    chat.says(QUESTION)
    found = await ask(rewriter)
    assert (found.query, found.status, found.reason) == (QUESTION, RewriteStatus.APPLIED, None)
    assert (found.model, found.tokens) == ("scripted", 90)
    (call,) = chat.calls
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert (call.body["model"], call.body["stream"], call.body["temperature"]) == ("scripted", False, 0)
    assert call.body["max_tokens"] == REWRITE_TOKENS_MAX
    assert [turn["text"] for turn in conversation_in(call.body["messages"])] == [turn.text for turn in TALK.turns]


async def test_a_chinese_conversation_becomes_a_chinese_question(chat: ScriptedChat, rewriter: ChatRewriter) -> None:
    chat.says("提前解除租房合同的违约金是多少？")
    assert (await ask(rewriter, CHINESE)).query == "提前解除租房合同的违约金是多少？"
    assert "那违约金是多少？" in chat.calls[0].body["messages"][1]["content"], "not escaped: tokens are money"


@pytest.mark.parametrize("path", ["", "/v1", "/v1/", "/v1/chat/completions"])
async def test_the_url_may_be_that_of_the_host_of_the_interface_or_of_the_route(chat: ScriptedChat, path: str) -> None:
    chat.says(QUESTION)
    rewriter = rewriter_of(chat.url + path)
    assert (await ask(rewriter)).status is RewriteStatus.APPLIED
    await rewriter.close()


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (completed(""), RewriteReason.UNUSABLE_ANSWER),
        (completed(None, tool_calls=[{"id": "call_1"}]), RewriteReason.UNUSABLE_ANSWER),
        (completed("parcel " * 300), RewriteReason.UNUSABLE_ANSWER),
        (completed(QUESTION, finish="length"), RewriteReason.UNUSABLE_ANSWER),
        (completed("zxcv qwer asdf 8f3a"), RewriteReason.UNUSABLE_ANSWER),
        (completed("I'm sorry, but I can't help with that."), RewriteReason.REFUSED),
        (completed(None, refusal="I can't discuss parcels."), RewriteReason.REFUSED),
        (completed("", finish="content_filter"), RewriteReason.REFUSED),
        (refused(400, "content_filter"), RewriteReason.REFUSED),
        (refused(401, "invalid_api_key"), RewriteReason.UNAVAILABLE),
        (refused(404, "model_not_found"), RewriteReason.UNAVAILABLE),
        (refused(429, "rate_limit_exceeded"), RewriteReason.OVERLOADED),
        (refused(500), RewriteReason.UNAVAILABLE),
        (ResponseModel(status=503, body=b"<html>busy</html>"), RewriteReason.OVERLOADED),
        (ResponseModel(status=302, body=b""), RewriteReason.UNAVAILABLE),
        (ResponseModel(body=b"not JSON"), RewriteReason.UNAVAILABLE),
        (ResponseModel(body=b"\xff\xfe"), RewriteReason.UNAVAILABLE),
        (ResponseModel(body=[]), RewriteReason.UNAVAILABLE),
        (ResponseModel(body={"choices": []}), RewriteReason.UNAVAILABLE),
        (ResponseModel(body={"choices": [{"message": "text"}]}), RewriteReason.UNAVAILABLE),
        (ResponseModel(body={"choices": [{"message": {"content": [1]}}]}), RewriteReason.UNAVAILABLE),
        (ResponseModel(body=b"data: {}\n\ndata: [DONE]\n\n", kind="text/event-stream"), RewriteReason.UNAVAILABLE),
        (ResponseModel(body=b" " * (REWRITE_REPLY_BYTES_MAX + 1)), RewriteReason.UNAVAILABLE),
    ],
)
async def test_where_there_is_no_question_the_last_turn_is_the_query(
    chat: ScriptedChat, rewriter: ChatRewriter, response: ResponseModel, reason: RewriteReason
) -> None:
    """With the reason, and after one try."""
    chat.replies(response)
    found = await ask(rewriter)
    assert (found.query, found.status, found.reason) == (TALK.last, RewriteStatus.DEGRADED, reason)
    assert len([each for each in chat.calls if TALK.last in each.body["messages"][1]["content"]]) == 1


async def test_a_connection_that_ends_is_no_answer(chat: ScriptedChat, rewriter: ChatRewriter) -> None:
    def hang_up(_: object) -> ResponseModel:
        raise HangUp

    chat.answer = hang_up
    assert (await ask(rewriter)).reason is RewriteReason.UNAVAILABLE


async def test_rewriting_ends_at_its_share_of_the_deadline(chat: ScriptedChat, rewriter: ChatRewriter) -> None:
    """Of 800 ms, the search keeps half."""
    chat.is_silent = True
    deadline = Deadline.after_ms(800.0)
    found = await rewriter.rewrite(TALK, tenant="alice", deadline=deadline)
    assert found.reason is RewriteReason.TIMEOUT
    assert (found.ms or 0.0) >= 300.0
    assert not deadline.has_passed


async def test_the_setting_limits_it_as_well(chat: ScriptedChat) -> None:
    chat.is_silent = True
    rewriter = rewriter_of(chat.url, timeout_ms=50.0)
    assert (await ask(rewriter, ms=60_000.0)).reason is RewriteReason.TIMEOUT
    await rewriter.close()


async def test_a_dead_model_costs_no_more_calls_and_is_found_again(chat: ScriptedChat, rewriter: ChatRewriter) -> None:
    """While it is left alone, requests fall back at once; a check in the background finds it healed."""
    chat.is_silent = True
    reasons = [(await ask(rewriter, ms=400.0)).reason for _ in range(2)]
    assert reasons == [RewriteReason.TIMEOUT] * 2
    assert rewriter.problem is not None
    began = time.perf_counter()
    left_alone = [await ask(rewriter) for _ in range(50)]
    assert {each.reason for each in left_alone} == {RewriteReason.BREAKER_OPEN}
    assert time.perf_counter() - began < 2.0, "fifty requests without a call"
    assert len(chat.calls) <= 3, "two calls, and one check that is not answered"
    await rewriter.close()
    chat.says(QUESTION)

    async def is_back() -> bool:
        return (await ask(rewriter)).status is RewriteStatus.APPLIED

    await eventually(is_back)
    assert rewriter.problem is None


async def test_a_wrong_key_is_tried_once(chat: ScriptedChat, rewriter: ChatRewriter) -> None:
    """And not by every caller."""
    chat.replies(refused(401, "invalid_api_key"))
    assert (await ask(rewriter)).reason is RewriteReason.UNAVAILABLE
    assert (await ask(rewriter)).reason is RewriteReason.BREAKER_OPEN


async def test_no_server_is_found_out_at_once() -> None:
    async with chatting() as gone:
        url = gone.url
    rewriter = rewriter_of(url)
    assert (await ask(rewriter)).reason is RewriteReason.UNAVAILABLE
    assert (await ask(rewriter)).reason is RewriteReason.BREAKER_OPEN
    await rewriter.close()


async def test_callers_with_little_time_take_the_model_from_nobody(chat: ScriptedChat, rewriter: ChatRewriter) -> None:
    """A slow but healthy model is checked, found to answer, and stays in use."""
    chat.is_silent = True
    for _ in range(5):
        assert (await ask(rewriter, ms=20.0)).reason is RewriteReason.TIMEOUT
    assert rewriter.problem is None
    chat.says(QUESTION)
    assert (await ask(rewriter)).status is RewriteStatus.APPLIED


async def test_a_conversation_that_is_refused_does_not_cut_off_others(
    chat: ScriptedChat, rewriter: ChatRewriter
) -> None:
    """Servers refuse texts that their filters dislike."""

    def filtering(messages: list[dict[str, str]]) -> ResponseModel:
        return refused(400, "content_filter") if "forbidden" in messages[1]["content"] else completed(QUESTION)

    chat.answer = filtering
    for _ in range(5):
        reason = (await ask(rewriter, talk("forbidden", "no", "and this?"))).reason
        assert reason is RewriteReason.REFUSED
    assert (await ask(rewriter)).status is RewriteStatus.APPLIED


async def test_a_model_that_refuses_every_request_is_left_alone(chat: ScriptedChat, rewriter: ChatRewriter) -> None:
    """For instance because it knows no `max_tokens`: the check is refused as well."""
    chat.replies(refused(400, "unsupported_parameter"))

    async def is_left_alone() -> bool:
        return (await ask(rewriter)).reason is RewriteReason.BREAKER_OPEN

    await eventually(is_left_alone)


async def test_conversations_in_flight_are_bounded(chat: ScriptedChat, rewriter: ChatRewriter) -> None:
    """One more falls back at once; an abandoned one gives its place back."""
    chat.is_silent = True
    asking = [asyncio.create_task(ask(rewriter)) for _ in range(REWRITES_IN_FLIGHT_MAX)]
    while len(chat.calls) < REWRITES_IN_FLIGHT_MAX:
        await asyncio.sleep(0.005)
    assert (await ask(rewriter)).reason is RewriteReason.OVERLOADED
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    chat.says(QUESTION)
    assert (await ask(rewriter)).status is RewriteStatus.APPLIED


async def test_tenants_share_no_prefix_of_a_prompt(chat: ScriptedChat, rewriter: ChatRewriter) -> None:
    """And the same tenant always sends the same prompt: its answers repeat."""
    chat.says(QUESTION)
    for tenant in ("alice", "bob", "alice"):
        await ask(rewriter, tenant=tenant)
    one, other, again = (call.body["messages"][0]["content"] for call in chat.calls)
    assert one[:5] != other[:5]
    assert one == again


async def test_neither_texts_nor_the_key_reach_the_log(
    chat: ScriptedChat, rewriter: ChatRewriter, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the server's error repeats them."""
    caplog.set_level(logging.DEBUG)
    for response in (
        completed("zxcv"),
        refused(500),
        refused(401, "invalid_api_key"),
        refused(401, f"{KEY} {TALK.last}"),
    ):
        chat.replies(response)
        await ask(rewriter)
    said = caplog.text + orjson.dumps([getattr(each, "facts", None) for each in caplog.records]).decode()
    assert "unusable_answer" in said
    assert "is left alone" in said
    assert "invalid_api_key" in said
    for secret in (KEY, "sk-repeated-key", "zxcv", *(turn.text for turn in TALK.turns)):
        assert secret not in said


async def test_many_failures_are_a_few_lines_of_the_log(
    chat: ScriptedChat, rewriter: ChatRewriter, caplog: pytest.LogCaptureFixture
) -> None:
    """Any caller can cause them."""
    chat.says("")
    for _ in range(20):
        await ask(rewriter)
    assert len([each for each in caplog.records if each.name == "winnow.retrieval.chat.rewriting"]) == 1


async def test_a_trace_has_the_stage_and_its_call_and_no_text(chat: ScriptedChat, rewriter: ChatRewriter) -> None:
    """Names, numbers and reasons, also of a failure; the server gets the trace's id."""
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    record = RequestRecord.of(None)
    with following(record, {}, tracer=make_tracer(provider, "1"), name="request", attributes={}):
        for response in (completed(QUESTION), refused(500)):
            chat.replies(response)
            await ask(rewriter)
    found = spans.get_finished_spans()
    assert [each.name for each in found] == ["POST /chat/completions", "rewrite"] * 2 + ["request"]
    statuses = [dict(each.attributes or {}).get("winnow.rewrite.status") for each in found if each.name == "rewrite"]
    assert statuses == ["applied", "unavailable"]
    assert "rewrite" in record.stages_ms
    assert all("traceparent" in call.headers for call in chat.calls)
    said = "".join(each.to_json() for each in found)
    for secret in (KEY, QUESTION, "sk-repeated-key", *(turn.text for turn in TALK.turns)):
        assert secret not in said
