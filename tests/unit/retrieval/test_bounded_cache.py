"""retrieval/bounded_cache.py: bounded in bytes and in age under any sequence, and no two questions share a key."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.retrieval.bounded_cache import BoundedCache, CommonKey, entry_bytes

SECRET = b"s" * 32
FIELDS = st.lists(st.text(alphabet=st.characters(), max_size=6), max_size=5)  # lone surrogates included


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def key(number: int) -> bytes:
    return number.to_bytes(32, "little")


@given(one=FIELDS, other=FIELDS)
def test_different_fields_make_different_keys(one: list[str], other: list[str]) -> None:
    """Whatever the texts hold: no field can be moved, split or joined without changing the key."""
    assert (CommonKey(SECRET).of(*one) == CommonKey(SECRET).of(*other)) is (one == other)


@given(text=st.text(max_size=12), cut=st.integers(0, 12), other_cut=st.integers(0, 12))
def test_where_a_text_is_divided_matters(text: str, cut: int, other_cut: int) -> None:
    """The same characters in two other fields are another question."""
    one, other = (text[:cut], text[cut:]), (text[:other_cut], text[other_cut:])
    assert (CommonKey(SECRET, *one).of() == CommonKey(SECRET, *other).of()) is (one == other)


@given(fields=FIELDS, cut=st.integers(0, 5))
def test_what_is_digested_once_makes_the_same_key(fields: list[str], cut: int) -> None:
    """The common beginning is a saving, not a part of the meaning; and one key does not disturb the next."""
    common = CommonKey(SECRET, *fields[:cut])
    common.of("another")
    assert common.of(*fields[cut:]) == CommonKey(SECRET, *fields).of()


def test_another_process_makes_other_keys() -> None:
    """A key cannot be made beforehand without the secret."""
    assert CommonKey(SECRET, "t").of("p") != CommonKey(b"t" * 32, "t").of("p")


class PlainCache:
    """The same promises, as a list that is searched from its end. What the real one is compared with."""

    def __init__(self, *, bytes_max: int, seconds_max: float) -> None:
        self.bytes_max, self.seconds_max = bytes_max, seconds_max
        self.entries: list[tuple[int, bytes, float]] = []  # used longest ago first
        self.evictions = 0

    @property
    def bytes(self) -> int:
        return sum(entry_bytes(len(value)) for _, value, _ in self.entries)

    def put(self, number: int, value: bytes, now: float) -> None:
        self.entries = [entry for entry in self.entries if entry[0] != number]
        if entry_bytes(len(value)) > self.bytes_max:
            return
        self.entries.append((number, value, now + self.seconds_max))
        while self.bytes > self.bytes_max:
            del self.entries[0]
            self.evictions += 1

    def find(self, number: int, now: float) -> bytes | None:
        found = [entry for entry in self.entries if entry[0] == number]
        self.entries = [entry for entry in self.entries if entry[0] != number]
        if not found or now >= found[0][2]:
            return None
        self.entries += found
        return found[0][1]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), st.binary(max_size=400)),
        st.tuples(st.just("find"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.integers(0, 40)),
    ),
    max_size=60,
)


@given(steps=STEPS, bytes_max=st.integers(0, 2_000))
def test_it_does_what_a_plain_list_would(steps: Sequence[tuple[object, ...]], bytes_max: int) -> None:
    """Under any sequence: the same values are found, the same are dropped, and the bound holds after every step."""
    clock = Clock()
    cache = BoundedCache(bytes_max=bytes_max, seconds_max=60.0, clock=clock)
    plain = PlainCache(bytes_max=bytes_max, seconds_max=60.0)
    for step in steps:
        match step:
            case ("put", int(number), bytes(value)):
                cache.put([key(number)], [value])
                plain.put(number, value, clock.now)
            case ("find", int(number)):
                assert cache.find([key(number)]) == [plain.find(number, clock.now)]
            case ("wait", int(seconds)):
                clock.now += seconds
        state = cache.state
        assert (state.entries, state.bytes, state.evictions) == (len(plain.entries), plain.bytes, plain.evictions)
        assert state.bytes <= bytes_max


def test_being_found_makes_nothing_younger() -> None:
    """An answer that everybody asks for must be computed anew some day, too."""
    clock = Clock()
    cache = BoundedCache(bytes_max=10_000, seconds_max=60.0, clock=clock)
    cache.put([key(1)], [b"value"])
    for clock.now in (30.0, 59.9):
        assert cache.find([key(1)]) == [b"value"]
    clock.now = 60.0
    assert cache.find([key(1)]) == [None]
    assert (cache.state.entries, cache.state.bytes) == (0, 0)


@pytest.mark.parametrize("value_bytes", [9, 4_097])
def test_the_bound_is_a_bound_on_memory(value_bytes: int) -> None:
    """Not on an ideal: what the interpreter really takes, while entries come and go, stays under it, and near it."""
    bytes_max = 3_000_000
    content = bytes(value_bytes)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    cache = BoundedCache(bytes_max=bytes_max, seconds_max=60.0)
    for number in range(3 * bytes_max // entry_bytes(value_bytes)):
        cache.put([key(number)], [content])
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cache.state.evictions > 0
    assert 0.5 * bytes_max < after - before <= bytes_max
    assert peak - before <= 1.1 * bytes_max, "the hash table is copied when it grows"


def test_threads_may_use_it_at_once() -> None:
    """Prompts are prepared in threads: its books stay right."""
    cache = BoundedCache(bytes_max=20 * entry_bytes(8), seconds_max=60.0)

    def work(start: int) -> None:
        for number in range(start, start + 2_000):
            cache.put([key(number % 50)], [number.to_bytes(8, "little")])
            cache.find([key((number * 7) % 50)])

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (cache.state.entries, cache.state.bytes) == (20, 20 * entry_bytes(8))
