"""retrieval/concurrency/fair_queue.py: shares as in a fluid, to within one item; nobody starves; nothing is lost or
doubled."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from winnow.retrieval.concurrency.fair_queue import FairQueue, Waiting

TENANTS = ("ant", "bee", "crow", "deer")
weights = st.dictionaries(st.sampled_from(TENANTS), st.sampled_from([0.5, 1.0, 2.0, 5.0]))
sizes = st.integers(min_value=1, max_value=50)


@settings(deadline=None)
@given(st.lists(st.lists(sizes, min_size=1, max_size=30), min_size=2, max_size=4), weights)
def test_tenants_that_always_wait_are_served_as_a_fluid_would_serve_them(
    lines: Sequence[Sequence[int]], weight_of: dict[str, float]
) -> None:
    """After every item, while all of them wait: each has its weighted share of what was served, within one item."""
    queue = FairQueue()
    names = TENANTS[: len(lines)]
    for name, line in zip(names, lines, strict=True):
        for tokens in line:
            queue.put(name, tokens, weight=weight_of.get(name, 1.0))
    left = {name: len(line) for name, line in zip(names, lines, strict=True)}
    shares = {name: weight_of.get(name, 1.0) for name in names}
    served: Counter[str] = Counter()
    largest = 0.0
    while all(left.values()):
        item = queue.take()
        served[item.tenant] += item.tokens
        left[item.tenant] -= 1
        largest = max(largest, item.tokens / shares[item.tenant])
        for name in names:
            fluid = served.total() * shares[name] / sum(shares.values())
            assert abs(served[name] - fluid) <= shares[name] * largest + 1e-6


@dataclass
class Watched:
    """A queue with one thing in hand at a time, and what is known of it from outside."""

    credit: int
    weight_of: dict[str, float]
    queue: FairQueue = field(init=False)
    lines: dict[str, deque[Waiting]] = field(default_factory=lambda: {name: deque() for name in TENANTS})
    in_hand: Waiting | None = None

    def __post_init__(self) -> None:
        self.queue = FairQueue(credit=self.credit)

    def weight(self, name: str) -> float:
        return self.weight_of.get(name, 1.0)

    def put(self, name: str, tokens: int) -> None:
        self.lines[name].append(self.queue.put(name, tokens, weight=self.weight(name)))

    def serve(self) -> Waiting | None:
        """What was in hand is done; the next is taken."""
        if self.in_hand is not None:
            self.queue.done(self.in_hand)
        waiting = sum(map(len, self.lines.values()))
        assert len(self.queue) == waiting
        assert (self.queue.first() is None) == (waiting == 0), "something waits, and nothing is served"
        self.in_hand = self.queue.take() if waiting else None
        if self.in_hand is not None:
            assert self.in_hand is self.lines[self.in_hand.tenant].popleft(), "first come, first served"
        return self.in_hand

    def drop(self, name: str, place: int) -> None:
        if self.lines[name]:
            item = self.lines[name][place % len(self.lines[name])]
            self.lines[name].remove(item)
            self.queue.drop(item)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(TENANTS), sizes),
        st.tuples(st.just("serve"), st.just(""), st.just(0)),
        st.tuples(st.just("drop"), st.sampled_from(TENANTS), st.integers(0, 20)),
    ),
    max_size=120,
)


@settings(deadline=None)
@given(steps, weights, st.integers(0, 60))
def test_two_that_wait_all_the_while_are_served_alike(
    taken: Sequence[tuple[str, str, int]], weight_of: dict[str, float], credit: int
) -> None:
    """However others come, go and give up: over any stretch the two differ by one item of each, and the credit.

    And whoever comes is served first come first served within its tenant, and something whenever something waits.
    """
    watched = Watched(credit=credit, weight_of=weight_of)
    since: dict[tuple[str, str], Counter[str]] = {}
    largest: Counter[str] = Counter()
    for what, name, number in taken:
        if what == "put":
            watched.put(name, number)
            largest[name] = max(largest[name], number)
        elif what == "drop":
            watched.drop(name, number)
        elif (item := watched.serve()) is not None:
            for pair, served in since.items():
                if item.tenant in pair:
                    served[item.tenant] += item.tokens
        waiting = [name for name in TENANTS if watched.lines[name]]
        since = {
            (one, other): since.get((one, other), Counter())
            for place, one in enumerate(waiting)
            for other in waiting[place + 1 :]
        }
        for (one, other), served in since.items():
            apart = abs(served[one] / watched.weight(one) - served[other] / watched.weight(other))
            one_item_each = largest[one] / watched.weight(one) + largest[other] / watched.weight(other)
            assert apart <= one_item_each + credit + 1e-6


@settings(deadline=None)
@given(steps, weights, st.integers(0, 60))
@example(
    [("put", "deer", 1), ("drop", "deer", 0), ("put", "deer", 1), ("put", "deer", 2)], {"deer": 5.0}, 4
)  # rounding
def test_everything_that_is_not_given_up_is_served_in_the_end(
    taken: Sequence[tuple[str, str, int]], weight_of: dict[str, float], credit: int
) -> None:
    """Once, and with nothing left behind."""
    watched = Watched(credit=credit, weight_of=weight_of)
    for what, name, number in taken:
        if what == "put":
            watched.put(name, number)
        elif what == "drop":
            watched.drop(name, number)
        else:
            watched.serve()
    while watched.serve() is not None:
        pass
    assert not any(watched.lines.values())
    assert len(watched.queue) == 0
    assert not watched.queue.is_shared_with("nobody"), "tenants that are served and gone are forgotten"


def test_a_small_request_is_served_as_a_whole_beside_a_flood() -> None:
    """That is what the credit is for: without it every other item would be the flood's."""
    for credit, expected in ((0, "bee ant bee ant bee"), (300, "bee bee bee ant ant")):
        queue = FairQueue(credit=credit)
        for _ in range(20):
            queue.put("ant", 100)
        for _ in range(10):
            queue.done(queue.take())
        for _ in range(3):
            queue.put("bee", 100)
        assert " ".join(queue.take().tenant for _ in range(5)) == expected


def test_small_requests_beside_a_flood_are_served_one_after_the_other() -> None:
    """In turn, none of them would end before nearly all are served."""
    queue = FairQueue(credit=1_000)
    for _ in range(40):
        queue.put("ant", 100)
    for _ in range(30):
        queue.done(queue.take())
    for name in ("crow", "bee", "deer"):
        for _ in range(2):
            queue.put(name, 100)
    assert " ".join(queue.take().tenant for _ in range(7)) == "crow crow bee bee deer deer ant"


def test_a_pause_is_not_saved_up() -> None:
    """Who was away while another was served for long is let ahead by the credit, and not by all that it missed."""
    queue = FairQueue(credit=200)
    for _ in range(100):
        queue.put("ant", 100)
    for _ in range(50):
        queue.done(queue.take())
    for _ in range(50):
        queue.put("bee", 100)
    served = Counter(queue.take().tenant for _ in range(22))
    assert served == {"bee": 12, "ant": 10}


def test_a_tenant_is_present_until_others_were_served_so_much() -> None:
    """Who asks for little now and then is there between its requests as well."""
    queue = FairQueue(presence=150)
    queue.put("bee", 10)
    queue.done(queue.take())
    assert queue.is_shared_with("ant")
    assert not queue.is_shared_with("bee")
    for expected in (True, False):
        queue.put("ant", 100)
        queue.done(queue.take())
        assert queue.is_shared_with("ant") is expected
    queue.put("probe", 1)
    queue.done(queue.take())
    queue.put("ant", 100)
    queue.done(queue.take())
    assert not queue.is_shared_with("ant"), "next to nothing is not waited for long"
