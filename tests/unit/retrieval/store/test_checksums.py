"""retrieval/store/lance_files.py: a file whose end is missing is not taken for one."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from tests.builders import DIMENSION, written
from tests.faults.watched_syncer import WatchedSyncer
from winnow.retrieval.errors import WriteFailed
from winnow.retrieval.store.lance_files import require_whole
from winnow.retrieval.store.lance_store import LanceStore


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With deletions of both kinds: few rows are a list, many are a bitmap, here of one container and of two."""
    path = tmp_path_factory.mktemp("store") / "corpus.lance"
    store = LanceStore.create(path, dimension=DIMENSION, syncer=WatchedSyncer())
    store.replace([written("few", "x", pieces=1), written("others", "y" * 40, pieces=20)])
    store.delete(["few"])
    for rows in (9_000, 40_000):
        store.replace([written(f"many{rows}", "z" * rows, pieces=rows), written(f"one{rows}", "x")])
        store.delete([f"many{rows}"])
    return path


def files_of(dataset: Path, suffix: str) -> list[Path]:
    return [path for path in dataset.rglob(f"*{suffix}") if path.is_file()]


@pytest.mark.parametrize("suffix", [".lance", ".manifest", ".arrow", ".bin"])
def test_whole_files_pass_and_beginnings_of_them_do_not(dataset: Path, tmp_path: Path, suffix: str) -> None:
    """Of every kind that Lance writes here: cut at the end, in the middle, to nothing."""
    chance = random.Random(3)
    assert files_of(dataset, suffix), "the dataset has such files"
    for whole in files_of(dataset, suffix):
        require_whole(whole)
        content = whole.read_bytes()
        cut = tmp_path / whole.name
        for left in {0, 1, len(content) - 1, *(chance.randrange(len(content)) for _ in range(30))}:
            cut.write_bytes(content[:left])
            with pytest.raises(WriteFailed, match="written only in part"):
                require_whole(cut)


def test_a_bitmap_with_runs_is_measured_too(tmp_path: Path) -> None:
    """Of the format's other form: two containers, the first as one run, the second as a list, no table of offsets."""
    header = struct.pack("<I", 12_347 | (2 - 1) << 16) + bytes([0b01])
    described = struct.pack("<4H", 0, 99, 1, 2)
    containers = struct.pack("<3H", 1, 10, 99) + struct.pack("<3H", 1, 5, 9)
    whole = tmp_path / "1-2-3.bin"
    whole.write_bytes(header + described + containers)
    require_whole(whole)
    for wrong in (whole.read_bytes()[:-1], whole.read_bytes() + b"\0", b"\1\2\3\4" + whole.read_bytes()[4:]):
        whole.write_bytes(wrong)
        with pytest.raises(WriteFailed):
            require_whole(whole)


def test_of_other_files_only_the_empty_ones_are_refused(tmp_path: Path) -> None:
    """What they should end with is not known here."""
    other = tmp_path / "4-uuid.txn"
    other.write_bytes(b"x")
    require_whole(other)
    other.write_bytes(b"")
    with pytest.raises(WriteFailed, match="is the disk full"):
        require_whole(other)
