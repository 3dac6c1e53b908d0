"""Our own front of vLLM's engine says what vLLM's own server says: the same numbers, the same refusals."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import httpx2
import numpy as np
import pytest

from tests.observe.otlp_receiver import OtlpReceiver
from winnow.rerank.prompt import PromptBuilder
from winnow.rerank.server_check import RerankerCheck
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.server_check import EmbedderCheck
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.vllm.client import VllmClient

IDS_MAX = 20_000  # below it every id is one of the bundled tokenizer's
# vLLM sums in float32, in an order that depends on which requests share a batch: 2.0e-6 was seen between two servers.
SAME_SCORE = 1e-5  # a token lost or doubled moves a score by 1e-3 and more
LENGTHS = (1, 2, 15, 16, 17, 100, 101, 600, 3_000, 8_192)  # around vLLM's blocks of 16, and up to the window

HERON = "The heron stands still in shallow water and strikes at fish. 苍鹭静静地站在浅水中。"
TEXTS = tuple(
    HERON[place:] * times for place, times in ((0, 1), (20, 1), (50, 1), (64, 3), (0, 12), (30, 90), (0, 400))
)

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]


def inputs(*lengths: int) -> list[list[int]]:
    drawn = random.Random(3)
    return [[drawn.randrange(IDS_MAX) for _ in range(length)] for length in lengths]


async def test_scores_are_those_of_vllms_own_server(
    reranker: ModelFolder, judge_url: str, front_judge_url: str
) -> None:
    """Alone and among others, asked in several calls at once."""
    prompts = PromptBuilder.load(reranker.path, tokens_max=8_192).build("how does a heron fish", TEXTS, "judge")
    whole = [[*prompts.shared, *tail] for tail in prompts.tails]
    async with asyncio.TaskGroup() as tasks:
        theirs, ours = (
            [tasks.create_task(scores(url, part)) for part in (whole, whole[::-1], whole[3:4])]
            for url in (judge_url, front_judge_url)
        )
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.result(), other.result(), rtol=0, atol=SAME_SCORE)
    assert np.std(ours[0].result()) > 0.01, "scores that are all alike would prove nothing"


async def scores(url: str, asked: list[list[int]]) -> list[float]:
    client = VllmClient(url)
    try:
        return await client.classify(asked, salt="a", deadline=Deadline.after_ms(300_000))
    finally:
        await client.close()


async def test_spans_of_the_engine_are_in_the_callers_trace(
    judge_url: str, front_judge_url: str, spans: OtlpReceiver
) -> None:
    """One for each input, as vLLM's own server sends them; and none of a trace that is not recorded."""
    for trace_id, url in (("ab" * 16, judge_url), ("cd" * 16, front_judge_url)):
        async with httpx2.AsyncClient(base_url=url, timeout=300) as client:
            for flag, trace in (("00", "ef" * 16), ("01", trace_id)):
                headers = {"traceparent": f"00-{trace}-{'12' * 8}-{flag}"}
                asked = await client.post("/classify", json={"input": inputs(20, 30)}, headers=headers)
                assert asked.status_code == 200
        found = await asyncio.to_thread(spans.of_trace, trace_id, 2)
        assert [(each.name, each.parent_id) for each in found] == [("llm_request", "12" * 8)] * 2
    assert "ef" * 16 not in spans.traces()


async def test_vectors_are_those_of_vllms_own_server(
    embedder: ModelFolder, embed_url: str, front_embed_url: str
) -> None:
    """To the bit."""
    width = embedder.settings.dimension or 384
    found = []
    for url in (embed_url, front_embed_url):
        client = VllmClient(url)
        asked = inputs(*LENGTHS[:8])
        found.append(await client.embed(asked, width=width, salt="a", deadline=Deadline.after_ms(300_000)))
        await client.close()
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/classify", {"input": [[1] * 8_193]}),
        ("/classify", {"input": [[1], [10_000_000]]}),
        ("/classify", {"input": [[1], [-1]]}),
        ("/classify", {"input": [[1]], "model": "another"}),
        ("/classify", {"input": 7}),
        ("/classify", "no object"),
        ("/pooling", {"input": [[1]], "task": "embed"}),
        ("/nothing", {"input": [[1]]}),
    ],
)
async def test_what_vllm_refuses_is_refused(judge_url: str, front_judge_url: str, path: str, body: Any) -> None:
    """With a status of the same kind, and an `error` where vLLM has one; and the server goes on."""
    async with httpx2.AsyncClient(timeout=60) as client:
        theirs = await client.post(judge_url + path, json=body)
        ours = await client.post(front_judge_url + path, json=body)
        after = await client.post(front_judge_url + "/classify", json={"input": [[1]]})
    assert ours.status_code // 100 == theirs.status_code // 100 == 4, (ours.text, theirs.text)
    assert ("error" in ours.json()) is ("error" in theirs.json())
    assert after.status_code == 200


async def test_nothing_to_compute_is_refused(front_judge_url: str) -> None:
    """An empty list, and an empty input: the engine would wait for what never comes."""
    async with httpx2.AsyncClient(timeout=60) as client:
        for asked in ([], [[]], [[1], []]):
            assert (await client.post(front_judge_url + "/classify", json={"input": asked})).status_code == 400


async def test_the_proofs_are_passed_and_failed_as_before_vllms_own(
    reranker: ModelFolder, embedder: ModelFolder, front_judge_url: str, front_embed_url: str
) -> None:
    """The right model passes; a server of another has no route to judge by, and the refusal says what it is."""
    right, other = VllmClient(front_judge_url), VllmClient(front_embed_url)
    try:
        await RerankerCheck.load(reranker)(right, Deadline.after_ms(60_000))
        await EmbedderCheck.load(embedder)(other, Deadline.after_ms(60_000))
        with pytest.raises(RerankUnavailable, match=embedder.name):
            await RerankerCheck.load(reranker)(other, Deadline.after_ms(60_000))
    finally:
        await right.close()
        await other.close()
