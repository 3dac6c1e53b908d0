"""The matrix: which write paths are paused where and how, what each row found, and how it is printed.

    stopped   after it has taken its lease and after each renewal, so right before each of its commits and removals
    held      with one request on the wire (bucket), or one call that renames, links or removes (folder): it comes late,
              once as soon as the second writer has fenced the store, and once after that has published
    random    at random moments, which also fall into commits

Each row has a control: the same pauses, but the second writer takes over without a fence, and without ending what the
first had begun with a whole collection. It ends with the first pause after which something is wrong. Some paths do no
harm when they come late, such as clean-ups and segments of the full-text index; so a control must fail in each cell.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Final

from tests.faults.fence.judging import Fault, Kind
from tests.faults.fence.leases import UnfencedLease
from tests.faults.fence.paths import ONLY_IN_BUCKETS, ONLY_IN_FOLDERS, PATHS
from tests.faults.fence.rounds import Outcome, Pauses
from tests.faults.fence.scenes import Grounds
from tests.faults.fence.stream import streamed
from tests.faults.fence.whole import WHOLE_ONLY_IN_FOLDERS, WHOLE_PATHS
from tests.faults.fence.wire import held_on_the_wire
from winnow.retrieval.catalog.sql.leases.writer_lease import SqlWriterLease

PLACES: Final = ("folder", "bucket")
PAUSES: Final = ("stopped", "held", "random")
FENCING: Final = "upsert, with a fence to publish"
MADE_AGAIN: Final = ("upsert", "delete", "words")  # paths on which the second writer makes the collection again, too
STREAM: Final = "a stream of upserts and deletions"
ALL_PATHS: Final = (
    *PATHS,
    FENCING,
    *(f"{path}, made again meanwhile" for path in MADE_AGAIN),
    *WHOLE_PATHS,
    STREAM,
)
OWN_PREFIX: Final = "in a bucket each collection has a prefix of its own, which no late writer of another one names"
OWN_FENCE: Final = "what is paused is the fence itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One write path in one cell."""

    place: str
    pause: str
    path: str
    rounds: int = 0
    superseded: int = 0
    stale: int = 0
    lost: int = 0
    doubled: int = 0
    control_rounds: int = 0
    control_wrong: int = 0
    missing: str = ""  # why there is no such row
    harmless: str = ""  # why the control finds nothing

    @property
    def is_wrong(self) -> bool:
        if self.missing:
            return False
        return bool(self.stale or self.lost or self.doubled or not self.rounds)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.place, self.pause, self.path

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"wrong": self.is_wrong})

    @classmethod
    def from_json(cls, line: str) -> Row:
        values = json.loads(line)
        del values["wrong"]
        return cls(**values)


def why_missing(place: str, pause: str, path: str) -> str:
    """Return why a path cannot be paused in this way, or ""."""
    if path == STREAM and pause != "random":
        return "it is stopped at random moments only; its upserts and deletions have rows of their own"
    if path == "rollback" and pause == "random":
        return "one that has not begun when another host publishes is not late: it moves the pointer afterwards"
    if place == "bucket":
        return (ONLY_IN_FOLDERS | WHOLE_ONLY_IN_FOLDERS).get(path, "")
    return ONLY_IN_BUCKETS.get(path, "")


def row(grounds: Grounds, place: str, pause: str, path: str, *, pauses: int, seed: int, has_control: bool) -> Row:
    """Run all rounds of one row. `pauses`: random ones."""
    if missing := why_missing(place, pause, path):
        return Row(place=place, pause=pause, path=path, missing=missing)
    if path == STREAM:
        found = streamed(grounds, pauses=pauses, seed=seed)
        kinds = Counter(each.kind for each in found.wrong)
        _say(found.wrong, f"{found.acknowledged} acknowledged")
        return Row(
            place=place,
            pause=pause,
            path=path,
            rounds=found.pauses,
            superseded=found.superseded,
            stale=kinds[Kind.STALE],
            lost=kinds[Kind.LOST],
            doubled=kinds[Kind.DOUBLED],
            harmless="rows of single upserts and deletions have controls",
        )
    outcomes = list(_outcomes(grounds, pause, path, pauses=pauses, seed=seed))
    for outcome in outcomes:
        _say(outcome.wrong, outcome.paused_at)
    harmless = harmless_because(place, path)
    control = _control(grounds, pause, path, pauses=pauses, seed=seed) if has_control and not harmless else []
    kinds = Counter(kind for each in outcomes for kind in {fault.kind for fault in each.wrong})
    return Row(
        place=place,
        pause=pause,
        path=path,
        rounds=len(outcomes),
        superseded=sum(each.superseded for each in outcomes),
        stale=kinds[Kind.STALE],
        lost=kinds[Kind.LOST],
        doubled=kinds[Kind.DOUBLED],
        control_rounds=len(control),
        control_wrong=sum(bool(each.wrong) for each in control),
        harmless=harmless,
    )


def harmless_because(place: str, path: str) -> str:
    """Return why this path does no harm without a fence, or ""."""
    if path == FENCING:
        return OWN_FENCE
    if path in PATHS:
        return PATHS[path].harmless
    if path in WHOLE_PATHS and WHOLE_PATHS[path].harmless:
        return WHOLE_PATHS[path].harmless
    return OWN_PREFIX if place == "bucket" and path != "removal" else ""


def _control(grounds: Grounds, pause: str, path: str, *, pauses: int, seed: int) -> list[Outcome]:
    outcomes = []
    for outcome in _outcomes(grounds, pause, path, pauses=pauses, seed=seed, second=UnfencedLease):
        outcomes.append(outcome)
        if outcome.wrong:
            break
    return outcomes


def _outcomes(
    grounds: Grounds, pause: str, path: str, *, pauses: int, seed: int, second: type[SqlWriterLease] = SqlWriterLease
) -> Iterator[Outcome]:
    store_path, _, again = path.partition(", ")
    new = grounds.scenes_of(store_path, has_failed=path == FENCING, replaces=again.startswith("made again"))
    paused = Pauses(new=new, url=grounds.url, database=grounds.database, second=second)
    if pause == "stopped":
        yield from paused.after_renewals(2 if path == "rollback" else 1)  # before its move it is not late
    elif pause == "random":
        yield from paused.at_random(pauses, random.Random(seed))
    elif grounds.s3 is None:
        yield from paused.at_calls()
    else:
        with held_on_the_wire(grounds.s3.url) as wire:
            yield from paused.on_the_wire(wire)


def _say(wrong: Iterable[Fault], when: str) -> None:
    for fault in islice(wrong, 8):
        print(f"    {when}: {fault}", flush=True)


def blind_cells(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Return the cells in which controls were run and none found anything."""
    controlled = [each for each in rows if each.control_rounds]
    cells = dict.fromkeys((each.place, each.pause) for each in controlled)
    found = {(each.place, each.pause) for each in controlled if each.control_wrong}
    return [cell for cell in cells if cell not in found]


def table(rows: Iterable[Row]) -> Iterator[str]:
    """The rows of one matrix, and a line for each cell."""
    rows = sorted(rows, key=lambda each: (PLACES.index(each.place), PAUSES.index(each.pause)))
    width = max(len(path) for path in ALL_PATHS)
    head = f"{'place':7} {'pause':8} {'path':{width}} {'rounds':>6} {'late':>5} {'stale':>5} {'lost':>4} {'doubled':>7}"
    yield f"{head}  control without the fence"
    for each in rows:
        named = f"{each.place:7} {each.pause:8} {each.path:{width}}"
        if each.missing:
            yield f"{named} none: {each.missing}"
            continue
        counts = f"{each.rounds:6} {each.superseded:5} {each.stale:5} {each.lost:4} {each.doubled:7}"
        yield f"{named} {counts}  {_control_said(each)}{'  WRONG' if each.is_wrong else ''}"
    ran = [each for each in rows if not each.missing]
    for cell in dict.fromkeys((each.place, each.pause) for each in ran):
        of_cell = [each for each in ran if (each.place, each.pause) == cell]
        rounds = sum(each.rounds for each in of_cell)
        wrong = sum(each.stale + each.lost + each.doubled for each in of_cell)
        found, tried = sum(each.control_wrong > 0 for each in of_cell), sum(each.control_rounds > 0 for each in of_cell)
        said = f"{len(of_cell)} paths, {rounds} rounds, {wrong} wrong; controls that fail: {found} of {tried}"
        yield f"{cell[0]} x {cell[1]}: {said}"


def _control_said(row: Row) -> str:
    if row.control_rounds:
        return f"wrong after {row.control_rounds}" if row.control_wrong else f"nothing in {row.control_rounds}"
    return f"none: {row.harmless}" if row.harmless else "not run"
