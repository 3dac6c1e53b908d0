"""Which connection goes when there are too many, and which when it has taken too long."""

from __future__ import annotations

from dataclasses import dataclass, field

from winnow.api.http.connections import READ_BYTES_MIN, Connections


@dataclass(eq=False)
class Wire:
    """A connection that does as the test says."""

    name: str
    unread: int = 0
    fate: list[str] = field(default_factory=list)

    def refuse_slow(self) -> None:
        self.fate.append("refused")

    def drop(self) -> None:
        self.fate.append("dropped")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(connections: Connections, *names: str) -> list[Wire]:
    wires = [Wire(name) for name in names]
    for wire in wires:
        connections.opened(wire)
    return wires


def test_the_oldest_that_has_not_asked_makes_room() -> None:
    """What is being answered is never dropped for a newcomer, and what is idle only when there are no strangers."""
    connections = Connections(3)
    busy, idle, silent = opened(connections, "busy", "idle", "silent")
    connections.answering(busy)
    connections.answering(idle)
    connections.idle(idle)
    (first,) = opened(connections, "first")
    assert (silent.fate, len(connections)) == (["dropped"], 3)
    connections.answering(first)
    (second,) = opened(connections, "second")
    assert (idle.fate, second.fate) == (["dropped"], [])
    connections.answering(second)
    (third,) = opened(connections, "third")
    assert third.fate == ["dropped"]
    assert [each.fate for each in (busy, first, second)] == [[], [], []]
    assert (len(connections), connections.dropped) == (3, 3)


def test_half_a_request_has_its_time_from_the_first_byte() -> None:
    """More bytes buy no more time; what is idle has none to run out."""
    clock = Clock()
    connections = Connections(9, header_seconds=10, clock=clock)
    silent, kept = opened(connections, "silent", "kept")
    connections.answering(kept)
    connections.idle(kept)
    clock.now += 9
    connections.arriving(silent)
    connections.arriving(kept)
    connections.sweep()
    assert (silent.fate, kept.fate) == ([], [])
    clock.now += 1
    connections.sweep()
    assert (silent.fate, kept.fate) == (["refused"], [])
    clock.now += 9
    connections.arriving(kept)
    connections.sweep()
    assert kept.fate == ["refused"]


def test_an_answer_that_is_not_read_is_given_up() -> None:
    """Slow readers are let read; one that takes a byte now and then is not reading."""
    clock = Clock()
    connections = Connections(9, unread_seconds=20, clock=clock)
    stuck, slow, drip = opened(connections, "stuck", "slow", "drip")
    for each in (stuck, slow, drip):
        connections.answering(each)
        each.unread = 1_000_000
    connections.sweep()
    for _ in range(3):
        clock.now += 20
        slow.unread -= READ_BYTES_MIN
        drip.unread -= 10
        connections.sweep()
    assert [each.fate for each in (stuck, slow, drip)] == [["dropped"], [], ["dropped"]]
    slow.unread = 0
    connections.sweep()
    clock.now += 100
    connections.sweep()
    assert slow.fate == []


def test_unread_answers_together_have_a_bound() -> None:
    """The one that has not read for longest goes first."""
    connections = Connections(9, unread_bytes_max=2_500)
    wires = opened(connections, "a", "b", "c")
    for each in wires:
        each.unread = 1_000
        connections.blocked(each)
    assert [each.fate for each in wires] == [["dropped"], [], []]


def test_what_has_closed_is_forgotten() -> None:
    """In every state."""
    connections = Connections(9)
    (wire,) = opened(connections, "a")
    connections.closed(wire)
    connections.arriving(wire)
    connections.idle(wire)
    connections.sweep()
    assert (len(connections), wire.fate) == (0, [])
