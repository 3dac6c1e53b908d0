"""Coroutines begin one by one, first come first served, and none waits where no other begins."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from winnow.retrieval.concurrency.loop_turns import LoopTurns


class Rounds:
    """Counts the turns of the running loop."""

    def __init__(self) -> None:
        self.count = 0
        self._next()

    def _next(self) -> None:
        self.count += 1
        asyncio.get_running_loop().call_soon(self._next)


async def test_each_begins_in_a_turn_of_its_own_in_order() -> None:
    """Those that come later, too, while the first still begin."""
    turns, rounds = LoopTurns(), Rounds()
    began: list[tuple[str, int]] = []

    async def work(name: str) -> None:
        await turns.take()
        began.append((name, rounds.count))

    first = [asyncio.create_task(work(f"a{number}")) for number in range(5)]
    while len(began) < 2:
        await asyncio.sleep(0)
    later = [asyncio.create_task(work(f"b{number}")) for number in range(3)]
    await asyncio.gather(*first, *later)
    assert [name for name, _ in began] == ["a0", "a1", "a2", "a3", "a4", "b0", "b1", "b2"]
    assert all(before < after for (_, before), (_, after) in pairwise(began))


async def test_the_first_does_not_wait() -> None:
    """Nor does one after a turn in which none began."""
    turns, rounds = LoopTurns(), Rounds()
    for _ in range(3):
        before = rounds.count
        await turns.take()
        assert rounds.count == before
        for _ in range(3):
            await asyncio.sleep(0)


async def test_a_waiting_one_that_is_cancelled_holds_up_no_other() -> None:
    """Its place goes to the next."""
    turns = LoopTurns()
    waiting = [asyncio.create_task(turns.take()) for _ in range(4)]
    await asyncio.sleep(0)  # the first has its turn
    for each in waiting[1:3]:
        each.cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in found] == [False, True, True, False]
    await turns.take()


def test_a_loop_that_ended_leaves_nothing_behind() -> None:
    """Tests and tools run an app in one loop after the other, and end them whenever they like."""
    turns = LoopTurns()

    async def end_at_once() -> None:
        await turns.take()
        asyncio.get_running_loop().stop()

    loop = asyncio.new_event_loop()
    task = loop.create_task(end_at_once())
    loop.run_forever()
    assert task.done()
    loop.close()
    asyncio.run(asyncio.wait_for(turns.take(), 60))
