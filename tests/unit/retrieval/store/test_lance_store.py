"""What LanceStore promises beyond the contract: the disk, other processes, damage, many small commits."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import lance
import numpy as np
import pytest
from lance.file import LanceFileReader

from tests.builders import DIMENSION, embedded, written
from tests.faults.watched_syncer import WatchedSyncer, state_of
from winnow.retrieval.errors import (
    InvalidRequest,
    ModelMismatch,
    StorageError,
    StoreCorrupt,
    WordsNotIndexed,
    WriteFailed,
)
from winnow.retrieval.files.durable import DiskSyncer
from winnow.retrieval.records import Document
from winnow.retrieval.store import lance_snapshot
from winnow.retrieval.store.checksums import SUMS, find_damage
from winnow.retrieval.store.lance_fulltext import segments, uncovered_fragments
from winnow.retrieval.store.lance_store import SMALL_FRAGMENTS_MAX, LanceStore
from winnow.retrieval.store.torn_commits import COMMITS_UNSYNCED_MAX

HINT = "latest_version_hint.json"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corpus.lance"


def create(path: Path, *, syncer: WatchedSyncer | None = None) -> LanceStore:
    return LanceStore.create(path, dimension=DIMENSION, syncer=syncer or WatchedSyncer())


def reopened(path: Path) -> LanceStore:
    return LanceStore.open(path, dimension=DIMENSION, syncer=WatchedSyncer())


def files_of(path: Path) -> list[Path]:
    return sorted(entry for entry in path.rglob("*") if entry.is_file())


def contents(store: LanceStore) -> dict[str, str]:
    snapshot = store.snapshot()
    return {name: snapshot.document(name).text for name in snapshot.content_hashes()}


def test_everything_is_on_the_disk_when_a_write_returns(path: Path) -> None:
    """Each file and folder of the dataset was synced after its last change: for inserts, replacements and deletes."""
    syncer = WatchedSyncer()
    store = create(path, syncer=syncer)
    store.replace([written("a", "one", pieces=2), written("b", "two")])
    store.replace([written("a", "new")])
    store.delete(["b"])
    store.index_words()
    kinds = {file.relative_to(path.parent).parts[1 if file.parent != path else 0] for file in files_of(path)}
    assert kinds == {"data", "_deletions", "_indices", "_transactions", "_versions", path.name}
    folders = [path.parent, path, *(entry for entry in path.rglob("*") if entry.is_dir())]
    for entry in [*files_of(path), *folders]:
        if entry.name == "next_chunk_number":  # synced under the name it had before the rename
            assert entry.with_name("next_chunk_number.tmp") in syncer.synced
        elif entry.name == HINT:
            continue
        else:
            assert syncer.state_when_synced[entry] == state_of(entry), entry


def test_the_hint_at_the_newest_version_may_say_anything(path: Path) -> None:
    """It is the one file that Lance writes anew with each commit. It is not synced: a power cut may leave any of it."""
    create(path).replace([written("a", "text")])
    newest = reopened(path).snapshot().version
    whole = (path / "_versions" / HINT).read_bytes()
    flips = [
        bytes([*whole[:at], whole[at] ^ 1 << bit, *whole[at + 1 :]]) for at in range(len(whole)) for bit in range(8)
    ]
    for hint in (b"", bytes(len(whole)), whole[:5], b'{"version":1}', b'{"version":99}', *flips):
        (path / "_versions" / HINT).write_bytes(hint)
        assert reopened(path).snapshot().version == newest


def test_what_a_commit_names_is_on_the_disk_before_the_commit(path: Path) -> None:
    """A power cut can leave data without a manifest, but no manifest without its data, and no number used twice."""
    syncer = WatchedSyncer()
    store = create(path, syncer=syncer)
    store.replace([written("a", "one", pieces=2)])
    before = len(syncer.synced)
    store.replace([written("a", "two", pieces=2)])
    kinds = [entry.parent.name if entry.is_file() else entry.name for entry in syncer.synced[before:]]
    kinds = [kind for kind in kinds if kind.startswith("_") or kind == "data"]
    assert kinds.index("_versions") > max(at for at, kind in enumerate(kinds) if kind in {"data", "_deletions"})
    assert syncer.synced[before] == path / "next_chunk_number.tmp"


def test_a_disk_that_dies_at_any_sync_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Wherever it happens: WriteFailed, then all of the write is there or none of it, and no number is used twice."""
    watched = WatchedSyncer()
    create(tmp_path / "count" / "corpus.lance").replace([written("a", "old", pieces=2)])
    LanceStore.open(tmp_path / "count" / "corpus.lance", dimension=DIMENSION, syncer=watched).replace(
        [written("a", "new"), written("b", "too")]
    )
    outcomes = set()
    for fail_at in range(len(watched.synced)):
        path = tmp_path / str(fail_at) / "corpus.lance"
        create(path).replace([written("a", "old", pieces=2)])
        failing = LanceStore.open(path, dimension=DIMENSION, syncer=WatchedSyncer(fail_at=fail_at))
        with pytest.raises(WriteFailed):
            failing.replace([written("a", "new"), written("b", "too")])
        with pytest.raises(WriteFailed):
            failing.delete(["a"])
        store = reopened(path)
        outcomes.add(tuple(sorted(contents(store).items())))
        used = store.snapshot().chunk_numbers().tolist()
        store.replace([written("c", "after")])
        assert contents(store)["c"] == "after"
        assert store.snapshot().chunk_numbers()[-1] > max(used)
    assert outcomes <= {(("a", "old"),), (("a", "new"), ("b", "too"))}
    assert (("a", "old"),) in outcomes


def test_a_store_whose_sync_failed_once_writes_nothing_more(tmp_path: Path) -> None:
    """Wherever it failed, and although the next sync would succeed: over pages that the kernel has thrown away.

    Reading goes on; who opens the store anew, and so looks at what is there, can write again.
    """
    watched = WatchedSyncer()
    create(tmp_path / "count" / "corpus.lance")
    LanceStore.open(tmp_path / "count" / "corpus.lance", dimension=DIMENSION, syncer=watched).replace(
        [written("a", "new")]
    )
    for fail_at in range(len(watched.synced)):
        path = tmp_path / str(fail_at) / "corpus.lance"
        create(path)
        store = LanceStore.open(path, dimension=DIMENSION, syncer=WatchedSyncer(fail_at=fail_at, failures=1))
        with pytest.raises(WriteFailed, match="scripted"):
            store.replace([written("a", "new")])
        then = files_of(path)
        with pytest.raises(WriteFailed, match="an earlier sync failed"):
            store.replace([written("b", "more")])
        with pytest.raises(WriteFailed, match="restart winnow"):
            store.delete(["a"])
        assert files_of(path) == then
        assert contents(store) in ({}, {"a": "new"})
        reopened(path).replace([written("c", "after")])
        assert contents(store)["c"] == "after"


def test_numbers_go_on_after_a_restart(path: Path) -> None:
    """Also where the newest chunks were deleted before it."""
    store = create(path)
    store.replace([written("a", "abc", pieces=3), written("b", "de", pieces=2)])
    store.delete(["b"])
    again = reopened(path)
    again.replace([written("b", "x")])
    assert again.snapshot().chunk_numbers().tolist() == [0, 1, 2, 5]


def test_commits_of_another_opener_are_seen(path: Path) -> None:
    """Two openings of one path, as in two processes: each sees the other's commits at its next snapshot."""
    first = create(path)
    second = reopened(path)
    held = second.snapshot()
    first.replace([written("a", "from the first")])
    assert held.counts() == (0, 0)
    assert contents(second) == {"a": "from the first"}
    second.replace([written("b", "from the second")])
    assert contents(first) == {"a": "from the first", "b": "from the second"}
    assert first.snapshot().chunk_numbers().tolist() == [0, 1]


def test_many_small_commits_leave_few_fragments_and_the_same_chunks(path: Path) -> None:
    """Joining fragments changes no number, no vector and no text, and snapshots taken before it go on reading."""
    store = create(path)
    expected = {}
    for turn in range(SMALL_FRAGMENTS_MAX + 8):
        source = written(f"d{turn}", f"text {turn}", pieces=2)
        store.replace([source])
        expected.update({2 * turn: source.vectors[0].tobytes(), 2 * turn + 1: source.vectors[1].tobytes()})
        if turn == 20:
            store.delete(["d3"])
            held = store.snapshot()
    del expected[6], expected[7]
    assert len(store.snapshot().dataset.get_fragments()) <= SMALL_FRAGMENTS_MAX + 1
    for opened in (store, reopened(path)):
        snapshot = opened.snapshot()
        found = {
            int(number): vector.tobytes()
            for batch in snapshot.vectors()
            for number, vector in zip(batch.numbers, batch.vectors, strict=True)
        }
        assert found == expected
        assert [chunk.number for chunk in snapshot.chunks([0, 50, 79, 6])] == [0, 50, 79]
        assert snapshot.document("d39").text == "text 39"
    assert held.document("d20").text == "text 20"
    assert held.counts() == (20, 40)


def test_large_reads_come_in_bounded_batches(path: Path) -> None:
    """No batch is larger than the bound, whatever the size of the commits."""
    store = create(path)
    many = lance_snapshot.VECTORS_PER_BATCH + 5
    store.replace([written("a", "x" * many, pieces=many)])
    sizes = [len(batch.numbers) for batch in store.snapshot().vectors()]
    assert max(sizes) <= lance_snapshot.VECTORS_PER_BATCH
    assert sum(sizes) == many


def test_a_store_of_another_dimension_is_another_models(path: Path) -> None:
    """The message names both dimensions."""
    create(path)
    with pytest.raises(ModelMismatch, match="8 dimensions, but the model makes 16"):
        LanceStore.open(path, dimension=16)


def test_creating_twice_opens_and_an_interrupted_create_is_completed(path: Path) -> None:
    """Nothing that was written is lost by it."""
    create(path)
    (path / "next_chunk_number").unlink()  # the last thing that `create` writes
    store = create(path)
    store.replace([written("a", "kept")])
    assert contents(create(path)) == {"a": "kept"}


def test_what_is_no_store_is_corrupt_and_says_where(path: Path) -> None:
    """A missing folder, an empty one, and one of another format."""
    with pytest.raises(StoreCorrupt, match=r"corpus\.lance"):
        reopened(path)
    path.mkdir()
    with pytest.raises(StoreCorrupt, match=r"corpus\.lance"):
        reopened(path)


@pytest.mark.parametrize("damage", [b"", b"7 00000000\n", b"seven", b"\xff\xfe"])
def test_a_damaged_counter_stops_writing_and_not_reading(path: Path, damage: bytes) -> None:
    """Guessing the next number could give a used one away again."""
    store = create(path)
    store.replace([written("a", "text")])
    (path / "next_chunk_number").write_bytes(damage)
    with pytest.raises(StoreCorrupt, match="next chunk number"):
        reopened(path).replace([written("b", "x")])
    assert contents(reopened(path)) == {"a": "text"}


def test_missing_data_files_are_reported(path: Path) -> None:
    """Not as an error of the library underneath."""
    store = create(path)
    store.replace([written("a", "text")])
    for file in (path / "data").iterdir():
        file.unlink()
    with pytest.raises(StorageError):
        reopened(path).snapshot().document("a")
    with pytest.raises(StorageError):
        list(reopened(path).snapshot().vectors())


def test_a_panic_of_the_library_is_a_corrupt_store(path: Path) -> None:
    """Damage in a manifest makes lance panic, which is no Exception to Python and would end a server.

    With its checksum lance is not even asked.
    """
    create(path).replace([written("a", "text")])
    newest = min((path / "_versions").glob("*.manifest"))
    newest.write_bytes(newest.read_bytes().replace(b"large_string", b"large_strinG"))
    with pytest.raises(StoreCorrupt, match=f"{newest.name} differs from what was written"):
        reopened(path)
    (path / SUMS).unlink()
    with pytest.raises(StoreCorrupt, match="lance panicked"):
        reopened(path)


def test_half_of_a_surrogate_pair_is_refused_before_anything_is_written(path: Path) -> None:
    """It is a character to Python and none to UTF-8."""
    store = create(path)
    before = files_of(path)
    for document in (
        Document(id="\ud800", text=""),
        Document(id="a", text="b\udfffc"),
        Document(id="a", text="", url="\udc00"),
    ):
        with pytest.raises(InvalidRequest, match="surrogate"):
            store.replace([embedded(document)])
    assert [file for file in files_of(path) if file not in before] == []


@pytest.mark.parametrize("left", [0, 10, -1])
def test_a_commit_that_a_power_cut_tore_is_passed_over(path: Path, left: int, caplog: pytest.LogCaptureFixture) -> None:
    """Its manifest was never synced, so nobody was told of it; what was acknowledged before it is all there."""
    store = create(path)
    store.replace([written("a", "acknowledged")])
    sums = (path / SUMS).read_bytes()
    store.replace([written("a", "cut off"), written("b", "cut off")])
    (path / SUMS).write_bytes(sums)  # they are written last
    newest = min((path / "_versions").glob("*.manifest"))
    newest.write_bytes(newest.read_bytes()[:left])
    again = reopened(path)
    assert "truncated before it was acknowledged" in caplog.text
    assert contents(again) == {"a": "acknowledged"}
    again.replace([written("c", "after")])
    assert contents(reopened(path)) == {"a": "acknowledged", "c": "after"}
    assert again.snapshot().chunk_numbers().tolist() == [0, 3]


class Power(DiskSyncer):
    """Goes where as many commits as there can be are not on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._synced = set((path / "_versions").glob("*.manifest"))

    def unsynced(self) -> set[Path]:
        return set((self._path / "_versions").glob("*.manifest")) - self._synced

    def sync(self, path: Path) -> None:
        if len(self.unsynced()) >= COMMITS_UNSYNCED_MAX:
            raise WriteFailed("the power is gone")
        self._synced.add(path)
        super().sync(path)


@pytest.mark.parametrize("left", [0, 10, -1])
def test_a_compaction_that_a_power_cut_tore_is_passed_over(path: Path, left: int) -> None:
    """Lance makes two commits of it, and neither was synced: the store is the one of before both."""
    store = create(path)
    for turn in range(SMALL_FRAGMENTS_MAX + 1):
        store.replace([written(f"d{turn}", str(turn))])
    before, sums = contents(store), (path / SUMS).read_bytes()
    power = Power(path)
    with pytest.raises(WriteFailed, match="power"):
        LanceStore.open(path, dimension=DIMENSION, syncer=power).replace([written("last", "never written")])
    (path / SUMS).write_bytes(sums)
    for manifest in power.unsynced():
        manifest.write_bytes(manifest.read_bytes()[:left])
    again = reopened(path)
    assert contents(again) == before
    again.replace([written("c", "after")])
    assert contents(reopened(path)) == before | {"c": "after"}


def test_letting_old_versions_go_takes_nothing_of_the_newest(path: Path) -> None:
    """Not its rows, and not the counter of chunk numbers that lies beside them."""
    create(path).replace([written("a", "0")])
    store = reopened(path)
    for turn in range(5):
        store.replace([written("a", str(turn))])
    assert contents(store) == {"a": "4"}
    store.snapshot().dataset.cleanup_old_versions(older_than=timedelta(0))
    assert len(list((path / "_versions").glob("*.manifest"))) == 1
    assert contents(reopened(path)) == {"a": "4"}
    store.replace([written("b", "after")])
    assert reopened(path).snapshot().counts() == (2, 2)


def age(path: Path, *, seconds: float) -> None:
    """All that is there was written so long ago."""
    then = time.time() - seconds
    for file in path.rglob("*"):
        os.utime(file, (then, then))


def versions(path: Path) -> int:
    return len(list((path / "_versions").glob("*.manifest")))


def test_a_version_goes_when_it_was_replaced_long_ago(path: Path) -> None:
    """Not when it is old: after an hour without a write, searches still read the version of an hour ago."""
    store = create(path)
    for turn in range(3):
        store.replace([written("a", str(turn))])
    age(path, seconds=3_600)
    reading = reopened(path).snapshot()
    reopened(path).replace([written("b", "0")])  # cleans up first, as the first write of a process does
    reopened(path).replace([written("b", "1")])
    assert versions(path) == 3
    assert {chunk.text for chunk in reading.chunks(reading.chunk_numbers().tolist())} == {"2"}


def test_no_version_goes_while_somebody_holds_on_to_one(path: Path) -> None:
    """A build and a copy read for minutes; whoever writes meanwhile waits for neither, and cleans up later."""
    store = create(path)
    for turn in range(4):
        store.replace([written("a", str(turn))])
    age(path, seconds=3_600)
    held = versions(path)
    with reopened(path).holding(), reopened(path).holding():
        reopened(path).replace([written("b", "0")])
        assert versions(path) == held + 1
    reopened(path).replace([written("b", "1")])
    assert versions(path) == 3


def test_a_clean_up_takes_what_failed_writes_have_left(path: Path) -> None:
    """Files that no version names, and a manifest that was cut off; it says how many bytes that was."""
    store = create(path)
    store.replace([written("a", "0")])
    orphan = path / "data" / "0123456789.lance"
    orphan.write_bytes(b"left by a write that failed")
    torn = path / "_versions" / "18446744073709551000.torn"
    torn.write_bytes(b"half")
    assert store.clean_up() == 31
    assert not orphan.exists()
    assert not torn.exists()
    assert contents(reopened(path)) == {"a": "0"}
    assert store.clean_up() == 0


def test_vectors_are_stored_as_they_came(path: Path) -> None:
    """Not through float16: the last bits are there."""
    source = written("a", "text")
    source.vectors[0, 0] = np.nextafter(np.float32(0.5), np.float32(1.0))
    store = create(path)
    store.replace([source])
    assert next(iter(store.snapshot().vectors())).vectors.dtype == np.float32
    assert next(iter(store.snapshot().vectors())).vectors[0, 0] == source.vectors[0, 0]


def word_files(path: Path) -> set[Path]:
    return {entry for entry in files_of(path) if "_indices" in entry.parts}


def test_the_files_of_words_are_on_the_disk_before_a_commit_names_them(path: Path) -> None:
    """As with data: a power cut may lose an index that nobody was told of, and leaves none that is half there."""
    syncer = WatchedSyncer()
    store = create(path, syncer=syncer)
    store.replace([written("a", "bravo delta", pieces=2)])
    known, before = word_files(path), len(syncer.synced)
    store.index_words()
    added = word_files(path) - known
    synced = syncer.synced[before:]
    manifest = next(at for at, entry in enumerate(synced) if entry.suffix == ".manifest")
    assert added
    assert added <= set(synced[:manifest])


def waiting_rows(store: LanceStore) -> int:
    return sum(fragment.physical_rows for fragment in uncovered_fragments(store.snapshot().dataset))


def segment_count(store: LanceStore) -> int:
    return len(segments(store.snapshot().dataset))


def test_few_words_ever_wait_for_the_index(path: Path) -> None:
    """Whatever is upserted, changed, deleted or joined, one by one: each row that waits costs every search by words
    30 us, and each segment 0.2 ms. Joining small fragments once let thousands of rows wait until the next fold.
    """
    store = create(path)
    for number in range(12):
        store.replace([written(f"run{number}", "bravo " * 300, pieces=300)], more_follows=True)
    store.index_words()
    joined = 0
    for number in range(150):
        before = len(store.snapshot().dataset.get_fragments())
        store.replace([written(f"d{number % 90}", f"bravo {number}")])
        joined += len(store.snapshot().dataset.get_fragments()) < before
        if number % 10 == 0:
            store.delete([f"d{number % 90 - 5}"])
        assert waiting_rows(store) < 16
        assert segment_count(store) <= 8
    assert joined >= 3


def test_a_large_write_leaves_no_words_waiting(path: Path) -> None:
    """It may be the last for a long time."""
    store = create(path)
    store.replace([written("a", "bravo " * 500, pieces=500)])
    assert waiting_rows(store) == 0


def test_in_a_run_words_are_indexed_when_many_wait_and_otherwise_cost_a_write_nothing(path: Path) -> None:
    """And asking for it where nothing waits commits nothing, so that an unchanged collection keeps its generation."""
    store = create(path)
    for number in range(3):
        store.replace([written(f"d{number}", "bravo " * 2_048, pieces=2_048)], more_follows=True)
    assert waiting_rows(store) == 2_048
    store.index_words()
    assert waiting_rows(store) == 0
    version = store.snapshot().version
    store.index_words()
    assert store.snapshot().version == version


def test_a_write_stands_where_its_words_could_not_be_indexed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are found by reading them, and indexed by the next write."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = create(path)
    with monkeypatch.context() as patched:
        patched.setattr("winnow.retrieval.store.lance_fulltext.write_segments", full)
        store.replace([written("a", "bravo " * 40, pieces=40)])
    assert waiting_rows(store) == 40
    assert len(store.snapshot().lexical("bravo", 100).numbers) == 40
    store.replace([written("b", "bravo")])
    assert waiting_rows(store) == 0
    assert len(reopened(path).snapshot().lexical("bravo", 100).numbers) == 41
    assert list(find_damage(path)) == []


def test_compaction_leaves_no_word_behind(path: Path) -> None:
    """Segments of what is joined go before, and every chunk is found through all of it, once."""
    store = create(path)
    for number in range(80):
        store.replace([written(f"d{number}", f"bravo{'' if number % 2 else ' delta'}")])
        if number % 7 == 0:
            store.index_words()
        assert len(store.snapshot().lexical("bravo", 1_000).numbers) == number + 1
    assert len(store.snapshot().dataset.get_fragments()) < 80
    covered = [
        fragment
        for index in store.snapshot().dataset.describe_indices()
        for segment in index.segments
        for fragment in segment.fragment_ids
        if index.name == "words_words"
    ]
    assert len(covered) == len(set(covered))
    assert set(covered) <= {fragment.fragment_id for fragment in store.snapshot().dataset.get_fragments()}


def rows_of_words(path: Path) -> int:
    """Which the files of the full-text index know: each with its words, which are compressed there."""
    return sum(
        LanceFileReader(str(file)).read_all().to_table().num_rows for file in path.glob("_indices/*/*_docs.lance")
    )


class NoIndexes(DiskSyncer):
    """Fails on the files of the full-text index, once it is told to."""

    def __init__(self) -> None:
        self.fails = False

    def sync(self, path: Path) -> None:
        if self.fails and "_indices" in path.parts:
            raise WriteFailed(f"{path}: scripted")
        super().sync(path)


def test_a_sync_that_failed_for_words_is_believed_like_any_other(path: Path) -> None:
    """The write is there, but no success is told, and nothing more is written until the store is opened anew."""
    syncer = NoIndexes()
    store = LanceStore.create(path, dimension=DIMENSION, syncer=syncer)
    store.replace([written("b", "bravo")])
    syncer.fails = True
    for text in ("bravo " * 40, "never"):
        with pytest.raises(WriteFailed, match="an earlier sync failed"):
            store.replace([written("a", text, pieces=40 if text != "never" else 1)])
    assert contents(store) == {"a": "bravo " * 40, "b": "bravo"}
    again = reopened(path)
    again.replace([written("b", "bravo again")])
    assert waiting_rows(again) == 0
    assert len(again.snapshot().lexical("bravo", 100).numbers) == 41


def words_on_disk(path: Path) -> set[str]:
    """In the files of the column of words, which compresses them, too."""
    tables = [LanceFileReader(str(file)).read_all().to_table() for file in path.glob("data/*.lance")]
    return {word for table in tables for words in table["words"].to_pylist() for word in words.split()}


@pytest.mark.parametrize("gone", [["d7"], ["a4"], ["d7", "a4"]])
def test_words_of_what_was_deleted_go_with_a_clean_up(path: Path, gone: list[str]) -> None:
    """Of a document that was all there was in its fragment, and of one among others; compressed words too."""
    store = create(path)
    store.replace([written(f"a{number}", f"worda{number}x") for number in range(9)])
    for number in range(20):
        store.replace([written(f"d{number}", f"wordd{number}x")])
    store.index_words()
    store.delete(gone)
    words = {f"word{name}x" for name in gone}
    assert words <= words_on_disk(path)
    assert rows_of_words(path) >= 29
    for _ in range(2):
        age(path, seconds=3_600)
        store.clean_up()
    left = words_on_disk(path)
    assert not words & left
    assert {"worda5x", "wordd9x"} <= left
    assert rows_of_words(path) == store.snapshot().count() == 29 - len(gone)


def test_a_store_that_was_made_without_words_says_so_until_it_is_indexed(path: Path) -> None:
    """A write leaves it as it is; what is asked for by words is refused, not answered with nothing."""
    create(path).replace([written("a", "bravo")])
    old = lance.dataset(str(path))
    for index in old.describe_indices():
        old.drop_index(index.name)
    store = LanceStore.open(path, dimension=DIMENSION, syncer=WatchedSyncer())
    store.replace([written("b", "bravo delta")])
    with pytest.raises(WordsNotIndexed):
        store.snapshot().lexical("bravo", 5)
    store.index_words()
    assert store.snapshot().lexical("delta", 5).numbers.tolist() == [1]
    assert len(store.snapshot().lexical("bravo", 5).numbers) == 2
