"""retrieval/generation/publish.py: what is published is whole, what is damaged is never served."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.builders import DIMENSION, unit_vectors, written
from tests.fakes import MemoryStore
from tests.faults.watched_syncer import WatchedSyncer
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import GenerationCorrupt, ModelMismatch, WriteFailed
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.manifest import Manifest
from winnow.retrieval.generation.open import open_newest, verify
from winnow.retrieval.generation.pointer import current_name
from winnow.retrieval.generation.publish import publish, writes_per_second
from winnow.retrieval.index.vector_index import ExactIndex

IDENTITY = EmbedderIdentity(name="hash", revision="r1", dimension=DIMENSION)


@pytest.fixture
def folder(tmp_path: Path) -> CollectionFolder:
    return CollectionFolder(tmp_path / "c")


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.replace([written(f"d{at}", f"text {at}", pieces=2) for at in range(20)])
    store.delete(["d3"])
    return store


def files_of(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_a_published_generation_answers_as_the_store_would(folder: CollectionFolder, store: MemoryStore) -> None:
    """Same numbers, same similarities as an exact search over the snapshot's vectors."""
    manifest = publish(folder, store.snapshot(), IDENTITY)
    opened = open_newest(folder, IDENTITY, store)
    assert opened is not None
    assert (opened.manifest, opened.name, opened.fallback_from) == (manifest, "g000001", None)
    assert (manifest.count, manifest.store_version, manifest.embedder) == (38, store.snapshot().version, IDENTITY)
    batches = list(store.snapshot().vectors())
    numbers = np.concatenate([batch.numbers for batch in batches])
    exact = ExactIndex(numbers, np.concatenate([batch.vectors for batch in batches]))
    assert opened.index.numbers.tolist() == numbers.tolist()
    for query in unit_vectors(5, seed=7):
        assert opened.index.search(query, 10).numbers.tolist() == exact.search(query, 10).numbers.tolist()


def test_nothing_published_is_nothing_to_open(folder: CollectionFolder, store: MemoryStore) -> None:
    """That is no error: the store can serve alone."""
    assert open_newest(folder, IDENTITY, store) is None
    assert (current_name(folder), verify(folder)) == (None, [])


def test_the_rate_of_writes_is_counted_from_the_newest_chunk_of_the_current_generation(
    folder: CollectionFolder, store: MemoryStore
) -> None:
    """Over an hour at least; 0 where there is nothing to count from, or nothing that can be read."""
    assert writes_per_second(folder, store.snapshot()) == 0.0
    publish(folder, store.snapshot(), IDENTITY)
    assert writes_per_second(folder, store.snapshot()) == 0.0
    store.replace([written(f"new{at}", f"new text {at}", pieces=3) for at in range(12)])
    assert writes_per_second(folder, store.snapshot()) == 36 / 3_600
    numbers = folder.generations / "g000001" / "numbers.i64"
    for rubbish in (b"", b"1234567"):
        numbers.write_bytes(rubbish)
        assert writes_per_second(folder, store.snapshot()) == 0.0
    numbers.unlink()
    assert writes_per_second(folder, store.snapshot()) == 0.0


def test_an_empty_collection_can_be_published(folder: CollectionFolder) -> None:
    """All documents may have been deleted."""
    store = MemoryStore()
    publish(folder, store.snapshot(), IDENTITY)
    opened = open_newest(folder, IDENTITY, store)
    assert opened is not None
    assert opened.index.search(unit_vectors(1)[0], 5).numbers.tolist() == []


def test_generations_count_up(folder: CollectionFolder, store: MemoryStore) -> None:
    """The last one is current; which of them are kept is told by another test."""
    names = [publish(folder, store.snapshot(), IDENTITY).name for _ in range(4)]
    assert names == ["g000001", "g000002", "g000003", "g000004"]
    assert sorted(path.name for path in folder.generations.iterdir()) == names
    assert current_name(folder) == "g000004"


def test_another_model_is_refused_with_both_named(folder: CollectionFolder, store: MemoryStore) -> None:
    """Vectors of two models lie in two spaces, even where the dimensions agree."""
    publish(folder, store.snapshot(), IDENTITY)
    for other in (
        EmbedderIdentity(name="hash", revision="r2", dimension=DIMENSION),
        EmbedderIdentity(name="other", revision="r1", dimension=DIMENSION),
        EmbedderIdentity(name="hash", revision="r1", dimension=DIMENSION, prompt_format="v2"),
    ):
        with pytest.raises(ModelMismatch, match="was built with hash"):
            open_newest(folder, other, store)


def test_every_flipped_bit_is_found(folder: CollectionFolder, store: MemoryStore) -> None:
    """In the vectors, the numbers, the manifest and its checksum: 400 flips, 400 found, each undone again."""
    publish(folder, store.snapshot(), IDENTITY)
    chance = random.Random(20260101)
    files = sorted((folder.generations / "g000001").iterdir())
    assert [file.name for file in files] == ["manifest.json", "manifest.sha256", "numbers.i64", "vectors.sums"]
    for file in files:
        whole = file.read_bytes()
        for _ in range(100):
            at = chance.randrange(len(whole))
            flipped = bytearray(whole)
            flipped[at] ^= 1 << chance.randrange(8)
            file.write_bytes(flipped)
            with pytest.raises(GenerationCorrupt):
                open_newest(folder, IDENTITY, store)
            assert verify(folder)[0].fault is not None
        file.write_bytes(whole)
    assert open_newest(folder, IDENTITY, store) is not None


@pytest.mark.parametrize("name", ["vectors.sums", "numbers.i64", "manifest.json", "manifest.sha256"])
@pytest.mark.parametrize(
    "damage",
    [lambda file: file.write_bytes(file.read_bytes()[:-1]), lambda file: file.write_bytes(b""), Path.unlink],
    ids=["cut short", "emptied", "removed"],
)
def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(
    folder: CollectionFolder, store: MemoryStore, name: str, damage: Callable[[Path], object]
) -> None:
    """The old generation answers; which one was passed over, and why, can be read."""
    publish(folder, store.snapshot(), IDENTITY)
    publish(folder, store.snapshot(), IDENTITY)
    damage(folder.generations / "g000002" / name)
    opened = open_newest(folder, IDENTITY, store)
    assert opened is not None
    assert opened.name == "g000001"
    assert opened.fallback_from is not None
    assert opened.fallback_from.startswith("g000002: ")
    checks = {check.name: check for check in verify(folder)}
    assert (checks["g000002"].current, checks["g000001"].current) == (True, False)
    assert checks["g000002"].fault is not None
    assert checks["g000001"].fault is None


def test_trailing_bytes_are_found(folder: CollectionFolder, store: MemoryStore) -> None:
    """FAISS reads an index with rubbish behind it without a word."""
    publish(folder, store.snapshot(), IDENTITY)
    with (folder.generations / "g000001" / "vectors.sums").open("ab") as file:
        file.write(b"x")
    with pytest.raises(GenerationCorrupt, match="index the collection again"):
        open_newest(folder, IDENTITY, store)


@pytest.mark.parametrize("pointer", [b"", b"g000009\n", b"../../etc\n", b"\xff\xff", None])
def test_a_damaged_pointer_still_finds_a_whole_generation(
    folder: CollectionFolder, store: MemoryStore, pointer: bytes | None
) -> None:
    """And never leaves the folder of generations."""
    publish(folder, store.snapshot(), IDENTITY)
    folder.current.unlink()
    if pointer is not None:
        folder.current.write_bytes(pointer)
    opened = open_newest(folder, IDENTITY, store)
    assert opened is not None
    assert opened.name == "g000001"
    assert opened.fallback_from


def test_a_generation_under_another_name_is_refused(folder: CollectionFolder, store: MemoryStore) -> None:
    """A copied folder is whole, but it is not the one that was published under this name."""
    publish(folder, store.snapshot(), IDENTITY)
    (folder.generations / "g000001").rename(folder.generations / "g000005")
    folder.current.write_text("g000005\n")
    with pytest.raises(GenerationCorrupt, match="manifest belongs to g000001"):
        open_newest(folder, IDENTITY, store)


def test_a_disk_that_dies_at_any_sync_leaves_a_generation_to_open(tmp_path: Path, store: MemoryStore) -> None:
    """Wherever publishing stops: the old one or the new one is current and whole, and the next try succeeds."""
    watched = WatchedSyncer()
    publish(CollectionFolder(tmp_path / "count"), store.snapshot(), IDENTITY)
    publish(CollectionFolder(tmp_path / "count"), store.snapshot(), IDENTITY, syncer=watched)
    names = set()
    for fail_at in range(len(watched.synced)):
        folder = CollectionFolder(tmp_path / str(fail_at))
        publish(folder, store.snapshot(), IDENTITY)
        first = files_of(folder.generations / "g000001")
        with pytest.raises(WriteFailed):
            publish(folder, store.snapshot(), IDENTITY, syncer=WatchedSyncer(fail_at=fail_at))
        opened = open_newest(folder, IDENTITY, store)
        assert opened is not None
        assert opened.fallback_from is None
        names.add(opened.name)
        assert files_of(folder.generations / "g000001") == first
        published: Manifest = publish(folder, store.snapshot(), IDENTITY)
        assert current_name(folder) == published.name
        assert not list(folder.generations.glob("*.tmp"))
    assert names == {"g000001", "g000002"}


def test_the_pointer_moves_after_everything_it_points_to_is_on_the_disk(
    folder: CollectionFolder, store: MemoryStore
) -> None:
    """Files, then their folder, then its name, then the pointer."""
    syncer = WatchedSyncer()
    publish(folder, store.snapshot(), IDENTITY, syncer=syncer)
    beside = folder.generations / "g000001.tmp"
    last = {path: at for at, path in enumerate(syncer.synced)}
    contents = [
        last[beside / name] for name in ("vectors.sums", "numbers.i64", "manifest.json.tmp", "manifest.sha256.tmp")
    ]
    steps = [max(contents), last[beside], last[folder.generations], last[folder.current.with_name("current.tmp")]]
    assert steps == sorted(steps)
    assert syncer.synced[-1] == folder.path
