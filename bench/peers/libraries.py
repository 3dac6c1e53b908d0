"""What a store costs that is a library. Runs in the peers' Python, and prints one JSON object.

python -m bench.peers.libraries FOLDER     (FOLDER has what `Material.save` wrote)
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 64
WIDTH = 100


def main() -> None:
    folder = Path(sys.argv[1])
    vectors, queries = np.load(folder / "vectors.npy"), np.load(folder / "queries.npy")
    texts: list[str] = json.loads((folder / "texts.json").read_text("utf-8"))
    print(json.dumps({"LanceDB": lancedb_figures(folder / "lancedb", vectors, texts, queries)}))


def lancedb_figures(folder: Path, vectors: Any, texts: list[str], queries: Any) -> dict[str, float]:
    """Search all vectors; LanceDB recommends an index from 256,000 rows on."""
    import lancedb

    shutil.rmtree(folder, ignore_errors=True)
    rows = [
        {"id": str(place), "text": text, "vector": vector}
        for place, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]
    table = lancedb.connect(str(folder)).create_table("chunks", rows)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

    def search(round_: int) -> None:
        table.search(queries[round_ % len(queries)]).distance_type("dot").limit(WIDTH).to_arrow()

    def upsert(round_: int) -> None:
        changed = [{"id": str(round_), "text": texts[round_], "vector": vectors[round_]}]
        table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(changed)

    def delete(round_: int) -> None:
        table.delete(f"id = '{round_}'")

    search(0)
    return {
        "bytes a chunk": size / len(texts),
        "search 100, ms": p50(search),
        "upsert 1, ms": p50(upsert),
        "delete 1, ms": p50(delete),
    }


def p50(work: Callable[[int], None]) -> float:
    """Return the median duration in milliseconds."""
    durations = []
    for round_ in range(ROUNDS):
        began = time.perf_counter()
        work(round_)
        durations.append(1000.0 * (time.perf_counter() - began))
    return statistics.median(durations)


if __name__ == "__main__":
    main()
