"""The small files of a collection: every change of them is named, and what can be derived is mended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes import PrefersWord
from tests.unit.api.collections.test_ingest import sent
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.assemble import Services
from winnow.api.collections.data_folder import DataFolder
from winnow.api.diagnostics.repair import repaired
from winnow.api.diagnostics.verify import verified
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.history import fold, roll_back
from winnow.retrieval.generation.pointer import Rollback, current_name, rolled_back
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.store.checksums import SUMS
from winnow.retrieval.store.numbering import ChunkNumberSequence
from winnow.retrieval.store.places.local_place import LocalPlace
from winnow.retrieval.tenancy import DEFAULT_TENANT

Change = Callable[[bytes], bytes | None]


def flipped(at: int, bit: int) -> Change:
    return lambda whole: whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]


CHANGES: dict[str, Change] = {
    "removed": lambda _: None,
    "emptied": lambda _: b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "grown": lambda whole: whole + b"x\n",
    "rubbish": lambda _: b"\xff\x00",
    **{f"bit {bit} of byte {at}": flipped(at, bit) for at in (0, 6, 11) for bit in (0, 3)},
}
PARTS = {
    "made": "made",
    "collection.json": "collection.json",
    "current": "current",
    "rolled-back": "rolled-back",
    "corpus.lance/next_chunk_number": "store",
    f"corpus.lance/{SUMS}": SUMS,
}


@pytest.fixture
async def parts(tmp_path: Path, tokenizer: PlainTokenizer) -> Services:
    """One collection with three generations, rolled back from the third to the second."""
    parts = parts_over(tmp_path, tokenizer, PrefersWord("a"))
    opened = parts.ingest.make("default", "docs")
    await parts.ingest.upsert("default", "docs", sent(a="one", b="two"))
    for _ in range(3):
        fold(opened.folder, opened.store.snapshot(), opened.collection.embedder)
    roll_back(opened.folder, opened.collection.embedder)
    return parts


@pytest.fixture
def folder(parts: Services) -> CollectionFolder:
    return parts.disk.layout.collection(DEFAULT_TENANT, "docs")


def faults(disk: DataFolder) -> dict[str, str]:
    return {check.part: check.fault for check in verified(disk) if check.fault}


@pytest.mark.parametrize("file", PARTS)
async def test_each_change_is_named_and_mended(parts: Services, folder: CollectionFolder, file: str) -> None:
    """Afterwards everything is sound, writes work, and no chunk number comes again."""
    path = folder.path / file
    whole = path.read_bytes()
    for called, change in CHANGES.items():
        changed = change(whole)
        path.unlink(missing_ok=True)
        if changed is not None:
            path.write_bytes(changed)
        found = faults(parts.disk)
        if not found and called == "cut":  # all that is left of `current` is right; sums that are cut off are told
            told = [check.found for check in verified(parts.disk) if check.part == SUMS]
            assert file == "current" or "without a checksum" in told[0]
            continue
        if not found and (file, called) == ("collection.json", "removed"):  # folders of earlier versions have none
            assert "collection.json" in {check.part for check in verified(parts.disk)}
            continue
        assert PARTS[file] in found, (called, found)
        if "delete the file" in found[PARTS[file]]:  # what can be read and says something else is a person's decision
            path.unlink()
        repaired(parts.disk, kept=3)
        assert faults(parts.disk) == {}, called
        upserted = await parts.ingest.upsert(DEFAULT_TENANT, "docs", sent(c=called))
        assert upserted.accepted == 1
        whole = path.read_bytes() if path.exists() and file != "current" else whole


def test_a_lost_rollback_is_known_from_the_pointer(parts: Services, folder: CollectionFolder) -> None:
    """Else the service would fold again, and undo what somebody meant."""
    assert current_name(folder) == "g000002"
    folder.rolled_back.unlink()
    rollback = rolled_back(folder)
    assert rollback is not None
    assert (rollback.newest, rollback.to) == ("g000003", "g000002")
    assert list(faults(parts.disk)) == ["rolled-back"]
    assert [each.did for each in repaired(parts.disk, kept=3)] == ["wrote rolled-back from the pointer"]
    assert faults(parts.disk) == {}


def test_going_forward_again_ends_a_rollback(parts: Services, folder: CollectionFolder) -> None:
    """To the newest generation, or to one between; nothing of that is a fault."""
    identity = parts.embedding.embedder.identity
    roll_back(folder, identity, to="g000001")
    assert (rolled_back(folder), faults(parts.disk)) == (Rollback(newest="g000003", to="g000001"), {})
    roll_back(folder, identity, to="g000002")
    assert (rolled_back(folder), faults(parts.disk)) == (Rollback(newest="g000003", to="g000002"), {})
    roll_back(folder, identity, to="g000003")
    assert (rolled_back(folder), current_name(folder), faults(parts.disk)) == (None, "g000003", {})


def test_files_of_an_earlier_winnow_are_read(parts: Services, folder: CollectionFolder) -> None:
    """They have no checksums."""
    folder.current.write_text("g000002\n")
    folder.rolled_back.write_text("g000003 g000002\n")
    rollback = rolled_back(folder)
    assert rollback is not None
    assert (rollback.newest, current_name(folder)) == ("g000003", "g000002")
    assert faults(parts.disk) == {}


def test_the_folder_of_another_collection_is_left_alone(parts: Services, folder: CollectionFolder) -> None:
    """The catalog may be an older backup, and what lies there somebody's documents."""
    folder.made.write_text("2026-01-01T00:00:00.000001+00:00\n")
    (folder.path / "notes.txt").write_bytes(b"x")
    before = sorted(folder.path.rglob("*"))
    assert "delete the file" in faults(parts.disk)["made"]
    assert [each.did for each in repaired(parts.disk, kept=3)] == [
        f"repaired nothing: {folder.made} belongs to another collection"
    ]
    assert sorted(folder.path.rglob("*")) == before


async def test_a_number_that_was_used_already_is_named(parts: Services, folder: CollectionFolder) -> None:
    """As an older copy of the file would give it: a removed chunk and a new one must never share a number."""
    sequence = ChunkNumberSequence(LocalPlace(folder.corpus))
    used = sequence.next()
    sequence.start(used - 1)
    assert f"the next chunk number is {used - 1}, but {used - 1} is already used" in faults(parts.disk)["store"]
    repaired(parts.disk, kept=3)
    assert faults(parts.disk) == {}
    assert sequence.next() > used


def test_what_does_not_belong_there_is_listed(parts: Services, folder: CollectionFolder) -> None:
    """Also within a generation; it is no fault, and goes with a repair."""
    (folder.generations / "g000002" / "core.1234").write_bytes(b"x")
    (folder.corpus / "notes.txt").write_bytes(b"x")
    (parts.disk.layout.root / "backup.tar").write_bytes(b"x")
    checks = verified(parts.disk)
    assert [check.found for check in checks if check.part == "left over"] == ["generations/g000002/core.1234"]
    assert [check.found for check in checks if check.part == "unknown"] == [
        "corpus.lance/notes.txt does not belong to winnow",
        "backup.tar does not belong to winnow",
    ]
    assert all(check.fault is None for check in checks)
    repaired(parts.disk, kept=3)
    assert [check for check in verified(parts.disk) if check.part == "left over"] == []
