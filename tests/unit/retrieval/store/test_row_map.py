"""retrieval/store/row_map.py and what it stands on: a version that follows another is what a reading of it would be."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.builders import DIMENSION, written
from tests.fakes import MemoryStore
from tests.faults.watched_syncer import WatchedSyncer
from winnow.retrieval.arrays import AppendOnlyArray
from winnow.retrieval.errors import DocumentNotFound, StoreCorrupt
from winnow.retrieval.index.delta_index import DeltaIndex
from winnow.retrieval.store import lance_store
from winnow.retrieval.store.lance_snapshot import LanceSnapshot
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.liveness import LiveSet
from winnow.retrieval.store.places.local_place import LocalPlace
from winnow.retrieval.store.row_map import NO_CHUNK, FragmentFiles, FragmentRows, StoredRows

NAMES = ("a", "b", "c", "d", "民", "e'--")


def numbers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def fragment(number: int, *values: int, data: str = "data") -> FragmentRows:
    files = FragmentFiles(number=number, data=f"{data}-{number}", deletions=None)
    return FragmentRows.read(files, numbers(*values), np.arange(len(values), dtype=np.uint32))


def narrowed(rows: FragmentRows, *offsets: int) -> FragmentRows | None:
    deletions = f"without-{rows.count - len(offsets)}"
    files = FragmentFiles(number=rows.files.number, data=rows.files.data, deletions=deletions)
    return rows.narrowed(files, np.array(offsets, dtype=np.uint32))


def everything(snapshot: LanceSnapshot) -> dict[str, object]:
    """All that a snapshot answers, and where it says that everything lies."""
    live = snapshot.chunk_numbers()
    held = snapshot._rows
    assert held.numbers_at(held.addresses_of(live)).tolist() == live.tolist()
    asked = np.arange(-1, int(live[-1]) + 3 if len(live) else 3)
    documents = {}
    for name in NAMES:
        try:
            documents[name] = snapshot.document(name).text
        except DocumentNotFound:
            documents[name] = None
    return {
        "numbers": live.tolist(),
        "alive": snapshot.alive(asked).tolist(),
        "newer": [snapshot.count(after=int(number)) for number in asked],
        "counts": snapshot.counts(),
        "documents": documents,
        "rows": {name: {at: rows.tolist() for at, rows in snapshot.rows_of([name]).items()} for name in NAMES},
        "all rows": {at: rows.tolist() for at, rows in snapshot.rows_of(NAMES).items()},
        "chunks": [(chunk.number, chunk.document_id, chunk.text) for chunk in snapshot.chunks(asked.tolist())],
        "vectors": [
            (int(number), vector.tobytes())
            for batch in snapshot.vectors()
            for number, vector in zip(batch.numbers, batch.vectors, strict=True)
        ],
    }


class TwoOpeners(RuleBasedStateMachine):
    """Two openings of one path, as in two processes, write in any order, and look now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.base = tempfile.TemporaryDirectory()
        self.path = Path(self.base.name) / "corpus.lance"
        self.stores = [LanceStore.create(self.path, dimension=DIMENSION, syncer=WatchedSyncer()), self.opened()]
        self.model: dict[str, str] = {}
        self.held: list[tuple[LanceSnapshot, dict[str, object]]] = []

    def teardown(self) -> None:
        self.base.cleanup()

    def opened(self) -> LanceStore:
        return LanceStore.open(self.path, dimension=DIMENSION, syncer=WatchedSyncer())

    @rule(
        at=st.integers(0, 1),
        texts=st.dictionaries(st.sampled_from(NAMES), st.text("xyz", max_size=5), min_size=1, max_size=3),
        pieces=st.integers(1, 4),
    )
    def replace(self, at: int, texts: dict[str, str], pieces: int) -> None:
        self.stores[at].replace([written(name, text, pieces=pieces) for name, text in texts.items()])
        self.model.update(texts)

    @rule(at=st.integers(0, 1), names=st.lists(st.sampled_from(NAMES), max_size=4))
    def delete(self, at: int, names: list[str]) -> None:
        assert self.stores[at].delete(names) == len(set(names) & self.model.keys())
        self.model = {name: text for name, text in self.model.items() if name not in names}

    @rule(at=st.integers(0, 1))
    def compact(self, at: int) -> None:
        """Everything that is small, however few, and every fragment of which anything was removed."""
        self.stores[at]._begin()
        self.stores[at]._join(lance_store.SMALL_FRAGMENT_ROWS, deleted_share_max=0.0)

    @rule(at=st.integers(0, 1))
    def reopen(self, at: int) -> None:
        self.stores[at] = self.opened()

    @rule()
    def look(self) -> None:
        """The second has perhaps several commits to follow at once."""
        self.compare(self.stores[1])

    @invariant()
    def the_first_follows_every_commit(self) -> None:
        self.compare(self.stores[0])

    def compare(self, store: LanceStore) -> None:
        snapshot, read = store.snapshot(), everything(self.opened().snapshot())
        assert everything(snapshot) == read
        assert {name: text for name, text in read["documents"].items() if text is not None} == self.model
        self.held.append((snapshot, read))

    @invariant()
    def what_is_held_stays_as_it_was(self) -> None:
        for snapshot, then in self.held[-4:-2]:
            assert everything(snapshot) == then


TestTwoOpeners = TwoOpeners.TestCase
TestTwoOpeners.settings = settings(max_examples=10, stateful_step_count=14, deadline=None)


def test_a_version_that_follows_reads_only_what_is_new_in_it(tmp_path: Path) -> None:
    """The fragments that a commit leaves alone are the very objects of the version before."""
    store = LanceStore.create(tmp_path / "corpus.lance", dimension=DIMENSION, syncer=WatchedSyncer())
    for name in "abcd":
        store.replace([written(name, name, pieces=3)])
    before = store.snapshot()
    assert before.counts() == (4, 12)
    store.replace([written("b", "new")])
    after = store.snapshot()
    assert after.counts() == (4, 10)
    known = {id(rows) for rows in before.held.fragments}
    assert [id(rows) in known for rows in after.held.fragments] == [True, True, True, False]


def test_rows_that_come_back_are_read_anew() -> None:
    """A dataset that was set back to an older version is no later version of what was read."""
    first, second = fragment(0, 0, 1, 2), fragment(1, 3, 4)
    rows = StoredRows([first, second])
    fewer = rows.followed_by([narrowed(first, 0, 2), second])
    assert fewer.live.numbers().tolist() == [0, 2, 3, 4]
    assert narrowed(fewer.fragments[0], 0, 1, 2) is None
    assert narrowed(fewer.fragments[0], 0, 7) is None
    back = fewer.followed_by([first, second])
    assert back.live.numbers().tolist() == [0, 1, 2, 3, 4]
    assert back.addresses_of(numbers(1, 4, 9)).tolist() == [1, (1 << 32) + 1, -1]


def test_another_dataset_under_the_same_name_is_read_anew() -> None:
    """Its numbers may be those of the one before, and stand for other texts."""
    rows = StoredRows([fragment(0, 0, 1, 2), fragment(1, 3, 4)])
    other = rows.followed_by([fragment(0, 1, 2, 5, data="other")])
    assert other.live.numbers().tolist() == [1, 2, 5]
    assert other.addresses_of(numbers(0, 1, 5)).tolist() == [-1, 0, 2]


def test_joined_fragments_move_rows_and_change_no_number() -> None:
    """Addresses are those of the new fragment, also where newer rows were joined to the older ones."""
    rows = StoredRows([fragment(0, 0, 1), fragment(1, 2, 3), fragment(2, 4)])
    joined = rows.followed_by([fragment(0, 0, 1), fragment(7, 2, 4, 5)])
    assert joined.live.numbers().tolist() == [0, 1, 2, 4, 5]
    assert joined.addresses_of(numbers(5, 3, 1)).tolist() == [(7 << 32) + 2, -1, 1]


def test_numbers_that_do_not_ascend_are_corrupt() -> None:
    """Within a fragment and from one to the next."""
    with pytest.raises(StoreCorrupt, match="fragment 3"):
        fragment(3, 1, 1)
    with pytest.raises(StoreCorrupt, match="from fragment to fragment"):
        StoredRows([fragment(0, 0, 5), fragment(1, 4)])


def test_fragments_may_come_in_any_order() -> None:
    """A dataset has what was joined behind what is newer."""
    rows = StoredRows([fragment(1, 4, 6), fragment(2, 0, 3)])
    assert rows.live.numbers().tolist() == [0, 3, 4, 6]
    assert rows.addresses_of(numbers(6, 3, 5)).tolist() == [(1 << 32) + 1, (2 << 32) + 1, -1]


def test_documents_whose_hashes_collide_are_told_apart(tmp_path: Path) -> None:
    """A hash finds rows; only a row says whose it is."""
    store = LanceStore.create(tmp_path / "corpus.lance", dimension=DIMENSION, syncer=WatchedSyncer())
    store.replace([written("a", "text of a", pieces=2), written("b", "text of b", pieces=2)])
    snapshot = store.snapshot()
    assert snapshot.counts() == (2, 4)
    hashes = np.full(4, hash("a"), dtype=np.int64)
    collided = [rows.with_documents(hashes, np.array([1, 0, 1, 0], dtype=bool)) for rows in snapshot.held.fragments]
    again = LanceSnapshot(snapshot.dataset, LocalPlace(tmp_path), held=snapshot.held.with_documents(collided))
    assert again.document("a").text == "text of a"
    assert {at: rows.tolist() for at, rows in again.rows_of(["a"]).items()} == {0: [0, 1]}
    with pytest.raises(DocumentNotFound):
        again.document("b")


def test_live_numbers_follow_each_other() -> None:
    """Whatever goes and comes, each version answers as a set would, and the older ones as before."""
    rng = np.random.default_rng(5)
    live = LiveSet.of(np.empty(0, dtype=np.int64))
    model: set[int] = set()
    versions = []
    for _ in range(60):
        first = live.last() + 1 + int(rng.integers(3))
        new = np.arange(first, first + int(rng.integers(30)))
        gone = rng.choice(sorted(model), size=len(model) // int(rng.integers(3, 40)), replace=False) if model else []
        live = live.followed_by(gone=np.sort(numbers(*gone)), new=new)
        model = model.difference(map(int, gone)) | set(new.tolist())
        versions.append((live, sorted(model)))
    asked = np.arange(-2, live.last() + 3)
    for version, expected in versions:
        assert version.numbers().tolist() == expected
        assert version.includes(asked).tolist() == np.isin(asked, expected).tolist()


def test_what_is_fresh_follows_the_store_and_the_generation() -> None:
    """Beside a newer or an older generation, over any writes: all live chunks beyond it, and few that are not."""
    rng = np.random.default_rng(3)
    store, after = MemoryStore(), -1
    fresh = DeltaIndex.of(store.snapshot(), after=after, dimension=DIMENSION)
    for turn in range(150):
        if rng.random() < 0.7:
            names = rng.choice(list(NAMES), size=int(rng.integers(1, 4)), replace=False)
            store.replace([written(name, str(turn), pieces=int(rng.integers(1, 4))) for name in names])
        if rng.random() < 0.2:
            store.delete(rng.choice(list(NAMES), size=2, replace=False).tolist())
        snapshot, held = store.snapshot(), (fresh, fresh.numbers.tolist(), fresh.vectors.tobytes())
        live = snapshot.chunk_numbers().tolist()
        if rng.random() < 0.2 and live:
            after = int(rng.choice([-1, *live]))
        fresh = fresh.followed_by(snapshot, after=after)
        alive = snapshot.alive(fresh.numbers)
        assert fresh.numbers[alive].tolist() == [number for number in live if number > after]
        vectors = [batch.vectors.tobytes() for batch in snapshot.vectors(after=after)]
        assert fresh.vectors[alive].tobytes() == b"".join(vectors)
        assert int((~alive).sum()) <= len(alive) / 4
        assert bool((fresh.numbers > after).all())
        assert (held[0].numbers.tolist(), held[0].vectors.tobytes()) == held[1:]


def test_an_array_that_grew_twice_from_one_version_is_two_arrays() -> None:
    """Also where two threads let it grow at the same time."""
    first = AppendOnlyArray.of(numbers(1, 2), room=5_000)
    grown: dict[int, AppendOnlyArray[np.int64]] = {}
    ready = threading.Barrier(4)

    def grow(value: int) -> None:
        ready.wait()
        mine = first
        for _ in range(1_000):
            mine = mine.followed_by(numbers(value))
        grown[value] = mine

    threads = [threading.Thread(target=grow, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for value, mine in grown.items():
        assert mine.rows.tolist() == [1, 2, *[value] * 1_000]
    assert first.rows.tolist() == [1, 2]


def test_an_address_without_a_live_chunk_has_no_number() -> None:
    """A removed row, a row beyond the end, a fragment that is gone; in any order, and repeated."""
    left = narrowed(fragment(3, 40, 41, 42), 0, 2)
    assert left is not None
    rows = StoredRows([fragment(1, 10, 11), left])
    addresses = np.array([3 << 32, 1 << 32, (3 << 32) + 1, (3 << 32) + 2, 1 << 32, (1 << 32) + 2, 2 << 32])
    assert rows.numbers_at(addresses).tolist() == [40, 10, NO_CHUNK, 42, 10, NO_CHUNK, NO_CHUNK]
    assert rows.numbers_at(addresses[:0]).tolist() == []
