"""Behind our front, no token of a prefix that inputs share is computed twice in a step, and no score changes."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import httpx2
import numpy as np
import pytest

from tests.vllm.servers import composed_flags, vllm
from winnow.api.vllm.command import FRONT
from winnow.rerank.prompt import PromptBuilder, Prompts
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.vllm.client import VllmClient

BLOCK: Final = 32  # the smallest of a CPU; a GPU's is 16
STEP: Final = 1_024  # tokens
SAME_SCORE: Final = 1e-5  # float32, other batches
WORDS: Final = (
    "heron",
    "water",
    "fish",
    "shallow",
    "court",
    "goods",
    "return",
    "seven",
    "days",
    "苍鹭",
    "退货",
    "法院",
)
QUERIES: Final = ("how does a heron fish", "return goods", " ".join(WORDS), "a")

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def url(reranker: ModelFolder, logs: Path) -> Iterator[str]:
    """A front whose engine computes in its own process, as on a GPU."""
    flags = (*composed_flags("rerank"), f"--block-size={BLOCK}", f"--max-num-batched-tokens={STEP}")
    with vllm(
        reranker.path,
        logs / "rerank-shared.log",
        *flags,
        program=(str(FRONT),),
        variables={"VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
    ) as address:
        yield address


@pytest.fixture(scope="module")
def prompts(reranker: ModelFolder) -> PromptBuilder:
    return PromptBuilder.load(reranker.path, tokens_max=8_192)


def made(prompts: PromptBuilder, query: str, *, documents: int, words: int, seed: int = 1) -> Prompts:
    drawn = random.Random(seed)
    lengths = (drawn.randrange(1, 2 * words) for _ in range(documents))
    return prompts.build(query, [" ".join(drawn.choices(WORDS, k=length)) for length in lengths], "judge")


def whole(made: Prompts) -> list[list[int]]:
    return [[*made.shared, *tail] for tail in made.tails]


def once(inputs: Sequence[Sequence[int]]) -> int:
    """How many tokens there are, what all begin with counted once."""
    return sum(map(len, inputs)) - (len(inputs) - 1) * begins_all(inputs)


def begins_all(inputs: Sequence[Sequence[int]]) -> int:
    return next(place for place, ids in enumerate(zip(*inputs, strict=False)) if len(set(ids)) > 1)


def computed(inputs: Sequence[Sequence[int]]) -> tuple[int, int]:
    """How many tokens one step has to compute and to copy, with vLLM's own hits of full blocks."""
    shared = begins_all(inputs)
    full, seen, total, copied = shared - shared % BLOCK, set[tuple[int, ...]](), 0, 0
    has_source = False
    for ids in inputs:
        start = 0
        while start + BLOCK < len(ids) and tuple(ids[: start + BLOCK]) in seen:
            start += BLOCK
        if start == full and has_source:
            start, copied = shared, copied + shared - full
        has_source |= start <= full < shared
        total += len(ids) - start
        seen.update(tuple(ids[:end]) for end in range(BLOCK, len(ids) + 1, BLOCK))
    return total, copied


async def scores(url: str, inputs: Sequence[Sequence[int]], salt: str) -> list[float]:
    client = VllmClient(url)
    try:
        return await client.classify(inputs, salt=salt, deadline=Deadline.after_ms(300_000))
    finally:
        await client.close()


async def tokens(url: str) -> dict[str, int]:
    """What the engine has computed and copied so far."""
    async with httpx2.AsyncClient() as client:
        shown = (await client.get(f"{url}/metrics")).text
    return {
        name: int(float(count)) for name, count in re.findall(r"^winnow_(\w+)_tokens_total (\S+)$", shown, re.MULTILINE)
    }


async def by_blocks(url: str, inputs: Sequence[Sequence[int]], salt: str) -> list[float]:
    """The same in one request in which nothing is shared by all, so that only full blocks are shared, as vLLM does."""
    return (await scores(url, [*inputs, [1]], salt))[:-1]


async def test_the_front_shares_to_the_token(url: str) -> None:
    async with httpx2.AsyncClient() as client:
        assert (await client.get(f"{url}/v1/models")).json()["data"][0]["shared_prefix"] == "tokens"


@pytest.mark.parametrize("query", QUERIES)
async def test_every_token_is_computed_once(url: str, prompts: PromptBuilder, query: str) -> None:
    """Counted by the engine's scheduler; and the scores are to the bit those of shared blocks."""
    inputs = whole(made(prompts, query, documents=8, words=25))
    assert once(inputs) < STEP
    before = await tokens(url)
    ours = await scores(url, inputs, f"to the token {query}")
    after = await tokens(url)
    theirs = await by_blocks(url, inputs, f"by blocks {query}")
    last = await tokens(url)
    assert (after["computed"] - before["computed"], after["copied"] - before["copied"]) == computed(inputs)
    assert computed(inputs)[0] <= once(inputs), "no shared token is computed twice"
    assert last["copied"] == after["copied"]
    np.testing.assert_array_equal(ours, theirs)
    assert len(set(ours)) > len(ours) // 2, "scores that are all alike would prove nothing"


async def test_a_further_step_computes_at_most_a_part_of_a_block_again(url: str, prompts: PromptBuilder) -> None:
    """And a second request after the same prefix only that."""
    inputs = whole(made(prompts, QUERIES[0], documents=24, words=55))
    steps = -(-once(inputs) // STEP)
    assert steps > 2
    before = await tokens(url)
    ours = await scores(url, inputs, "several steps")
    after = await tokens(url)
    again = begins_all(inputs) % BLOCK * steps
    assert once(inputs) <= after["computed"] - before["computed"] <= once(inputs) + again
    more = whole(made(prompts, QUERIES[0], documents=5, words=20, seed=2))
    await scores(url, more, "several steps")
    last = await tokens(url)
    full = begins_all(more) // BLOCK * BLOCK
    assert last["computed"] - after["computed"] == once(more) - full
    np.testing.assert_allclose(ours, await by_blocks(url, inputs, "steps"), rtol=0, atol=SAME_SCORE)


async def test_requests_at_once_keep_their_own_prefixes(url: str, prompts: PromptBuilder) -> None:
    """Of several queries, and of tenants with the same query: nothing crosses salts."""
    asked = [
        (whole(made(prompts, query, documents=4, words=20, seed=seed)), f"{seed} {tenant}")
        for seed, query in enumerate(QUERIES)
        for tenant in ("bob", "eve")
    ]
    before = await tokens(url)
    found = await asyncio.gather(*(scores(url, inputs, salt) for inputs, salt in asked))
    after = await tokens(url)
    fewest = sum(computed(inputs)[0] for inputs, _ in asked)
    assert fewest <= after["computed"] - before["computed"] <= fewest + len(asked) * 2 * BLOCK
    for (inputs, salt), ours in zip(asked, found, strict=True):
        np.testing.assert_allclose(ours, await by_blocks(url, inputs, f"alone {salt}"), rtol=0, atol=SAME_SCORE)


async def test_inputs_that_are_alike_are_scored_alike(url: str) -> None:
    """The same input twice, one that begins another, and single tokens."""
    drawn = random.Random(4)
    one = [drawn.randrange(20_000) for _ in range(BLOCK + 7)]
    found = await scores(url, [one, one, [*one, 5], [*one, 5, 6]], "alike")
    assert found[0] == pytest.approx(found[1], abs=SAME_SCORE)
    for input_, ours in zip(([*one, 5], [*one, 5, 6]), found[2:], strict=True):
        assert (await scores(url, [input_], "alone"))[0] == pytest.approx(ours, abs=SAME_SCORE)
    assert await scores(url, [[7], [7], [8]], "single") == pytest.approx(
        [(await scores(url, [[each]], "alone"))[0] for each in (7, 7, 8)], abs=SAME_SCORE
    )
