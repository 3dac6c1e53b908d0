"""retrieval/vllm/client.py: what a server says becomes data only if it can be."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from tests.loopback import Answer, Asked, HangUp, ResponseModel, base64_of, serving
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.vllm.client import CallFailed, Fault, ServerFacts, VllmClient

MODELS = {"data": [{"id": "the-model", "max_model_len": 8192}]}
SOON = 10_000  # milliseconds; far more than loopback takes


def score(ids: list[int]) -> float:
    """Every input has its own, so that a wrong order shows."""
    return 1.0 / (1.0 + sum(ids))


def proper(asked: Asked) -> ResponseModel:
    """As vLLM answers, but last row first: its order is nobody's promise."""
    if asked.path == "/v1/models":
        return ResponseModel(body=MODELS)
    rows: list[dict[str, Any]] = []
    for place, ids in enumerate(asked.body["input"]):
        if asked.path == "/classify":
            rows.append({"index": place, "label": "LABEL_0", "probs": [score(ids)], "num_classes": 1})
        else:
            rows.append({"index": place, "data": base64_of([score(ids), 2.0, -3.5])})
    return ResponseModel(body={"data": rows[::-1]})


async def properly(asked: Asked) -> ResponseModel:
    return proper(asked)


def saying(said: ResponseModel) -> Answer:
    """Names its model, and answers everything else with this."""

    async def answer(asked: Asked) -> ResponseModel:
        return proper(asked) if asked.path == "/v1/models" else said

    return answer


async def asked_of(answer: Answer, call: Callable[[VllmClient], Awaitable[Any]]) -> Any:
    async with serving(answer) as server:
        client = VllmClient(server.url)
        try:
            return await call(client)
        finally:
            await client.close()


async def classified(answer: Answer, inputs: list[list[int]], milliseconds: float = SOON) -> list[float]:
    found: list[float] = await asked_of(
        answer, lambda client: client.classify(inputs, salt="s", deadline=Deadline.after_ms(milliseconds))
    )
    return found


async def failure_of(answer: Answer, inputs: list[list[int]], milliseconds: float = SOON) -> CallFailed:
    with pytest.raises(CallFailed, match=r"/classify|/v1/models") as failed:
        await classified(answer, inputs, milliseconds)
    return failed.value


async def test_scores_come_in_the_order_of_the_inputs() -> None:
    """Exactly the ids that were given, under the name that the server has for its model, which is asked once."""
    async with serving(properly) as server:
        client = VllmClient(server.url + "/")
        for _ in range(2):
            assert await client.classify([[1, 2], [3], [4, 5, 6]], salt="s", deadline=Deadline.never()) == [
                1 / 4,
                1 / 4,
                1 / 16,
            ]
        await client.close()
    assert [each.path for each in server.asked] == ["/v1/models", "/classify", "/classify"]
    assert server.bodies("/classify")[0] == {"model": "the-model", "input": [[1, 2], [3], [4, 5, 6]], "cache_salt": "s"}
    assert server.connections == 1


async def test_vectors_come_as_they_are() -> None:
    """Bit for bit, in the order of the inputs."""
    found = await asked_of(
        properly, lambda client: client.embed([[2], [1]], width=3, salt="s", deadline=Deadline.never())
    )
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.asarray([[1 / 3, 2.0, -3.5], [1 / 2, 2.0, -3.5]], dtype=np.float32))


BROKEN_SCORES: dict[str, Any] = {
    "too few": {"data": [{"index": 0, "probs": [0.5]}]},
    "too many": {"data": [{"index": place, "probs": [0.5]} for place in range(3)]},
    "one twice": {"data": [{"index": 0, "probs": [0.5]}] * 2},
    "an index that is none": {"data": [{"index": [0], "probs": [0.5]}, {"index": 1, "probs": [0.5]}]},
    "no index": {"data": [{"probs": [0.5]}] * 2},
    "rows that are none": {"data": [1, 2]},
    "no rows": {"data": None},
    "a list": [0.5, 0.5],
    "above one": {"data": [{"index": 0, "probs": [0.5]}, {"index": 1, "probs": [1.25]}]},
    "below zero": {"data": [{"index": 0, "probs": [-0.5]}, {"index": 1, "probs": [0.25]}]},
    "NaN": {"data": [{"index": 0, "probs": [math.nan]}, {"index": 1, "probs": [0.25]}]},
    "null": {"data": [{"index": 0, "probs": [None]}, {"index": 1, "probs": [0.25]}]},
    "true": {"data": [{"index": 0, "probs": [True]}, {"index": 1, "probs": [0.25]}]},
    "two classes": {"data": [{"index": place, "probs": [0.5, 0.5]} for place in range(2)]},
    "garbage": b"<html>",
    "nothing": b"",
    "half": b'{"data": [{"index": 0,',
}


@pytest.mark.parametrize("said", BROKEN_SCORES.values(), ids=BROKEN_SCORES.keys())
async def test_a_broken_reply_is_never_a_score(said: Any) -> None:
    """Not the good half of it either."""
    assert (await failure_of(saying(ResponseModel(body=said)), [[1], [2]])).fault is Fault.BROKEN


BROKEN_VECTORS: dict[str, Any] = {
    "of another model": base64_of([1.0, 2.0]),
    "not finite": base64_of([1.0, math.nan, 2.0]),
    "cut": base64_of([1.0, 2.0, 3.0])[:-4],
    "decimals": [1.0, 2.0, 3.0],
    "no base64": "***",
    "null": None,
}


@pytest.mark.parametrize("said", BROKEN_VECTORS.values(), ids=BROKEN_VECTORS.keys())
async def test_a_broken_vector_is_never_a_vector(said: Any) -> None:
    """Nor one of another width: it would be of another model than the folder's."""
    answer = saying(ResponseModel(body={"data": [{"index": 0, "data": said}]}))
    with pytest.raises(CallFailed, match="/pooling"):
        await asked_of(answer, lambda client: client.embed([[1]], width=3, salt="s", deadline=Deadline.never()))


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (429, Fault.BUSY),
        (503, Fault.BUSY),
        (500, Fault.BROKEN),
        (400, Fault.BROKEN),
        (404, Fault.BROKEN),
        (302, Fault.BROKEN),
    ],
)
async def test_a_refusal_says_which(status: int, fault: Fault) -> None:
    """Busy is another thing than broken, and the server's own words are passed on to the operator."""
    failed = await failure_of(saying(ResponseModel(body={"error": {"message": "too long"}}, status=status)), [[1]])
    assert failed.fault is fault
    assert f"status {status}" in failed.detail


@pytest.mark.parametrize("charset", ["base64", "idna", "punycode", "no-such", "utf-16"])
async def test_a_refusal_in_any_script_is_a_refusal(charset: str) -> None:
    """What a body says of its letters is not believed: a codec that breaks on it would be our failure."""
    failure = await failure_of(
        saying(ResponseModel(body=b"\xffoh", status=500, kind=f"text/html; charset={charset}")), [[1]]
    )
    assert (failure.fault, failure.detail[-3:]) == (Fault.BROKEN, "\ufffdoh")


@pytest.mark.parametrize("models", [{"data": []}, {"data": None}, {"data": [{"id": 7}]}, {}])
async def test_a_server_without_a_model_is_none(models: Any) -> None:
    """It was started with something else, or is something else."""

    async def answer(_: Asked) -> ResponseModel:
        return ResponseModel(body=models)

    with pytest.raises(CallFailed, match="lists no model"):
        await classified(answer, [[1]])


async def test_a_server_that_came_back_with_another_model_is_asked_for_its_name_again() -> None:
    """One refusal, and not a refusal for ever."""
    names = iter(["old", "new"])

    async def answer(asked: Asked) -> ResponseModel:
        if asked.path == "/v1/models":
            return ResponseModel(body={"data": [{"id": next(names)}]})
        return (
            proper(asked)
            if asked.body["model"] == "new"
            else ResponseModel(body={"error": {"message": "no such model"}}, status=404)
        )

    async def twice(client: VllmClient) -> list[float]:
        with pytest.raises(CallFailed):
            await client.classify([[1]], salt="s", deadline=Deadline.never())
        return await client.classify([[1]], salt="s", deadline=Deadline.never())

    assert await asked_of(answer, twice) == [1 / 2]


async def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    """Servers end idle connections without a word; the call that meets one is made again."""
    met: list[str] = []

    async def answer(asked: Asked) -> ResponseModel:
        met.append(asked.path)
        if len(met) == 2:
            raise HangUp
        return proper(asked)

    assert await classified(answer, [[1]]) == [1 / 2]
    assert met == ["/v1/models", "/classify", "/classify"]


async def test_a_server_that_always_hangs_up_is_unavailable() -> None:
    """After two tries: nothing is tried for ever."""
    met: list[str] = []

    async def answer(asked: Asked) -> ResponseModel:
        met.append(asked.path)
        raise HangUp

    assert (await failure_of(answer, [[1]])).fault is Fault.GONE
    assert len(met) == 2


async def test_nobody_there_is_unavailable() -> None:
    """A refused connection is told at once, with the address."""
    async with serving(properly) as server:
        url = server.url
    client = VllmClient(url)
    with pytest.raises(CallFailed, match=url) as failed:
        await client.classify([[1]], salt="s", deadline=Deadline.never())
    assert failed.value.fault is Fault.GONE
    await client.close()


async def test_silence_ends_at_the_deadline() -> None:
    """Not at some bound of the connection's own."""

    async def answer(asked: Asked) -> ResponseModel:
        if asked.path == "/classify":
            await asyncio.sleep(5)
        return proper(asked)

    began = time.monotonic()
    failed = await failure_of(answer, [[1]], milliseconds=300)
    assert failed.fault is Fault.SILENT
    assert "no answer within" in failed.detail
    assert 0.25 < time.monotonic() - began < 3


async def test_a_passed_deadline_asks_nothing() -> None:
    """Work past it is not started."""
    async with serving(properly) as server:
        client = VllmClient(server.url)
        with pytest.raises(CallFailed, match="not called, the deadline has passed"):
            await client.classify([[1]], salt="s", deadline=Deadline.after_ms(0))
        await client.close()
    assert server.asked == []


async def test_a_server_that_read_other_tokens_than_were_sent_has_not_answered() -> None:
    """It cut something, or added something: its score is of another prompt."""

    async def answer(asked: Asked) -> ResponseModel:
        said = proper(asked)
        return said if asked.path == "/v1/models" else ResponseModel(body=said.body | {"usage": {"prompt_tokens": 2}})

    assert await classified(answer, [[1, 2]]) == [1 / 4]
    assert "the server read 2 tokens, but 3 were sent" in (await failure_of(answer, [[1, 2, 3]])).detail


async def test_a_version_without_classify_is_asked_through_pooling() -> None:
    """Once it has said so, at once; the numbers are the same."""

    async def answer(asked: Asked) -> ResponseModel:
        if asked.path == "/v1/models":
            return proper(asked)
        if asked.path == "/classify":
            return ResponseModel(body={"detail": "Not Found"}, status=404)
        rows = [{"index": place, "data": [score(ids)]} for place, ids in enumerate(asked.body["input"])]
        return ResponseModel(body={"data": rows})

    async with serving(answer) as server:
        client = VllmClient(server.url)
        for _ in range(2):
            assert await client.classify([[1], [2]], salt="s", deadline=Deadline.never()) == [1 / 2, 1 / 3]
        await client.close()
    asked = [each.path for each in server.asked if each.path != "/v1/models"]
    assert asked == ["/classify", "/pooling", "/pooling"]
    assert server.bodies("/pooling")[0] == {
        "model": "the-model",
        "input": [[1], [2]],
        "cache_salt": "s",
        "task": "classify",
    }


async def test_calls_at_once_find_the_other_route_each_for_itself() -> None:
    """What one of them finds out takes nothing from the others; a server that has neither route fails them all."""

    async def answer(asked: Asked) -> ResponseModel:
        if asked.path == "/classify":
            await asyncio.sleep(0.02 * len(asked.body["input"]))
            return ResponseModel(body={"detail": "Not Found"}, status=404)
        if asked.path == "/pooling":
            await asyncio.sleep(0.05)
            return ResponseModel(
                body={"data": [{"index": at, "data": [0.5]} for at in range(len(asked.body["input"]))]}
            )
        return proper(asked)

    async def together(client: VllmClient) -> list[list[float]]:
        calls = (client.classify([[1]] * inputs, salt="s", deadline=Deadline.never()) for inputs in (1, 2, 3))
        return await asyncio.gather(*calls)

    assert await asked_of(answer, together) == [[0.5], [0.5, 0.5], [0.5, 0.5, 0.5]]
    with pytest.raises(CallFailed, match="/pooling: status 404"):
        await classified(saying(ResponseModel(body={"detail": "Not Found"}, status=404)), [[1]])


async def test_a_server_tells_about_itself() -> None:
    """Its model, its window and its routes; and what its tokenizer makes of a text."""

    async def answer(asked: Asked) -> ResponseModel:
        if asked.path == "/tokenize":
            return ResponseModel(body={"tokens": [len(asked.body["prompt"]), 7]})
        if asked.path == "/openapi.json":
            return ResponseModel(body={"paths": {"/classify": {}, "/v1/models": {}}})
        return ResponseModel(body={"data": [{"id": "m", "root": "Qwen/Qwen3-Reranker-4B", "max_model_len": 8192}]})

    facts = await asked_of(answer, lambda client: client.facts(Deadline.never()))
    assert facts == ServerFacts(
        model="m", root="Qwen/Qwen3-Reranker-4B", tokens_max=8192, paths=frozenset({"/classify", "/v1/models"})
    )
    assert await asked_of(answer, lambda client: client.tokenise("abc", Deadline.never())) == [3, 7]


@pytest.mark.parametrize("missing", [{"detail": "Not Found"}, {"error": {"message": "Not Found"}}])
async def test_a_server_that_does_not_tell_is_asked_for_nothing_more(missing: Any) -> None:
    """Older versions and proxies lack these routes, which is no fault; nobody missed a model where none was named."""

    async def answer(asked: Asked) -> ResponseModel:
        if asked.path == "/v1/models":
            return ResponseModel(body={"data": [{"id": "m"}]})
        return ResponseModel(body=missing if asked.path == "/openapi.json" else {"detail": "Not Found"}, status=404)

    facts = await asked_of(answer, lambda client: client.facts(Deadline.never()))
    assert facts == ServerFacts(model="m", root=None, tokens_max=None, paths=frozenset())
    assert await asked_of(answer, lambda client: client.tokenise("abc", Deadline.never())) is None
