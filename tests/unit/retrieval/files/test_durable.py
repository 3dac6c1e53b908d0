"""retrieval/files/durable.py and retrieval/files/locks.py"""

from __future__ import annotations

import multiprocessing
import resource
import signal
from pathlib import Path

import pytest

from tests.faults.watched_syncer import WatchedSyncer, state_of
from winnow.retrieval.errors import CollectionBusy, WriteFailed
from winnow.retrieval.files.durable import DISK, StrictSyncer, SyncedTree, make_folder, write_file
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.locks import writing


def test_a_file_is_complete_before_it_has_its_name(tmp_path: Path) -> None:
    """The content is synced under another name first, and the folder after the rename."""
    syncer = WatchedSyncer()
    write_file(tmp_path / "pointer", b"g000001\n", syncer=syncer)
    assert syncer.synced == [tmp_path / "pointer.tmp", tmp_path]
    assert (tmp_path / "pointer").read_bytes() == b"g000001\n"
    assert syncer.state_when_synced[tmp_path] == state_of(tmp_path)


@pytest.mark.parametrize("fail_at", [0, 1])
def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, fail_at: int) -> None:
    """Old or new, never a part of either, and no rubbish beside it."""
    write_file(tmp_path / "pointer", b"old")
    with pytest.raises(WriteFailed):
        write_file(tmp_path / "pointer", b"new content", syncer=WatchedSyncer(fail_at=fail_at))
    assert (tmp_path / "pointer").read_bytes() == (b"old" if fail_at == 0 else b"new content")
    assert [path.name for path in tmp_path.iterdir()] == ["pointer"]


def test_a_full_disk_is_a_failed_write(tmp_path: Path) -> None:
    """What the system refuses arrives as WriteFailed, and names the file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        with pytest.raises(WriteFailed, match="large"):
            write_file(tmp_path / "large", bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_a_failed_write(tmp_path: Path) -> None:
    """No foreign error leaves the module."""
    with pytest.raises(WriteFailed, match="nowhere"):
        write_file(tmp_path / "nowhere" / "file", b"")
    with pytest.raises(WriteFailed, match="gone"):
        DISK.sync(tmp_path / "gone")


def test_new_folders_are_known_to_their_parents(tmp_path: Path) -> None:
    """Each new name is synced in the folder that holds it; folders that were there are left alone."""
    syncer = WatchedSyncer()
    make_folder(tmp_path / "a" / "b" / "c", syncer=syncer)
    assert set(syncer.synced) == {tmp_path, tmp_path / "a", tmp_path / "a" / "b"}
    make_folder(tmp_path / "a" / "b" / "c", syncer=(again := WatchedSyncer()))
    assert again.synced == []


def test_a_tree_syncs_what_is_new_and_files_before_folders(tmp_path: Path) -> None:
    """A file whose name was synced is not synced again."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "one").write_bytes(b"1")
    syncer = WatchedSyncer()
    tree = SyncedTree(tmp_path, syncer=syncer)
    tree.sync()
    assert syncer.synced.index(tmp_path / "data" / "one") < syncer.synced.index(tmp_path / "data")
    assert set(syncer.synced) == {tmp_path.parent, tmp_path, tmp_path / "data", tmp_path / "data" / "one"}
    syncer.synced.clear()
    (tmp_path / "data" / "two").write_bytes(b"2")
    tree.sync()
    assert syncer.synced == [tmp_path / "data" / "two", tmp_path / "data"]


def test_what_failed_to_sync_once_fails_for_good(tmp_path: Path) -> None:
    """The kernel forgets pages that it could not write: a second sync would succeed over nothing."""
    (tmp_path / "file").write_bytes(b"1")
    failing_once = WatchedSyncer(fail_at=0, failures=1)
    strict = StrictSyncer(failing_once)
    strict.require_sound()
    tree = SyncedTree(tmp_path, syncer=strict)
    with pytest.raises(WriteFailed, match="scripted"):
        tree.sync()
    with pytest.raises(WriteFailed, match=r"an earlier sync failed .*scripted"):
        tree.sync()
    with pytest.raises(WriteFailed, match="restart winnow"):
        strict.require_sound()
    assert failing_once.synced == []


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """The second is told at once, or after the wait it asked for; the lock is free again afterwards."""
    folder = CollectionFolder(tmp_path / "c")
    with writing(folder):
        with pytest.raises(CollectionBusy), writing(folder):
            pass
        with pytest.raises(CollectionBusy), writing(folder, wait_seconds=0.05):
            pass
    with writing(folder):
        pass


def _hold(folder: CollectionFolder, held: multiprocessing.synchronize.Event) -> None:
    with writing(folder):
        held.set()
        signal.pause()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """Nobody has to remove a stale lock."""
    folder = CollectionFolder(tmp_path / "c")
    spawn = multiprocessing.get_context("spawn")
    held = spawn.Event()
    holder = spawn.Process(target=_hold, args=(folder, held))
    holder.start()
    assert held.wait(30)
    with pytest.raises(CollectionBusy), writing(folder):
        pass
    holder.kill()
    holder.join()
    with writing(folder, wait_seconds=5):
        pass
