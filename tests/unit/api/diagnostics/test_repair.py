"""`winnow verify` names what is left over and what is damaged; `--repair` says what it did about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import PrefersWord
from tests.unit.api.collections.test_ingest import sent
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.assemble import Services
from winnow.api.collections.data_folder import DataFolder
from winnow.api.diagnostics.repair import repaired
from winnow.api.diagnostics.verify import verified
from winnow.retrieval.errors import CollectionBusy
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.locks import writing
from winnow.retrieval.generation.history import fold
from winnow.retrieval.generation.pointer import current_name, names
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import COMMAND_LINE


@pytest.fixture
async def parts(tmp_path: Path, tokenizer: PlainTokenizer) -> Services:
    """One collection with two generations."""
    parts = parts_over(tmp_path, tokenizer, PrefersWord("a"))
    opened = parts.ingest.make("default", "docs")
    await parts.ingest.upsert("default", "docs", sent(a="one", b="two"))
    for _ in range(2):
        fold(opened.folder, opened.store.snapshot(), opened.collection.embedder)
    return parts


@pytest.fixture
def folder(parts: Services) -> CollectionFolder:
    return parts.disk.layout.collection("default", "docs")


def faults(disk: DataFolder) -> list[str]:
    return [f"{check.part}: {check.fault}" for check in verified(disk) if check.fault]


def did(disk: DataFolder) -> list[str]:
    return [each.did for each in repaired(disk, kept=2)]


def test_a_sound_folder_needs_no_repair(parts: Services) -> None:
    """Nothing is built, nothing is removed."""
    assert (faults(parts.disk), did(parts.disk)) == ([], [])


def test_what_is_left_over_is_named_and_no_fault(parts: Services, folder: CollectionFolder) -> None:
    """A killed process may leave it at any time."""
    (folder.generations / "g000003.tmp").mkdir()
    (folder.path / "current.tmp").write_bytes(b"g")
    (folder.path.parent / ".gone.removed").mkdir()
    left = [(check.collection, check.found) for check in verified(parts.disk) if check.part == "left over"]
    assert left == [
        ("docs", "current.tmp, generations/g000003.tmp"),
        (".gone.removed", "the catalog has no such collection"),
    ]
    assert faults(parts.disk) == []
    assert did(parts.disk) == ["removed current.tmp, generations/g000003.tmp", "removed .gone.removed"]
    assert [check for check in verified(parts.disk) if check.part == "left over"] == []


def test_what_is_left_over_of_other_tenants_is_named_with_them(parts: Services) -> None:
    """The folder of each is looked through, and its collections are not taken for the default one's."""
    disk = parts.disk
    other = disk.catalog.tenants.make("library", by=COMMAND_LINE).name
    parts.ingest.make(other, "laws")
    (disk.layout.collections(other) / ".laws.removed").mkdir()
    left = [check.collection for check in verified(disk) if check.part == "left over"]
    assert left == ["library/.laws.removed"]
    assert [(each.collection, each.did) for each in repaired(disk, kept=2)] == [
        ("library/.laws.removed", "removed .laws.removed")
    ]
    assert [each.name for each in disk.layout.collections(other).iterdir()] == ["laws"]


def test_documents_that_the_catalog_does_not_know_are_never_removed(parts: Services, folder: CollectionFolder) -> None:
    """It may be the catalog that is wrong."""
    parts.disk.catalog.collections.remove("default", "docs")
    found = [(check.collection, check.part) for check in verified(parts.disk) if check.part != "catalog"]
    assert found == [("docs", "unknown")]
    assert "`winnow collections adopt docs` adds it to the catalog" in faults(parts.disk)[0]
    assert did(parts.disk) == []
    assert folder.corpus.exists()


@pytest.mark.parametrize("damaged", [["g000002"], ["g000001", "g000002"]], ids=["the current one", "both"])
def test_a_damaged_index_is_built_anew(parts: Services, folder: CollectionFolder, damaged: list[str]) -> None:
    """From the store; what is damaged goes, what is whole stays."""
    for name in damaged:
        (folder.generations / name / "numbers.i64").write_bytes(b"damaged")
    assert len(faults(parts.disk)) == len(damaged)
    said = did(parts.disk)
    assert said[0] == "built g000003 from the store"
    assert said[1].endswith("which was damaged")
    assert (faults(parts.disk), current_name(folder)) == ([], "g000003")
    assert names(folder) == ["g000003", *(["g000001"] if len(damaged) == 1 else [])]


@pytest.mark.parametrize("pointer", [b"\xff", b"g000009\n", None], ids=["torn", "elsewhere", "gone"])
def test_a_damaged_pointer_is_put_right(parts: Services, folder: CollectionFolder, pointer: bytes | None) -> None:
    """By a generation that is published anew."""
    folder.current.unlink()
    if pointer is not None:
        folder.current.write_bytes(pointer)
    assert did(parts.disk)[0].startswith("built g0000")
    assert (faults(parts.disk), did(parts.disk)) == ([], [])


def test_a_damaged_store_is_told_and_left(parts: Services, folder: CollectionFolder) -> None:
    """There is nothing to build it from."""
    for manifest in (folder.corpus / "_versions").glob("*.manifest"):
        manifest.write_bytes(b"damaged" + b"LANC")
    assert did(parts.disk)[0].startswith("built nothing: Stored data cannot be read")
    assert faults(parts.disk)


def test_no_index_is_built_of_a_store_in_which_a_bit_flipped(parts: Services, folder: CollectionFolder) -> None:
    """The index before is the only witness of what the vectors were, and older versions may hold what is whole."""
    file = max((folder.corpus / "data").iterdir())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    (folder.generations / "g000002" / "vectors.sums").write_bytes(b"rubbish")
    before = sorted(folder.corpus.rglob("*"))
    (said,) = did(parts.disk)
    assert said.startswith("built nothing: ")
    assert f"{file.name} differs from what was written" in said
    assert sorted(folder.corpus.rglob("*")) == before
    assert names(folder) == ["g000002", "g000001"]


def damage_words(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()  # snapshots and older versions may share it
    if how != "gone":
        file.write_bytes(content if how == "flipped" else content[: len(content) // 2])


@pytest.mark.parametrize("how", ["flipped", "cut short", "gone"])
def test_a_damaged_full_text_index_is_named_and_built_anew(parts: Services, folder: CollectionFolder, how: str) -> None:
    """Whichever of its files it is; then words find again what they found before, and the rest was left alone."""
    store = parts.collections.get("default", "docs").store
    store.index_words()
    before = parts.disk.store(parts.disk.catalog.collections.get("default", "docs")).snapshot()
    found = before.lexical("one", 9).numbers.tolist()
    assert (faults(parts.disk), len(found)) == ([], 1)
    for file in ("metadata", "part_0_docs", "part_0_invert", "part_0_tokens"):
        snapshot = parts.disk.store(parts.disk.catalog.collections.get("default", "docs")).snapshot()
        damaged = next(name for name in snapshot.files() if name.endswith(f"{file}.lance"))
        damage_words(folder.corpus / damaged, how)
        (fault,) = faults(parts.disk)
        assert fault.startswith("words: ")
        assert damaged in fault
        assert did(parts.disk)[0] == "built the full-text index from the store"
        assert (faults(parts.disk), did(parts.disk)) == ([], [])
        repaired_one = parts.disk.store(parts.disk.catalog.collections.get("default", "docs")).snapshot()
        assert repaired_one.lexical("one", 9).numbers.tolist() == found
        assert repaired_one.chunk_numbers().tolist() == before.chunk_numbers().tolist()
    assert names(folder) == ["g000002", "g000001"]


async def test_a_full_text_index_is_built_anew_in_a_store_without_chunks(
    parts: Services, folder: CollectionFolder
) -> None:
    """Afterwards words are searched as in any other."""
    for name in "ab":
        await parts.ingest.delete("default", "docs", name)
    for file in (folder.corpus / "_indices").rglob("*.lance"):
        file.write_bytes(b"rubbish")
    assert faults(parts.disk)[0].startswith("words: ")
    assert "built the full-text index from the store" in did(parts.disk)
    assert faults(parts.disk) == []
    await parts.ingest.upsert("default", "docs", sent(c="three"))
    snapshot = parts.disk.store(parts.disk.catalog.collections.get("default", "docs")).snapshot()
    assert len(snapshot.lexical("three", 9).numbers) == 1


def test_a_repair_waits_for_nobody_for_long(parts: Services, folder: CollectionFolder) -> None:
    """Whoever writes is not disturbed."""
    with writing(folder), pytest.raises(CollectionBusy):
        repaired(parts.disk, kept=2)
