"""`--against`: compares an evaluation with an earlier one, and finds the figures that fell by more than a bound.

Figures are compared over the queries that both evaluations have. A figure fails if its mean loss is larger than the
bound and a one-sided randomisation test says that a loss no larger than the bound would rarely look like this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson

from winnow.api.cli.evaluation.cases import Case
from winnow.api.cli.evaluation.comparisons import Values
from winnow.api.cli.evaluation.run import Evaluated
from winnow.api.cli.terminal import Terminal
from winnow.api.formatting import amount
from winnow.indexer.readers.lines import read_lines
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.significance import Loss, loss_beyond

Figures: TypeAlias = Mapping[str, Mapping[str, float]]  # name of the run -> measure -> value of one query

MAX_LOSS: Final = 0.01  # allowed unless --max-loss says otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """An earlier evaluation."""

    path: Path
    queries: Mapping[str, Figures]  # by query id


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The losses, and what could not be compared."""

    losses: Mapping[tuple[str, str], Loss]  # by run and measure
    means: Mapping[tuple[str, str], tuple[float, float]]  # before and now
    gone: Sequence[str]  # runs and measures that only the baseline has
    queries: int  # in both

    @property
    def failed(self) -> list[str]:
        return [" ".join(figure) for figure, loss in self.losses.items() if loss.is_beyond]


def read_baseline(path: Path) -> Baseline:
    """Read a file of `--per-query`. Raises `InvalidRequest`, which names the line, and `CorpusUnreadable`."""
    queries: dict[str, Figures] = {}
    for line in read_lines(path):
        where = f"--against {path}, line {line.number}"
        content = (line.content or b"").strip()
        if not content and line.content is not None:
            continue
        if line.number == 1:
            _refuse_summary(path, content)
        query_id, figures = _query(content, where)
        if query_id in queries:
            raise InvalidRequest(f"{where}: the query {query_id!r} was there before")
        queries[query_id] = figures
    if not queries:
        raise InvalidRequest(f"--against {path} is empty; pass a file written by 'winnow eval --per-query FILE'")
    return Baseline(path=path, queries=queries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The earlier evaluation, and the loss that it allows."""

    baseline: Baseline
    bound: float

    def passes(self, terminal: Terminal, found: Evaluated) -> bool:
        """Compare, and say to stderr what came of it. Raises `InvalidRequest` if nothing can be compared."""
        verdict = judge(self.baseline, found.cases, found.values, bound=self.bound)
        tell(terminal, verdict, self.baseline, asked=len(found.cases), bound=self.bound)
        return not verdict.failed


def read_gate(against: Path | None, max_loss: float | None, per_query: Path | None) -> Gate | None:
    """Read what `--against` names, before anything is measured. Raises `InvalidRequest`, `CorpusUnreadable`."""
    bound = MAX_LOSS if max_loss is None else max_loss
    if against is None:
        if max_loss is not None:
            raise InvalidRequest("--max-loss needs --against FILE, the evaluation to compare with")
        return None
    if not 0.0 <= bound <= 1.0:
        raise InvalidRequest(f"--max-loss {bound:g} is not between 0 and 1")
    if per_query is not None and per_query.resolve() == against.resolve():
        raise InvalidRequest(f"--per-query would overwrite {against}, which --against reads; name another file")
    return Gate(baseline=read_baseline(against), bound=bound)


def judge(baseline: Baseline, cases: Sequence[Case], values: Values, *, bound: float) -> Verdict:
    """Compare each figure that both evaluations have. Raises `InvalidRequest` if there is none."""
    places = [place for place, case in enumerate(cases) if case.id in baseline.queries]
    if not places:
        raise InvalidRequest(f"--against {baseline.path} has none of the {len(cases)} queries of this evaluation")
    earlier = [baseline.queries[cases[place].id] for place in places]
    named = [(run, measure) for run, measures in earlier[0].items() for measure in measures]
    shared = [(run, measure) for run, measure in named if measure in values.get(run, {})]
    if not shared:
        shown = ", ".join(" ".join(figure) for figure in named)
        raise InvalidRequest(f"--against {baseline.path} has no run and measure of this evaluation, only {shown}")
    losses, means = {}, {}
    for run, measure in shared:
        before = [_value(baseline, figures, run, measure) for figures in earlier]
        now = [values[run][measure][place] for place in places]
        losses[run, measure] = loss_beyond(before, now, bound=bound)
        means[run, measure] = math.fsum(before) / len(before), math.fsum(now) / len(now)
    gone = [" ".join(figure) for figure in named if figure not in losses]
    return Verdict(losses=losses, means=means, gone=gone, queries=len(places))


def tell(terminal: Terminal, verdict: Verdict, baseline: Baseline, *, asked: int, bound: float) -> None:
    """Print a line for each figure, and what failed, to stderr."""
    terminal.say(f"against {baseline.path}, {amount(verdict.queries)} queries, a loss of {bound:g} is allowed:")
    for figure, loss in verdict.losses.items():
        before, now = verdict.means[figure]
        terminal.say(
            f"  {' '.join(figure)}: {before:.4f} before, {now:.4f} now, loss {loss.mean:+.4f}, p = {loss.p:.4f}; "
            f"{_smallest(loss)}"
        )
    if verdict.queries < max(asked, len(baseline.queries)):
        terminal.warn(
            f"{amount(verdict.queries)} queries are in both: "
            f"{amount(len(baseline.queries))} before, {amount(asked)} now"
        )
    if verdict.gone:
        terminal.warn(f"not compared, because this evaluation has not measured it: {', '.join(verdict.gone)}")
    if verdict.failed:
        terminal.fail(f"fell by more than {bound:g}, and not by chance (p < 0.05): {', '.join(verdict.failed)}")


def _smallest(loss: Loss) -> str:
    if loss.smallest is None:
        return f"{loss.queries} queries are too few to show any loss"
    return f"the smallest loss that so many queries show is about {loss.smallest:.4f}"


def _refuse_summary(path: Path, first_line: bytes) -> None:
    """The output of `--json` is one object over several lines, without values of queries."""
    try:
        record = orjson.loads(first_line)
    except orjson.JSONDecodeError:
        record = None
    if first_line == b"{" or (isinstance(record, dict) and isinstance(record.get("runs"), list)):
        raise InvalidRequest(
            f"--against {path} is no file of --per-query. The test needs the values of each query, which --json "
            "does not print; write them with 'winnow eval --per-query FILE'"
        )


def _query(content: bytes, where: str) -> tuple[str, Figures]:
    try:
        record = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"{where}: not JSON: {error}") from error
    match record:
        case {"id": str(query_id), "runs": dict(runs)} if runs and all(map(_is_measured, runs.values())):
            return query_id, runs
        case _:
            raise InvalidRequest(f"{where}: not a line of --per-query: an id, and runs with a number for each measure")


def _is_measured(measures: Any) -> bool:
    return isinstance(measures, dict) and all(
        isinstance(value, float | int) and not isinstance(value, bool) for value in measures.values()
    )


def _value(baseline: Baseline, figures: Figures, run: str, measure: str) -> float:
    value = figures.get(run, {}).get(measure)
    if value is None:
        raise InvalidRequest(f"--against {baseline.path}: not every query has {measure} of the run {run}")
    return float(value)
