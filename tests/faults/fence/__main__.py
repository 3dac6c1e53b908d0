"""Stops processes that write, lets others take over, and continues them: nothing late is published, nothing lost.

    python -m tests.faults.fence --place folder --pauses 20 --seed 1
    python -m tests.faults.fence --place bucket --pauses 20 --seed 1
    python -m tests.faults.fence --place wire

1. Every write path, stopped (SIGSTOP) after each of its renewals, so right before each of its commits and removals, and
   every move of the pointer, stopped after each look at its token. Another writer waits until the lease expires, takes
   over, commits five times and publishes; then the first continues (SIGCONT).
2. `wire` is a bucket as well: every write path with each of its changing requests held on the wire while its writer is
   stopped; the request lands after the take-over.
3. The same with a writer that must publish a fence itself, and with one whose collection is made again meanwhile.
4. A process that writes one document after the other, stopped at random moments.
5. The controls: without the fence, deletions and publications must be found to arrive late.

Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.faults.fence.rounds import (
    Grounds,
    Round,
    held_rounds,
    randomly_paused,
    stopped_rounds,
    streamed,
    written,
)
from tests.faults.fence.sites import Site
from tests.faults.fence.wire import held_on_the_wire
from tests.faults.fence.writers import MOVES, PATHS, Outcome, UnfencedLease
from tests.postgres import running
from tests.s3_server import serving
from winnow.retrieval.catalog.sql.database import SqlDatabase

MADE_AGAIN: Final = ("upsert", "delete", "words")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--place", choices=["folder", "bucket", "wire"], default="folder")
    parser.add_argument("--pauses", type=int, default=20, help="random ones")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--paths", nargs="+", choices=[*PATHS, *MOVES], help="by default all that the place has")
    parser.add_argument("--writer", nargs=4, metavar=("SITE", "URL", "PATH", "AT"), help=argparse.SUPPRESS)
    parser.add_argument("--stream", nargs=2, metavar=("SITE", "URL"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.writer:
        site, url, path, at = asked.writer
        return written(Site.from_json(site), SqlDatabase.at(url), path, int(at))
    if asked.stream:
        return streamed(Site.from_json(asked.stream[0]), SqlDatabase.at(asked.stream[1]))
    with grounds_of(asked.place) as grounds:
        paths = asked.paths or ([*PATHS, *MOVES] if grounds.s3 is None else [*PATHS, "publication"])
        if asked.place == "wire" and grounds.s3 is not None:
            wrong = holds(grounds, grounds.s3.url, paths)
        else:
            wrong = stops(grounds, paths)
            wrong += randomly_paused(grounds, pauses=asked.pauses, seed=asked.seed)
            wrong += controls(grounds)
    return 1 if wrong else 0


@contextmanager
def grounds_of(place: str) -> Iterator[Grounds]:
    with tempfile.TemporaryDirectory(prefix="fence-") as base, running() as server:
        url = server.new()
        grounds = Grounds(base=Path(base), url=url, database=SqlDatabase.open(url))
        if place == "folder":
            yield grounds
            return
        with serving() as s3:
            yield Grounds(base=grounds.base, url=url, database=grounds.database, s3=s3)


def stops(grounds: Grounds, paths: list[str]) -> int:
    """Return how much is wrong."""
    wrong = sum(shown(path, list(stopped_rounds(grounds, Round(path=path)))) for path in paths)
    fencing = list(stopped_rounds(grounds, Round(path="upsert", has_failed=True)))
    wrong += shown("upsert, with a fence to publish", fencing)
    for path in MADE_AGAIN:
        again = list(stopped_rounds(grounds, Round(path=path, replaces=True)))
        wrong += shown(f"{path}, with the collection made again", again)
    return wrong


def holds(grounds: Grounds, upstream: str, paths: list[str]) -> int:
    """Return how much is wrong."""
    with held_on_the_wire(upstream) as wire:
        wrong = sum(
            shown(f"{path}, held on the wire", list(held_rounds(grounds, Round(path=path), wire))) for path in paths
        )
        fencing = list(held_rounds(grounds, Round(path="upsert", has_failed=True), wire))
        wrong += shown("upsert, with a fence to publish, held on the wire", fencing)
        control = list(held_rounds(grounds, Round(path="delete", second=UnfencedLease), wire))
        return wrong + _missed("control without a fence, delete, held on the wire", control)


def controls(grounds: Grounds) -> int:
    """Return how many controls have found nothing late."""
    wrong = 0
    for path in ("delete",) if grounds.s3 else ("delete", "publication"):
        control = list(stopped_rounds(grounds, Round(path=path, second=UnfencedLease)))
        wrong += _missed(f"control without a fence, {path}", control)
    return wrong


def _missed(control: str, outcomes: list[Outcome]) -> bool:
    found = sum(bool(each.wrong) for each in outcomes)
    print(f"{control}: {found} of {len(outcomes)} pauses published what was late", flush=True)
    return not found


def shown(path: str, outcomes: list[Outcome]) -> int:
    """Print one line, and each thing that is wrong. Return how much that is; no pause at all is wrong as well."""
    wrong = [each for each in outcomes if each.wrong]
    superseded = sum(each.superseded for each in outcomes)
    print(f"{path}: {len(outcomes)} pauses, {superseded} superseded, {len(wrong)} wrong", flush=True)
    for each in wrong:
        print(f"    {each.held or f'after renewal {each.at}'}: {'; '.join(each.wrong)}", flush=True)
    return len(wrong) + (not superseded)


if __name__ == "__main__":
    sys.exit(main())
