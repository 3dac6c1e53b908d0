"""Writes, folds and searches all at once, until it is killed; says what it begins, and what is acknowledged.

    python -m tests.faults.mixed_load ROOT SEED

One thread upserts and deletes, one folds what is there into the next generation, again and again, one searches. A
line says what the first is about to do, the next that it is done.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from pathlib import Path
from typing import Any

from tests.faults.checker import QUERIES
from tests.faults.scripted import IDENTITY, folder_of, opened, write
from winnow.retrieval.errors import CollectionBusy
from winnow.retrieval.files.locks import writing
from winnow.retrieval.generation.history import fold
from winnow.retrieval.search.reader import IndexReader
from winnow.retrieval.store.lance_store import LanceStore


def _say(event: dict[str, Any]) -> None:
    print(json.dumps(event), flush=True)


def _write_on(root: Path, store: LanceStore, chances: random.Random) -> None:
    with writing(folder_of(root)):
        while True:
            names = [f"d{number}" for number in chances.sample(range(40), chances.randint(1, 3))]
            if chances.random() < 0.25:
                _say({"delete": names})
                store.delete(names)
            else:
                batch = {name: (f"written {chances.getrandbits(32)}", chances.randint(1, 4)) for name in names}
                _say({"upsert": batch})
                write(store, batch)
            _say({"done": True})


def _fold_on(root: Path, store: LanceStore) -> None:
    while True:
        try:
            fold(folder_of(root), store.snapshot(), IDENTITY)
        except CollectionBusy:  # somebody else moved the pointer
            continue


def _search_on(searchable: IndexReader) -> None:
    while True:
        view = searchable.refresh()
        for query in QUERIES:
            hits = view.search(query, 10)
            assert len(view.snapshot.chunks(hits.numbers.tolist())) == len(hits.numbers)


def _or_die(work: Any, *arguments: Any) -> None:
    """An error in any thread is one of the process, which must be seen."""
    try:
        work(*arguments)
    except BaseException as error:  # noqa: BLE001  what it is decides nothing
        _say({"failed": f"{type(error).__name__}: {error}"})
        os._exit(3)


def main(root: Path, seed: int) -> None:
    store = opened(root)
    searchable = IndexReader(folder=folder_of(root), store=store, identity=IDENTITY)
    work = [(_fold_on, root, store), (_search_on, searchable)]
    for each in work:
        threading.Thread(target=_or_die, args=each, daemon=True).start()
    _or_die(_write_on, root, store, random.Random(seed))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
