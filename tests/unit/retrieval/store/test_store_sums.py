"""retrieval/store/checksums.py: every file of a store has its checksum, whoever wrote it, and whatever died
meanwhile."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from tests.builders import DIMENSION, written
from tests.faults.watched_syncer import WatchedSyncer
from winnow.retrieval.errors import StoreCorrupt, WriteFailed
from winnow.retrieval.store import checksums
from winnow.retrieval.store.checksums import (
    SUMS,
    StoreSums,
    checksum_fault,
    checksums_without_file,
    files_without_checksum,
    find_damage,
    read_checksums,
    renew,
)
from winnow.retrieval.store.lance_store import COMMITS_BETWEEN_CLEANUPS, LanceStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "corpus.lance"


def create(path: Path) -> LanceStore:
    return LanceStore.create(path, dimension=DIMENSION, syncer=WatchedSyncer())


def reopened(path: Path) -> LanceStore:
    return LanceStore.open(path, dimension=DIMENSION, syncer=WatchedSyncer())


def expected(path: Path) -> dict[str, str]:
    """What `sha256sum` says of Lance's files."""
    files = [file for file in path.rglob("*") if file.is_file() and file.parent != path]
    return {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.name != "latest_version_hint.json"
    }


def test_every_file_has_its_sum_when_a_write_returns(path: Path) -> None:
    """Of inserts, replacements, deletes and joined fragments; in the format of sha256sum."""
    store = create(path)
    store.replace([written("a", "one", pieces=2), written("b", "two")])
    assert read_checksums(path) == expected(path)
    store.replace([written("a", "changed")])
    store.delete(["b"])
    assert read_checksums(path) == expected(path)
    for turn in range(40):
        store.replace([written(f"d{turn}", "text")])
    assert read_checksums(path) == expected(path)
    assert list(find_damage(path)) == []
    assert checksum_fault(path) is None
    lines = [line for line in (path / SUMS).read_text().splitlines() if not line.startswith("#")]
    assert all(line[64:66] == "  " and (path / line[66:]).is_file() for line in lines)


def test_the_sums_are_on_the_disk_when_a_write_returns(path: Path) -> None:
    """They are synced last: what has a sum is there."""
    create(path).replace([written("a", "one")])
    syncer = WatchedSyncer()
    store = LanceStore.open(path, dimension=DIMENSION, syncer=syncer)
    store.replace([written("b", "first of this opening")])
    assert syncer.synced[-2:] == [path / f"{SUMS}.tmp", path]
    store.replace([written("c", "second")])
    assert syncer.synced[-1] == path / SUMS


def test_files_without_a_sum_get_one_with_the_next_write(path: Path) -> None:
    """A store of an earlier winnow has none at all; a process that died before it wrote them leaves a few."""
    store = create(path)
    store.replace([written("a", "one")])
    (path / SUMS).unlink()
    assert list(find_damage(path)) == []
    reopened(path).replace([written("b", "two")])
    assert read_checksums(path) == expected(path)


def test_a_line_that_was_cut_off_is_none_and_is_written_again(path: Path) -> None:
    """A process may die while it appends."""
    store = create(path)
    store.replace([written("a", "one")])
    whole = (path / SUMS).read_bytes()
    (path / SUMS).write_bytes(whole[:-30])
    assert files_without_checksum(path) == []  # what was cut off is the mark of the last write
    (path / SUMS).write_bytes(whole[:-150])
    assert len(files_without_checksum(path)) == 1
    assert list(find_damage(path)) == []
    reopened(path).replace([written("b", "two")])
    assert read_checksums(path) == expected(path)


def test_two_processes_that_write_in_turn_keep_all_sums(path: Path) -> None:
    """Here: two openings of one path."""
    first = create(path)
    second = reopened(path)
    for turn in range(3):
        first.replace([written(f"a{turn}", "one")])
        second.replace([written(f"b{turn}", "two")])
        assert read_checksums(path) == expected(path)


def arrived(sums: StoreSums, path: Path, name: str) -> None:
    """A write of one file, up to its checksums."""
    sums.begin()
    (path / "data" / name).write_bytes(b"whole LANC")
    sums.arrived(path / "data" / name)


@pytest.mark.parametrize("paused_at", ["the file is opened", "the lines are added"])
def test_a_paused_writer_damages_nothing_that_its_successor_wrote(
    path: Path, monkeypatch: pytest.MonkeyPatch, paused_at: str
) -> None:
    """It has compared the size, or the file, and then another host takes over and writes."""
    (path / "data").mkdir(parents=True)
    paused, successor = (StoreSums(path, syncer=WatchedSyncer()) for _ in range(2))
    arrived(paused, path, "a.lance")
    paused.write()
    arrived(paused, path, "b.lance")
    happened: list[str] = []

    def take_over() -> None:
        if not happened:
            happened.append(paused_at)
            arrived(successor, path, "c.lance")
            successor.write()

    def after_take_over(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any, **named: Any) -> Any:
            take_over()
            return call(*given, **named)

        return called

    if paused_at == "the file is opened":
        monkeypatch.setattr(Path, "open", after_take_over(Path.open))
    else:
        monkeypatch.setattr(checksums, "_with_mark", after_take_over(checksums._with_mark))
    paused.write()
    assert happened
    assert checksum_fault(path) is None
    arrived(successor, path, "d.lance")
    successor.write()
    assert (checksum_fault(path), read_checksums(path)) == (None, expected(path))


def test_a_write_to_a_full_disk_leaves_no_false_mark(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it is in the file, and the next write goes on from what is."""
    (path / "data").mkdir(parents=True)
    sums = StoreSums(path, syncer=WatchedSyncer())
    arrived(sums, path, "a.lance")
    sums.write()
    arrived(sums, path, "b.lance")
    with monkeypatch.context() as full:
        full.setattr(Path, "open", opened_on_full_disk)
        with pytest.raises(WriteFailed, match="No space left"):
            sums.write()
    arrived(sums, path, "c.lance")
    sums.write()
    assert (checksum_fault(path), read_checksums(path)) == (None, expected(path))


class OnFullDisk(FileIO):
    """A file that takes nothing."""

    def write(self, content: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def opened_on_full_disk(path: Path, mode: str) -> OnFullDisk:
    return OnFullDisk(path, mode)


def test_sums_go_with_their_files(path: Path) -> None:
    """Otherwise the list would grow for ever."""
    store = create(path)
    store.replace([written("a", "one")])
    for manifest in (path / "_versions").glob("*.manifest"):
        os.utime(manifest, (0, 0))
    for turn in range(COMMITS_BETWEEN_CLEANUPS + 1):
        store.replace([written("a", str(turn))])
        if turn == 2:
            for manifest in (path / "_versions").glob("*.manifest"):
                os.utime(manifest, (0, 0))
    assert read_checksums(path) == expected(path)
    assert list(find_damage(path)) == []


def test_a_line_that_is_no_sum_is_told_and_stands_in_nobodys_way(path: Path) -> None:
    """The list may be what is damaged; the store can still be read and written."""
    create(path).replace([written("a", "one")])
    lines = (path / SUMS).read_bytes().splitlines(keepends=True)
    (path / SUMS).write_bytes(b"".join([b"Z" + lines[0][1:], *lines[1:]]))
    assert checksum_fault(path) == f"{SUMS} contains lines that are not checksums"
    assert list(find_damage(path)) == []
    reopened(path).replace([written("b", "two")])
    assert read_checksums(path) == expected(path)


def test_a_change_of_the_sums_is_found_and_stays_found(path: Path) -> None:
    """Wherever a bit flips; a write of this process or of the next one does not hide it, `renew` does."""
    store = create(path)
    store.replace([written("a", "one")])
    store.replace([written("b", "two")])
    whole = (path / SUMS).read_bytes()
    assert checksum_fault(path) is None
    for at in range(0, len(whole), 7):
        (path / SUMS).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert checksum_fault(path) is not None or whole[at : at + 1] == b"\n", at
    at = whole.index(b"data/")
    (path / SUMS).write_bytes(whole[:at] + b"e" + whole[at + 1 :])
    store.replace([written("c", "three")])
    reopened(path).replace([written("d", "four")])
    assert checksum_fault(path) is not None
    assert read_checksums(path).items() >= expected(path).items()
    assert checksums_without_file(path) == [whole[at:].splitlines()[0].decode().replace("d", "e", 1)]
    renew(path)
    assert (checksum_fault(path), read_checksums(path), files_without_checksum(path)) == (None, expected(path), [])
    (path / SUMS).unlink()
    assert checksum_fault(path) == f"{SUMS} is missing"


def test_a_file_that_was_cut_short_fails_its_own_write_and_no_later_one(path: Path) -> None:
    """Two of them, of which the write sees but the first: the next one must not fail over the second."""
    (path / "data").mkdir(parents=True)
    (path / "data" / "before.lance").write_bytes(b"of another time")
    sums = StoreSums(path, syncer=WatchedSyncer())
    sums.begin()
    sums.arrived(path / "data" / "before.lance")
    for name in ("a.lance", "b.lance"):
        (path / "data" / name).write_bytes(b"without its en")
    with pytest.raises(WriteFailed, match=r"a\.lance was written only in part"):
        sums.arrived(path / "data" / "a.lance")
    sums.begin()
    (path / "data" / "c.lance").write_bytes(b"whole LANC")
    for name in ("a.lance", "b.lance", "c.lance"):
        sums.arrived(path / "data" / name)
    sums.write()
    assert "data/c.lance" in read_checksums(path)


def test_a_damaged_newest_manifest_is_not_an_older_version(path: Path) -> None:
    """Without its sum it would pass for one that a power cut tore, and what it acknowledged would be gone."""
    create(path).replace([written("a", "acknowledged")])
    newest = min((path / "_versions").glob("*.manifest"))
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.raises(StoreCorrupt, match="differs from what was written"):
        reopened(path)
    assert newest.exists()


def test_an_operators_clean_up_takes_no_sum_that_is_needed(path: Path) -> None:
    """It removes files that no version names, and the list is one that Lance does not know."""
    store = create(path)
    store.replace([written("a", "one")])
    store.replace([written("a", "two")])
    (path / "data" / "of-a-failed-write.lance").write_bytes(b"without its en")
    for manifest in (path / "_versions").glob("*.manifest"):
        os.utime(manifest, (0, 0))
    assert store.clean_up() > 0
    assert read_checksums(path) == expected(path)
    assert {name.partition("/")[0] for name in read_checksums(path)} == {
        "_indices",
        "_transactions",
        "_versions",
        "data",
    }
    assert "data/of-a-failed-write.lance" not in read_checksums(path)
