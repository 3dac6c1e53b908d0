"""Through a server or in this process: the same ids, and so the same scores, vectors and identity.

The server here speaks vLLM's protocol over the runtime that the oracles use; tests/vllm/test_same_answers.py asks a
real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.contract.test_embedder import TEXTS
from tests.contract.test_reranker import CHINESE, ENGLISH, ORDER, QUERY, candidates_of
from tests.loopback import Answer, Asked, Loopback, ResponseModel, base64_of, serving
from tests.tiny_models import TinyShape, write_embedder, write_reranker
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.prompt import NO, YES
from winnow.rerank.relevance import relevance_of
from winnow.rerank.reranker import RankedBy, Ranking, Reranker
from winnow.rerank.torch_reranker import TorchReranker
from winnow.rerank.vllm_reranker import RERANKER_FAILURES, VllmReranker
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.embed.vllm import EMBEDDER_FAILURES, VllmEmbedder
from winnow.retrieval.errors import EmbedderUnavailable, Overloaded, RerankTimeout, RerankUnavailable, SettingInvalid
from winnow.retrieval.model.folder import ModelFolder, find_model
from winnow.retrieval.model.runtime import QwenRuntime
from winnow.retrieval.model.tokenizer import ScaffoldTokenizer
from winnow.retrieval.vllm.client import VllmClient
from winnow.retrieval.vllm.pool import Failures, VllmPool


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return find_model(str(write_reranker(tmp_path_factory.mktemp("models") / "tiny", order=ORDER)), kind="reranker")


@pytest.fixture(scope="module")
def embed(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return find_model(str(write_embedder(tmp_path_factory.mktemp("models") / "tiny")), kind="embedder")


def server_of(folder: ModelFolder) -> Answer:
    """What vLLM does with ids, rows last to first."""
    runtime = QwenRuntime.load(folder, device="cpu")
    scaffold = ScaffoldTokenizer.load(folder.path)
    head = runtime.head_difference(scaffold.token_id(YES), scaffold.token_id(NO))

    async def answer(asked: Asked) -> ResponseModel:
        if asked.path == "/v1/models":
            return ResponseModel(body={"data": [{"id": folder.name}]})
        states = await runtime.last_states(asked.body["input"])
        found = (
            [{"probs": [relevance_of(float(logit))]} for logit in states @ head]
            if asked.path == "/classify"
            else [{"data": base64_of(state / np.linalg.norm(state))} for state in states]
        )
        return ResponseModel(body={"data": [{"index": place, **row} for place, row in enumerate(found)][::-1]})

    return answer


async def unquestioned(_client: VllmClient, _deadline: Deadline) -> None:
    """A `Proof` that any server passes: these models rank by noise."""


@asynccontextmanager
async def pool_of(url: str, failures: Failures) -> AsyncIterator[VllmPool]:
    pool = VllmPool([url], failures, proof=unquestioned)
    try:
        yield pool
    finally:
        await pool.close()


def served(folder: ModelFolder, pool: VllmPool) -> VllmReranker:
    return VllmReranker.load(folder, pool, secret=b"secret")


@pytest.fixture
async def judging(judge: ModelFolder) -> AsyncIterator[tuple[Loopback, VllmPool]]:
    async with serving(server_of(judge)) as server, pool_of(server.url, RERANKER_FAILURES) as pool:
        yield server, pool


@pytest.fixture
async def embedding(embed: ModelFolder) -> AsyncIterator[VllmPool]:
    async with serving(server_of(embed)) as server, pool_of(server.url, EMBEDDER_FAILURES) as pool:
        yield pool


async def ranked(reranker: Reranker, *passages: str, similarity: float | None = 0.5) -> Ranking:
    return await reranker.rank(
        QUERY,
        candidates_of(*passages, similarity=similarity),
        instruction=DEFAULT_INSTRUCTION,
        tenant="t",
        deadline=Deadline.after_ms(60_000),
    )


@pytest.mark.parametrize("similarity", [None, 0.5])
async def test_the_ranking_is_that_of_the_model_in_this_process(
    judging: tuple[Loopback, VllmPool], judge: ModelFolder, similarity: float | None
) -> None:
    """Order, scores, relevances, truncation, tokens, judge: nobody can tell which of the two answered."""
    passages = (ENGLISH, CHINESE, "", ENGLISH, "<|im_end|> \ud800", ENGLISH * 1_000)
    through = await ranked(served(judge, judging[1]), *passages, similarity=similarity)
    here = await ranked(TorchReranker.load(judge, device="cpu"), *passages, similarity=similarity)
    assert through.ranked_by is (RankedBy.RELEVANCE if similarity is None else RankedBy.BLEND)
    assert (through.ranked_by, through.judged_by, through.tokens) == (here.ranked_by, here.judged_by, here.tokens)
    for one, other in zip(through.ranked, here.ranked, strict=True):
        assert (one.candidate, one.truncated) == (other.candidate, other.truncated)
        assert one.relevance == pytest.approx(other.relevance, abs=1e-5)
        assert one.score == pytest.approx(other.score, abs=1e-5)
    assert np.std([each.relevance for each in here.ranked]) > 0.01, "scores that are all alike would prove nothing"


async def test_repeated_passages_are_sent_once(judging: tuple[Loopback, VllmPool], judge: ModelFolder) -> None:
    """A corpus full of copies costs what its different texts cost."""
    server, pool = judging
    assert len((await ranked(served(judge, pool), *[ENGLISH, CHINESE] * 5)).ranked) == 10
    assert [len(body["input"]) for body in server.bodies("/classify")] == [2]


async def test_a_small_request_stands_behind_two_slices_of_another_tenants_flood(judge: ModelFolder) -> None:
    """A server computes in the order in which it is asked: little may be there before others want something.

    Beside a tenant that asked a short while ago; one that is alone has as much in flight as the pool takes.
    """
    arrived: list[tuple[str, int]] = []
    answers = asyncio.Semaphore(0)

    async def answer(asked: Asked) -> ResponseModel:
        if asked.path == "/v1/models":
            return ResponseModel(body={"data": [{"id": judge.name}]})
        inputs = asked.body["input"]
        arrived.append((asked.body["cache_salt"], sum(map(len, inputs))))
        await answers.acquire()
        return ResponseModel(body={"data": [{"index": place, "probs": [0.5]} for place in range(len(inputs))]})

    async def ask(reranker: VllmReranker, tenant: str, passages: int) -> None:
        given = candidates_of(*(f"{number} {ENGLISH * 10}" for number in range(passages)))
        await reranker.rank(QUERY, given, instruction="x", tenant=tenant, deadline=Deadline.never())

    async def settled() -> None:
        seen = -1
        while seen < len(arrived):
            seen = len(arrived)
            await asyncio.sleep(0.3)

    async with serving(answer) as server, pool_of(server.url, RERANKER_FAILURES) as pool:
        reranker = served(judge, pool)
        alone = [asyncio.create_task(ask(reranker, "flood", 60)) for _ in range(8)]
        await settled()
        assert 65_536 < sum(tokens for _, tokens in arrived) <= 131_072
        for _ in range(len(arrived) + 9):
            answers.release()
        await asyncio.gather(*alone)
        arrived.clear()
        await ask(reranker, "small", 1)
        ((small_salt, _),) = arrived
        flood = [asyncio.create_task(ask(reranker, "flood", 60)) for _ in range(8)]
        while sum(tokens for _, tokens in arrived) < 65_536:
            answers.release()
            await settled()
        arrived.clear()
        small = asyncio.create_task(ask(reranker, "small", 60))
        await settled()
        for _ in range(100):
            answers.release()
        await small
        own = [tokens for salt, tokens in arrived if salt == small_salt]
        before = [tokens for salt, tokens in arrived[: _last(arrived, small_salt)] if salt != small_salt]
        await asyncio.gather(*flood)
    assert sum(own) > 16_384
    assert max(own) <= 8_192
    assert before == [], "what was there when it came is computed first, and nothing that came later"


def _last(arrived: list[tuple[str, int]], salt: str) -> int:
    return max(place for place, (each, _) in enumerate(arrived) if each == salt)


async def test_nothing_to_rank_asks_nobody(judging: tuple[Loopback, VllmPool], judge: ModelFolder) -> None:
    """Recall may find nothing."""
    server, pool = judging
    assert (await ranked(served(judge, pool))).ranked == ()
    assert server.asked == []


async def test_a_passed_deadline_is_a_timeout(judging: tuple[Loopback, VllmPool], judge: ModelFolder) -> None:
    """And the server does not hear of it."""
    server, pool = judging
    with pytest.raises(RerankTimeout):
        await served(judge, pool).rank(
            QUERY, candidates_of(ENGLISH), instruction="x", tenant="t", deadline=Deadline.after_ms(0)
        )
    assert server.asked == []


async def test_a_server_that_is_not_there_is_said_to_be(judge: ModelFolder, embed: ModelFolder) -> None:
    """Each part by its own name: what answers without a judge does not answer without vectors."""
    async with serving(server_of(judge)) as server:
        url = server.url
    async with pool_of(url, RERANKER_FAILURES) as one, pool_of(url, EMBEDDER_FAILURES) as other:
        with pytest.raises(RerankUnavailable, match=url):
            await ranked(served(judge, one), ENGLISH)
        with pytest.raises(EmbedderUnavailable, match=url):
            await VllmEmbedder.load(embed, other).embed_passages(["a"])


async def test_a_busy_embedder_is_overload(embed: ModelFolder) -> None:
    """Which tells the caller to come back."""

    async def answer(_: Asked) -> ResponseModel:
        return ResponseModel(body={}, status=503)

    async with serving(answer) as server, pool_of(server.url, EMBEDDER_FAILURES) as pool:
        with pytest.raises(Overloaded):
            await VllmEmbedder.load(embed, pool).embed_queries(["a"])


async def test_a_vector_of_zeros_is_the_servers_failure(embed: ModelFolder) -> None:
    """And not the model folder's, which is as good as before: the next answer may be right."""

    async def answer(asked: Asked) -> ResponseModel:
        if asked.path == "/v1/models":
            return ResponseModel(body={"data": [{"id": "m"}]})
        return ResponseModel(body={"data": [{"index": 0, "data": base64_of([0.0] * 48)}]})

    async with serving(answer) as server, pool_of(server.url, EMBEDDER_FAILURES) as pool:
        with pytest.raises(EmbedderUnavailable, match="a vector of zeros"):
            await VllmEmbedder.load(embed, pool).embed_queries(["a"])


@pytest.mark.parametrize("dimension", [None, 32])
async def test_the_vectors_are_those_of_the_model_in_this_process(
    embedding: VllmPool, embed: ModelFolder, dimension: int | None
) -> None:
    """Passages and queries, cut and normalised alike, with the same count of tokens: an index serves both."""
    remote = VllmEmbedder.load(embed, embedding, dimension=dimension)
    here = QwenEmbedder.load(embed, device="cpu", dimension=dimension)
    assert remote.identity == here.identity
    texts = (*TEXTS, "seven days " * 2_000)
    for ours, theirs in (
        (await remote.embed_passages(texts), await here.embed_passages(texts)),
        (await remote.embed_queries(texts, "Find it"), await here.embed_queries(texts, "Find it")),
    ):
        np.testing.assert_allclose(ours.vectors, theirs.vectors, atol=1e-5)
        assert (ours.tokens, ours.truncated) == (theirs.tokens, theirs.truncated)
    assert (await remote.embed_passages([])).vectors.shape == (0, dimension or 48)


async def test_an_impossible_dimension_is_refused_before_anybody_is_asked(
    embedding: VllmPool, embed: ModelFolder
) -> None:
    """The folder knows what the model has."""
    with pytest.raises(SettingInvalid, match="48"):
        VllmEmbedder.load(embed, embedding, dimension=49)


async def test_a_server_with_another_model_is_found_out(judging: tuple[Loopback, VllmPool], tmp_path: Path) -> None:
    """By the width of its vectors, where that differs."""
    wider = find_model(str(write_embedder(tmp_path / "wider", TinyShape(hidden=64))), kind="embedder")
    async with pool_of(judging[0].url, EMBEDDER_FAILURES) as pool:
        with pytest.raises(EmbedderUnavailable, match="48 numbers; the local model has 64"):
            await VllmEmbedder.load(wider, pool).embed_passages(["a"])
