"""Measures what recording every search adds to the CPU time of searches, in alternation.

    python -m bench.stability.sampling [--pairs 40] [--searches 20]

A service with the bundled pair over data/corpus answers blocks of searches, by turns with a share of 0 and of 1. This
prints the mean ratio of a block to the one before it, with its 95 % interval (bootstrap), of CPU time of all threads.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
from starlette.testclient import TestClient

from bench.stability.corpus import COLLECTION, INSTRUCTION, build
from winnow.api.assemble import assemble
from winnow.api.http.app import create_app
from winnow.api.settings import Settings

SETTLE_SECONDS: Final = 1.2  # until what was recorded is written; it belongs to the block
RESAMPLES: Final = 10_000


def cpu_of_block(client: TestClient, queries: list[str], share: float) -> float:
    """CPU seconds of these searches, and of writing their samples."""
    assert client.put("/v1/stability/sampling", json={"share": share}).status_code == 200
    began = time.process_time()
    for query in queries:
        body = {"query": query, "collection": COLLECTION, "instruction": {"name": INSTRUCTION}}
        assert client.post("/v1/search", json=body).status_code == 200
    time.sleep(SETTLE_SECONDS)
    return time.process_time() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--searches", type=int, default=20)
    options = parser.parse_args()
    chance = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="winnow-sampling-") as folder:
        settings = Settings(data=Path(folder))
        queries = asyncio.run(build(settings))
        with TestClient(create_app(assemble(settings)), base_url="http://localhost") as client:
            cpu_of_block(client, queries, 0.0)
            ratios = []
            for _ in range(options.pairs):
                asked = [chance.choice(queries) for _ in range(options.searches)]
                without, beside = cpu_of_block(client, asked, 0.0), cpu_of_block(client, asked, 1.0)
                ratios.append(beside / without)
    means = np.mean(np.random.default_rng(1).choice(ratios, size=(RESAMPLES, len(ratios))), axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    print(f"recording every search: CPU time x {np.mean(ratios):.4f} [{low:.4f}, {high:.4f}], {options.pairs} pairs of "
          f"{options.searches} searches")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
