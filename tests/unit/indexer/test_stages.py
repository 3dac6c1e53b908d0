"""Stages overlap, commits keep the order of reading, and the error is that of the earliest window."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.indexer.stages import run_stages
from winnow.retrieval.errors import CorpusUnreadable, Overloaded, WriteFailed


class Script:
    """Windows 0, 1, 2 ...; each stage may fail at one of them, and takes as many turns of the loop as it is told."""

    def __init__(self, windows: int, *, turns: list[int] | None = None, **fails_at: int) -> None:
        self.windows, self.turns, self.fails_at = windows, turns or [0], fails_at
        self.next = 0
        self.embedding = 0
        self.most_embedding = 0
        self.committed: list[int] = []
        self.stopped = False

    async def read(self) -> int | None:
        window, self.next = self.next, self.next + 1
        await self._work(window)
        if window == self.fails_at.get("read"):
            raise CorpusUnreadable("told to fail")
        return window if window < self.windows else None

    async def embed(self, window: int) -> int:
        self.embedding += 1
        self.most_embedding = max(self.most_embedding, self.embedding)
        await self._work(window * 3 + 1)
        self.embedding -= 1
        if window == self.fails_at.get("embed"):
            raise Overloaded("told to fail")
        return window

    async def commit(self, window: int) -> None:
        await self._work(window * 5 + 2)
        if window == self.fails_at.get("commit"):
            raise WriteFailed("told to fail")
        self.committed.append(window)

    async def run(self, embedded_max: int) -> None:
        def stop() -> None:
            self.stopped = True

        await run_stages(self.read, self.embed, self.commit, embedded_max=embedded_max, stop_reading=stop)

    async def _work(self, number: int) -> None:
        for _ in range(self.turns[number % len(self.turns)]):
            await asyncio.sleep(0)


@settings(max_examples=40, deadline=None)
@given(
    windows=st.integers(0, 8),
    embedded_max=st.integers(1, 4),
    turns=st.lists(st.integers(0, 5), min_size=1, max_size=7),
)
def test_all_windows_are_committed_in_order(windows: int, embedded_max: int, turns: list[int]):
    """However long each stage takes, and never with more windows at the embedder than it may have."""
    script = Script(windows, turns=turns)
    asyncio.run(script.run(embedded_max))
    assert script.committed == list(range(windows))
    assert script.most_embedding <= embedded_max
    assert script.stopped


@settings(max_examples=40, deadline=None)
@given(
    at=st.integers(0, 5),
    stage=st.sampled_from(["read", "embed"]),
    embedded_max=st.integers(1, 4),
    turns=st.lists(st.integers(0, 5), min_size=1, max_size=7),
)
def test_windows_before_a_failure_are_committed(at: int, stage: str, embedded_max: int, turns: list[int]):
    """All of them and no other: so a run resumes with the very windows that it would have written."""
    script = Script(6, turns=turns, **{stage: at})
    with pytest.raises(Overloaded if stage == "embed" else CorpusUnreadable):
        asyncio.run(script.run(embedded_max))
    assert script.committed == list(range(at))


@pytest.mark.parametrize("embedded_max", [1, 3])
def test_a_failed_commit_is_raised_before_the_failure_of_a_later_window(embedded_max: int):
    script = Script(6, commit=1, embed=2)
    with pytest.raises(WriteFailed):
        asyncio.run(script.run(embedded_max))
    assert script.committed == [0]


class Together(Script):
    """Embeds nothing until three windows are there."""

    async def embed(self, window: int) -> int:
        self.embedding += 1
        self.most_embedding = max(self.most_embedding, self.embedding)
        while self.most_embedding < 3:
            await asyncio.sleep(0)
        self.embedding -= 1
        return window


async def test_windows_are_embedded_at_once_up_to_the_bound():
    """With fewer at once this would not end; reading is not held up by embedding."""
    script = Together(9)
    await asyncio.wait_for(script.run(3), timeout=20)
    assert script.most_embedding == 3
    assert script.committed == list(range(9))
