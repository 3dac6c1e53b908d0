"""Through a server or in this process: the same ids, and so the same scores, vectors and identity.

The server here speaks vLLM's protocol over the runtime that the oracles use; tests/acceptance/test_vllm.py asks a real
one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from rerank.instruction import DEFAULT_INSTRUCTION
from rerank.judgement import relevance_of
from rerank.prompt import NO, YES
from rerank.reranker import RankedBy, Ranking, Reranker
from rerank.torch_reranker import TorchReranker
from rerank.vllm_reranker import RERANKER_FAILURES, VllmReranker
from retrieval.deadline import Deadline
from retrieval.errors import EmbedderUnavailable, Overloaded, RerankTimeout, RerankUnavailable, SettingInvalid
from retrieval.model_folder import ModelFolder, find_model
from retrieval.qwen_embedder import QwenEmbedder
from retrieval.qwen_runtime import QwenRuntime
from retrieval.tokens import ScaffoldTokenizer
from retrieval.vllm_client import VllmClient
from retrieval.vllm_embedder import EMBEDDER_FAILURES, VllmEmbedder
from tests.contract.test_embedder import TEXTS
from tests.contract.test_reranker import BLEND, CHINESE, ENGLISH, QUERY, candidates_of
from tests.loopback import Answer, Asked, Loopback, Said, base64_of, serving
from tests.tiny_models import TinyShape, write_embedder, write_reranker


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return find_model(str(write_reranker(tmp_path_factory.mktemp("models") / "tiny", blend=BLEND)), kind="reranker")


@pytest.fixture(scope="module")
def embed(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return find_model(str(write_embedder(tmp_path_factory.mktemp("models") / "tiny")), kind="embedder")


def server_of(folder: ModelFolder) -> Answer:
    """What vLLM does with ids, rows last to first."""
    runtime = QwenRuntime.load(folder, device="cpu")
    scaffold = ScaffoldTokenizer.load(folder.path)
    head = runtime.head_difference(scaffold.token_id(YES), scaffold.token_id(NO))

    async def answer(asked: Asked) -> Said:
        if asked.path == "/v1/models":
            return Said(body={"data": [{"id": folder.name}]})
        states = await runtime.last_states(asked.body["input"])
        found = (
            [{"probs": [relevance_of(float(logit))]} for logit in states @ head]
            if asked.path == "/classify"
            else [{"embedding": base64_of(state / np.linalg.norm(state))} for state in states]
        )
        return Said(body={"data": [{"index": place, **row} for place, row in enumerate(found)][::-1]})

    return answer


@pytest.fixture
async def judging(judge: ModelFolder) -> AsyncIterator[tuple[Loopback, VllmClient]]:
    async with serving(server_of(judge)) as server:
        client = VllmClient(server.url, RERANKER_FAILURES)
        yield server, client
        await client.close()


@pytest.fixture
async def embedding(embed: ModelFolder) -> AsyncIterator[VllmClient]:
    async with serving(server_of(embed)) as server:
        client = VllmClient(server.url, EMBEDDER_FAILURES)
        yield client
        await client.close()


async def ranked(reranker: Reranker, *passages: str, similarity: float | None = 0.5) -> Ranking:
    return await reranker.rank(
        QUERY,
        candidates_of(*passages, similarity=similarity),
        instruction=DEFAULT_INSTRUCTION,
        tenant="t",
        deadline=Deadline.after_ms(60_000),
    )


@pytest.mark.parametrize("embedder", [None, "tiny-embed"])
async def test_the_ranking_is_that_of_the_model_in_this_process(
    judging: tuple[Loopback, VllmClient], judge: ModelFolder, embedder: str | None
) -> None:
    """Order, scores, relevances, truncation, tokens, judge: nobody can tell which of the two answered."""
    passages = (ENGLISH, CHINESE, "", ENGLISH, "<|im_end|> \ud800", ENGLISH * 1_000)
    served = await ranked(VllmReranker.load(judge, judging[1], embedder=embedder), *passages)
    here = await ranked(TorchReranker.load(judge, device="cpu", embedder=embedder), *passages)
    assert served.ranked_by is (RankedBy.BLEND if embedder else RankedBy.RELEVANCE)
    assert (served.ranked_by, served.judged_by, served.tokens) == (here.ranked_by, here.judged_by, here.tokens)
    for one, other in zip(served.ranked, here.ranked, strict=True):
        assert (one.candidate, one.truncated) == (other.candidate, other.truncated)
        assert one.relevance == pytest.approx(other.relevance, abs=1e-5)
        assert one.score == pytest.approx(other.score, abs=1e-5)
    assert np.std([each.relevance for each in here.ranked]) > 0.01, "scores that are all alike would prove nothing"


async def test_repeated_passages_are_sent_once(judging: tuple[Loopback, VllmClient], judge: ModelFolder) -> None:
    """A corpus full of copies costs what its different texts cost."""
    server, client = judging
    assert len((await ranked(VllmReranker.load(judge, client), *[ENGLISH, CHINESE] * 5)).ranked) == 10
    assert [len(body["input"]) for body in server.bodies("/classify")] == [2]


async def test_nothing_to_rank_asks_nobody(judging: tuple[Loopback, VllmClient], judge: ModelFolder) -> None:
    """Recall may find nothing."""
    server, client = judging
    assert (await ranked(VllmReranker.load(judge, client))).ranked == ()
    assert server.asked == []


async def test_a_passed_deadline_is_a_timeout(judging: tuple[Loopback, VllmClient], judge: ModelFolder) -> None:
    """And the server does not hear of it."""
    server, client = judging
    with pytest.raises(RerankTimeout):
        await VllmReranker.load(judge, client).rank(
            QUERY, candidates_of(ENGLISH), instruction="x", tenant="t", deadline=Deadline.after_ms(0)
        )
    assert server.asked == []


async def test_a_server_that_is_not_there_is_said_to_be(judge: ModelFolder, embed: ModelFolder) -> None:
    """Each part by its own name: what answers without a judge does not answer without vectors."""
    async with serving(server_of(judge)) as server:
        url = server.url
    one, other = VllmClient(url, RERANKER_FAILURES), VllmClient(url, EMBEDDER_FAILURES)
    with pytest.raises(RerankUnavailable, match=url):
        await ranked(VllmReranker.load(judge, one), ENGLISH)
    with pytest.raises(EmbedderUnavailable, match=url):
        await VllmEmbedder.load(embed, other).embed_passages(["a"])
    await one.close()
    await other.close()


async def test_a_busy_embedder_is_overload(embed: ModelFolder) -> None:
    """Which tells the caller to come back."""

    async def answer(_: Asked) -> Said:
        return Said(body={}, status=503)

    async with serving(answer) as server:
        client = VllmClient(server.url, EMBEDDER_FAILURES)
        with pytest.raises(Overloaded):
            await VllmEmbedder.load(embed, client).embed_queries(["a"])
        await client.close()


@pytest.mark.parametrize("dimension", [None, 32])
async def test_the_vectors_are_those_of_the_model_in_this_process(
    embedding: VllmClient, embed: ModelFolder, dimension: int | None
) -> None:
    """Passages and queries, cut and normalised alike, with the same count of tokens: an index serves both."""
    served = VllmEmbedder.load(embed, embedding, dimension=dimension)
    here = QwenEmbedder.load(embed, device="cpu", dimension=dimension)
    assert served.identity == here.identity
    texts = (*TEXTS, "seven days " * 2_000)
    for ours, theirs in (
        (await served.embed_passages(texts), await here.embed_passages(texts)),
        (await served.embed_queries(texts, "Find it"), await here.embed_queries(texts, "Find it")),
    ):
        np.testing.assert_allclose(ours.vectors, theirs.vectors, atol=1e-5)
        assert (ours.tokens, ours.truncated) == (theirs.tokens, theirs.truncated)
    assert (await served.embed_passages([])).vectors.shape == (0, dimension or 48)


async def test_an_impossible_dimension_is_refused_before_anybody_is_asked(
    embedding: VllmClient, embed: ModelFolder
) -> None:
    """The folder knows what the model has."""
    with pytest.raises(SettingInvalid, match="48"):
        VllmEmbedder.load(embed, embedding, dimension=49)


async def test_a_server_with_another_model_is_found_out(judging: tuple[Loopback, VllmClient], tmp_path: Path) -> None:
    """By the width of its vectors, where that differs."""
    wider = find_model(str(write_embedder(tmp_path / "wider", TinyShape(hidden=64))), kind="embedder")
    client = VllmClient(judging[0].url, EMBEDDER_FAILURES)
    with pytest.raises(EmbedderUnavailable, match="48 numbers; the model here has 64"):
        await VllmEmbedder.load(wider, client).embed_passages(["a"])
    await client.close()
