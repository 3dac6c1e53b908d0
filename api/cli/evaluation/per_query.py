"""What each query came to: the lines of `--per-query`, and the largest wins and losses against the first run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from winnow.api.cli.evaluation.cases import Case
from winnow.api.cli.evaluation.comparisons import Values
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import flat
from winnow.api.schemas.evaluation import EvalQuery
from winnow.retrieval.files.durable import write_errors

SHOWN: Final = 3  # wins, and losses, of each run
TEXT_CHARACTERS: Final = 60  # of a query, in the table
_NO_DIFFERENCE: Final = 1e-12  # sums of equal terms in another order differ by less


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a query has in a run and in the first one."""

    case: Case
    before: float
    after: float

    @property
    def difference(self) -> float:
        return self.after - self.before


def queries_of(cases: Sequence[Case], values: Values) -> Iterator[EvalQuery]:
    """Each case with its values, in the order of the cases."""
    first = next(iter(values))
    for place, case in enumerate(cases):
        runs = {run: {name: each[place] for name, each in measures.items()} for run, measures in values.items()}
        yield EvalQuery(
            id=case.id,
            text=case.text,
            runs=runs,
            differences={
                run: {name: value - runs[first][name] for name, value in measures.items()}
                for run, measures in runs.items()
                if run != first
            },
        )


def write_queries(path: Path, cases: Sequence[Case], values: Values) -> None:
    """Write one JSON object per line. Raises `WriteFailed`."""
    lines = b"".join(orjson.dumps(each) + b"\n" for each in queries_of(cases, values))
    with write_errors(path):
        path.write_bytes(lines)


def extremes(cases: Sequence[Case], before: Sequence[float], after: Sequence[float]) -> list[Change]:
    """The largest wins, largest first, then the largest losses, largest last."""
    changes = [
        Change(case=case, before=one, after=other) for case, one, other in zip(cases, before, after, strict=True)
    ]
    changes.sort(key=lambda each: -each.difference)
    wins = [each for each in changes if each.difference > _NO_DIFFERENCE]
    losses = [each for each in changes if each.difference < -_NO_DIFFERENCE]
    return wins[:SHOWN] + losses[-SHOWN:]


def show_extremes(terminal: Terminal, cases: Sequence[Case], values: Values) -> None:
    """Print a table of the largest wins and losses by the first measure, if any query differs."""
    first, *others = values
    measure = next(iter(values[first]))
    rows = [
        (
            run,
            each.case.id,
            _shortened(each.case.text),
            f"{each.before:.4f}",
            f"{each.after:.4f}",
            f"{each.difference:+.4f}",
        )
        for run in others
        for each in extremes(cases, values[first][measure], values[run][measure])
    ]
    if not rows:
        return
    words = [Column(name=name) for name in ("run", "query", "text")]
    numbers = [Column(name=name, right=True) for name in (first, "run's", "difference")]
    terminal.table([*words, *numbers], rows, title=f"Largest wins and losses against {first}, {measure}")


def _shortened(text: str) -> str:
    shown = flat(text)
    return shown if len(shown) <= TEXT_CHARACTERS else f"{shown[: TEXT_CHARACTERS - 1]}…"
