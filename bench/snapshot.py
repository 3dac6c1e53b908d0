"""Duration of a snapshot and a restore, and their effect on a writer.

    python -m bench.snapshot --chunks 100000 --dimension 384

Fills a collection with random vectors and texts, takes snapshots of it to a folder and to an S3-compatible server on
loopback (moto's, which is for tests and not fast), restores them, and compares every chunk and vector with the
original. The same writer also commits documents alone and while snapshots are taken one after the other.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.s3_server import BUCKET, serving
from winnow.api.collections.backups import restore, snapshot
from winnow.api.collections.data_folder import DataFolder
from winnow.retrieval.backup.bucket import BucketPlace
from winnow.retrieval.backup.place import FolderPlace, Place
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.records import Document, EmbeddedDocument, Span
from winnow.retrieval.store.contract import Store
from winnow.retrieval.tenancy import DEFAULT_TENANT

CHUNKS_PER_DOCUMENT: Final = 10
CHUNK_CHARACTERS: Final = 800  # about 200 tokens
DOCUMENTS_PER_COMMIT: Final = 500
WRITER_COMMITS: Final = 60


class Unwatched:
    """Implements `Watcher`."""

    def started(self, doing: str, size: int | None) -> None: ...

    def advanced(self, size: int) -> None: ...


def document(number: int, random: np.random.Generator, dimension: int) -> EmbeddedDocument:
    words = " ".join(f"{word:05d}" for word in random.integers(0, 50_000, CHUNKS_PER_DOCUMENT * CHUNK_CHARACTERS // 6))
    text = words.ljust(CHUNKS_PER_DOCUMENT * CHUNK_CHARACTERS)
    starts = range(0, len(text), CHUNK_CHARACTERS)
    vectors = random.normal(size=(len(starts), dimension)).astype(np.float32)
    return EmbeddedDocument(
        document=Document(id=f"d{number}", text=text),
        spans=tuple(Span(start=start, end=start + CHUNK_CHARACTERS) for start in starts),
        vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    )


def filled(root: Path, chunks: int, dimension: int) -> tuple[DataFolder, Collection]:
    disk = DataFolder.open(root)
    identity = EmbedderIdentity(name="random", revision="1", dimension=dimension)
    made = Collection(
        tenant=DEFAULT_TENANT, name="docs", embedder=identity, chunk_tokens=256, created_at=datetime.now(UTC)
    )
    disk.make(made)
    store, random = disk.store(made), np.random.default_rng(0)
    for start in range(0, chunks // CHUNKS_PER_DOCUMENT, DOCUMENTS_PER_COMMIT):
        last = min(start + DOCUMENTS_PER_COMMIT, chunks // CHUNKS_PER_DOCUMENT)
        store.replace([document(number, random, dimension) for number in range(start, last)])
    publish(disk.layout.collection(DEFAULT_TENANT, "docs"), store.snapshot(), identity)
    return disk, made


def there_and_back(disk: DataFolder, made: Collection, place: Place, root: Path) -> dict[str, float]:
    began = time.perf_counter()
    manifest = snapshot(disk, DEFAULT_TENANT, made.name, place, watcher=Unwatched())
    taken = time.perf_counter()
    other = DataFolder.open(root)
    restore(other, DEFAULT_TENANT, made.name, place, embedder=made.embedder, replace=False, watcher=Unwatched())
    restored = time.perf_counter()
    assert_equal(disk.store(made), other.store(made))
    return {
        "files": len(manifest.files),
        "megabytes": round(manifest.bytes / 1e6, 1),
        "snapshot_seconds": round(taken - began, 2),
        "restore_seconds": round(restored - taken, 2),
    }


def assert_equal(one: Store, other: Store) -> None:
    for mine, theirs in zip(one.snapshot().vectors(), other.snapshot().vectors(), strict=True):
        assert (mine.numbers == theirs.numbers).all()
        assert (mine.vectors == theirs.vectors).all()
    assert one.snapshot().content_hashes() == other.snapshot().content_hashes()


def commits(disk: DataFolder, made: Collection) -> list[float]:
    """Milliseconds of each commit of one document, a tenth of a second apart."""
    store, random, taken = disk.store(made), np.random.default_rng(1), []
    for number in range(WRITER_COMMITS):
        written = document(number, random, made.embedder.dimension)
        began = time.perf_counter()
        store.replace([written])
        taken.append(1000.0 * (time.perf_counter() - began))
        time.sleep(0.1)
    return taken


def take_until(stop: Event, done: Any, data: Path, root: Path) -> None:
    """Take snapshots in another process, as `winnow snapshot` does."""
    disk = DataFolder.open(data)
    while not stop.is_set():
        place = FolderPlace(root / f"meanwhile-{done.value}")
        snapshot(disk, DEFAULT_TENANT, "docs", place, watcher=Unwatched())
        done.value += 1


@contextmanager
def snapshots_meanwhile(data: Path, root: Path) -> Iterator[Any]:
    spawn = multiprocessing.get_context("spawn")  # Lance is not fork-safe
    stop, done = spawn.Event(), spawn.Value("i", 0)
    process = spawn.Process(target=take_until, args=(stop, done, data, root))
    process.start()
    while not (root / "meanwhile-0").exists():
        time.sleep(0.05)
    try:
        yield done
    finally:
        stop.set()
        process.join()


def summary(taken: list[float]) -> dict[str, float]:
    return {"p50_ms": round(statistics.median(taken), 1), "max_ms": round(max(taken), 1)}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--chunks", type=int, default=100_000)
    arguments.add_argument("--dimension", type=int, default=384)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving() as s3:
        root = Path(folder)
        disk, made = filled(root / "data", asked.chunks, asked.dimension)
        said: dict[str, Any] = {
            "folder": there_and_back(disk, made, FolderPlace(root / "place"), root / "from-folder"),
            "bucket": there_and_back(disk, made, BucketPlace(f"s3://{BUCKET}/docs", s3.access), root / "from-bucket"),
            "writer alone": summary(commits(disk, made)),
        }
        with snapshots_meanwhile(root / "data", root) as done:
            said["writer beside snapshots"] = summary(commits(disk, made))
        said["snapshots meanwhile"] = done.value
    print(json.dumps(said, indent=2))


if __name__ == "__main__":
    main()
