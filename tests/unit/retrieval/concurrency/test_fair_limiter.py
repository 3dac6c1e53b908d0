"""retrieval/concurrency/fair_limiter.py: who may go on, how much at once, and what becomes of those who leave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from winnow.retrieval.concurrency.fair_limiter import FairLimiter


class Worker:
    """Holds turns until it is told to end them."""

    def __init__(self, turns: FairLimiter) -> None:
        self.turns = turns
        self.began: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.ends: dict[str, asyncio.Event] = {}

    async def ask(self, name: str, tenant: str, tokens: int) -> None:
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._work(name, tenant, tokens))
        await settled()

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await self.tasks[name]
        await settled()

    async def _work(self, name: str, tenant: str, tokens: int) -> None:
        async with self.turns.turn(tenant, tokens):
            self.began.append(name)
            await self.ends[name].wait()


async def settled() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def test_one_tenant_alone_has_as_much_in_hand_as_may_be() -> None:
    """Up to the bound, in order; what is larger than the bound goes by itself."""
    worker = Worker(FairLimiter(alone=100, shared=50))
    for name, tokens in (("a", 60), ("b", 40), ("c", 40), ("huge", 500), ("d", 1)):
        await worker.ask(name, "ant", tokens)
    assert worker.began == ["a", "b"]
    await worker.end("a")
    assert worker.began == ["a", "b", "c"]
    await worker.end("b")
    assert worker.began == ["a", "b", "c"], "the huge one waits until nothing is in hand, and nobody overtakes it"
    await worker.end("c")
    assert worker.began == ["a", "b", "c", "huge"]
    await worker.end("huge")
    assert worker.began[-1] == "d"


async def test_where_others_are_present_less_is_in_hand_and_the_small_one_is_next() -> None:
    """The flood's later items wait behind it, though they came first."""
    worker = Worker(FairLimiter(alone=20_000, shared=10_000))
    for name in ("a", "b", "c", "d"):
        await worker.ask(name, "ant", 10_000)
    await worker.ask("small", "bee", 2_000)
    assert worker.began == ["a", "b"]
    await worker.end("a")
    assert worker.began == ["a", "b"], "ten thousand are in hand, and that is enough now"
    await worker.end("b")
    assert worker.began == ["a", "b", "small"]
    await worker.end("small")
    assert worker.began == ["a", "b", "small", "c"], "and not d as well: who asked lately is still present"


async def test_who_leaves_is_forgotten_at_once_waiting_or_at_work() -> None:
    """Nobody waits for a caller that is gone."""
    worker = Worker(FairLimiter(alone=10, shared=10))
    for name, tenant in (("a", "ant"), ("b", "bee"), ("c", "bee"), ("d", "ant")):
        await worker.ask(name, tenant, 10)
    worker.tasks["b"].cancel()
    worker.tasks["a"].cancel()
    await settled()
    assert worker.began == ["a", "c"]
    await worker.end("c")
    assert worker.began == ["a", "c", "d"]
    assert worker.turns.report.turns == 3


async def test_who_leaves_just_when_the_turn_comes_passes_it_on() -> None:
    """Cancelled in the same moment in which the one before it ends: in either order."""
    for cancelled_first in (True, False):
        worker = Worker(FairLimiter(alone=10, shared=10))
        for name in ("a", "b", "c"):
            await worker.ask(name, "ant", 10)
        if cancelled_first:
            worker.tasks["b"].cancel()
            worker.ends["a"].set()
        else:
            worker.ends["a"].set()
            while worker.turns.report.turns == 1 and not worker.tasks["a"].done():
                await asyncio.sleep(0)
            worker.tasks["b"].cancel()
        await settled()
        assert worker.began == ["a", "c"]
        await worker.end("c")


async def test_a_failure_within_a_turn_ends_it() -> None:
    """And is nobody else's."""
    turns = FairLimiter(alone=1, shared=1)
    with pytest.raises(ZeroDivisionError):
        async with turns.turn("ant", 1):
            raise ZeroDivisionError
    async with turns.turn("bee", 1):
        pass


async def test_the_weight_is_that_of_the_tenant() -> None:
    """Twice the weight, twice the turns, once the credit of both is used up."""
    turns = FairLimiter(alone=0, shared=0, weight_of=lambda tenant: 2.0 if tenant == "bee" else 1.0)
    order: list[str] = []

    async def work(tenant: str) -> None:
        async with turns.turn(tenant, 10_000):
            order.append(tenant)
            await asyncio.sleep(0)

    await asyncio.gather(*(work(tenant) for tenant in ["ant"] * 40 + ["bee"] * 40))
    assert (order[:45].count("ant"), order[:45].count("bee")) in {(14, 31), (15, 30), (16, 29)}


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["ant", "bee", "crow"]), st.integers(0, 30), st.integers(0, 3), st.booleans()),
        max_size=30,
    ),
    st.integers(0, 40),
)
@example([("ant", 1, 2, False), ("ant", 0, 0, False), ("ant", 1, 1, False)], 0)
def test_no_more_is_in_hand_than_may_be_and_everybody_gets_a_turn(
    asked: Sequence[tuple[str, int, int, bool]], room: int
) -> None:
    """Whoever is cancelled when; afterwards nothing is in hand."""
    turns = FairLimiter(alone=room, shared=room)
    in_hand: list[int] = []
    served = 0

    async def work(tenant: str, tokens: int, pauses: int) -> None:
        nonlocal served
        async with turns.turn(tenant, tokens):
            in_hand.append(tokens)
            assert sum(in_hand) <= max(room, tokens)
            for _ in range(pauses):
                await asyncio.sleep(0)
            in_hand.remove(tokens)
            served += 1

    async def all_of_them() -> None:
        tasks = []
        for tenant, tokens, pauses, leaves in asked:
            task = asyncio.create_task(work(tenant, tokens, pauses=0 if leaves else pauses))
            tasks.append((task, leaves))
            await asyncio.sleep(0)
            if leaves:
                task.cancel()
        for task, leaves in tasks:
            if leaves:
                await asyncio.wait({task})
            else:
                await task
        async with turns.turn("last", room + 1):  # which goes only where nothing is in hand
            assert not in_hand

    asyncio.run(all_of_them())
    assert served >= sum(not leaves for *_, leaves in asked)


async def test_how_much_is_in_hand_follows_the_pace() -> None:
    """As much as goes through in the seconds that others may wait; while nobody knows the pace, what it was told."""
    now = 0.0
    turns = FairLimiter(alone=10_000, shared=8_000, least=400, seconds=0.5, clock=lambda: now)

    async def held(tokens: int, seconds: float) -> None:
        nonlocal now
        async with turns.turn("ant", tokens):
            now += seconds

    await held(500, 0.5)
    assert turns.shared_tokens == 8_000, "less than a second was seen"
    now += 64  # nothing is in hand, which is no pace at all
    await held(1_500, 1.5)
    assert turns.shared_tokens == 500, "2,000 tokens in 2 seconds"
    await held(38_000, 6.0)
    assert turns.shared_tokens == 2_500, "40,000 tokens in 8 seconds"
    await held(88_000, 8.0)
    assert turns.shared_tokens == 4_000, "128,000 tokens in 16 seconds, of which half is remembered"
    for _ in range(20):
        await held(200_000, 8.0)
    assert turns.shared_tokens == 8_000
    await held(10, 1_024.0)
    assert turns.shared_tokens == 400


async def test_what_overlaps_is_counted_once() -> None:
    """Two that are in hand at the same time take the time of one."""
    now = 0.0
    turns = FairLimiter(alone=10_000, shared=8_000, seconds=1.0, clock=lambda: now)
    async with turns.turn("ant", 3_000), turns.turn("bee", 3_000):
        now += 2.0
    assert turns.shared_tokens == 3_000
