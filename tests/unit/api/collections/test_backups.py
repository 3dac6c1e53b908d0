"""A collection goes out whole and comes back whole, or not at all."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.builders import written
from tests.snapshots import IDENTITY, Watched, contents, folder_of, made, names, store_of
from winnow.api.collections.backups import place_of, restore, snapshot
from winnow.api.collections.data_folder import DataFolder
from winnow.api.diagnostics.repair import repaired
from winnow.api.diagnostics.verify import NOT_IN_CATALOG, verified
from winnow.retrieval.backup.place import FolderPlace
from winnow.retrieval.catalog.instructions import InstructionContent, Variable
from winnow.retrieval.errors import (
    CollectionExists,
    CollectionNotFound,
    InvalidRequest,
    ModelMismatch,
    SnapshotCorrupt,
    SnapshotExists,
    SnapshotNotFound,
    StoreCorrupt,
)
from winnow.retrieval.files.layout import stamp_created
from winnow.retrieval.files.locks import writing
from winnow.retrieval.files.s3_access import S3Access
from winnow.retrieval.store.contract import Store
from winnow.retrieval.tenancy import DEFAULT_TENANT


def take(disk: DataFolder, place: Path, name: str = "docs") -> None:
    snapshot(disk, DEFAULT_TENANT, name, FolderPlace(place), watcher=Watched())


def bring(disk: DataFolder, place: Path, name: str = "docs", *, replacing: bool = False) -> None:
    restore(
        disk,
        DEFAULT_TENANT,
        name,
        FolderPlace(place),
        embedder=IDENTITY,
        replace=replacing,
        watcher=Watched(),
    )


def test_everything_comes_back_by_value(tmp_path: Path) -> None:
    """Documents, chunk numbers, vectors to the bit, search results, facts; and it is sound, and can be written to."""
    disk, other = made(tmp_path / "data"), DataFolder.open(tmp_path / "other")
    take(disk, tmp_path / "place")
    bring(other, tmp_path / "place", "again")
    assert contents(other, "again") == contents(disk, "docs")
    assert [check.fault for check in verified(other) if check.fault] == []
    before = store_of(disk, "docs").snapshot().chunk_numbers()[-1]
    for each, name in ((disk, "docs"), (other, "again")):
        store_of(each, name).replace([written("new", "a new text", pieces=2)])
    assert contents(other, "again") == contents(disk, "docs")
    assert store_of(other, "again").snapshot().chunk_numbers()[-1] == before + 2


def test_the_one_who_waits_is_told_every_byte(tmp_path: Path) -> None:
    """And what is being done."""
    disk = made(tmp_path / "data")
    out, back = Watched(), Watched()
    manifest = snapshot(disk, DEFAULT_TENANT, "docs", FolderPlace(tmp_path / "place"), watcher=out)
    restore(disk, DEFAULT_TENANT, "b", FolderPlace(tmp_path / "place"), embedder=IDENTITY, replace=False, watcher=back)
    assert out.doings == ["checking the stored data", "writing the snapshot"]
    assert back.doings == ["reading the snapshot", "building the index"]
    assert back.bytes == manifest.bytes
    assert out.bytes == manifest.bytes + (tmp_path / "place" / "manifest.json").stat().st_size


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize("damage", [flip, truncate, append, Path.unlink])
def test_every_damaged_file_is_named_and_nothing_is_restored(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Whichever it is; the collection that is there stays, and one that is not there does not come."""
    disk = made(tmp_path / "data")
    take(disk, tmp_path / "whole")
    store_of(disk, "docs").replace([written("after", "what was written after the snapshot")])
    expected = contents(disk, "docs")
    files = [path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*") if path.is_file()]
    assert len(files) >= 6
    for file in files:
        place = tmp_path / "damaged"
        shutil.copytree(tmp_path / "whole", place)
        damage(place / file)
        kind = SnapshotNotFound if damage is Path.unlink and file.name == "manifest.json" else SnapshotCorrupt
        for name, replacing in (("docs", True), ("other", False)):
            with pytest.raises(kind) as caught:
                bring(disk, place, name, replacing=replacing)
            assert kind is SnapshotNotFound or str(file) in str(caught.value)
            assert folder_of(disk, name).restorings() == []
        shutil.rmtree(place)
    assert names(disk) == ["docs"]
    assert contents(disk, "docs") == expected


def test_a_collection_that_is_there_is_left_alone_unless_it_may_be_replaced(tmp_path: Path) -> None:
    """By --replace it becomes what the snapshot holds, under a new date, so that who has it open looks again."""
    disk, changed = made(tmp_path / "data"), made(tmp_path / "changed", documents=9, word="other")
    take(disk, tmp_path / "place")
    kept = contents(changed, "docs")
    with pytest.raises(CollectionExists):
        bring(changed, tmp_path / "place")
    assert contents(changed, "docs") == kept
    before = changed.catalog.collections.get(DEFAULT_TENANT, "docs").created_at
    bring(changed, tmp_path / "place", replacing=True)
    assert contents(changed, "docs") == contents(disk, "docs")
    assert changed.catalog.collections.get(DEFAULT_TENANT, "docs").created_at > before
    assert not folder_of(changed, "docs").replaced.path.exists()


def test_another_embedder_is_refused_by_name(tmp_path: Path) -> None:
    """With what to start it with, and before anything is read or written."""
    disk = made(tmp_path / "data")
    take(disk, tmp_path / "place")
    with pytest.raises(ModelMismatch, match="--embed-model hash-embedder --embed-dimension 8"):
        restore(
            disk,
            DEFAULT_TENANT,
            "b",
            FolderPlace(tmp_path / "place"),
            embedder=replace(IDENTITY, revision="2"),
            replace=False,
            watcher=Watched(),
        )
    assert not folder_of(disk, "b").path.exists()


def test_an_instruction_goes_with_its_collection(tmp_path: Path) -> None:
    """Its text is published where there is none of its name; where there is, that one stays, and it is told."""
    disk = made(tmp_path / "data")
    disk.catalog.instructions.publish(DEFAULT_TENANT, "house", InstructionContent(text="first"))
    disk.catalog.instructions.publish(DEFAULT_TENANT, "house", InstructionContent(text="newest"))
    disk.catalog.collections.change(DEFAULT_TENANT, "docs", instruction="house", reranker="large")
    take(disk, tmp_path / "place")
    for existing, text, is_other in ((None, "newest", False), ("newest", "newest", False), ("mine", "mine", True)):
        other = DataFolder.open(tmp_path / f"other-{existing}")
        if existing:
            other.catalog.instructions.publish(DEFAULT_TENANT, "house", InstructionContent(text=existing))
        done = restore(
            other,
            DEFAULT_TENANT,
            "docs",
            FolderPlace(tmp_path / "place"),
            embedder=IDENTITY,
            replace=False,
            watcher=Watched(),
        )
        assert done.other_instruction is is_other
        assert [each.text for each in other.catalog.instructions.versions(DEFAULT_TENANT)] == [text]
        restored = other.catalog.collections.get(DEFAULT_TENANT, "docs")
        assert (restored.instruction, restored.reranker, restored.chunk_tokens) == ("house", "large", 77)


@pytest.mark.parametrize("named", ["house", "house@2"])
def test_all_that_an_instruction_says_goes_with_it(tmp_path: Path, named: str) -> None:
    """Variables too; and where the collection named a version it names the one that says the same."""
    disk, other = made(tmp_path / "data"), DataFolder.open(tmp_path / "other")
    content = InstructionContent(text="{topic}: {{a}}", note="n", variables=(Variable(name="topic", default="x"),))
    for each in (InstructionContent(text="first"), content):
        disk.catalog.instructions.publish(DEFAULT_TENANT, "house", each)
    disk.change(DEFAULT_TENANT, "docs", instruction=named)
    take(disk, tmp_path / "place")
    for name in ("docs", "again"):
        bring(other, tmp_path / "place", name)
        expected = "house" if named == "house" else "house@1"
        assert other.catalog.collections.get(DEFAULT_TENANT, name).instruction == expected
    assert [each.content for each in other.catalog.instructions.versions(DEFAULT_TENANT)] == [content]


@pytest.mark.parametrize("named", ["house", "house@1"])
def test_an_instruction_from_before_a_name_was_reserved_comes_back(
    tmp_path: Path, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier winnows let an instruction declare `today`; a snapshot that holds one cannot be changed."""
    disk, other = made(tmp_path / "data"), DataFolder.open(tmp_path / "other")
    content = InstructionContent(text="Since {today}", variables=(Variable(name="today", default="noon"),))
    with monkeypatch.context() as earlier:
        earlier.setattr("winnow.api.library.instructions.check_content", lambda content: content)
        disk.catalog.instructions.publish(DEFAULT_TENANT, "house", content)
    disk.change(DEFAULT_TENANT, "docs", instruction=named)
    take(disk, tmp_path / "place")
    bring(other, tmp_path / "place", "docs")
    assert [each.content for each in other.catalog.instructions.versions(DEFAULT_TENANT)] == [content]
    with pytest.raises(InvalidRequest, match="'today' is reserved"):
        other.catalog.instructions.publish(DEFAULT_TENANT, "house", content)


def test_an_instruction_that_comes_with_winnow_is_named_only(tmp_path: Path) -> None:
    """It is there already."""
    disk, other = made(tmp_path / "data"), DataFolder.open(tmp_path / "other")
    disk.change(DEFAULT_TENANT, "docs", instruction="builtin/legal-statutes")
    take(disk, tmp_path / "place")
    bring(other, tmp_path / "place")
    assert other.catalog.collections.get(DEFAULT_TENANT, "docs").instruction == "builtin/legal-statutes"
    assert other.catalog.instructions.versions(DEFAULT_TENANT) == []


def test_a_snapshot_is_never_put_where_something_lies(tmp_path: Path) -> None:
    """Neither over a finished one nor beside somebody's files; what an unfinished one has left goes."""
    disk = made(tmp_path / "data")
    place = tmp_path / "place"
    take(disk, place)
    with pytest.raises(SnapshotExists, match="already holds a snapshot"):
        take(disk, place)
    (place / "manifest.json").unlink()
    with pytest.raises(SnapshotNotFound, match="begun but not finished"):
        bring(disk, place, "b")
    store_of(disk, "docs").replace([written("more", "of another version")])
    (place / "corpus.lance" / "data" / "half.lance.tmp").touch()
    take(disk, place)
    assert not list(place.rglob("*.tmp"))
    bring(disk, place, "b")
    assert contents(disk, "b") == contents(disk, "docs")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(SnapshotExists, match=r"thesis\.txt"):
        take(disk, tmp_path / "mine")
    with pytest.raises(SnapshotNotFound, match="there is nothing"):
        bring(disk, tmp_path / "none", "c")
    with pytest.raises(CollectionNotFound):
        take(disk, tmp_path / "new", "none")
    with pytest.raises(InvalidRequest, match="is inside the data folder"):
        take(disk, folder_of(disk, "docs").path / "backup")


def test_a_damaged_corpus_is_not_taken(tmp_path: Path) -> None:
    """It would push out an older snapshot that is whole."""
    disk = made(tmp_path / "data", documents=40)
    largest = max((folder_of(disk, "docs").corpus / "data").iterdir(), key=lambda path: path.stat().st_size)
    content = largest.read_bytes()
    at = content.index("退货".encode())
    largest.write_bytes(content[:at] + "退款".encode() + content[at + 6 :])
    with pytest.raises(StoreCorrupt, match=r"differs from what was written.*No snapshot was taken"):
        take(disk, tmp_path / "place")
    assert not (tmp_path / "place" / "manifest.json").exists()


def test_a_snapshot_beside_a_writer_is_exactly_one_version(tmp_path: Path) -> None:
    """Every document is of the round that the version had: none older, none newer, none missing."""
    disk = made(tmp_path / "data")
    store, rounds, stop = store_of(disk, "docs"), {}, threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            version = store.replace([written(f"w{each}", f"round {number} of {each}", pieces=2) for each in range(20)])
            rounds[version] = number

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(rounds) < 2:
            pass
        for each in range(4):
            take(disk, tmp_path / f"place-{each}")
    finally:
        stop.set()
        writer.join()
    for each in range(4):
        bring(disk, tmp_path / f"place-{each}", f"restored-{each}")
        found = store_of(disk, f"restored-{each}").snapshot()
        texts = {found.document(f"w{number}").text for number in range(20)}
        written_at = max(version for version in rounds if version <= found.version)  # then words may have been indexed
        assert texts == {f"round {rounds[written_at]} of {number}" for number in range(20)}
        assert [check.fault for check in verified(disk) if check.fault] == []


@dataclass(slots=True)
class WritesMeanwhile:
    """Whenever something was copied, the collection is written to and cleaned up, as if hours had passed."""

    store: Store
    versions: Path
    freed: list[int] = field(default_factory=list)

    def started(self, doing: str, size: int | None) -> None: ...

    def advanced(self, size: int) -> None:
        for number in range(3):
            self.store.replace([written("d0", f"newer {number}"), written("late", f"later {number}")])
        for manifest in self.versions.glob("*.manifest"):
            os.utime(manifest, (0.0, 0.0))
        self.freed.append(self.store.clean_up())


def test_a_version_stays_while_it_is_copied_and_no_longer(tmp_path: Path) -> None:
    """Clean-up leaves it alone without an error, and takes it up again as soon as the copy is done."""
    disk = made(tmp_path / "data")
    store, expected = store_of(disk, "docs"), contents(disk, "docs")
    meanwhile = WritesMeanwhile(store, folder_of(disk, "docs").corpus / "_versions")
    snapshot(disk, DEFAULT_TENANT, "docs", FolderPlace(tmp_path / "place"), watcher=meanwhile)
    assert len(meanwhile.freed) >= 6
    assert set(meanwhile.freed) == {0}
    assert store.clean_up() > 0
    bring(disk, tmp_path / "place", "b")
    assert contents(disk, "b") == expected


def test_what_a_killed_restore_has_left_is_named_and_removed_but_not_from_one_that_runs(tmp_path: Path) -> None:
    """In a collection that is there, and where there is none yet."""
    disk = made(tmp_path / "data")
    restoring = {name: folder_of(disk, name).restoring("token") for name in ("docs", "coming")}
    for each in restoring.values():
        (each.corpus / "data").mkdir(parents=True)
    coming = replace(disk.catalog.collections.get(DEFAULT_TENANT, "docs"), name="coming", created_at=datetime.now(UTC))
    disk.catalog.collections.begin(coming)
    stamp_created(restoring["coming"], coming.created_at)
    with writing(restoring["docs"]), writing(restoring["coming"]):
        assert repaired(disk, kept=2) == []
    left = {(each.collection, each.found) for each in verified(disk) if each.part == "left over"}
    assert left == {("docs", "restoring.token"), ("coming", NOT_IN_CATALOG)}
    assert {each.did for each in repaired(disk, kept=2)} == {"removed restoring.token", "removed coming"}
    assert [each for each in verified(disk) if each.part == "left over"] == []


@pytest.mark.parametrize(
    "target", ["gs://bucket/x", "s3:///x", "s3://key:secret@bucket/x", "http://host/x", "s3://bucket", "s3://bucket/"]
)
def test_a_target_is_a_folder_or_a_path_in_a_bucket(target: str) -> None:
    """A key in it is refused without being repeated."""
    with pytest.raises(InvalidRequest) as caught:
        place_of(target, S3Access())
    assert "secret" not in str(caught.value)
