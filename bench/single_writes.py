"""Tests that search by words stays fast after many single writes. Takes two minutes.

    python -m bench.single_writes --chunks 20000 --stages 0,16,17,200,1000

Builds a collection like an index run, in windows of 256 chunks, and publishes it; then writes documents one by one,
each replacing one: every tenth write is a deletion. After each stage's number of writes it copies the collection. All
copies are then searched in turn, query by query, so that other load on the machine affects all of them. Texts are words
drawn by Zipf's law, vectors are random; embedding and fetching are excluded.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.records import Document, EmbeddedDocument, RecallMode, Span
from winnow.retrieval.search.hybrid import propose
from winnow.retrieval.search.reader import IndexReader
from winnow.retrieval.store.lance_fulltext import segments, uncovered_fragments
from winnow.retrieval.store.lance_store import LanceStore

DIMENSION: Final = 384
WINDOW: Final = 256  # documents per commit while the collection is built
WORDS: Final = 100  # per text
VOCABULARY: Final = 30_000
QUERY_WORDS: Final = 6
WIDTH: Final = 100  # candidates
DELETED_OF: Final = 10  # every tenth write is a deletion
IDENTITY: Final = EmbedderIdentity(name="random", revision="1", dimension=DIMENSION)
MODES: Final = (RecallMode.LEXICAL, RecallMode.HYBRID)


class Texts:
    """Documents and queries; deterministic for a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._shares = np.cumsum(1.0 / np.arange(1, VOCABULARY + 1))

    def words(self, count: int) -> str:
        drawn = np.searchsorted(self._shares, self._rng.random(count) * self._shares[-1])
        return " ".join(f"w{word}" for word in drawn.tolist())

    def vector(self) -> np.ndarray:
        vector = self._rng.standard_normal(DIMENSION, dtype=np.float32)
        return vector / np.linalg.norm(vector)

    def document(self, number: int) -> EmbeddedDocument:
        text = self.words(WORDS)
        return EmbeddedDocument(
            document=Document(id=f"d{number}", text=text),
            spans=(Span(start=0, end=len(text)),),
            vectors=self.vector()[None],
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--stages", default="0,16,17,200,1000", help="numbers of writes, comma-separated, ascending")
    parser.add_argument("--queries", type=int, default=150)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    stages = [int(stage) for stage in options.stages.split(",")]
    base = Path(tempfile.mkdtemp(prefix="single-writes-"))
    try:
        written(base, stages, chunks=options.chunks, texts=Texts(options.seed))
        show(base, stages, searched(base, stages, queries=options.queries, texts=Texts(options.seed + 1)))
    finally:
        shutil.rmtree(base)


def written(base: Path, stages: list[int], *, chunks: int, texts: Texts) -> None:
    """Create a copy of the collection for each stage."""
    folder = CollectionFolder(base / "growing")
    store = LanceStore.create(folder.corpus, dimension=DIMENSION)
    for start in range(0, chunks, WINDOW):
        window = [texts.document(number) for number in range(start, min(chunks, start + WINDOW))]
        store.replace(window, more_follows=True)
    store.index_words()
    publish(folder, store.snapshot(), IDENTITY)
    took = []
    for write in range(stages[-1] + 1):
        if write in stages:
            shutil.copytree(folder.path, base / str(write))
        document = texts.document(write * 13 % chunks)
        started = time.perf_counter()
        if write % DELETED_OF == DELETED_OF - 1:
            store.delete([document.document.id])
        else:
            store.replace([document])
        took.append(1e3 * (time.perf_counter() - started))
    p50, p95, p99 = np.percentile(took, [50, 95, 99])
    print(f"a write: p50 {p50:.1f} ms, p95 {p95:.1f}, p99 {p99:.1f}, longest {max(took):.0f}")


def searched(base: Path, stages: list[int], *, queries: int, texts: Texts) -> dict[tuple[int, RecallMode], list[float]]:
    """Milliseconds of each search, by stage and recall mode."""
    views = {}
    for stage in stages:
        folder = CollectionFolder(base / str(stage))
        store = LanceStore.open(folder.corpus, dimension=DIMENSION)
        views[stage] = IndexReader(folder=folder, store=store, identity=IDENTITY).view()
    took: dict[tuple[int, RecallMode], list[float]] = {(stage, mode): [] for stage in stages for mode in MODES}
    rng = np.random.default_rng(1)
    for _ in range(queries):
        query, vector = texts.words(QUERY_WORDS), texts.vector()
        for stage in rng.permutation(stages).tolist():
            for mode in MODES:
                started = time.perf_counter()
                propose(views[stage], vector, query, mode=mode, width=WIDTH, matching=None)
                took[stage, mode].append(1e3 * (time.perf_counter() - started))
    return {which: each[queries // 10 :] for which, each in took.items()}


def show(base: Path, stages: list[int], took: dict[tuple[int, RecallMode], list[float]]) -> None:
    print("\n| writes | lexical p50 ms | hybrid p50 ms | waiting rows | segments | fragments |")
    print("|---|---|---|---|---|---|")
    for stage in stages:
        dataset = LanceStore.open(CollectionFolder(base / str(stage)).corpus, dimension=DIMENSION).snapshot().dataset
        waiting = sum(fragment.physical_rows for fragment in uncovered_fragments(dataset))
        p50s = " | ".join(f"{np.median(took[stage, mode]):.2f}" for mode in MODES)
        print(f"| {stage} | {p50s} | {waiting} | {len(segments(dataset))} | {len(dataset.get_fragments())} |")
    for mode in MODES:
        p50 = [float(np.median(took[stage, mode])) for stage in stages]
        print(f"{mode}: slowest over fastest {max(p50) / min(p50):.2f}")


if __name__ == "__main__":
    main()
