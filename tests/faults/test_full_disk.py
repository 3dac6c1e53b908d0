"""A disk that is full refuses a write; it takes nothing that was acknowledged, and with room there all goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.checker import found_in, stored_in
from tests.faults.scripted import IDENTITY, OPERATIONS, folder_of, opened, write
from winnow.retrieval.errors import WriteFailed
from winnow.retrieval.generation.history import fold
from winnow.retrieval.store.lance_store import LanceStore

pytestmark = pytest.mark.faults

PAGE = 4_096  # bytes; a file on a tmpfs takes whole pages
PAGES_LEFT = range(0, 30, 2)  # an upsert takes about a dozen, and a publication as many


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A tmpfs of so many megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Filler:
    """A file that takes all the room but some."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "filler"

    def leave(self, pages: int) -> None:
        self.clear()
        free = os.statvfs(self._path.parent)
        with self._path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail - pages) * free.f_frsize)

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)


@pytest.mark.parametrize("small_disk", [4], indirect=True)
@pytest.mark.parametrize("operation", ["upsert", "delete", "publish"])
def test_a_write_for_which_there_is_no_room_is_refused_whole(small_disk: Path, operation: str) -> None:
    """With ever more room, until there is enough: WriteFailed that names the disk's reason, and nothing half there."""
    root, filler = small_disk / "data", Filler(small_disk)
    model = OPERATIONS[operation].prepare(root)
    store = opened(root)
    outcomes = []
    for pages in PAGES_LEFT:
        filler.leave(pages)
        try:
            OPERATIONS[operation].run(root, store)
        except WriteFailed as error:
            outcomes.append(str(error))
        else:
            outcomes.append("")
        filler.clear()
        now = stored_in(store.snapshot())
        after = OPERATIONS[operation].after(model)
        assert now in ([model, after] if outcomes[-1] else [after])
        again = {f"after {pages} pages": ("there is room again", 1)}
        write(store, again)
        model = {**now, **again}
    assert outcomes[0], "with no room at all there is no write"
    assert outcomes[-1] == "", "with enough room there is one"
    assert all(_names_its_reason(outcome) for outcome in outcomes if outcome)
    assert found_in(root, [model]) == (0, [])


@pytest.mark.parametrize("small_disk", [1, 2, 8], indirect=True)
def test_a_disk_that_fills_up_loses_nothing_that_was_acknowledged(small_disk: Path) -> None:
    """Documents and publications until nothing fits any more; deletes and a clean-up make room, and all goes on."""
    root = small_disk / "data"
    model = OPERATIONS["upsert"].prepare(root)
    store = opened(root)
    refused = 0
    for turn in range(2_000):
        batch = {f"f{turn}": ("much text " * 10_000, 4)}
        if _is_taken(lambda batch=batch: write(store, batch)):
            model |= batch
        else:
            refused += 1
        if turn % 20 == 0 and not _is_taken(lambda: fold(folder_of(root), store.snapshot(), IDENTITY)):
            refused += 1
        if refused >= 5:
            break
    assert refused >= 5, "the disk was never full"
    assert stored_in(store.snapshot()) == model
    assert stored_in(opened(root).snapshot()) == model
    _make_room(root, store)
    store.delete(["f0"])  # so that there is room for the reader's own files, too
    del model["f0"]
    _make_room(root, store)
    write(store, {"at last": ("there is room again", 2)})
    assert found_in(root, [{**model, "at last": ("there is room again", 2)}]) == (0, [])


def _make_room(root: Path, store: LanceStore) -> None:
    """What an operator does, and time: versions that nobody reads any more go."""
    for manifest in (folder_of(root).corpus / "_versions").glob("*.manifest"):
        os.utime(manifest, (0, 0))
    assert store.clean_up() > 0


def _is_taken(work: Callable[[], object]) -> bool:
    try:
        work()
    except WriteFailed as error:
        if _names_its_reason(str(error)):
            return False
        raise
    return True


def _names_its_reason(message: str) -> bool:
    return "No space left" in message or "is the disk full?" in message
