"""Is everything there that was acknowledged, and nothing of what was not? Asked in a process that wrote none of it.

    python -m tests.faults.checker     reads lines {"root": ..., "possible": [model, ...]}, answers each with one

First what `winnow verify` runs, then every document, then searches, which must be those of an exact index over the
model, to the number. Then the collection is written to, published and checked once more: a disturbance that is over
must not stay in the way.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from tests.builders import unit_vectors
from tests.faults.scripted import DIMENSION, IDENTITY, Model, aftermath, document, folder_of, opened, write
from winnow.api.collections.data_folder import DataFolder
from winnow.api.diagnostics.verify import verified
from winnow.retrieval.errors import WinnowError
from winnow.retrieval.files.locks import writing
from winnow.retrieval.generation.history import fold
from winnow.retrieval.index.vector_index import ExactIndex
from winnow.retrieval.records import Chunk
from winnow.retrieval.search.reader import IndexReader
from winnow.retrieval.store.contract import StoreSnapshot
from winnow.retrieval.store.lance_store import LanceStore

QUERIES: Final = unit_vectors(3, dimension=DIMENSION, seed=4711)
TOLERANCE: Final = 1e-6  # of a similarity; two exact ways to it differ in the last bits


def found_in(root: Path, possible: list[Model]) -> tuple[int | None, list[str]]:
    """Which of the models is there, and everything that is wrong."""
    try:
        return _found_in(root, possible)
    except WinnowError as error:
        return None, [f"{type(error).__name__}: {error}"]


def _found_in(root: Path, possible: list[Model]) -> tuple[int | None, list[str]]:
    wrong = list(_faults(root))
    stored = stored_in(opened(root).snapshot())
    here = next((at for at, model in enumerate(possible) if model == stored), None)
    if here is None:
        return None, [*wrong, f"stored is {stored}, none of {possible}"]
    wrong += differences(root, stored)
    wrong += _recovered(root, stored)
    return here, wrong


def stored_in(snapshot: StoreSnapshot) -> Model:
    chunks: dict[str, list[Chunk]] = {}
    for chunk in snapshot.chunks(snapshot.chunk_numbers().tolist()):
        chunks.setdefault(chunk.document_id, []).append(chunk)
    assert {name: snapshot.document(name).content_hash for name in chunks} == snapshot.content_hashes()
    return {name: ("".join(each.text for each in its), len(its)) for name, its in chunks.items()}


def _faults(root: Path) -> Iterator[str]:
    for check in verified(DataFolder.existing(root)):
        if check.fault is not None:
            yield f"verify, {check.part}: {check.fault}"


def differences(root: Path, model: Model, *, searchable: IndexReader | None = None) -> Iterator[str]:
    """Between what a search answers and what an exact one over the model does."""
    opened_here = searchable or IndexReader(folder=folder_of(root), store=opened(root), identity=IDENTITY)
    view = opened_here.refresh()
    if view.fallback_from is not None:
        yield f"served is an older generation: {view.fallback_from}"
    places = [(name, ordinal) for name, (_, pieces) in model.items() for ordinal in range(pieces)]
    vectors = [document(name, text, pieces).vectors for name, (text, pieces) in model.items()]
    exact = ExactIndex(np.arange(len(places)), np.concatenate([np.empty((0, DIMENSION), np.float32), *vectors]))
    for query in QUERIES:
        for k in (3, len(places) + 5):
            hits, expected = view.search(query, k), exact.search(query, k)
            answered = [(each.document_id, each.ordinal) for each in view.snapshot.chunks(hits.numbers.tolist())]
            if answered != [places[number] for number in expected.numbers]:
                yield f"a search for {k} answered {answered}, not {[places[number] for number in expected.numbers]}"
            elif not np.allclose(hits.similarities, expected.similarities, atol=TOLERANCE):
                yield f"a search for {k} answered similarities {hits.similarities}, not {expected.similarities}"


def _recovered(root: Path, model: Model) -> Iterator[str]:
    """Everything goes on: a write, a publication, both checked."""
    store: LanceStore = opened(root)
    used = store.snapshot().chunk_numbers()
    with writing(folder_of(root)):
        write(store, aftermath("recovery"))
        fresh = np.setdiff1d(store.snapshot().chunk_numbers(), used)
        if len(used) and fresh.min() <= used.max():
            yield f"chunk number {fresh.min()} was used before"
    fold(folder_of(root), store.snapshot(), IDENTITY)
    yield from (f"after recovery: {fault}" for fault in _faults(root))
    yield from (f"after recovery: {each}" for each in differences(root, {**model, **aftermath("recovery")}))
    left = [str(path) for path in folder_of(root).generations.glob("*.tmp")]
    if left:
        yield f"after recovery: {left} lie about"


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        possible = [{name: (text, pieces) for name, (text, pieces) in model.items()} for model in job["possible"]]
        try:
            here, wrong = found_in(Path(job["root"]), possible)
        except Exception as error:  # noqa: BLE001  anything but an error of ours is a finding as well
            here, wrong = None, [f"unexpected {type(error).__name__}: {error}"]
        print(json.dumps({"found": here, "wrong": wrong}), flush=True)


if __name__ == "__main__":
    main()
