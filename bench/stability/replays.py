"""Replays a golden set without any disturbance, over restarts and folds: nothing may move.

    python -m bench.stability.replays [--replays 50] [--queries 10] [--candidates 10]

With the bundled pair over data/corpus, without caches. Every fifth replay follows a fold, every tenth a restart. The
last line is the verdict; exits with 1 if an answer moved.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.stability.corpus import COLLECTION, SET, build
from winnow.api.assemble import Services, assemble
from winnow.api.settings import Settings
from winnow.retrieval.catalog.stability import Run
from winnow.retrieval.tenancy import DEFAULT_TENANT

FOLD_EVERY: Final = 5
RESTART_EVERY: Final = 10


async def replays(services: Services, count: int) -> list[Run]:
    """Replay this often; fold before every fifth."""
    runs = []
    for number in range(count):
        if number % FOLD_EVERY == 0:
            opened = services.collections.get(DEFAULT_TENANT, COLLECTION)
            async with services.folding.running():
                await services.folding.ask(opened)
        runs.append(await services.replays.run(DEFAULT_TENANT, SET))
    return runs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replays", type=int, default=50)
    parser.add_argument("--queries", type=int, default=10)
    parser.add_argument("--candidates", type=int, default=10)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="winnow-replays-") as folder:
        settings = Settings(data=Path(folder))
        asyncio.run(build(settings, queries=options.queries, candidates=options.candidates))
        runs: list[Run] = []
        while len(runs) < options.replays + 1:  # the first is the baseline
            left = options.replays + 1 - len(runs)
            runs += asyncio.run(replays(assemble(settings), min(RESTART_EVERY, left)))
            print(f"{len(runs) - 1} replays after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    compared = [run.measures for run in runs if run.measures is not None]
    moved = sum(each.moved for each in compared)
    shift = max((each.score_shift_max or 0.0 for each in compared), default=0.0)
    print(f"{len(compared)} replays of {compared[0].queries} queries: {moved} answers "
          f"moved, {sum(bool(run.causes) for run in runs)} runs with a cause, largest score shift {shift:.1e}, "
          f"{len({run.state.generation for run in runs})} generations, {time.monotonic() - began:.0f} s")  # fmt: skip
    raised = moved or any(run.causes for run in runs) or any(each.degraded for each in compared)
    print("FAIL: undisturbed replays raised something" if raised else "PASS: undisturbed replays raise nothing")
    return 1 if raised else 0


if __name__ == "__main__":
    sys.exit(main())
