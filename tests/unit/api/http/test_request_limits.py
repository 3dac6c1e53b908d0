"""Places are shared: no tenant, and no number of floods, takes the last one."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.api.http.request_limits import Gate, Room
from winnow.retrieval.errors import Overloaded


def filled(room: Room, tenant: str) -> int:
    """How many it gets until it is refused."""
    taken = 0
    with contextlib.suppress(Overloaded):
        while True:
            room.take(tenant)
            taken += 1
    return taken


def test_a_flood_leaves_room_for_the_others() -> None:
    """Three quarters for the first, as much of the rest for the next, and something for everybody."""
    room = Room(256, what="requests")
    assert [filled(room, name) for name in ("a", "b", "c", "d")] == [192, 48, 12, 3]
    assert filled(room, "e") == 1
    with pytest.raises(Overloaded, match="256 requests; the limit is 256"):
        room.take("f")
    room.give_back("a")
    assert filled(room, "f") == 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40), st.booleans()), max_size=60))
def test_no_more_is_held_than_there_is_and_all_comes_back(steps: list[tuple[str, int, bool]]) -> None:
    """Whatever is taken and given back in whichever order."""
    room, held = Room(100, what="things"), []
    for tenant, amount, gives in steps:
        if gives and held:
            room.give_back(*held.pop())
        with contextlib.suppress(Overloaded):
            room.take(tenant, amount)
            held.append((tenant, amount))
        assert room.held == sum(amount for _, amount in held) <= 100
    for each in held:
        room.give_back(*each)
    assert room.held == 0


async def test_who_waits_gets_what_is_given_back() -> None:
    """And is refused where nothing is in time."""
    room = Room(10, what="bytes")
    room.take("a", 8)
    waiting = asyncio.ensure_future(room.wait("b", 5, seconds=30))
    await asyncio.sleep(0)
    assert not waiting.done()
    room.give_back("a", 8)
    await waiting
    assert room.held == 5
    with pytest.raises(Overloaded):
        await room.wait("c", 6, seconds=0.01)


async def test_a_place_is_given_back_when_the_answer_fails() -> None:
    """Else a few errors would close the service."""
    gate = Gate(in_flight_max=1)
    with pytest.raises(ZeroDivisionError):
        async with gate.held("a"):
            raise ZeroDivisionError
    async with gate.held("b"):
        with pytest.raises(Overloaded):
            async with gate.held("c"):
                raise AssertionError("let in")
