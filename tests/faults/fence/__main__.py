"""Pauses processes that write, lets others take over, and continues them: nothing late is published, nothing lost.

    python -m tests.faults.fence                                  the whole matrix, hours on two cores
    python -m tests.faults.fence --place bucket --pause held --paths words clean-up
    python -m tests.faults.fence --json fence.jsonl               one line for each row; those that are there are kept

Every write path, in a folder and in a bucket, is paused in three ways (tests/faults/fence/matrix.py). Another writer
waits until the lease expires, takes over, commits five times and publishes; then the first continues. Afterwards every
document, every chunk number, every file and the index that serves are compared. A control without the fence must fail.

Prints a table, and exits with 1 if anything is wrong. With `--json` the command can be repeated: it runs the rows that
the file does not have, and prints all.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.fence.matrix import ALL_PATHS, PAUSES, PLACES, Row, blind_cells, row, table
from tests.faults.fence.scenes import Grounds, grounds_in
from tests.faults.tracer import refused


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # else processes that are stopped would stay
    known = {each.key: each for each in _read(asked.json)}
    rows = [*known.values()]
    for place in asked.place:
        wanted = [(pause, path) for pause in asked.pause for path in asked.paths if (place, pause, path) not in known]
        if wanted:
            with grounds_in(place) as grounds:
                for pause, path in wanted:
                    rows.append(_ran(grounds, place, pause, path, asked))
    print("\n".join(table(rows)))
    for place, pause in (blind := blind_cells(rows)):
        print(f"{place} x {pause}: no control without the fence found anything")
    return 1 if blind or any(each.is_wrong for each in rows) else 0


def _ran(grounds: Grounds, place: str, pause: str, path: str, asked: argparse.Namespace) -> Row:
    began = time.monotonic()
    if place == "folder" and pause == "held" and (reason := refused()) is not None:
        return Row(place=place, pause=pause, path=path, missing=reason)
    made = row(grounds, place, pause, path, pauses=asked.pauses, seed=asked.seed, has_control=not asked.no_control)
    print(f"{place}, {pause}, {path}: {made.rounds} rounds in {time.monotonic() - began:.0f} s", flush=True)
    if asked.json is not None:
        with asked.json.open("a", encoding="utf-8") as file:
            file.write(f"{made.to_json()}\n")
    return made


def _read(path: Path | None) -> list[Row]:
    if path is None or not path.exists():
        return []
    return [Row.from_json(line) for line in path.read_text("utf-8").splitlines()]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--place", nargs="+", choices=PLACES, default=PLACES, help="by default both")
    parser.add_argument("--pause", nargs="+", choices=PAUSES, default=PAUSES, help="by default all")
    parser.add_argument("--paths", nargs="+", choices=ALL_PATHS, default=ALL_PATHS, help="by default all")
    parser.add_argument("--pauses", type=int, default=20, help="random ones of each path (20)")
    parser.add_argument("--seed", type=int, default=1, help="of their moments (1)")
    parser.add_argument("--no-control", action="store_true", help="leave the controls out")
    parser.add_argument("--json", type=Path, help="file for one line of JSON for each row")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
