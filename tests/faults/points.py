"""What happens when one operation is disturbed at each of its calls, one after the other?

    python -m tests.faults.points                                    every operation, every call, every fault
    python -m tests.faults.points --operations upsert --faults KILL --every 4

An operation is run once undisturbed to see its calls, then once for each call and fault on a fresh copy of the same
collection. Afterwards another process looks: see tests/faults/checker.py. Exits with 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.faults.scripted import OPERATIONS, Model, aftermath
from tests.faults.tracer import refused
from tests.faults.worker import Worker

FAULTS: Final = ("KILL", "EIO", "ENOSPC")
SYNCS: Final = frozenset({"fsync", "fdatasync"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One disturbance, and what came of it."""

    operation: str
    at: int
    fault: str
    call: str  # which was hit, "" where the run had fewer calls than the undisturbed one
    outcome: str  # what the process said of the operation: acknowledged, failed, died
    found: str  # "before", "after": what another process finds
    wrong: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """All points of a run."""

    points: list[Point] = field(default_factory=list)

    @property
    def hit(self) -> list[Point]:
        return [point for point in self.points if point.call]

    @property
    def wrong(self) -> list[Point]:
        return [point for point in self.points if point.wrong]

    def rows(self) -> Iterator[str]:
        for operation, fault in dict.fromkeys((point.operation, point.fault) for point in self.points):
            of_it = [each for each in self.points if (each.operation, each.fault) == (operation, fault)]
            outcomes = Counter(f"{each.outcome}, {each.found} is there" for each in of_it if each.call)
            said = "; ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
            wrong = sum(bool(each.wrong) for each in of_it)
            hit = sum(bool(each.call) for each in of_it)
            yield f"{operation:>12} {fault:>7} {hit:>5} hit {wrong:>3} wrong   {said}"


class Bench:
    """One collection for each operation, copied for each disturbance."""

    def __init__(self, folder: Path, *, tracer: Worker, checker: Worker) -> None:
        self.run = folder / "run"
        self._folder = folder
        self._tracer = tracer
        self._checker = checker
        self._models: dict[str, Model] = {}

    def model(self, operation: str) -> Model:
        """What is there before it."""
        self.prepared(operation)
        return self._models[operation]

    def prepared(self, operation: str) -> Path:
        """The data folder before it; not to be changed."""
        folder = self._folder / operation
        if operation not in self._models:
            self._models[operation] = OPERATIONS[operation].prepare(folder)
        return folder

    def looked(self, possible: Sequence[Model]) -> tuple[int | None, list[str]]:
        """Which of the models another process finds in the run's folder, and what is wrong there."""
        answer = self._checker.ask({"root": str(self.run), "possible": possible})
        return answer.get("found"), answer.get("wrong", [f"who looked died: {answer.get('died')}"])

    def after(self, operation: str) -> Model:
        """What is there when it was acknowledged."""
        return OPERATIONS[operation].after(self.model(operation))

    def undisturbed(self, operation: str) -> list[dict[str, Any]]:
        """All calls of it, and of the write after it."""
        calls: list[dict[str, Any]] = self._traced(operation, {})["calls"]
        return calls

    def calls(self, operation: str) -> list[dict[str, Any]]:
        """Of the undisturbed operation, up to its acknowledgement."""
        traced = self._traced(operation, {})
        acknowledged = next(event for event in traced["events"] if event["event"] == "acknowledged")
        calls: list[dict[str, Any]] = traced["calls"][: int(acknowledged["calls"])]
        return calls

    def disturbed(self, operation: str, at: int, fault: str) -> Point:
        before = self.model(operation)
        after = self.after(operation)
        traced = self._traced(operation, {"at": at, "fault": fault})
        events = [event["event"] for event in traced["events"]]
        hit = traced["calls"][at] if traced["hit"] is not None else {"name": "", "paths": []}
        possible = [after] if "acknowledged" in events else [before, after]
        if "acknowledged afterwards" in events:
            possible = [{**model, **aftermath("it")} for model in possible]
        elif "acknowledged" in events or "failed" in events:  # the second write was made, and refused or cut off
            possible += [{**model, **aftermath("it")} for model in possible]
        found, wrong = self.looked(possible)
        wrong += [f"{event['event']}: {event['detail']}" for event in traced["events"] if _is_fault(event, fault)]
        if hit["name"] in SYNCS and fault != "KILL":
            wrong += _despite_a_failed_sync(hit["paths"][0], events)
        elif "failed" in events and "acknowledged afterwards" not in events:
            wrong.append("a write that failed stands in the way of the next")
        names = {json.dumps({**before, **more}): "before" for more in ({}, aftermath("it"))}
        names |= {json.dumps({**after, **more}): "after" for more in ({}, aftermath("it"))}
        return Point(
            operation=operation,
            at=at,
            fault=fault,
            call=hit["name"],
            outcome=events[0] if events else "silent",
            found="nothing that" if found is None else names[json.dumps(possible[found])],
            wrong=tuple(wrong),
        )

    def _traced(self, operation: str, disturbance: dict[str, Any]) -> dict[str, Any]:
        shutil.rmtree(self.run, ignore_errors=True)
        shutil.copytree(self.prepared(operation), self.run)
        return self._tracer.ask({"root": str(self.run), "operation": operation, **disturbance})


def _despite_a_failed_sync(path: str, events: Sequence[str]) -> Iterator[str]:
    """Nobody knows what the disk holds then; a store has to be opened anew before anything more is written to it."""
    if "acknowledged" in events:
        yield "acknowledged although a sync had failed"
    if "corpus.lance" in path and "acknowledged afterwards" in events:
        yield "written to although a sync had failed"


def _is_fault(event: dict[str, Any], fault: str) -> bool:
    return event["event"] in {"unexpected", "hung"} or (event["event"] == "died" and fault != "KILL")


def enumerated(bench: Bench, operations: Sequence[str], faults: Sequence[str], *, every: int) -> Iterator[Point]:
    """`every` takes each so manieth call only, another one for each fault."""
    for operation in operations:
        calls = bench.calls(operation)
        for place, fault in enumerate(faults):
            for at in range(place % every, len(calls), every):
                yield bench.disturbed(operation, at, fault)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", nargs="+", default=list(OPERATIONS), choices=list(OPERATIONS))
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--every", type=int, default=1, help="take only each so manieth call (1)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    reason = refused()
    if reason is not None:
        raise SystemExit(reason)
    tally = Tally()
    with (
        tempfile.TemporaryDirectory(prefix="winnow-points-") as name,
        Worker("tests.faults.tracer") as tracer,
        Worker("tests.faults.checker") as checker,
    ):
        bench = Bench(Path(name), tracer=tracer, checker=checker)
        for operation in options.operations:
            part = Tally()
            for point in enumerated(bench, [operation], options.faults, every=options.every):
                part.points.append(point)
                for fault in point.wrong:
                    print(f"{point.operation} {point.at} {point.call} {point.fault}: {fault}", flush=True)
            print("\n".join(part.rows()), flush=True)
            tally.points += part.points
    print(f"{len(tally.hit)} of {len(tally.points)} points hit, {len(tally.wrong)} wrong")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
