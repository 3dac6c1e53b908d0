"""retrieval/generation/history.py: which generation serves, how one goes back, and what may go."""

from __future__ import annotations

import os
import shutil
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.builders import DIMENSION, written
from tests.fakes import MemoryStore
from tests.faults.watched_syncer import WatchedSyncer
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionBusy, InvalidRequest, WriteFailed
from winnow.retrieval.files.layout import CollectionFolder, stamp_created
from winnow.retrieval.files.lease import OneHostLease
from winnow.retrieval.files.locks import folding, pointing, writing
from winnow.retrieval.generation.cleanup import RETIRED_SECONDS, clean, remove_left_over
from winnow.retrieval.generation.history import fold, roll_back
from winnow.retrieval.generation.listing import left_over, listed
from winnow.retrieval.generation.open import open_newest
from winnow.retrieval.generation.pointer import current_name, names, rolled_back
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.search.reader import IndexReader
from winnow.retrieval.store.contract import StoreSnapshot

IDENTITY = EmbedderIdentity(name="hash", revision="r1", dimension=DIMENSION)
LATER = RETIRED_SECONDS + 60  # seconds


def published(folder: CollectionFolder, store: MemoryStore, count: int) -> list[str]:
    return [publish(folder, store.snapshot(), IDENTITY).name for _ in range(count)]


def damage(folder: CollectionFolder, name: str) -> None:
    (folder.generations / name / "vectors.sums").write_bytes(b"damaged")


def test_a_rollback_stays_until_the_next_publication(folder: CollectionFolder, store: MemoryStore) -> None:
    """Whoever opens the collection anew finds the older generation, and no fault; the next publication is newer."""
    published(folder, store, 3)
    assert rolled_back(folder) is None
    assert roll_back(folder, IDENTITY) == "g000002"
    opened = open_newest(folder, IDENTITY, store)
    assert opened is not None
    assert (opened.name, opened.fallback_from) == ("g000002", None)
    assert [(each.name, each.is_current, each.is_rolled_back) for each in listed(folder)] == [
        ("g000003", False, True),
        ("g000002", True, False),
        ("g000001", False, False),
    ]
    assert roll_back(folder, IDENTITY) == "g000001"
    rollback = rolled_back(folder)
    assert rollback is not None
    assert (rollback.newest, rollback.to) == ("g000003", "g000001")
    assert publish(folder, store.snapshot(), IDENTITY).name == "g000004"
    assert (current_name(folder), rolled_back(folder)) == ("g000004", None)


def test_a_rollback_can_be_taken_back(folder: CollectionFolder, store: MemoryStore) -> None:
    """By naming the newer generation."""
    published(folder, store, 2)
    roll_back(folder, IDENTITY)
    assert roll_back(folder, IDENTITY, to="g000002") == "g000002"
    assert rolled_back(folder) is None


def test_a_rollback_passes_over_what_would_not_serve(folder: CollectionFolder, store: MemoryStore) -> None:
    """Going back to a damaged generation would be going nowhere; asked for by name it is refused with the reason."""
    published(folder, store, 3)
    damage(folder, "g000002")
    with pytest.raises(
        InvalidRequest, match=r"cannot roll back to generation g000002: vectors\.sums differs from what was written"
    ):
        roll_back(folder, IDENTITY, to="g000002")
    assert roll_back(folder, IDENTITY) == "g000001"
    for to, reason in (
        ("g000001", "is already the current generation"),
        ("g000009", "it does not exist; existing generations: g000003"),
        ("../x", "it does not exist"),
    ):
        with pytest.raises(InvalidRequest, match=reason):
            roll_back(folder, IDENTITY, to=to)
    with pytest.raises(InvalidRequest, match="no intact generation before g000001"):
        roll_back(folder, IDENTITY)
    with pytest.raises(InvalidRequest, match="it was built with hash"):
        roll_back(folder, EmbedderIdentity(name="other", revision="r", dimension=DIMENSION), to="g000003")


def test_a_rollback_is_whole_or_did_not_happen(tmp_path: Path, store: MemoryStore) -> None:
    """Wherever the disk dies, one of the two generations is current and whole, and no rollback is claimed falsely."""
    watched = WatchedSyncer()
    counted = CollectionFolder(tmp_path / "count")
    published(counted, store, 2)
    roll_back(counted, IDENTITY, syncer=watched)
    for fail_at in range(len(watched.synced)):
        folder = CollectionFolder(tmp_path / str(fail_at))
        published(folder, store, 2)
        with pytest.raises(WriteFailed):
            roll_back(folder, IDENTITY, syncer=WatchedSyncer(fail_at=fail_at))
        opened = open_newest(folder, IDENTITY, store)
        assert opened is not None
        assert opened.fallback_from is None
        assert (rolled_back(folder) is not None) is (opened.name == "g000001")


def snapshot_with(store: MemoryStore, meanwhile) -> StoreSnapshot:
    snapshot = store.snapshot()

    class Interrupted(type(snapshot)):
        def vectors(self, *, after: int = -1):
            meanwhile()
            yield from super().vectors(after=after)

    return Interrupted(version=snapshot.version, documents=snapshot.documents, stored=snapshot.stored)


def test_a_rollback_wins_over_a_fold_that_is_under_way(folder: CollectionFolder, store: MemoryStore) -> None:
    """It does not wait for it, and what the fold built does not undo it."""
    published(folder, store, 2)
    with pytest.raises(CollectionBusy, match="was rolled back or removed"):
        fold(folder, snapshot_with(store, lambda: roll_back(folder, IDENTITY)), IDENTITY)
    assert current_name(folder) == "g000001"
    assert left_over(folder) == [folder.generations / "g000003"]
    assert clean(folder).removed == ("generations/g000003",)
    assert names(folder) == ["g000002", "g000001"]


def test_a_collection_that_is_made_anew_during_a_fold_gets_none_of_it(
    folder: CollectionFolder, store: MemoryStore
) -> None:
    """The vectors of the removed one would be found under the numbers of the new one."""

    def remake() -> None:
        folder.path.rename(folder.path.with_name("gone"))
        shutil.rmtree(folder.path.with_name("gone"))
        folder.path.mkdir()

    with pytest.raises(WriteFailed):
        fold(folder, snapshot_with(store, remake), IDENTITY)
    assert (current_name(folder), names(folder)) == (None, [])


def test_a_collection_that_took_the_place_of_another_during_a_fold_gets_none_of_it(
    folder: CollectionFolder, store: MemoryStore
) -> None:
    """Also where its folder looks just as the other one's did, down to the unfinished generation."""
    earlier, later = datetime(2026, 11, 25, tzinfo=UTC), datetime(2026, 11, 26, tzinfo=UTC)
    stamp_created(folder, earlier)
    with pytest.raises(CollectionBusy, match="has just been replaced"):
        fold(folder, snapshot_with(store, lambda: stamp_created(folder, later)), IDENTITY, made_at=earlier)
    assert current_name(folder) is None
    assert fold(folder, store.snapshot(), IDENTITY, made_at=later).name == current_name(folder)


def test_a_collection_that_does_not_say_when_it_was_made_is_folded(
    folder: CollectionFolder, store: MemoryStore
) -> None:
    """An earlier winnow made it, or something has damaged the file."""
    moment = datetime(2026, 11, 25, tzinfo=UTC)
    assert fold(folder, store.snapshot(), IDENTITY, made_at=moment).name == "g000001"
    folder.made.write_bytes(b"\xff")
    assert fold(folder, store.snapshot(), IDENTITY, made_at=moment).name == "g000002"


def test_nobody_who_writes_waits_for_a_fold(folder: CollectionFolder, store: MemoryStore) -> None:
    """The writer's lock is free all the time; what is written and deleted meanwhile is not lost."""

    def write() -> None:
        with writing(folder):
            store.replace([written("meanwhile", "text")])
            store.delete(["d0"])

    manifest = fold(folder, snapshot_with(store, write), IDENTITY)
    view = IndexReader(folder=folder, store=store, identity=IDENTITY).view()
    assert (view.generation, manifest.count) == ("g000001", 5)
    hits = view.search(written("meanwhile", "text").vectors[0], 9).numbers.tolist()
    first, *others = [chunk.document_id for chunk in view.snapshot.chunks(hits)]
    assert (first, sorted(others)) == ("meanwhile", ["d1", "d2", "d3", "d4"])


def test_one_builds_at_a_time(folder: CollectionFolder, store: MemoryStore) -> None:
    """Another one is told at once, or waits as long as it likes."""
    with folding(folder), pytest.raises(CollectionBusy, match="a new index of c is being built"):
        fold(folder, store.snapshot(), IDENTITY)
    with folding(folder):
        waiting = threading.Thread(target=lambda: fold(folder, store.snapshot(), IDENTITY, wait_seconds=60))
        waiting.start()
        time.sleep(0.1)
        assert names(folder) == []
    waiting.join()
    assert names(folder) == ["g000001"]


class LostLease(OneHostLease):
    """Another host took over during the build."""

    def still_folding(self) -> None:
        raise CollectionBusy("another host now builds the index of c")


def test_a_build_whose_right_was_lost_is_not_made_current(folder: CollectionFolder, store: MemoryStore) -> None:
    """What it left is not served, and the next build goes on after it."""
    assert fold(folder, store.snapshot(), IDENTITY).name == "g000001"
    with pytest.raises(CollectionBusy):
        fold(folder, store.snapshot(), IDENTITY, lease=LostLease())
    assert current_name(folder) == "g000001"
    assert fold(folder, store.snapshot(), IDENTITY).name == "g000003"
    assert current_name(folder) == "g000003"


def test_old_generations_go_when_nobody_reads_them_any_more(folder: CollectionFolder, store: MemoryStore) -> None:
    """Two are kept, or as many as are wanted; the others stay for two of the longest requests after their time."""
    published(folder, store, 4)
    assert clean(folder).removed == ()
    soon = clean(folder, kept=3, now=time.time() + LATER)
    assert soon.removed == ("generations/g000001",)
    assert soon.bytes > 0
    assert clean(folder, now=time.time() + LATER).removed == ("generations/g000002",)
    assert clean(folder, now=time.time() + LATER).removed == ()
    assert names(folder) == ["g000004", "g000003"]


def test_the_generation_that_was_good_is_kept_beside_the_next(folder: CollectionFolder, store: MemoryStore) -> None:
    """g000002 was rolled back from, so that behind g000003 stands g000001, which served last."""
    published(folder, store, 2)
    os.utime(folder.generations / "g000001", (1, 1))
    roll_back(folder, IDENTITY)
    assert clean(folder, now=time.time() + LATER).removed == ()
    os.utime(folder.generations / "g000002", (2, 2))
    fold(folder, store.snapshot(), IDENTITY)
    assert names(folder) == ["g000003", "g000001"]


def test_a_damaged_generation_pushes_out_no_whole_one(folder: CollectionFolder, store: MemoryStore) -> None:
    """Two that can serve are worth more than one and a ruin."""
    published(folder, store, 3)
    damage(folder, "g000002")
    assert clean(folder, now=time.time() + LATER).removed == ("generations/g000002",)


def test_a_damaged_pointer_removes_nothing(folder: CollectionFolder, store: MemoryStore) -> None:
    """Any of them may be the one that serves."""
    published(folder, store, 4)
    folder.current.write_bytes(b"\xff")
    assert clean(folder, now=time.time() + LATER).removed == ()


def test_what_is_left_over_is_named_and_removed(folder: CollectionFolder, store: MemoryStore) -> None:
    """Of a killed publication, a killed write of a small file, and of whoever put something there."""
    published(folder, store, 2)
    (folder.generations / "g000003.tmp").mkdir()
    (folder.generations / "g000003.tmp" / "vectors.sums").write_bytes(b"half")
    (folder.path / "current.tmp").write_bytes(b"g0")
    (folder.path / "notes.txt").write_bytes(b"?")
    with writing(folder), folding(folder), pointing(folder):
        pass  # their files are known
    assert [str(path.relative_to(folder.path)) for path in left_over(folder)] == [
        "current.tmp",
        "generations/g000003.tmp",
        "notes.txt",
    ]
    removed = remove_left_over(folder)
    assert (len(removed.removed), removed.bytes) == (3, 7)
    assert left_over(folder) == []
    assert names(folder) == ["g000002", "g000001"]


def test_a_list_tells_what_is_damaged(folder: CollectionFolder, store: MemoryStore) -> None:
    """A wrong size at a glance; a wrong byte where every byte is read; a folder that is not there."""
    published(folder, store, 2)
    path = folder.generations / "g000002" / "vectors.sums"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert [each.fault for each in listed(folder)] == [None, None]
    assert [each.fault is None for each in listed(folder, thorough=True)] == [False, True]
    path.write_bytes(content[:-1])
    assert "bytes, expected" in str(listed(folder)[0].fault)
    shutil.rmtree(folder.generations / "g000002")
    assert [(each.name, each.is_current, each.fault) for each in listed(folder)] == [
        ("g000002", True, "its folder is missing"),
        ("g000001", False, None),
    ]


def test_a_lock_that_was_removed_binds_nobody(folder: CollectionFolder) -> None:
    """A collection that was made anew has a lock of its own, whoever still holds that of the old one."""
    with writing(folder):
        folder.lock.unlink()
        with writing(folder), pytest.raises(CollectionBusy), writing(folder):
            pass
