"""A data folder and its catalog belong together; what another catalog made is never deleted or overwritten."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.builders import written
from tests.snapshots import IDENTITY, Watched, contents, folder_of, made, names, store_of, taken_in
from winnow.api.collections import pairing
from winnow.api.collections.adoption import Presumed, adopt, adoptable
from winnow.api.collections.backups import restore
from winnow.api.collections.data_folder import DataFolder
from winnow.api.diagnostics.repair import repaired
from winnow.api.diagnostics.verify import verified
from winnow.retrieval.backup.place import FolderPlace
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.folder import SqlFolderBook
from winnow.retrieval.errors import (
    CatalogMismatch,
    CollectionBusy,
    CollectionExists,
    CollectionNotFound,
    FolderUnknown,
    StoreCorrupt,
    WinnowError,
)
from winnow.retrieval.files.folder_id import FolderMark, read_mark, write_mark
from winnow.retrieval.files.layout import Layout, created_at_of
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT

PRESUMED = Presumed(embedder=lambda: IDENTITY, chunk_tokens=99)


def collection(name: str = "docs", tenant: str = DEFAULT_TENANT) -> Collection:
    now = datetime.now(UTC)
    return Collection(tenant=tenant, name=name, embedder=IDENTITY, chunk_tokens=77, created_at=now)


@pytest.fixture(params=["sqlite", "postgres"])
def new_url(request: pytest.FixtureRequest) -> Callable[[], str | None]:
    """Where the next catalog is: a file in the data folder, or a database of PostgreSQL that nobody has."""
    if request.param == "sqlite":
        return lambda: None
    return lambda: request.getfixturevalue("postgres").new()


def lose(root: Path) -> Path:
    """Moves the catalog out of the data folder, and returns where it went."""
    away = root.with_name(f"{root.name}-catalog")
    away.mkdir()
    for path in root.glob("catalog.sqlite*"):
        path.rename(away / path.name)
    return away


def put_back(root: Path, away: Path) -> None:
    for path in root.glob("catalog.sqlite*"):
        path.unlink()
    for path in away.iterdir():
        path.rename(root / path.name)


def everything(root: Path) -> dict[str, bytes]:
    """Every file but those of the catalog."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in files
        if not path.name.startswith("catalog.sqlite")
    }


def joined_anyway(root: Path, url: str | None) -> DataFolder:
    """Another catalog, on somebody's wish."""
    pairing.join(Layout(root), url)
    return DataFolder.open(root, url)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> FolderPlace:
    """A snapshot, which is only read."""
    return taken_in(tmp_path_factory.mktemp("outside"), documents=2)


def ways_in(disk: DataFolder, place: FolderPlace, name: str = "docs") -> dict[str, Callable[[], object]]:
    """Every way that makes a collection."""

    def brought(*, replacing: bool) -> object:
        return restore(disk, DEFAULT_TENANT, name, place, embedder=IDENTITY, replace=replacing, watcher=Watched())

    return {
        "make": lambda: disk.make(collection(name)),
        "restore": lambda: brought(replacing=False),
        "replace": lambda: brought(replacing=True),
    }


def test_a_catalog_that_is_gone_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    """The folder says which catalog it had; no file is made, whatever is asked for, and the first one works again."""
    root = tmp_path / "data"
    before = contents(made(root), "docs")
    files, away = everything(root), lose(root)
    for opening in (DataFolder.open, DataFolder.existing):
        with pytest.raises(CatalogMismatch, match=r"WINNOW_CATALOG_URL.*`winnow collections adopt --all --data"):
            opening(root)
    assert not list(root.glob("catalog.sqlite*"))
    assert everything(root) == files
    put_back(root, away)
    assert contents(DataFolder.open(root), "docs") == before


def test_a_forgotten_url_is_no_new_catalog(tmp_path: Path, postgres_url: str) -> None:
    """Nor is a new database in place of the file; even an empty folder has had a catalog."""
    root, other = tmp_path / "data", tmp_path / "other"
    DataFolder.open(root, postgres_url).catalog.database.close()
    with pytest.raises(CatalogMismatch):
        DataFolder.open(root)
    assert not (root / "catalog.sqlite").exists()
    DataFolder.open(other).catalog.database.close()
    with pytest.raises(CatalogMismatch):
        DataFolder.open(other, postgres_url)
    assert DataFolder.open(root, postgres_url).collections() == []


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("postgres").new()
    return url


def test_two_data_folders_do_not_share_a_catalog(tmp_path: Path, postgres_url: str) -> None:
    """Neither one after the other nor at once: one of them is the catalog's."""
    roots = [tmp_path / f"data-{number}" for number in range(4)]

    def opened(root: Path) -> Path | None:
        try:
            DataFolder.open(root, postgres_url).catalog.database.close()
        except CatalogMismatch:
            return None
        return root

    with ThreadPoolExecutor(len(roots)) as pool:
        (mine,) = filter(None, pool.map(opened, roots))
    assert [root for root in roots if opened(root)] == [mine]


def test_processes_that_open_a_new_folder_at_once_agree(tmp_path: Path, new_url: Callable[[], str | None]) -> None:
    root, url = tmp_path / "data", new_url()
    with ThreadPoolExecutor(6) as pool:
        disks = list(pool.map(lambda _: DataFolder.open(root, url), range(6)))
    mark = read_mark(disks[0].layout)
    assert mark == FolderMark(id=SqlFolderBook(disks[0].catalog.database).folder() or "", is_new=False)
    for disk in disks:
        disk.catalog.database.close()


def test_a_crash_while_the_two_are_joined_is_made_good(tmp_path: Path, new_url: Callable[[], str | None]) -> None:
    """Before and after the catalog has named the folder."""
    root, url = tmp_path / "data", new_url()
    root.mkdir()
    layout = Layout(root)
    write_mark(layout, FolderMark(id="a" * 32, is_new=True))
    disk = DataFolder.open(root, url)
    assert read_mark(layout) == FolderMark(id="a" * 32, is_new=False)
    write_mark(layout, FolderMark(id="a" * 32, is_new=True))
    disk.catalog.database.close()
    DataFolder.open(root, url).catalog.database.close()
    assert read_mark(layout) == FolderMark(id="a" * 32, is_new=False)


def unmarked(root: Path, url: str | None) -> None:
    """As an earlier winnow left it: neither knows of the other."""
    database = SqlDatabase.open(url or Layout(root).catalog)
    with database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM data_folder")
    database.close()
    Layout(root).mark.unlink()


def test_an_old_folder_is_joined_with_the_catalog_that_knows_it(
    tmp_path: Path, new_url: Callable[[], str | None]
) -> None:
    """On its first opening; with another catalog, or as another folder, it is refused and stays as it was."""
    root, url = tmp_path / "data", new_url()
    disk = DataFolder.open(root, url)
    disk.make(collection())
    disk.catalog.database.close()
    unmarked(root, url)
    bare = tmp_path / "bare"
    bare.mkdir()
    if url is None:
        shutil.copy2(root / "catalog.sqlite", bare / "catalog.sqlite")
    with pytest.raises(CatalogMismatch):  # the catalog has collections, and the folder none
        DataFolder.open(bare, url)
    away = lose(root)
    with pytest.raises(CatalogMismatch):  # the other way about
        DataFolder.open(root, new_url())
    put_back(root, away)
    DataFolder.open(root, url).catalog.database.close()
    assert read_mark(Layout(root)) is not None


def test_what_an_old_folder_has_left_over_does_not_keep_it_from_its_catalog(tmp_path: Path) -> None:
    """A stray file, or half of a removal."""
    root = tmp_path / "data"
    DataFolder.open(root).catalog.database.close()
    unmarked(root, None)
    doomed = root / "collections" / "default" / ".docs.removed"
    doomed.mkdir(parents=True)
    (doomed / "made").write_text("x")
    (doomed.parent / ".DS_Store").write_text("x")
    DataFolder.open(root).catalog.database.close()
    assert read_mark(Layout(root)) is not None


def test_a_catalog_that_was_taken_back_to_an_earlier_schema_is_joined_again(tmp_path: Path) -> None:
    root = tmp_path / "data"
    disk = made(root)
    disk.catalog.database.downgrade("0006")
    pairing.part(disk.layout, disk.catalog.database)
    disk.catalog.database.close()
    assert names(DataFolder.open(root)) == ["docs"]


def test_a_damaged_mark_is_refused_and_adopted(tmp_path: Path) -> None:
    root = tmp_path / "data"
    DataFolder.open(root).catalog.database.close()
    (root / "folder-id").write_bytes(b"rubbish")
    with pytest.raises(StoreCorrupt, match="adopt --all"):
        DataFolder.open(root)
    assert "damaged" in str(pairing.mismatch(Layout(root), None))
    assert joined_anyway(root, None).collections() == []


def test_no_way_in_touches_a_folder_that_the_catalog_does_not_know(
    tmp_path: Path, place: FolderPlace, new_url: Callable[[], str | None]
) -> None:
    """It is refused by name, whatever lies there; and the catalog that made it serves what it served."""
    root = tmp_path / "data"
    before = contents(made(root), "docs")
    away = lose(root)
    disk = joined_anyway(root, new_url())
    (disk.layout.tenants / "default" / "notes").mkdir()
    (disk.layout.tenants / "default" / "notes" / "thesis.txt").write_text("years of work")
    files = everything(root)
    for name in ("docs", "notes"):
        for way in ways_in(disk, place, name).values():
            with pytest.raises(FolderUnknown, match=f"collections/default/{name} .*`winnow collections adopt {name}`"):
                way()
    assert everything(root) == files
    assert [(each.collection, each.part) for each in verified(disk) if each.fault] == [
        ("docs", "unknown"),
        ("notes", "unknown"),
    ]
    repaired(disk, kept=2)
    assert everything(root) == files
    disk.catalog.database.close()
    put_back(root, away)
    with pytest.raises(CatalogMismatch):
        DataFolder.open(root)
    assert contents(joined_anyway(root, None), "docs") == before


def test_an_older_backup_of_the_catalog_overwrites_nothing(tmp_path: Path, place: FolderPlace) -> None:
    """Collections that it does not know are in the way by name; one that was made anew since is not mistaken."""
    root = tmp_path / "data"
    disk = made(root, "again")
    disk.catalog.database.close()
    shutil.copy2(root / "catalog.sqlite", tmp_path / "backup")
    disk = DataFolder.open(root)
    disk.remove(DEFAULT_TENANT, "again")
    disk.make(collection("again"))
    disk.make(collection("late"))
    for name in ("again", "late"):
        store_of(disk, name).replace([written("new", "text of today", pieces=1)])
    disk.catalog.database.close()
    for path in root.glob("catalog.sqlite*"):
        path.unlink()
    shutil.copy2(tmp_path / "backup", root / "catalog.sqlite")
    disk = DataFolder.open(root)
    files = everything(root)
    with pytest.raises(FolderUnknown, match="late"):
        disk.make(collection("late"))
    with pytest.raises(StoreCorrupt, match="`winnow collections adopt again`"):
        store_of(disk, "again")
    with pytest.raises(FolderUnknown, match="again"):
        disk.remove(DEFAULT_TENANT, "again")
    with pytest.raises(FolderUnknown, match="again"):
        ways_in(disk, place, "again")["replace"]()
    said = [each.did for each in repaired(disk, kept=2) if each.collection == "again"]
    assert len(said) == 1
    assert said[0].startswith("repaired nothing")
    without_restoring = {name: content for name, content in everything(root).items() if "/restoring." not in name}
    assert without_restoring.items() >= files.items()
    for name in ("again", "late"):
        assert adopt(disk, DEFAULT_TENANT, name, presumed=PRESUMED).documents == 1
        assert store_of(disk, name).snapshot().document("new").text == "text of today"
    assert [each.fault for each in verified(disk) if each.fault] == []


@pytest.mark.parametrize("kind", ["collection", "file", "nowhere"])
def test_a_link_in_the_place_of_a_folder_is_not_followed_to_its_end(
    tmp_path: Path, place: FolderPlace, kind: str
) -> None:
    """Nothing is made or removed where it leads."""
    disk = made(tmp_path / "data", "real")
    there, link = disk.layout.tenants / "default", disk.layout.tenants / "default" / "docs"
    file = tmp_path / "file"
    file.write_text("text")
    link.symlink_to({"collection": there / "real", "file": file, "nowhere": tmp_path / "missing"}[kind])
    files = everything(tmp_path)
    for way in ways_in(disk, place).values():
        with pytest.raises(FolderUnknown):
            way()
    assert files.items() <= everything(tmp_path).items()
    assert not (tmp_path / "missing").exists()
    assert [(each.collection, each.part) for each in verified(disk) if each.fault] == [("docs", "unknown")]


def test_a_collection_behind_a_link_is_deleted_without_what_is_behind_it(tmp_path: Path) -> None:
    """The link is what the catalog knows; the name is free then."""
    disk = made(tmp_path / "data")
    folder = folder_of(disk, "docs").path
    folder.rename(tmp_path / "other disk")
    folder.symlink_to(tmp_path / "other disk")
    assert contents(disk, "docs")
    disk.remove(DEFAULT_TENANT, "docs")
    disk.make(collection())
    assert (tmp_path / "other disk" / "corpus.lance").is_dir()


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("last", ["begun", "made", "corpus"])
def test_what_this_catalog_began_and_did_not_finish_does_not_block_the_name(
    tmp_path: Path, place: FolderPlace, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever making was cut off: the next one goes on, and until then it is named as left over and can be removed."""
    for after in ("make", "repair", "restore"):
        disk = DataFolder.open(tmp_path / after)

        def killed(*_: object, **__: object) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            if last == "begun":
                patch.setattr("winnow.api.collections.data_folder.stamp_created", killed)
            elif last == "made":
                patch.setattr("winnow.api.collections.data_folder.LanceStore.create_at", killed)
            else:
                patch.setattr(type(disk.catalog.collections), "add", killed)
            with pytest.raises(Killed):
                disk.make(collection())
        assert [each.fault for each in verified(disk)] == [None, None]
        if after == "repair":
            assert [each.did for each in repaired(disk, kept=2)] == ["removed docs"]
            assert not folder_of(disk, "docs").path.exists()
        ways_in(disk, place)["restore" if after == "restore" else "make"]()
        assert [each.fault for each in verified(disk) if each.fault] == []
        assert disk.catalog.collections.begun(DEFAULT_TENANT, "docs") == frozenset()


@pytest.mark.parametrize("last", ["rename", "end"])
def test_a_removal_that_was_cut_off_does_not_block_the_name(
    tmp_path: Path, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = made(tmp_path / "data")
    target = Path if last == "rename" else type(disk.catalog.collections)
    with monkeypatch.context() as patch:
        patch.setattr(target, last, lambda *_, **__: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            disk.remove(DEFAULT_TENANT, "docs")
    assert [each.fault for each in verified(disk) if each.fault] == []
    disk.make(collection())
    assert disk.describe(disk.catalog.collections.get(DEFAULT_TENANT, "docs")).documents == 0


def test_a_deleted_collection_that_comes_back_from_a_backup_of_the_folder_is_not_ours_to_delete(
    tmp_path: Path,
) -> None:
    """Its removal was finished: whoever put the folder back wanted it back."""
    disk = made(tmp_path / "data")
    folder = folder_of(disk, "docs").path
    shutil.copytree(folder, tmp_path / "backup")
    disk.remove(DEFAULT_TENANT, "docs")
    shutil.copytree(tmp_path / "backup", folder)
    with pytest.raises(FolderUnknown):
        disk.make(collection())
    assert adopt(disk, DEFAULT_TENANT, "docs", presumed=PRESUMED).documents == 6


def test_of_two_that_make_one_collection_at_once_one_does(tmp_path: Path, new_url: Callable[[], str | None]) -> None:
    """The other is told that it exists, not that somebody's folder is in its way."""
    root, url = tmp_path / "data", new_url()
    disks = [DataFolder.open(root, url) for _ in range(4)]

    def tried(disk: DataFolder) -> type[WinnowError] | None:
        try:
            disk.make(collection())
        except WinnowError as error:
            return type(error)
        return None

    with ThreadPoolExecutor(len(disks)) as pool:
        ends = list(pool.map(tried, disks))
    assert ends.count(None) == 1
    assert {*ends} - {CollectionBusy} == {None, CollectionExists}  # busy: on a loaded machine its turn came too late
    for disk in disks:
        disk.catalog.database.close()


def test_a_lost_catalog_is_made_up_for(tmp_path: Path, new_url: Callable[[], str | None]) -> None:
    """Every collection is served by the new catalog as by the old, of each tenant; then all is well."""
    root = tmp_path / "data"
    disk = made(root)
    law = disk.catalog.tenants.make("law", by=COMMAND_LINE).name
    disk.make(collection("acts", tenant=law))
    before = contents(disk, "docs")
    disk.catalog.database.close()
    lose(root)
    disk = joined_anyway(root, new_url())
    assert {each.collection for each in verified(disk) if each.part == "unknown"} == {"docs", "law/acts"}
    assert adoptable(disk, DEFAULT_TENANT) == ["docs"]
    adopted = adopt(disk, DEFAULT_TENANT, "docs", presumed=PRESUMED)
    assert adopted.collection.chunk_tokens == 77
    assert contents(disk, "docs") == before
    law = disk.catalog.tenants.make("law", by=COMMAND_LINE).name
    adopt(disk, law, "acts", presumed=PRESUMED)
    assert [each.fault for each in verified(disk) if each.fault] == []
    assert [each.action for each in disk.catalog.audit.entries(tenant=law, limit=1)] == ["collection.adopt"]
    with pytest.raises(CollectionExists):
        adopt(disk, law, "acts", presumed=PRESUMED)
    with pytest.raises(CollectionNotFound):
        adopt(disk, law, "nothing", presumed=PRESUMED)


def test_a_collection_of_an_earlier_winnow_is_adopted_by_its_index(tmp_path: Path) -> None:
    """It says neither when nor with what it was made; the index knows the model."""
    disk = made(tmp_path / "data")
    folder = folder_of(disk, "docs")
    before = contents(disk, "docs")
    disk.catalog.collections.remove(DEFAULT_TENANT, "docs")
    for path in (folder.made, folder.facts):
        path.unlink()
    began = datetime.now(UTC) - timedelta(seconds=1)
    other = replace(PRESUMED, embedder=lambda: replace(IDENTITY, name="another"))
    adopted = adopt(disk, DEFAULT_TENANT, "docs", presumed=other).collection
    assert (adopted.embedder, adopted.chunk_tokens) == (IDENTITY, 99)
    assert began < adopted.created_at == created_at_of(folder)
    assert contents(disk, "docs") | {"facts": None} == before | {"facts": None}


def test_a_folder_with_nothing_but_locks_is_free(tmp_path: Path) -> None:
    """And one with the beginning of a small file: it holds no word of anybody's."""
    disk = DataFolder.open(tmp_path / "data")
    folder = disk.layout.collection(DEFAULT_TENANT, "docs")
    folder.restoring("token").path.mkdir(parents=True)
    for path in (folder.lock, folder.fold_lock, folder.restoring("token").lock):
        path.touch()
    (folder.path / "made.tmp").write_bytes(b"20")
    disk.make(collection())
    assert folder.corpus.is_dir()
