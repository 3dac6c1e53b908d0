"""Measures what recording every search adds to the CPU time of searches, in alternation.

    python -m bench.stability.sampling [--pairs 40] [--searches 10] [--candidates 10] [--cached]

A service with the bundled pair over data/corpus answers blocks of searches, with a share of 0 and of 1 in turn, and
writes what was recorded at the end of each. This prints the mean ratio of the blocks of a pair, with its 95 % interval
(bootstrap), of CPU time of all threads. The last line is the verdict: at most 2 % more, with an interval narrower than
5 %; exits with 1 otherwise. With --cached all vectors and scores are remembered: the cheapest searches, so the worst
ratio, without a verdict.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from starlette.testclient import TestClient

from bench.stability.corpus import COLLECTION, INSTRUCTION, build
from winnow.api.assemble import Services, assemble
from winnow.api.http.app import create_app
from winnow.api.search.caches import Caches
from winnow.api.settings import Settings

ADDED_MAX: Final = 0.02
INTERVAL_MAX: Final = 0.05
RESAMPLES: Final = 10_000


def cpu_of_block(client: TestClient, parts: Services, queries: list[str], share: float, candidates: int) -> float:
    """CPU seconds of these searches, and of writing their samples."""
    assert client.portal is not None
    assert client.put("/v1/stability/sampling", json={"share": share}).status_code == 200
    began = time.process_time()
    for query in queries:
        body = {
            "query": query,
            "collection": COLLECTION,
            "candidates": candidates,
            "instruction": {"name": INSTRUCTION},
        }
        assert client.post("/v1/search", json=body).status_code == 200
    client.portal.call(parts.sampling.refresh)
    return time.process_time() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--searches", type=int, default=10, help="per block")
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--cached", action="store_true", help="keep the caches on: the worst ratio")
    options = parser.parse_args()
    chance = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="winnow-sampling-") as folder:
        settings = Settings(data=Path(folder))
        if not options.cached:
            settings = replace(settings, judgement_cache_mb=0, query_cache_mb=0)
        queries = asyncio.run(build(settings))
        parts = assemble(settings, caches=Caches.of(settings))
        with TestClient(create_app(parts), base_url="http://localhost") as client:
            logging.disable(logging.INFO)  # a line per request costs as much in both
            for share in (0.0, 1.0):
                cpu_of_block(client, parts, queries, share, options.candidates)
            ratios, spent = [], []
            for pair in range(options.pairs):
                asked = [chance.choice(queries) for _ in range(options.searches)]
                shares = (0.0, 1.0) if pair % 2 else (1.0, 0.0)
                taken = {share: cpu_of_block(client, parts, asked, share, options.candidates) for share in shares}
                ratios.append(taken[1.0] / taken[0.0])
                spent.append(1_000.0 * taken[0.0] / options.searches)
    means = np.mean(np.random.default_rng(1).choice(ratios, size=(RESAMPLES, len(ratios))), axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    print(f"recording every search: CPU time x {np.mean(ratios):.4f} [{low:.4f}, {high:.4f}], {options.pairs} pairs of "
          f"{options.searches} searches of {np.median(spent):.1f} ms")  # fmt: skip
    if options.cached:
        return 0
    holds = np.mean(ratios) <= 1 + ADDED_MAX and high - low < INTERVAL_MAX
    print(f"{'PASS' if holds else 'FAIL'}: at most {ADDED_MAX:.0%} more, interval {high - low:.1%} wide")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
