"""Does the time of an answer tell what another tenant has? The same question about what is there, and what is nowhere.

    python -m tests.tenants.timing --pairs 1000 --seed 1
    python -m tests.tenants.timing --pairs 500 --seed 1 --bundled     # the searches alone, with the bundled models

alice asks for things that bob has, and for things that nobody has: both are refused, or answered, in the same words.
Questions come in pairs, in an order by lot, so that whatever slows the machine down slows both. What is told of each
case is the area under the curve (Mann-Whitney): how likely a question about what is there took longer than one about
what is nowhere. 0.5 is a coin; beyond 0.05 from it the time tells. The two controls show that the method sees what is
to be seen, and nothing where there is nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.tenants.service import bundled, serving
from tests.tenants.timing_cases import Ask, Case, Deployments, of_names, of_searches

TOLD: Final = 0.05  # from a coin: what may be, in either direction
WARM: Final = 20  # pairs of each case that are asked before any is timed
RESAMPLED: Final = 1_000  # times, for the interval

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What was found of one case."""

    case: str
    pairs: int
    auc: float
    low: float  # 95 % of the areas of pairs drawn anew lie between these
    high: float
    slower: float  # share of the pairs in which what is there took longer
    there_ms: float  # medians
    nowhere_ms: float
    should_tell: bool  # one of the controls

    @property
    def is_right(self) -> bool:
        return (abs(self.auc - 0.5) > TOLD) == self.should_tell


def area(there: Seconds, nowhere: Seconds) -> float:
    """How likely one of `there` is larger than one of `nowhere`; what is equal counts half."""
    ordered = np.sort(nowhere)
    beaten = np.searchsorted(ordered, there, side="left") + np.searchsorted(ordered, there, side="right")
    return float(beaten.sum() / (2 * there.size * nowhere.size))


def interval(there: Seconds, nowhere: Seconds, *, seed: int) -> tuple[float, float]:
    """By drawing pairs anew, since both of a pair met the same machine."""
    chances = np.random.default_rng(seed)
    drawn = [chances.integers(there.size, size=there.size) for _ in range(RESAMPLED)]
    low, high = np.quantile([area(there[each], nowhere[each]) for each in drawn], (0.025, 0.975))
    return float(low), float(high)


def timed(case: Case, *, pairs: int, until: float, chances: random.Random, warm: int = WARM) -> Row:
    """Fewer pairs where the time is over. Raises `AssertionError` where the answer itself tells."""
    found: dict[bool, list[float]] = {True: [], False: []}
    for number in range(-warm, pairs):
        if number > 0 and time.monotonic() > until:
            break
        for is_there in chances.sample((True, False), 2):
            seconds = _seconds(case, case.asked(number + warm, is_there))
            if number >= 0:
                found[is_there].append(seconds)
    there, nowhere = np.array(found[True]), np.array(found[False])
    low, high = interval(there, nowhere, seed=0)
    return Row(
        case=case.name,
        pairs=there.size,
        auc=area(there, nowhere),
        low=low,
        high=high,
        slower=float(np.mean(there > nowhere)),
        there_ms=float(np.median(there)) * 1_000,
        nowhere_ms=float(np.median(nowhere)) * 1_000,
        should_tell=case.status is None,
    )


def _seconds(case: Case, ask: Ask) -> float:
    for each in ask.before:
        each.send()
    began = time.perf_counter()
    answer = ask.send()
    seconds = time.perf_counter() - began
    assert case.status in {None, answer.status_code}, f"{case.name}: {answer.status_code} {answer.text[:300]}"
    return seconds


def measured(
    root: Path, *, pairs: int, seconds_max: float, seed: int, warm: int = WARM, is_bundled: bool = False, only: str = ""
) -> list[Row]:
    """Of a service with bob, and one where he never was. The time is shared out among the cases named like `only`."""
    chances, ends = random.Random(seed), time.monotonic() + seconds_max
    with ExitStack() as stack:
        shared, alone = (
            stack.enter_context(serving(root / name, fold_chunks=0, **(bundled() if is_bundled else {})))
            for name in ("shared", "alone")
        )
        both = Deployments.of(shared, alone, chances)
        known = [*([] if is_bundled else of_names(both, chances)), *of_searches(both)]
        chosen = [case for case in known if only in case.name]
        rows = []
        for number, case in enumerate(chosen):
            share = (ends - time.monotonic()) / (len(chosen) - number)
            until = time.monotonic() + share
            rows.append(timed(case, pairs=pairs, until=until, chances=chances, warm=warm))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000, help="of each case (1000)")
    parser.add_argument("--seconds-max", type=float, default=600.0, help="after which it ends with fewer (600)")
    parser.add_argument("--seed", type=int, default=1, help="of what is chosen (1)")
    parser.add_argument("--bundled", action="store_true", help="the searches, with the models of data/models")
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--json", action="store_true", help="the rows as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="winnow-timing-") as folder:
        rows = measured(
            Path(folder),
            pairs=options.pairs,
            seconds_max=options.seconds_max,
            seed=options.seed,
            is_bundled=options.bundled,
            only=options.only,
        )
    if options.json:
        print(json.dumps([asdict(each) for each in rows], indent=2))
    else:
        for row in rows:
            print(f"{row.case:58} {row.pairs:5} pairs, AUC {row.auc:.3f} ({row.low:.3f} to {row.high:.3f}), slower in "
                  f"{row.slower:.3f}, medians {row.there_ms:.3f} and {row.nowhere_ms:.3f} ms"
                  f"{'' if row.is_right else '  <- WRONG'}")  # fmt: skip
    return 0 if all(row.is_right for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
