"""Cost of one more document in small and large collections.

    python -m bench.upsert --sizes 10000,100000,1000000 --rounds 60

Builds a store of each size from short texts and random vectors, publishes it, and then replaces one document at a time,
in one size after the other, so that other load on the machine affects all of them. An upsert is `Store.replace`, synced
to disk, and `IndexReader.refresh`, after which the document is found; embedding is excluded. bench/growth.py measures
the cost of the index itself.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.records import Document, EmbeddedDocument, Span
from winnow.retrieval.search.reader import IndexReader
from winnow.retrieval.store.lance_store import LanceStore

DIMENSION: Final = 384
CHUNKS: Final = 4  # per document
DOCUMENTS_AT_ONCE: Final = 1_000  # per commit while the store is built
WARM_UP: Final = 5  # rounds; the first upsert reads the ids of all documents once
IDENTITY: Final = EmbedderIdentity(name="random", revision="1", dimension=DIMENSION)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsert:
    """Seconds of one upsert."""

    replace: float
    refresh: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000,1000000", help="numbers of chunks, comma-separated")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=None, help="where to build (default: a temporary folder)")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    base = Path(tempfile.mkdtemp(prefix="upsert-", dir=options.folder))
    try:
        print(f"{'chunks':>10} {'write s':>8} {'publish s':>10} {'open s':>7}")
        for size in sizes:
            in_another_process(build, base / str(size), size, options.seed)
        upserts = measured(base, sizes, rounds=options.rounds, seed=options.seed)
        print(f"\n{'chunks':>10} {'replace p50 ms':>15} {'refresh p50 ms':>15} {'both p50':>9} {'mean':>7} {'p95':>7}")
        for size in sizes:
            show_upserts(size, upserts[size])
        show_growth(upserts[sizes[0]], upserts[sizes[-1]], seed=options.seed)
    finally:
        shutil.rmtree(base)


def in_another_process(work: Callable[..., Result], *arguments: object) -> Result:
    """Run in another process, so that its memory is separate."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def build(path: Path, size: int, seed: int) -> None:
    """Build a store. Prints the time, and the time of opening it up to the first document looked up."""
    folder = CollectionFolder(path)
    started = time.perf_counter()
    write(folder, size, seed)
    written = time.perf_counter()
    opened = LanceStore.open(folder.corpus, dimension=DIMENSION)
    opened.snapshot().document(name_of(0))
    looked_up = time.perf_counter()
    publish(folder, opened.snapshot(), IDENTITY)
    done = time.perf_counter()
    print(f"{size:>10} {written - started:>8.2f} {done - looked_up:>10.2f} {looked_up - written:>7.2f}", flush=True)


def write(folder: CollectionFolder, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    store = LanceStore.create(folder.corpus, dimension=DIMENSION)
    names = range(size // CHUNKS)
    for start in range(0, len(names), DOCUMENTS_AT_ONCE):
        store.replace([embedded(at, CHUNKS, "first", rng) for at in names[start : start + DOCUMENTS_AT_ONCE]])


def measured(base: Path, sizes: list[int], *, rounds: int, seed: int) -> dict[int, list[Upsert]]:
    rng = np.random.default_rng(seed + 1)
    opened = {size: open_collection(CollectionFolder(base / str(size))) for size in sizes}
    upserts: dict[int, list[Upsert]] = {size: [] for size in sizes}
    for turn in range(WARM_UP + rounds):
        for size in rng.permutation(sizes).tolist():
            one = upsert(*opened[size], embedded(int(rng.integers(size // CHUNKS)), CHUNKS - 1, f"turn {turn}", rng))
            if turn >= WARM_UP:
                upserts[size].append(one)
    return upserts


def open_collection(folder: CollectionFolder) -> tuple[LanceStore, IndexReader]:
    store = LanceStore.open(folder.corpus, dimension=DIMENSION)
    return store, IndexReader(folder=folder, store=store, identity=IDENTITY)


def upsert(store: LanceStore, searchable: IndexReader, document: EmbeddedDocument) -> Upsert:
    started = time.perf_counter()
    store.replace([document])
    written = time.perf_counter()
    view = searchable.refresh()
    done = time.perf_counter()
    best = view.search(document.vectors[0], 1)
    assert view.snapshot.chunks(best.numbers.tolist())[0].document_id == document.document.id, "found at once"
    return Upsert(replace=written - started, refresh=done - written)


def embedded(at: int, pieces: int, word: str, rng: np.random.Generator) -> EmbeddedDocument:
    text = " ".join(f"{word} {(at * 7 + place) % 997}" for place in range(16 * pieces))
    cuts = np.linspace(0, len(text), pieces + 1).astype(int).tolist()
    vectors = rng.standard_normal((pieces, DIMENSION), dtype=np.float32)
    return EmbeddedDocument(
        document=Document(id=name_of(at), text=text),
        spans=tuple(Span(start=start, end=end) for start, end in pairwise(cuts)),
        vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    )


def name_of(at: int) -> str:
    return f"document-{at:08d}"


def milliseconds(upserts: list[Upsert]) -> tuple[list[float], list[float], list[float]]:
    replaced, refreshed = [1e3 * one.replace for one in upserts], [1e3 * one.refresh for one in upserts]
    return replaced, refreshed, [first + second for first, second in zip(replaced, refreshed, strict=True)]


def show_upserts(size: int, upserts: list[Upsert]) -> None:
    replaced, refreshed, both = milliseconds(upserts)
    print(
        f"{size:>10} {np.median(replaced):>15.2f} {np.median(refreshed):>15.2f} {np.median(both):>9.2f} "
        f"{np.mean(both):>7.2f} {np.percentile(both, 95):>7.2f}"
    )


def show_growth(small: list[Upsert], large: list[Upsert], *, seed: int) -> None:
    first, last = (np.array(milliseconds(upserts)[2]) for upserts in (small, large))
    ratios = list(ratios_drawn_again(first, last, np.random.default_rng(seed)))
    low, high = np.percentile(ratios, [2.5, 97.5])
    print(f"\nlargest over smallest, p50: {np.median(last) / np.median(first):.2f} [{low:.2f}, {high:.2f}]")


def ratios_drawn_again(
    first: np.ndarray, last: np.ndarray, rng: np.random.Generator, *, draws: int = 1_000
) -> Iterator[float]:
    """Resample rounds, keeping both sizes of a round together, as they ran."""
    for _ in range(draws):
        rounds = rng.integers(len(first), size=len(first))
        yield float(np.median(last[rounds]) / np.median(first[rounds]))


if __name__ == "__main__":
    main()
