"""Whatever is changed in a file of an index or of a store is found, and never served."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.checker import differences
from tests.faults.scripted import IDENTITY, OPERATIONS, Model, folder_of, opened
from winnow.api.collections.data_folder import DataFolder
from winnow.api.diagnostics.verify import verified
from winnow.retrieval.errors import StoreCorrupt
from winnow.retrieval.generation.open import verify
from winnow.retrieval.generation.pointer import current_name
from winnow.retrieval.search.reader import IndexReader
from winnow.retrieval.store.checksums import SUMS, find_damage, read_checksums

pytestmark = pytest.mark.faults

FLIPS, TRUNCATIONS, TAILS = 300, 300, 50

Damage = Callable[[bytes, random.Random], bytes]


def flipped(whole: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(whole))
    return whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :]


def cut(whole: bytes, chance: random.Random) -> bytes:
    return whole[: chance.randrange(len(whole))]


def lengthened(whole: bytes, chance: random.Random) -> bytes:
    return whole + chance.choice([b"\0", b"\n", whole, chance.randbytes(chance.randint(1, 4096))])


DAMAGES = [
    pytest.param(flipped, FLIPS, id="300 flipped bits"),
    pytest.param(cut, TRUNCATIONS, id="300 truncations"),
    pytest.param(lengthened, TAILS, id="50 appended tails"),
]


@contextmanager
def damaged_by(damage: Damage, path: Path, chance: random.Random) -> Iterator[None]:
    whole = path.read_bytes()
    path.write_bytes(damage(whole, chance))
    try:
        yield
    finally:
        path.write_bytes(whole)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    root = tmp_path_factory.mktemp("damaged")
    return root, OPERATIONS["upsert"].prepare(root)


@pytest.mark.parametrize(("damage", "count"), DAMAGES)
def test_damage_to_a_generation_is_found_and_the_one_before_serves(
    collection: tuple[Path, Model], damage: Damage, count: int
) -> None:
    """In turn in each file of the current generation. The answers stay right, and say that they are a fallback's."""
    root, model = collection
    folder = folder_of(root)
    chance = random.Random(20261125)
    store = opened(root)
    current = current_name(folder)
    assert current is not None
    files = sorted((folder.generations / current).iterdir())
    assert len(files) == 4
    for turn in range(count):
        with damaged_by(damage, files[turn % len(files)], chance):
            checks = {check.name: check.fault for check in verify(folder)}
            assert [name for name, fault in checks.items() if fault] == [current]
            searchable = IndexReader(folder=folder, store=store, identity=IDENTITY)
            wrong = list(differences(root, model, searchable=searchable))
            assert [fault.partition(":")[0] for fault in wrong] == ["served is an older generation"], wrong
            assert searchable.view().generation == "g000001"
    assert list(differences(root, model)) == []


@pytest.mark.parametrize(("damage", "count"), DAMAGES)
def test_damage_to_a_file_of_the_store_is_found_before_lance_reads_it(
    collection: tuple[Path, Model], damage: Damage, count: int
) -> None:
    """In turn in each file that Lance wrote: data, deletions, transactions, manifests. The file is named."""
    root, _ = collection
    corpus = folder_of(root).corpus
    chance = random.Random(20261126)
    names = sorted(read_checksums(corpus))
    assert {name.partition("/")[0] for name in names} == {
        "data",
        "_deletions",
        "_indices",
        "_transactions",
        "_versions",
    }
    on_disk = {path.relative_to(corpus).as_posix() for path in corpus.rglob("*") if path.is_file()}
    assert on_disk - set(names) == {"held", "next_chunk_number", SUMS, "_versions/latest_version_hint.json"}
    for turn in range(count):
        name = names[turn % len(names)]
        with damaged_by(damage, corpus / name, chance):
            faults = [each.said for each in find_damage(corpus)]
            assert len(faults) == 1, faults
            assert name in faults[0]
    assert list(find_damage(corpus)) == []


def test_verify_names_the_damaged_file_and_gives_it_to_nobody(collection: tuple[Path, Model]) -> None:
    """One of each kind. Lance may crash over some of them, so that a search process must not be the one to find out."""
    root, _ = collection
    corpus = folder_of(root).corpus
    chance = random.Random(20261127)
    for kind in ("data", "_deletions", "_indices", "_transactions", "_versions"):
        name = max(name for name in read_checksums(corpus) if name.startswith(kind))
        with damaged_by(flipped, corpus / name, chance):
            checks = {check.part: check.fault for check in verified(DataFolder.existing(root))}
            assert name in (checks["words" if kind == "_indices" else "store"] or "")
    assert all(check.fault is None for check in verified(DataFolder.existing(root)))


def test_the_newest_manifest_cannot_go_missing(collection: tuple[Path, Model]) -> None:
    """Lance would open the version before, as if what was acknowledged since had never been."""
    root, _ = collection
    corpus = folder_of(root).corpus
    newest = min((corpus / "_versions").glob("*.manifest"))
    kept = newest.read_bytes()
    newest.unlink()
    with pytest.raises(StoreCorrupt, match=newest.name):
        opened(root)
    newest.write_bytes(kept)
    opened(root)
