"""`messages` and `queries` of POST /v1/search: what is asked, what is found, and what the answer says of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.chat.scripted_chat import ScriptedChat, chatting_beside, refused
from tests.fakes import FailingReranker, HashEmbedder, PrefersWord
from winnow.api.assemble import wire
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker, load_rewriter
from winnow.api.settings import Settings
from winnow.rerank.reranker import Reranker
from winnow.retrieval.errors import RerankTimeout, SettingInvalid
from winnow.retrieval.limits import MESSAGES_MAX, QUERY_CHARACTERS_MAX, SEARCH_QUERIES_MAX
from winnow.retrieval.model.tokenizer import PlainTokenizer

DOCUMENTS = [
    {"id": "heron", "text": "The heron fishes in shallow water and eats frogs."},
    {"id": "nest", "text": "A heron builds its nest high in old trees near a river."},
    {"id": "otter", "text": "An otter dives for fish and sleeps in a holt."},
    {"id": "holt", "text": "The holt of an otter is a hole in the bank of a river."},
    {"id": "租房", "text": "提前解除租房合同的，承租人支付一个月租金作为违约金。"},
    {"id": "退货", "text": "商品可以在三十天内退货，运费由买家支付。"},
]
TALK = [
    {"role": "system", "content": "You are a helpful guide."},
    {"role": "user", "content": "What does a heron eat?"},
    {"role": "assistant", "content": "Fish and frogs."},
    {"role": "user", "content": "And where does it build its nest?"},
]
QUESTION = "Where does a heron build its nest?"


@contextmanager
def serving(
    data: Path, tokenizer: PlainTokenizer, chat: ScriptedChat | None = None, *, reranker: Reranker | None = None,
    **settings: Any,
) -> Iterator[TestClient]:  # fmt: skip
    embedding = LoadedEmbedder(embedder=HashEmbedder(dimension=512), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=reranker or PrefersWord("nest"), runs_on="words", device="cpu")
    if chat is not None:
        settings |= {"rewrite_url": chat.url, "rewrite_model": "scripted", "rewrite_key": "sk-secret"}
    app = create_app(wire(Settings(data=data, **settings), embedding, judging))
    with CheckingClient(app, base_url="http://localhost") as client:
        client.post("/v1/collections", json={"name": "animals", "chunk_tokens": 512})
        assert client.post("/v1/collections/animals/documents", json={"documents": DOCUMENTS}).status_code == 200
        yield client


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedChat]:
    with chatting_beside() as scripted:
        yield scripted


@pytest.fixture
def chat(model: ScriptedChat) -> ScriptedChat:
    """Not asked anything yet."""
    model.loopback.asked.clear()
    return model


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    """A service without a chat model."""
    with serving(tmp_path_factory.mktemp("plain"), tokenizer) as client:
        yield client


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer, model: ScriptedChat
) -> Iterator[TestClient]:
    with serving(tmp_path_factory.mktemp("chatting"), tokenizer, model) as client:
        yield client


def ask(client: TestClient, path: str = "/v1/search", **body: Any) -> dict[str, Any]:
    named = {} if path != "/v1/search" else {"collection": "animals"}
    answer = client.post(path, json=named | body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refusal(client: TestClient, **body: Any) -> str:
    answer = client.post("/v1/search", json={"collection": "animals"} | body)
    assert answer.status_code == 422, answer.text
    return str(answer.json()["detail"])


def ids(body: dict[str, Any]) -> list[str]:
    return [each["document_id"] for each in body["results"]]


def test_a_conversation_is_searched_by_its_question(client: TestClient, chat: ScriptedChat) -> None:
    """The answer is that to the question, and says which question it was."""
    chat.says(QUESTION)
    found = ask(client, messages=TALK)
    assert found["query_used"] == QUESTION
    assert found["rewrite"] == {"status": "applied", "reason": None, "model": "scripted", "tokens": 90}
    assert found["timings_ms"]["total"] >= found["timings_ms"]["rewrite"] > 0.0
    plain = ask(client, query=QUESTION)
    assert found["results"] == plain["results"]
    assert ids(found)[0] == "nest"
    assert not {"query_used", "rewrite", "queries_used"} & plain.keys()
    assert "rewrite" not in plain["timings_ms"]
    assert "helpful guide" not in chat.calls[0].body["messages"][1]["content"], "only what user and assistant said"


def test_a_chinese_conversation_is_searched_by_its_question(client: TestClient, chat: ScriptedChat) -> None:
    chat.says("提前解除租房合同的违约金是多少？")
    talk = [
        {"role": "user", "content": "租房合同可以提前解除吗？"},
        {"role": "assistant", "content": "可以，需要提前三十天通知。"},
        {"role": "user", "content": [{"type": "text", "text": "那违约金是多少？"}]},
    ]
    found = ask(client, messages=talk, rerank=False)
    assert (found["query_used"], ids(found)[0]) == ("提前解除租房合同的违约金是多少？", "租房")


def test_the_last_turn_is_the_query_where_there_is_no_chat_model(plain: TestClient) -> None:
    found = ask(plain, messages=TALK)
    assert found["query_used"] == TALK[-1]["content"]
    assert found["rewrite"] == {"status": "skipped", "reason": "not_configured", "model": None, "tokens": 0}
    assert found["results"] == ask(plain, query=TALK[-1]["content"])["results"]


def test_a_single_turn_or_an_unwanted_rewriting_asks_no_model(client: TestClient, chat: ScriptedChat) -> None:
    for talk in (TALK[-1:], [TALK[0], TALK[1]], [{"role": "assistant", "content": None}, TALK[-1]]):
        assert ask(client, messages=talk)["rewrite"]["reason"] == "single_turn"
    assert ask(client, messages=TALK, rewrite=False)["rewrite"]["reason"] == "not_requested"
    assert chat.calls == []


def test_a_failing_chat_model_never_fails_a_search(
    tmp_path: Path, tokenizer: PlainTokenizer, chat: ScriptedChat
) -> None:
    """The last turn is searched, and the reason told, beside that of a failing reranker."""
    chat.replies(refused(401, "invalid_api_key"))
    with serving(tmp_path, tokenizer, chat, reranker=FailingReranker(RerankTimeout("slow"))) as client:
        found = [ask(client, messages=TALK) for _ in range(2)]
        plain = ask(client, query=TALK[-1]["content"])
    assert [each["rewrite"]["status"] for each in found] == ["degraded"] * 2
    assert [each["rewrite"]["reason"] for each in found] == ["unavailable", "breaker_open"]
    assert {each["query_used"] for each in found} == {TALK[-1]["content"]}
    assert {each["degraded"]["reason"] for each in found} == {"timeout"}
    assert found[0]["results"] == plain["results"]
    assert "sk-" not in str(found)


def test_a_silent_chat_model_costs_half_of_the_deadline_at_most(client: TestClient, chat: ScriptedChat) -> None:
    chat.is_silent = True
    began = time.perf_counter()
    found = ask(client, messages=TALK, timeout_ms=2_000)
    assert found["rewrite"]["reason"] == "timeout"
    assert found["degraded"] is None
    assert ids(found)
    assert time.perf_counter() - began < 2.0


def test_messages_may_be_what_applications_hold(plain: TestClient) -> None:
    """As their SDK wrote them: tool calls, nulls, images, fields of its own, turns after the last question."""
    talk = [
        {"role": "developer", "content": "Be brief.", "name": "ops"},
        {"role": "user", "content": [{"type": "text", "text": "Show me a heron"}, {"type": "image_url"}]},
        {"role": "assistant", "content": None, "refusal": None, "annotations": [], "tool_calls": [{"id": "1"}]},
        {"role": "tool", "tool_call_id": "1", "content": "a picture"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "user", "content": [{"type": "input_text", "text": "Where does it"}, {"text": "nest?"}]},
        {"role": "assistant", "content": ""},
    ]  # fmt: skip
    found = ask(plain, messages=talk)
    assert found["query_used"] == "Where does it\nnest?"
    assert ask(plain, "/v1/collections/animals/search", messages=talk)["query_used"] == found["query_used"]


def test_what_is_no_question_is_refused(plain: TestClient) -> None:
    """With a sentence that says what is needed."""
    user = {"role": "user", "content": "x"}
    assert "'query' is missing" in refusal(plain)
    assert "'query' is missing" in refusal(plain, query=None)
    assert "in place of query" in refusal(plain, query="x", messages=[user])
    assert "minimum number of entries" in refusal(plain, messages=[])
    assert "maximum number of entries" in refusal(plain, messages=[user] * (MESSAGES_MAX + 1))
    assert "role user" in refusal(plain, messages=[{"role": "assistant", "content": "x"}])
    assert "has no text" in refusal(plain, messages=[user, {"role": "user", "content": [{"type": "image_url"}]}])
    assert "characters" in refusal(plain, messages=[{"role": "user", "content": "x" * (QUERY_CHARACTERS_MAX + 1)}])
    assert "'messages.0.role'" in refusal(plain, messages=[{"role": "robot", "content": "x"}])
    assert "'messages.0.content'" in refusal(plain, messages=[{"role": "user", "content": 7}])
    assert "rewrite needs messages" in refusal(plain, query="x", rewrite=False)
    assert "minimum number of entries" in refusal(plain, queries=[])
    assert "blank" in refusal(plain, queries=[" "])
    assert "at most" in refusal(plain, query="x", queries=["y"] * SEARCH_QUERIES_MAX)


def test_queries_are_fused_and_judged_by_the_first(plain: TestClient) -> None:
    """Each passage once, with the place that each query gave it."""
    found = ask(plain, queries=["heron nest", "otter holt", "heron nest"], explain=True, candidates=4)
    assert (found["query_used"], found["queries_used"]) == ("heron nest", ["heron nest", "otter holt"])
    alone = [ask(plain, query=query, explain=True, candidates=4, rerank=False) for query in found["queries_used"]]
    places = [{each["document_id"]: each["recall_rank"] for each in one["explain"]} for one in alone]
    assert len({each["document_id"] for each in found["explain"]}) == len(found["explain"]) == 4
    for each in found["explain"]:
        assert each["found_by"] == [place.get(each["document_id"]) for place in places]
    assert {"nest", "holt"} <= set(ids(found))
    assert found["usage"]["embed_tokens"] == sum(each["usage"]["embed_tokens"] for each in alone)
    assert "found_by" not in alone[0]["explain"][0]
    assert "queries_used" not in ask(plain, queries=["heron nest", "otter holt"])


def test_a_main_query_may_have_further_ones(client: TestClient, chat: ScriptedChat) -> None:
    """Also one that was made of a conversation."""
    chat.says(QUESTION)
    further = ["otter holt", QUESTION]
    assert ask(client, query="heron", queries=further, explain=True)["queries_used"] == ["heron", *further]
    found = ask(client, messages=TALK, queries=further, explain=True)
    assert found["queries_used"] == [QUESTION, "otter holt"], "the question is asked once"


def test_every_query_counts(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """In the usage as a search, in the metrics as a vector, and as a request towards the limit."""
    with serving(tmp_path, tokenizer, limit_requests_per_minute=9) as client:  # the collection took two of them
        ask(client, queries=["a", "b", "c"])
        ask(client, query="d")
        assert client.get("/v1/usage").json()["usage"][0]["searches"] == 4
        assert 'winnow_query_vectors_total{source="computed"} 4.0' in client.get("/metrics").text
        late = [client.post("/v1/search", json={"collection": "animals", "query": "a"}) for _ in range(3)][-1]
        assert (late.status_code, late.json()["limit"]) == (429, "requests_per_minute")


MEASURED = {
    'winnow_rewrites_total{outcome="applied"}': 1.0,
    'winnow_rewrites_total{outcome="unusable_answer"}': 1.0,
    'winnow_rewrites_total{outcome="overloaded"}': 0.0,
    "winnow_rewrite_tokens_total": 180.0,
    "winnow_rewriter_left_alone": 0.0,
    'winnow_stage_seconds_count{asked="search",stage="rewrite"}': 2.0,
}


def measured(client: TestClient) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
    found = {name: float(number) for name, _, number in lines}
    return {name: found.get(name, 0.0) for name in MEASURED}


def test_rewriting_is_measured(client: TestClient, chat: ScriptedChat) -> None:
    before = measured(client)
    for text in (QUESTION, "zxcv qwer"):
        chat.says(text)
        ask(client, messages=TALK)
    assert {name: number - before[name] for name, number in measured(client).items()} == MEASURED


def test_feedback_is_about_the_question_that_was_searched(client: TestClient, chat: ScriptedChat) -> None:
    chat.says(QUESTION)
    found = ask(client, messages=TALK)
    judged = client.post("/v1/feedback", json={"search_id": found["id"], "document_id": "nest", "grade": 3})
    assert judged.status_code in {200, 201}, judged.text
    (stored,) = client.get("/v1/judgments").json()["judgments"]
    assert stored["query_sha256"] == hashlib.sha256(QUESTION.encode()).hexdigest()


def test_a_vector_store_is_searched_by_several_queries(plain: TestClient) -> None:
    """In OpenAI's shape, where they are fused as everywhere."""
    asked = {"query": ["heron nest", "otter holt"], "max_num_results": 2}
    found = ask(plain, "/v1/vector_stores/animals/search", **asked)
    assert found["search_query"] == asked["query"]
    assert {each["file_id"] for each in found["data"]} == set(ids(ask(plain, queries=asked["query"], top_k=2)))


@pytest.mark.parametrize("settings", [{"rewrite_url": "http://127.0.0.1:1/v1"}, {"rewrite_model": "chat"}])
def test_a_chat_model_needs_a_url_and_a_name(settings: Any) -> None:
    with pytest.raises(SettingInvalid, match="needs"):
        load_rewriter(Settings(**settings))
