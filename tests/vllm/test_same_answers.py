"""A real vLLM, started with the flags of docker-compose.yml: the same scores and vectors as in this process.

Both sides compute in float32, so that what differs is the way and not the rounding.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.acceptance.conftest import command_in, write_corpus
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.reranker import Reranker
from winnow.rerank.server_check import RerankerCheck
from winnow.rerank.torch_reranker import TorchReranker
from winnow.rerank.vllm_reranker import RERANKER_FAILURES, VllmReranker
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.embedder import Embedder
from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.embed.server_check import EmbedderCheck
from winnow.retrieval.embed.vllm import EMBEDDER_FAILURES, VllmEmbedder
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.records import Vectors, candidates_of
from winnow.retrieval.vllm.pool import Failures, Proof, VllmPool

RELEVANCE_APART_MAX = 5e-3
COSINE_MIN = 0.999
SERVED_TOKENS_MAX = 8_192  # --max-model-len of docker-compose.yml

ENGLISH = "A consumer may return goods within seven days; the court decides what is fair. "
CHINESE = "消费者自收到商品之日起七日内有权退货，且无需说明理由。法院可以予以减少。"
TEXTS = (
    "",
    "a",
    ENGLISH,
    CHINESE,
    "The heron stands still in shallow water. <|im_end|> <think> \U0001f642 e\u0301",
    "def search(query: str) -> list[Chunk]: ...",
    *(ENGLISH * english + CHINESE * chinese for english, chinese in ((2, 3), (10, 0), (0, 20), (30, 30), (150, 0))),
    ENGLISH * 2_000,  # longer than any window: cut here, not there
)

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


@asynccontextmanager
async def pool_of(url: str, failures: Failures, proof: Proof) -> AsyncIterator[VllmPool]:
    pool = VllmPool([url], failures, proof=proof)
    try:
        yield pool
    finally:
        await pool.close()


async def test_scores_are_those_of_this_process(reranker: ModelFolder, judge_url: str, tmp_path: Path) -> None:
    """Of both languages, from nothing to the whole window, under two instructions; and `winnow rerank` prints them."""
    async with pool_of(judge_url, RERANKER_FAILURES, RerankerCheck.load(reranker)) as pool:
        served = await relevances(VllmReranker.load(reranker, pool, secret=b"secret"))
        with pytest.raises(RerankUnavailable, match="maximum context length"):
            await pool.classify([[1] * (SERVED_TOKENS_MAX + 1)], salt="t", deadline=Deadline.never())
    here = await relevances(TorchReranker.load(reranker, device="cpu", dtype="float32"))
    apart = np.abs(served - here)
    print(f"{reranker.name}: {apart.size} scores, at most {apart.max():.1e} apart, spread {here.std():.2f}")
    assert apart.max() < RELEVANCE_APART_MAX
    assert here.std() > 0.01, "scores that are all alike would prove nothing"
    winnow = command_in(tmp_path / "data", {})
    arguments = ("rerank", "How may I return goods?", *TEXTS[2:5], "--json")
    through, in_process = winnow.run(*arguments, WINNOW_RERANK_URL=judge_url), winnow.run(*arguments)
    assert (through.code, in_process.code) == (0, 0), through.err + in_process.err
    orders = [[result["index"] for result in each.json["results"]] for each in (through, in_process)]
    assert orders[0] == orders[1]


async def relevances(reranker: Reranker) -> Vectors:
    found = []
    for query, instruction in (
        ("How may I return goods? 退货期限多长？", DEFAULT_INSTRUCTION),
        ("heron", "优先中文文档"),
    ):
        ranking = await reranker.rank(
            query, candidates_of(TEXTS), instruction=instruction, tenant="t", deadline=Deadline.after_ms(300_000)
        )
        judged = {each.candidate.chunk.number: each.relevance for each in ranking.ranked}
        found.append([judged[number] for number in range(len(TEXTS))])
    return np.asarray(found, dtype=np.float32)


async def test_vectors_are_those_of_this_process(embedder: ModelFolder, embed_url: str, tmp_path: Path) -> None:
    """Queries and passages; and what was indexed in process is searched through the server, with the same answer."""
    async with pool_of(embed_url, EMBEDDER_FAILURES, EmbedderCheck.load(embedder)) as pool:
        served = await vectors(VllmEmbedder.load(embedder, pool))
    here = await vectors(QwenEmbedder.load(embedder, device="cpu", dtype="float32"))
    cosines = (served * here).sum(axis=1)
    print(f"{embedder.name}: {len(cosines)} vectors, cosine at least {cosines.min():.7f}")
    assert cosines.min() >= COSINE_MIN
    winnow = command_in(tmp_path / "data", {})
    indexed = winnow.run("index", str(write_corpus(tmp_path / "corpus")), "--collection", "four")
    assert indexed.code == 0, indexed.err
    arguments = ("search", "return goods", "--collection", "four", "--no-rerank", "--json")
    through, in_process = winnow.run(*arguments, WINNOW_EMBED_URL=embed_url), winnow.run(*arguments)
    assert (through.code, in_process.code) == (0, 0), through.err + in_process.err
    found = [
        {result["document_id"]: result["similarity"] for result in each.json["results"]}
        for each in (through, in_process)
    ]
    assert list(found[0]) == list(found[1])
    assert found[0] == pytest.approx(found[1], abs=1e-3)


async def vectors(embedder: Embedder) -> Vectors:
    passages, queries = await embedder.embed_passages(TEXTS), await embedder.embed_queries(TEXTS)
    return np.concatenate([passages.vectors, queries.vectors])
