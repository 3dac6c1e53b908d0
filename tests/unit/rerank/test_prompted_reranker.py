"""rerank/prompted_reranker.py: a judge that begins while the rest is read says the same, and the same fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import CountingJudge
from tests.tiny_models import write_reranker
from winnow.rerank.prompt import PromptBuilder
from winnow.rerank.prompted_reranker import PromptedReranker, _portions, _tokens_about
from winnow.rerank.reranker import Ranking
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.records import FieldLines, candidates_of

TEXTS = [f"{number}: " + "The heron stands still. " * (number % 9) + "苍鹭" * (number % 4) for number in range(60)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reranker(tmp_path_factory.mktemp("models") / "tiny")


async def ranked(folder: Path, judge: CountingJudge) -> Ranking:
    reranker = PromptedReranker(judge, PromptBuilder.load(folder, tokens_max=500), name="tiny", revision="1")
    return await reranker.rank("q", candidates_of(TEXTS), instruction="i", tenant="t", deadline=Deadline.never())


async def test_portions_change_nothing_but_the_number_of_calls(folder: Path) -> None:
    """Order, scores, cuts and tokens: the shared part is counted once, as it is computed once."""
    whole, parted = CountingJudge(), CountingJudge(portion_tokens=100)
    assert await ranked(folder, whole) == await ranked(folder, parted)
    assert whole.asked == [60]
    assert sum(parted.asked) == 60
    assert len(parted.asked) > 2


async def test_who_finds_others_waiting_sends_everything_at_once(folder: Path) -> None:
    """The judge computes already: the later portions would only stand behind what others have sent meanwhile."""
    judge = CountingJudge(portion_tokens=100)
    reranker = PromptedReranker(judge, PromptBuilder.load(folder, tokens_max=500), name="tiny", revision="1")

    async def rank(query: str) -> None:
        await reranker.rank(query, candidates_of(TEXTS), instruction="i", tenant="t", deadline=Deadline.never())

    await asyncio.gather(rank("first"), rank("second"), rank("third"))
    assert judge.asked.count(len(TEXTS)) == 2
    assert sum(judge.asked) == 3 * len(TEXTS)


async def test_what_fails_in_one_portion_fails_as_it_is(folder: Path) -> None:
    """Not as a group of failures, and not in part."""
    with pytest.raises(RerankUnavailable, match="this one"):
        await ranked(folder, CountingJudge(failure=RerankUnavailable("this one"), portion_tokens=100))


async def test_past_the_deadline_no_more_fields_are_counted(folder: Path) -> None:
    """A thread cannot be stopped, so it is given a part of the candidates at a time."""
    started, released, asked = asyncio.Event(), threading.Event(), list[int]()
    loop = asyncio.get_running_loop()

    class Waits(PromptBuilder):
        def heads(self, documents: Sequence[FieldLines]) -> list[str]:
            asked.append(len(documents))
            loop.call_soon_threadsafe(started.set)
            assert released.wait(30)
            return super().heads(documents)

    reranker = PromptedReranker(CountingJudge(), Waits.load(folder, tokens_max=500), name="tiny", revision="1")
    fields = [FieldLines(lines=(f"date: {number}",), tokens_max=128) for number in range(1_000)]
    ranking = asyncio.create_task(
        reranker.rank("q", candidates_of(["a"] * 1_000, fields), instruction="i", tenant="t", deadline=Deadline.never())
    )
    await started.wait()
    ranking.cancel()
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await ranking
    assert len(asked) == 1
    assert asked[0] <= 100


@given(st.lists(st.text(max_size=80), max_size=60), st.integers(min_value=1, max_value=200))
def test_every_passage_is_in_one_portion_and_each_is_longer_than_the_one_before(
    passages: list[str], tokens_first: int
) -> None:
    """In their order; only the last may be short."""
    portions = list(_portions(passages, tokens_first))
    assert [passage for portion in portions for passage in portion] == passages
    assert all(portions)
    sizes = [sum(map(_tokens_about, portion)) for portion in portions[:-1]]
    assert all(size >= tokens_first for size in sizes)
    longest = max(map(_tokens_about, passages), default=0)
    assert all(later > earlier - longest for earlier, later in pairwise(sizes))
