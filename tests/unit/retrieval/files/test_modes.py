"""What winnow writes is its owner's alone; and docker-compose bounds what a container takes."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.snapshots import Watched, made
from winnow.api.collections.backups import snapshot
from winnow.api.collections.data_folder import DataFolder
from winnow.indexer.corpus import Place, Reject
from winnow.indexer.rejects import RejectsFile
from winnow.retrieval.backup.place import FolderPlace
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT

PROJECT = Path(__file__).resolve().parents[4]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def catalog_files(root: Path) -> Iterator[Path]:
    for end in ("", "-wal", "-shm"):
        yield root / f"catalog.sqlite{end}"


def test_data_folder_and_catalog_are_private(tmp_path: Path) -> None:
    """The log and the index of the log, too, which hold the same rows."""
    disk = DataFolder.open(tmp_path / "data")
    disk.catalog.tenants.make("law", by=COMMAND_LINE)
    assert mode(tmp_path / "data") == 0o700
    assert {path.name: mode(path) for path in catalog_files(tmp_path / "data")} == {
        path.name: 0o600 for path in catalog_files(tmp_path / "data")
    }
    disk.catalog.database.close()


def test_what_was_open_to_others_is_closed(tmp_path: Path) -> None:
    """An earlier winnow made it, or a backup brought it back; files of the catalog that are open stay open."""
    root = tmp_path / "data"
    disk = DataFolder.open(root)
    for path in (root, *catalog_files(root)):
        path.chmod(0o755 if path.is_dir() else 0o644)
    again = DataFolder.open(root)
    assert mode(root) == 0o700
    assert {mode(path) for path in catalog_files(root)} == {0o600}
    for each in (disk, again):
        each.catalog.tenants.make(f"tenant-{id(each)}", by=COMMAND_LINE)
        each.catalog.database.close()


@pytest.mark.parametrize("bit", [stat.S_ISVTX, stat.S_ISGID])
def test_a_folder_that_is_shared_on_purpose_stays_so(tmp_path: Path, bit: int) -> None:
    root = tmp_path / "data"
    root.mkdir()
    root.chmod(0o770 | bit)
    DataFolder.open(root).catalog.database.close()
    assert mode(root) == 0o770 | bit


def test_a_new_snapshot_is_private(tmp_path: Path) -> None:
    """A folder that was there keeps its mode; the files in it are private all the same."""
    disk = made(tmp_path / "data")
    (tmp_path / "mine").mkdir(mode=0o755)
    for name in ("new", "mine"):
        snapshot(disk, DEFAULT_TENANT, "docs", FolderPlace(tmp_path / name), watcher=Watched())
    assert (mode(tmp_path / "new"), mode(tmp_path / "mine")) == (0o700, 0o755)
    for name in ("new", "mine"):
        assert {mode(path) for path in (tmp_path / name).rglob("*") if path.is_file()} == {0o600}


def test_a_rejects_file_is_private(tmp_path: Path) -> None:
    with RejectsFile(tmp_path / "rejects.jsonl") as rejects:
        rejects.write(Reject(place=Place(source="a"), reason="bad", position=1))
        assert mode(rejects.path) == 0o600


def test_every_service_of_docker_compose_has_limits() -> None:
    """Of descriptors, memory and processes."""
    services: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    for service in services.values():
        assert service["ulimits"]["nofile"]["soft"] >= 65_536
        assert service["mem_limit"]
        assert service["pids_limit"] >= 1_024
