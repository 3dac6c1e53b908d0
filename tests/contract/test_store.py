"""What every Store promises, over every implementation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import DIMENSION, embedded, written
from tests.fakes import MemoryStore
from tests.faults.watched_syncer import WatchedSyncer
from tests.s3_server import BUCKET, serving
from winnow.retrieval.errors import DocumentNotFound
from winnow.retrieval.files.s3_access import BucketRoot
from winnow.retrieval.records import Chunk, Document
from winnow.retrieval.store.contract import Store, StoreSnapshot
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.places.bucket import Bucket
from winnow.retrieval.store.places.bucket_place import BucketPlace
from winnow.retrieval.store.row_cache import RowCache


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with serving() as s3:
        yield Bucket(BucketRoot(url=f"s3://{BUCKET}/deployment", access=s3.access, answer_seconds=120))


@pytest.fixture(params=["memory", "lance", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "lance":
        return LanceStore.create(tmp_path / "corpus.lance", dimension=DIMENSION, syncer=WatchedSyncer())
    bucket: Bucket = request.getfixturevalue("bucket")
    place = BucketPlace(bucket, f"{tmp_path.name}/corpus.lance", collection="docs", local=tmp_path / "locks")
    return LanceStore.create_at(place, dimension=DIMENSION)


RICH = Document(
    id="民法典/第577条",
    title="违约责任",
    text="当事人一方不履行合同义务的，应当承担继续履行等违约责任。\nSecond line, with 😀.",
    url="https://example.org/a?b=1&c='2'",
    metadata={"year": 2020, "tags": ["法律", None, 1.5], "nested": {"a": True}, "quote": "' OR 1=1 --"},
)


def texts(snapshot: StoreSnapshot) -> dict[str, list[str]]:
    """The chunks' texts by document, in order."""
    found: dict[str, list[str]] = {}
    for chunk in snapshot.chunks(snapshot.chunk_numbers().tolist()):
        found.setdefault(chunk.document_id, []).append(chunk.text)
    return found


def vectors_by_number(snapshot: StoreSnapshot, *, after: int = -1) -> dict[int, bytes]:
    return {
        int(number): vector.tobytes()
        for batch in snapshot.vectors(after=after)
        for number, vector in zip(batch.numbers, batch.vectors, strict=True)
    }


def test_a_new_store_is_empty_and_can_be_read(store: Store) -> None:
    """An empty store answers every question with nothing."""
    snapshot = store.snapshot()
    assert snapshot.counts() == (0, 0)
    assert snapshot.chunk_numbers().tolist() == []
    assert list(snapshot.vectors()) == []
    assert snapshot.chunks([0, 1]) == []
    assert snapshot.content_hashes() == {}
    with pytest.raises(DocumentNotFound):
        snapshot.document("a")


def test_a_document_comes_back_as_it_was_written(store: Store) -> None:
    """Ids, titles, texts, URLs and metadata of every script survive, and so does the content hash."""
    store.replace([embedded(RICH, pieces=3)])
    snapshot = store.snapshot()
    assert snapshot.document(RICH.id) == RICH
    assert snapshot.document(RICH.id).content_hash == RICH.content_hash
    assert snapshot.content_hashes() == {RICH.id: RICH.content_hash}
    assert snapshot.counts() == (1, 3)


def test_chunks_carry_their_place_and_their_documents_facts(store: Store) -> None:
    """A chunk is the piece of the text between its offsets, with the document's title, URL and metadata."""
    source = embedded(RICH, pieces=3)
    store.replace([source])
    chunks = store.snapshot().chunks([0, 1, 2])
    assert chunks == [
        Chunk(
            number=ordinal,
            document_id=RICH.id,
            ordinal=ordinal,
            start=span.start,
            end=span.end,
            title=RICH.title,
            text=RICH.text[span.start : span.end],
            url=RICH.url,
            metadata=RICH.metadata,
        )
        for ordinal, span in enumerate(source.spans)
    ]


def test_an_empty_text_is_a_document_with_one_empty_chunk(store: Store) -> None:
    """A title alone can be searched."""
    document = Document(id="only-a-title", text="", title="Only a title")
    store.replace([embedded(document)])
    assert store.snapshot().document("only-a-title") == document
    assert [chunk.passage for chunk in store.snapshot().chunks([0])] == ["Only a title\n"]


def test_vectors_come_back_bit_for_bit(store: Store) -> None:
    """What is searched is what was embedded, by chunk number."""
    first, second = written("a", "one two", pieces=2), written("b", "three")
    store.replace([first, second])
    expected = [*first.vectors, *second.vectors]
    assert vectors_by_number(store.snapshot()) == {number: row.tobytes() for number, row in enumerate(expected)}


def test_vectors_of_chunks_come_in_the_order_asked(store: Store) -> None:
    """Also repeated, of several commits, and after removals; none asked is none."""
    for name in "abcd":
        store.replace([written(name, name * 4, pieces=2)])
    store.delete(["b"])
    snapshot = store.snapshot()
    everything = vectors_by_number(snapshot)
    asked = [7, 0, 5, 0, 6, 1]
    assert [row.tobytes() for row in snapshot.vectors_of(asked)] == [everything[number] for number in asked]
    assert len(snapshot.vectors_of([])) == 0


def test_what_is_alive_and_how_much_is_newer_agree_with_the_numbers(store: Store) -> None:
    """For numbers of any order, repeated, removed, never given out or negative; over commits and removed chunks."""
    nothing = store.snapshot()
    assert nothing.alive(np.array([0, -1], dtype=np.int64)).tolist() == [False, False]
    assert nothing.count() == nothing.count(after=5) == 0
    for name in "abcdef":
        store.replace([written(name, name * 4, pieces=2)])
    store.delete(["a", "c", "f"])
    store.replace([written("b", "new", pieces=3)])
    snapshot = store.snapshot()
    live = set(snapshot.chunk_numbers().tolist())
    asked = [99, 3, 3, -1, *range(20), 12, 0]
    assert snapshot.alive(np.array(asked, dtype=np.int64)).tolist() == [number in live for number in asked]
    assert snapshot.alive(np.empty(0, dtype=np.int64)).tolist() == []
    for after in range(-2, 20):
        assert snapshot.count(after=after) == sum(number > after for number in live)


def test_vectors_after_a_number_are_those_above_it(store: Store) -> None:
    """The delta of an index is read without the rest, over commits and removed chunks."""
    for name in "abcdef":
        store.replace([written(name, name * 4, pieces=2)])
    store.delete(["c"])
    store.replace([written("a", "new", pieces=3)])
    snapshot = store.snapshot()
    everything = vectors_by_number(snapshot)
    assert list(everything) == snapshot.chunk_numbers().tolist() == [2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    for after in (-1, 0, 3, 4, 5, 6, 11, 13, 14, 99):
        assert vectors_by_number(snapshot, after=after) == {n: v for n, v in everything.items() if n > after}


def test_replacing_a_document_takes_all_its_old_chunks_away(store: Store) -> None:
    """Fewer, more, or as many chunks: what was there is gone with the same commit."""
    store.replace([written("a", "one two three", pieces=3), written("b", "kept")])
    for text, pieces in (("now one", 1), ("now a, b, c, d", 4), ("now 1 2 3", 4)):
        store.replace([written("a", text, pieces=pieces)])
        assert "".join(texts(store.snapshot())["a"]) == text
        assert store.snapshot().counts() == (2, pieces + 1)
    assert store.snapshot().chunks([0, 1, 2]) == []


def test_numbers_are_given_in_order_and_never_again(store: Store) -> None:
    """Not after the newest chunks are deleted, and not after everything is."""
    store.replace([written("a", "aa", pieces=2), written("b", "b")])
    assert store.snapshot().chunk_numbers().tolist() == [0, 1, 2]
    store.delete(["b"])
    store.replace([written("c", "c")])
    assert store.snapshot().chunk_numbers().tolist() == [0, 1, 3]
    store.delete(["a", "c"])
    store.replace([written("a", "aa", pieces=2)])
    assert store.snapshot().chunk_numbers().tolist() == [4, 5]


def test_a_snapshot_never_changes(store: Store) -> None:
    """Whoever holds one reads the same version to the end."""
    store.replace([written("a", "old", pieces=2), written("b", "also")])
    before = store.snapshot()
    store.replace([written("a", "new"), written("c", "more")])
    store.delete(["b"])
    assert before.counts() == (2, 3)
    assert texts(before) == {"a": ["o", "ld"], "b": ["also"]}
    assert before.document("a").text == "old"
    assert set(before.content_hashes()) == {"a", "b"}
    assert len(vectors_by_number(before)) == 3
    assert texts(store.snapshot()) == {"a": ["new"], "c": ["more"]}


def test_versions_grow_and_an_unchanged_store_gives_the_same_snapshot(store: Store) -> None:
    """A reader can tell by identity that nothing happened."""
    first = store.replace([written("a", "a")])
    snapshot = store.snapshot()
    assert snapshot.version == first
    assert store.snapshot() is snapshot
    assert store.delete(["nobody"]) == 0
    assert store.snapshot() is snapshot
    assert store.replace([written("a", "b")]) > first


def test_chunks_come_in_the_order_asked_for(store: Store) -> None:
    """Also when a number is asked for twice; numbers that are not live are left out."""
    store.replace([written("a", "0123456789", pieces=10)])
    store.replace([written("b", "x")])
    asked = [7, 10, 3, 99, 3, 0, -1]
    assert [chunk.text for chunk in store.snapshot().chunks(asked)] == ["7", "x", "3", "3", "0"]


def test_pieces_and_document_ids_are_those_of_the_chunks(store: Store) -> None:
    """In the same order, with the same numbers left out: less is read, and nothing else."""
    store.replace([embedded(RICH, pieces=3), written("b", "another text", pieces=2)])
    snapshot = store.snapshot()
    wanted = [4, 0, 99, 2, 0, -1]
    chunks = snapshot.chunks(wanted)
    assert [(each.number, each.document_id, each.start, each.end, each.text) for each in snapshot.pieces(wanted)] == [
        (each.number, each.document_id, each.start, each.end, each.text) for each in chunks
    ]
    assert snapshot.document_ids(wanted) == [each.document_id for each in chunks]
    assert snapshot.pieces([99]) == snapshot.document_ids([99]) == []


def test_delete_says_how_many_documents_it_removed(store: Store) -> None:
    """Ids that are not there are passed over, and repeated ids count once."""
    store.replace([written("a", "aa", pieces=2), written("b", "b"), written("c", "c")])
    assert store.delete(["a", "nobody", "a", "c"]) == 2
    assert store.snapshot().content_hashes().keys() == {"b"}
    with pytest.raises(DocumentNotFound):
        store.snapshot().document("a")


@pytest.mark.parametrize("hostile", ["' OR 1=1 --", 'a" OR "1"="1', "a\\'", "%", "*", "\x00", "a\nb", "NULL", "\ud800"])
def test_an_id_is_a_value_and_never_a_condition(store: Store, hostile: str) -> None:
    """Looking up or deleting an id that reads like a filter touches nothing else."""
    store.replace([written("a", "aa"), written("b", "bb")])
    assert store.delete([hostile]) == 0
    with pytest.raises(DocumentNotFound):
        store.snapshot().document(hostile)
    assert store.snapshot().counts() == (2, 2)
    if hostile != "\ud800":  # half of a surrogate pair cannot be stored at all
        store.replace([written(hostile, "cc")])
        assert store.snapshot().document(hostile).text == "cc"
        assert store.delete([hostile]) == 1
        assert store.snapshot().content_hashes().keys() == {"a", "b"}


def test_readers_beside_a_writer_see_whole_commits(store: Store) -> None:
    """Documents that are always written together are always seen together."""
    store.replace([written("a", "0"), written("b", "0")])
    done = threading.Event()
    torn: list[object] = []

    def read() -> None:
        while not done.is_set():
            snapshot = store.snapshot()
            seen = {snapshot.document("a").text, snapshot.document("b").text}
            if len(seen) != 1 or snapshot.counts() != (2, 2):
                torn.append(seen)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for turn in range(1, 15):
        store.replace([written("a", str(turn)), written("b", str(turn))])
    done.set()
    for reader in readers:
        reader.join()
    assert torn == []


IDS = st.sampled_from(["a", "b", "c", "民", "d'--"])
REPLACE = st.dictionaries(IDS, st.tuples(st.text("xyz 。", min_size=0, max_size=9), st.integers(1, 3)), min_size=1)
STEP = st.one_of(st.tuples(st.just("replace"), REPLACE), st.tuples(st.just("delete"), st.lists(IDS, max_size=3)))


@pytest.fixture(params=["memory", "lance"])
def new_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Store]]:
    def build() -> Store:
        if request.param == "memory":
            return MemoryStore()
        return LanceStore.create(
            tmp_path_factory.mktemp("store") / "corpus.lance", dimension=DIMENSION, syncer=WatchedSyncer()
        )

    return build


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=3, max_size=9))
def test_any_history_ends_as_a_dictionary_would(
    new_store: Callable[[], Store], steps: list[tuple[str, object]]
) -> None:
    """Whatever was replaced and deleted, in whatever order: documents, chunks, hashes and vectors agree."""
    store, cache = new_store(), RowCache(bytes_max=3_000)
    model: dict[str, tuple[str, int]] = {}
    used: set[int] = set()
    for action, argument in steps:
        before = set(store.snapshot().chunk_numbers().tolist())
        if action == "replace":
            store.replace([written(name, text, pieces=pieces) for name, (text, pieces) in argument.items()])
            model.update(argument)
        else:
            assert store.delete(argument) == len(set(argument) & model.keys())
            model = {name: value for name, value in model.items() if name not in argument}
        numbers = sorted(before | set(store.snapshot().chunk_numbers().tolist()))
        assert store.snapshot().chunks(numbers, cache=cache) == store.snapshot().chunks(numbers)
        fresh = set(store.snapshot().chunk_numbers().tolist()) - before
        assert not fresh & used
        used |= before | fresh
    snapshot = store.snapshot()
    assert {name: "".join(pieces) for name, pieces in texts(snapshot).items()} == {n: t for n, (t, _) in model.items()}
    assert snapshot.counts() == (len(model), sum(pieces for _, pieces in model.values()))
    assert snapshot.content_hashes() == {n: Document(id=n, text=t).content_hash for n, (t, _) in model.items()}
    batches = list(snapshot.content_hash_batches())
    assert sum(map(len, batches)) == len(model)
    assert {name: value for batch in batches for name, value in batch.items()} == snapshot.content_hashes()
    numbers = snapshot.chunk_numbers()
    assert bool((np.diff(numbers) > 0).all())
    assert list(vectors_by_number(snapshot)) == numbers.tolist()
