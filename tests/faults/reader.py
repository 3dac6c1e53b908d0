"""What does a process find that only reads, and whose views live on while others write?

    python -m tests.faults.reader     reads lines {"root", "seed", "k", "where"}, answers each with what a search finds

It keeps what it has opened, as a service would, until it is told to forget it: {"forget": root}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.builders import unit_vectors
from tests.faults.scripted import DIMENSION, IDENTITY, folder_of, opened
from winnow.retrieval.errors import WinnowError
from winnow.retrieval.filters.grammar import parse_filter
from winnow.retrieval.search.reader import IndexReader


def answer(searchables: dict[str, IndexReader], job: dict[str, Any]) -> dict[str, Any]:
    root = job["root"]
    if root not in searchables:
        searchables[root] = IndexReader(folder=folder_of(Path(root)), store=opened(Path(root)), identity=IDENTITY)
    view = searchables[root].refresh()
    vector = unit_vectors(1, dimension=DIMENSION, seed=job["seed"])[0]
    if job["where"] is None:
        hits = view.search(vector, job["k"])
    else:
        hits, _ = view.search_matching(vector, job["k"], view.snapshot.numbers_where(parse_filter(job["where"])))
    chunks = view.snapshot.chunks(hits.numbers.tolist())
    return {
        "hits": [[chunk.document_id, chunk.ordinal, chunk.text] for chunk in chunks],
        "similarities": hits.similarities.tolist(),
        "fallback_from": view.fallback_from,
        "counts": view.snapshot.counts(),
    }


def main() -> None:
    searchables: dict[str, IndexReader] = {}
    for line in sys.stdin:
        job = json.loads(line)
        if "forget" in job:
            searchables.pop(job["forget"], None)
            print("{}", flush=True)
            continue
        try:
            said = answer(searchables, job)
        except WinnowError as error:
            said = {"error": str(error)}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
