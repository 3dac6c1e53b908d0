"""retrieval/search/reader.py: a search sees every acknowledged write, and never a removed chunk."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.builders import DIMENSION, embedded, unit_vectors, written
from tests.fakes import MemoryStore
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionNotReady, InvalidRequest, ModelMismatch
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.filters.grammar import parse_filter
from winnow.retrieval.generation.history import roll_back
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.index.faiss_flat import FaissFlatIndex
from winnow.retrieval.records import Document, Vectors
from winnow.retrieval.search.reader import IndexReader, Searcher
from winnow.retrieval.store.contract import Store
from winnow.retrieval.store.lance_store import LanceStore

IDENTITY = EmbedderIdentity(name="hash", revision="r1", dimension=DIMENSION)
QUERIES = unit_vectors(4, seed=99)


@pytest.fixture
def folder(tmp_path: Path) -> CollectionFolder:
    return CollectionFolder(tmp_path / "c")


def searchable(folder: CollectionFolder, store: Store) -> IndexReader:
    return IndexReader(folder=folder, store=store, identity=IDENTITY)


def found(view: Searcher, query: Vectors, k: int) -> list[tuple[str, int]]:
    """Document id and ordinal of the hits, best first."""
    hits = view.search(query, k)
    assert bool((np.diff(hits.similarities) <= 0).all())
    return [(chunk.document_id, chunk.ordinal) for chunk in view.snapshot.chunks(hits.numbers.tolist())]


def nearest(documents: dict[str, tuple[str, int]], query: Vectors, k: int) -> list[tuple[str, int]]:
    """What an exact search over exactly these documents finds."""
    scored = [
        (float(vector @ query), name, ordinal)
        for name, (text, pieces) in documents.items()
        for ordinal, vector in enumerate(written(name, text, pieces=pieces).vectors)
    ]
    return [(name, ordinal) for _, name, ordinal in sorted(scored, reverse=True)[:k]]


def test_nothing_at_all_is_not_ready(folder: CollectionFolder) -> None:
    """The error names the collection; the first write makes it ready at once."""
    store = MemoryStore()
    opened = searchable(folder, store)
    with pytest.raises(CollectionNotReady, match="c"):
        opened.view()
    store.replace([written("a", "text")])
    opened.refresh()
    assert found(opened.view(), QUERIES[0], 5) == [("a", 0)]


def test_without_a_generation_the_store_serves(folder: CollectionFolder) -> None:
    """Indexing that was interrupted before its publication can be searched."""
    store = MemoryStore()
    store.replace([written("a", "one", pieces=2), written("b", "two")])
    view = searchable(folder, store).view()
    assert (view.generation, view.delta_count, view.store_version) == (None, 3, store.snapshot().version)
    documents = {"a": ("one", 2), "b": ("two", 1)}
    assert found(view, QUERIES[0], 3) == nearest(documents, QUERIES[0], 3)


def test_all_documents_deleted_after_publication_is_an_empty_answer(folder: CollectionFolder) -> None:
    """The collection is ready, it only has nothing to say."""
    store = MemoryStore()
    store.replace([written("a", "one")])
    publish(folder, store.snapshot(), IDENTITY)
    store.delete(["a"])
    view = searchable(folder, store).view()
    assert found(view, QUERIES[0], 5) == []


def test_removed_chunks_leave_no_holes(folder: CollectionFolder) -> None:
    """The k nearest live chunks come back although all of the nearest in the index are gone."""
    store = MemoryStore()
    names = [f"d{at:03}" for at in range(200)]
    store.replace([written(name, name) for name in names])
    publish(folder, store.snapshot(), IDENTITY)
    order = [name for name, _ in nearest({name: (name, 1) for name in names}, QUERIES[0], 200)]
    store.delete(order[:150])
    view = searchable(folder, store).view()
    assert view.delta_count == 0
    assert [name for name, _ in found(view, QUERIES[0], 20)] == order[150:170]
    assert [name for name, _ in found(view, QUERIES[0], 200)] == order[150:]


def test_single_writes_cost_no_second_search_of_the_index(
    folder: CollectionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks that were replaced since take places among the nearest: as many as usual are reckoned with at once."""
    store = MemoryStore()
    store.replace([written(f"d{at}", str(at)) for at in range(1_000)])
    publish(folder, store.snapshot(), IDENTITY)
    for at in range(0, 100, 2):
        store.replace([written(f"d{at * 10}", f"new {at}")])
        store.delete([f"d{at * 10 + 5}"])
    view = searchable(folder, store).view()
    documents = {f"d{at}": (str(at), 1) for at in range(1_000)}
    documents |= {f"d{at * 10}": (f"new {at}", 1) for at in range(0, 100, 2)}
    for at in range(0, 100, 2):
        del documents[f"d{at * 10 + 5}"]
    searches = []
    search = FaissFlatIndex.search
    monkeypatch.setattr(FaissFlatIndex, "search", lambda *told: searches.append(told) or search(*told))
    for query in unit_vectors(20, seed=5):
        assert found(view, query, 100) == nearest(documents, query, 100)
    assert len(searches) == 20


def test_a_view_stays_as_it_was(folder: CollectionFolder) -> None:
    """Whoever holds one is not disturbed by writes and publications."""
    store = MemoryStore()
    store.replace([written("a", "one")])
    opened = searchable(folder, store)
    held = opened.view()
    store.replace([written("a", "changed"), written("b", "more")])
    publish(folder, store.snapshot(), IDENTITY)
    newer = opened.refresh()
    assert [chunk.text for chunk in held.snapshot.chunks(held.search(QUERIES[0], 9).numbers.tolist())] == ["one"]
    assert (held.generation, newer.generation) == (None, "g000001")
    assert {name for name, _ in found(newer, QUERIES[0], 9)} == {"a", "b"}


def test_views_are_shared_while_nothing_changes(folder: CollectionFolder) -> None:
    """Neither the index nor the delta is read again."""
    store = MemoryStore()
    store.replace([written("a", "one")])
    publish(folder, store.snapshot(), IDENTITY)
    opened = searchable(folder, store)
    assert opened.refresh() is opened.refresh() is opened.view()
    first = opened.view()
    store.replace([written("b", "two")])
    assert opened.refresh().opened is first.opened


def test_an_older_index_answers_with_the_newest_documents(folder: CollectionFolder) -> None:
    """A rollback goes back to an index, not to documents: what the older one lacks is read from the store again."""
    store = MemoryStore()
    documents = {}
    for at in range(3):
        for name in (f"a{at}", f"b{at}"):
            store.replace([written(name, name)])
            documents[name] = (name, 1)
        publish(folder, store.snapshot(), IDENTITY)
    store.replace([written("newest", "newest")])
    store.delete(["a0"])
    documents["newest"] = ("newest", 1)
    del documents["a0"]
    opened = searchable(folder, store)
    assert (opened.view().generation, opened.view().delta_count, opened.view().unfolded) == ("g000003", 1, 1)
    roll_back(folder, IDENTITY, to="g000001")
    view = opened.refresh()
    assert (view.generation, view.delta_count, view.unfolded) == ("g000001", 5, 5)
    assert found(view, QUERIES[0], 9) == nearest(documents, QUERIES[0], 9)


def test_a_new_generation_is_opened_beside_the_one_that_serves(folder: CollectionFolder) -> None:
    """`follow` shows a commit at once, and the publication as soon as it has been read and checked."""
    store = MemoryStore()
    store.replace([written("a", "one")])
    publish(folder, store.snapshot(), IDENTITY)
    opened = searchable(folder, store)
    opened.view()
    store.replace([written("b", "two")])
    publish(folder, store.snapshot(), IDENTITY)
    assert {name for name, _ in found(opened.follow(), QUERIES[0], 9)} == {"a", "b"}
    until = time.monotonic() + 30
    while opened.follow().generation != "g000002":
        assert time.monotonic() < until
        time.sleep(0.01)
    assert opened.follow().delta_count == 0


def test_what_is_in_memory_outlives_its_files(folder: CollectionFolder, caplog: pytest.LogCaptureFixture) -> None:
    """It was whole when it was read. That it should not be what serves is said, once in the log."""
    store = MemoryStore()
    store.replace([written("a", "one")])
    publish(folder, store.snapshot(), IDENTITY)
    opened = searchable(folder, store)
    opened.view()
    publish(folder, store.snapshot(), IDENTITY)
    for name in ("g000001", "g000002"):
        (folder.generations / name / "vectors.sums").write_bytes(b"damaged")
    for _ in range(3):
        view = opened.refresh()
        assert (view.generation, view.delta_count) == ("g000001", 0)
        assert "g000002: vectors.sums differs from what was written" in str(view.fallback_from)
        assert found(view, QUERIES[0], 9) == [("a", 0)]
    assert len([each for each in caplog.records if "is served by g000001" in each.message]) == 1


def test_a_corrupt_newest_generation_falls_back_visibly_and_rightly(folder: CollectionFolder) -> None:
    """What the older generation lacks comes from the store; with no generation left, everything does."""
    store = MemoryStore()
    store.replace([written("a", "one")])
    publish(folder, store.snapshot(), IDENTITY)
    store.replace([written("b", "two"), written("a", "one again")])
    publish(folder, store.snapshot(), IDENTITY)
    documents = {"a": ("one again", 1), "b": ("two", 1)}
    for name, served in (("g000002", "g000001"), ("g000001", None)):
        (folder.generations / name / "vectors.sums").write_bytes(b"rubbish")
        view = searchable(folder, store).view()
        assert view.generation == served
        assert view.fallback_from is not None
        assert name in view.fallback_from
        assert found(view, QUERIES[1], 5) == nearest(documents, QUERIES[1], 5)


def test_another_model_is_refused_on_every_refresh(folder: CollectionFolder) -> None:
    """Also when it is published while the collection is open."""
    store = MemoryStore()
    store.replace([written("a", "one")])
    publish(folder, store.snapshot(), IDENTITY)
    opened = searchable(folder, store)
    opened.view()
    publish(folder, store.snapshot(), EmbedderIdentity(name="other", revision="r", dimension=DIMENSION))
    for _ in range(2):
        with pytest.raises(ModelMismatch):
            opened.refresh()


def test_commits_of_another_process_are_seen_within_the_bound(folder: CollectionFolder) -> None:
    """Here: of another opening of the same path. `refresh` sees them at once."""
    mine = LanceStore.create(folder.corpus, dimension=DIMENSION)
    theirs = LanceStore.open(folder.corpus, dimension=DIMENSION)
    theirs.replace([written("a", "one")])
    opened = searchable(folder, mine)
    assert found(opened.view(), QUERIES[0], 5) == [("a", 0)]
    theirs.replace([written("b", "two")])
    assert len(found(opened.refresh(), QUERIES[0], 5)) == 2


def test_searches_during_writes_and_publications_answer_from_one_version(folder: CollectionFolder) -> None:
    """Every hit has its text in the view's own snapshot."""
    store = MemoryStore()
    store.replace([written(f"d{at}", "0") for at in range(10)])
    opened = searchable(folder, store)
    done = threading.Event()
    wrong: list[str] = []

    def search() -> None:
        while not done.is_set():
            view = opened.refresh()
            hits = view.search(QUERIES[0], 10)
            versions = {chunk.text for chunk in view.snapshot.chunks(hits.numbers.tolist())}
            if len(hits.numbers) != 10 or len(versions) != 1:
                wrong.append(f"{len(hits.numbers)} hits of versions {versions}")

    searchers = [threading.Thread(target=search) for _ in range(2)]
    for searcher in searchers:
        searcher.start()
    for turn in range(1, 30):
        store.replace([written(f"d{at}", str(turn)) for at in range(10)])
        if turn % 10 == 0:
            publish(folder, store.snapshot(), IDENTITY)
    done.set()
    for searcher in searchers:
        searcher.join()
    assert wrong == []


@settings(max_examples=40, deadline=None)
@given(
    years=st.lists(st.sampled_from([1, 2, 3, None]), min_size=1, max_size=40),
    published=st.integers(0, 40),
    gone=st.sets(st.integers(0, 39)),
    k=st.integers(1, 30),
    data=st.data(),
)
def test_a_filtered_search_is_an_exact_one_over_what_matches(
    years: list[int | None], published: int, gone: set[int], k: int, data: st.DataObject
) -> None:
    """Whatever lies in the generation, in the delta, or was removed; and it never finds fewer than there are."""
    store = MemoryStore()
    with tempfile.TemporaryDirectory() as base:
        folder = CollectionFolder(Path(base) / "c")
        for at, year in enumerate([*years, 0]):  # the last one makes sure that the attribute is known
            metadata = {} if year is None else {"year": year}
            store.replace([embedded(Document(id=f"d{at}", text="text", metadata=metadata), pieces=1 + at % 2)])
            if at + 1 == published:
                publish(folder, store.snapshot(), IDENTITY)
        store.delete([f"d{at}" for at in gone])
        view = searchable(folder, store).refresh()
        where = parse_filter({"type": data.draw(st.sampled_from(["eq", "ne", "gt", "lte"])), "key": "year", "value": 2})
        allowed = view.snapshot.numbers_where(where)
        stored = store.snapshot().stored
        right = sorted(allowed.tolist(), key=lambda number: -float(stored[number][1] @ QUERIES[0]))[:k]
        hits, filtered = view.search_matching(QUERIES[0], k, allowed)
        assert hits.numbers.tolist() == right
        assert (filtered.matching, filtered.of) == (len(allowed), len(stored))


class LifeOfACollection(RuleBasedStateMachine):
    """Any order of writes, deletes, publications, damage and reopenings; a dictionary is the model."""

    def __init__(self) -> None:
        super().__init__()
        self.base = tempfile.TemporaryDirectory()
        self.folder = CollectionFolder(Path(self.base.name) / "c")
        self.store = MemoryStore()
        self.searchable = searchable(self.folder, self.store)
        self.model: dict[str, tuple[str, int]] = {}

    def teardown(self) -> None:
        self.base.cleanup()

    @rule(name=st.sampled_from("abcdef"), text=st.text("xyz", min_size=1, max_size=4), pieces=st.integers(1, 3))
    def replace(self, name: str, text: str, pieces: int) -> None:
        self.store.replace([written(name, text, pieces=pieces)])
        self.model[name] = (text, pieces)

    @rule(name=st.sampled_from("abcdef"))
    def delete(self, name: str) -> None:
        self.store.delete([name])
        self.model.pop(name, None)

    @rule()
    def publish(self) -> None:
        publish(self.folder, self.store.snapshot(), IDENTITY)

    @rule()
    def roll_back(self) -> None:
        with contextlib.suppress(InvalidRequest):  # there may be nothing to go back to
            roll_back(self.folder, IDENTITY)

    @rule()
    def damage_the_newest_generation(self) -> None:
        for path in sorted(self.folder.generations.glob("g*"))[-1:]:
            (path / "numbers.i64").write_bytes(b"damaged")

    @rule()
    def reopen(self) -> None:
        self.searchable = searchable(self.folder, self.store)

    @invariant()
    def a_search_finds_what_the_model_holds(self) -> None:
        view = self.searchable.refresh()
        for query in QUERIES[:2]:
            for k in (1, 3, 50):
                assert found(view, query, k) == nearest(self.model, query, k)


TestLifeOfACollection = LifeOfACollection.TestCase
TestLifeOfACollection.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
