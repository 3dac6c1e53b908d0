"""What is there after a process that wrote, folded and searched was killed at any moment? Again and again, one folder.

    python -m tests.faults.kills --rounds 25 --seed 1

Each round starts tests/faults/mixed_load.py on what the round before has left, kills it (SIGKILL, by its process id)
after a time drawn by lot, and lets another process compare (tests/faults/checker.py): everything that was acknowledged
is there, and of what was in hand all or nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.faults.scripted import OPERATIONS, Model, aftermath
from tests.faults.worker import Worker

WORK_SECONDS_MAX: Final = 1.5  # after the first acknowledgement; a round is then killed somewhere within


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One kill, and what was found."""

    acknowledged: int  # writes
    in_hand: bool  # a write had begun
    found: str  # "without", "with" what was in hand
    wrong: tuple[str, ...]


def rounds(root: Path, *, count: int, seed: int) -> Iterator[Round]:
    model = OPERATIONS["upsert"].prepare(root)
    moments = random.Random(seed)
    with Worker("tests.faults.checker") as checker:
        for _ in range(count):
            events = _killed(root, seed=moments.getrandbits(32), after=moments.uniform(0, WORK_SECONDS_MAX))
            acknowledged, possible = _followed(model, events)
            answer = checker.ask({"root": str(root), "possible": possible})
            wrong = [*answer.get("wrong", [f"who looked died: {answer.get('died')}"])]
            wrong += [event["failed"] for event in events if "failed" in event]
            found = answer.get("found")
            yield Round(
                acknowledged=acknowledged,
                in_hand=len(possible) == 2,
                found="nothing that is possible" if found is None else ("without", "with")[found],
                wrong=tuple(wrong),
            )
            if found is None:
                return
            model = {**possible[found], **aftermath("recovery")}


def _killed(root: Path, *, seed: int, after: float) -> list[dict[str, Any]]:
    """What the process said until it was killed."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, "-m", "tests.faults.mixed_load", str(root), str(seed)], stdout=said)
        while process.poll() is None and not said.seek(0, 2):
            time.sleep(0.002)
        time.sleep(after)
        process.kill()
        process.wait()
        said.seek(0)
        lines = said.read().split(b"\n")
    return [json.loads(line) for line in lines[:-1]]  # the last has no end


def _followed(model: Model, events: Sequence[dict[str, Any]]) -> tuple[int, list[Model]]:
    """How many writes were acknowledged, and what may be there: with and without the one that was not."""
    acknowledged, in_hand = 0, None
    for event in events:
        if "done" in event:
            assert in_hand is not None
            model, in_hand = in_hand, None
            acknowledged += 1
        elif "upsert" in event:
            in_hand = {**model, **{name: (text, pieces) for name, (text, pieces) in event["upsert"].items()}}
        elif "delete" in event:
            in_hand = {name: stored for name, stored in model.items() if name not in event["delete"]}
    return acknowledged, [model] if in_hand is None else [model, in_hand]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25, help="how many kills (25)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and of the work (1)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="winnow-kills-") as name:
        done = []
        for each in rounds(Path(name), count=options.rounds, seed=options.seed):
            done.append(each)
            said = f"{each.found} the write in hand" if each.in_hand else "no write was in hand"
            print(f"{each.acknowledged:>5} writes acknowledged, {said}", *each.wrong, sep="; ", flush=True)
    wrong = sum(bool(each.wrong) for each in done)
    print(f"{len(done)} kills, {sum(each.acknowledged for each in done)} acknowledged writes, {wrong} rounds wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
