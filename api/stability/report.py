"""The report of ranking stability: a line per day, what changed when, and the queries that moved most.

Live samples are compared with the one before of the same question: same query, filter and options, same instruction by
name. Runs of golden sets are compared with their baselines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from winnow.api.stability.measures import AnswerChange, compare
from winnow.api.stability.states import NOT_NAMED, changed_factors, describe
from winnow.retrieval.catalog.sql.stability import SqlStabilityBook
from winnow.retrieval.catalog.sql.stability_samples import SqlSamples
from winnow.retrieval.catalog.stability import (
    SAMPLES_PER_TENANT_MAX,
    Answered,
    Factor,
    Moved,
    RankingState,
    Run,
    Sample,
)
from winnow.retrieval.tenancy import TenantName

DAYS_DEFAULT: Final = 30
DAYS_MAX: Final = 90
RUNS_MAX: Final = 1_000
MOVERS_MAX: Final = 20
MARKS_MAX: Final = 200  # the newest
_OF_COLLECTION: Final = frozenset({Factor.DOCUMENTS, Factor.MODEL, Factor.INDEX, Factor.NUMERICS})
_OF_REQUEST: Final = frozenset({Factor.INSTRUCTION})
_OFTEN: Final = frozenset({Factor.DOCUMENTS, Factor.INDEX})  # each write or build is a change


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day of one collection under one instruction."""

    day: date  # UTC
    collection: str
    instruction: str  # NAME@VERSION, or that it was a text
    samples: int = 0
    repeated: int = 0  # samples of a question that was sampled before
    moved: int = 0  # of these, with another order or other scores
    top1_change_rate: float | None = None  # None: no question was repeated
    overlap: float | None = None
    rbo: float | None = None
    degraded: float | None = None  # share of the samples
    runs: int = 0
    runs_moved: int = 0
    causes: tuple[str, ...] = ()  # of those runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A change of what a collection's answers are made with."""

    at: datetime
    collection: str
    factor: Factor
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """A question whose answer moved, in a sample or in a run."""

    collection: str
    at: datetime
    query_digest: str
    run: int | None  # None: in a sample
    moved: Moved


@dataclass(frozen=True, slots=True, kw_only=True)
class StabilityReport:
    """Days in order, marks in order, and the questions that moved most first."""

    since: datetime
    days: tuple[Day, ...]
    marks: tuple[Mark, ...]
    movers: tuple[Mover, ...]
    runs: tuple[Run, ...]  # newest first


@dataclass(slots=True)
class _Tally:
    samples: int = 0
    degraded: int = 0
    changes: list[AnswerChange] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    def day(self, key: tuple[date, str, str]) -> Day:
        count = len(self.changes)
        return Day(
            day=key[0],
            collection=key[1],
            instruction=key[2],
            samples=self.samples,
            repeated=count,
            moved=sum(each.moved for each in self.changes),
            top1_change_rate=sum(each.top1 for each in self.changes) / count if count else None,
            overlap=sum(each.overlap for each in self.changes) / count if count else None,
            rbo=sum(each.rbo for each in self.changes) / count if count else None,
            degraded=self.degraded / self.samples if self.samples else None,
            runs=len(self.runs),
            runs_moved=sum(bool(each.causes) for each in self.runs),
            causes=tuple(dict.fromkeys(cause.kind.value for each in self.runs for cause in each.causes)),
        )


class Reports:
    """Makes reports of a deployment's samples and runs. Every call blocks on the catalog."""

    def __init__(self, book: SqlStabilityBook, samples: SqlSamples) -> None:
        self._book = book
        self._samples = samples

    def report(
        self,
        tenant: TenantName,
        *,
        collection: str | None = None,
        days: int = DAYS_DEFAULT,
        now: datetime | None = None,
    ) -> StabilityReport:
        """Report the last days of a tenant, or of one of its collections."""
        since = (now or datetime.now(UTC)) - timedelta(days=days)
        samples = self._samples.samples(tenant, since=since, collection=collection, limit=SAMPLES_PER_TENANT_MAX)
        found = self._book.runs(tenant, collection=collection, limit=RUNS_MAX)
        runs = [each for each in found if each.at >= since]
        tallies: dict[tuple[date, str, str], _Tally] = {}
        movers = [*_tally_samples(samples, tallies), *self._movers_of(runs)]
        for run in runs:
            key = (run.at.date(), run.collection, run.state.instruction)
            tallies.setdefault(key, _Tally()).runs.append(run)
        movers.sort(key=lambda each: each.moved.rbo)
        return StabilityReport(
            since=since,
            days=tuple(tallies[key].day(key) for key in sorted(tallies)),
            marks=tuple(_joined(_marks(samples, runs)))[-MARKS_MAX:],
            movers=tuple(movers[:MOVERS_MAX]),
            runs=tuple(runs),
        )

    def _movers_of(self, runs: Sequence[Run]) -> Iterable[Mover]:
        """The queries that moved in the newest run of each golden set, if any did."""
        newest: dict[str, Run] = {}
        for run in runs:
            newest.setdefault(run.golden, run)
        for run in newest.values():
            if run.causes and run.baseline is not None:
                yield from _movers_between(
                    run, self._book.answers_of(run.tenant, run.baseline), self._book.answers(run)
                )


def _movers_between(run: Run, before: Mapping[str, Answered], after: Mapping[str, Answered]) -> Iterable[Mover]:
    for query, answer in after.items():
        if query not in before or answer.degraded is not None or before[query].degraded is not None:
            continue
        change = compare(before[query], answer)
        if change.moved:
            yield Mover(
                collection=run.collection,
                at=run.at,
                query_digest=answer.query_sha256,
                run=run.number,
                moved=Moved(query=query, before=before[query], after=answer, rbo=change.rbo),
            )


def _tally_samples(samples: Sequence[Sample], tallies: dict[tuple[date, str, str], _Tally]) -> Iterable[Mover]:
    """Count the samples by day, collection and instruction, and yield those whose answer moved."""
    last: dict[tuple[object, ...], Sample] = {}
    for sample in samples:
        tally = tallies.setdefault((sample.at.date(), sample.collection, sample.state.instruction), _Tally())
        tally.samples += 1
        if sample.degraded is not None:
            tally.degraded += 1
            continue
        before = last.get(_question(sample))
        last[_question(sample)] = sample
        if before is None:
            continue
        one, other = _answered(before), _answered(sample)
        change = compare(one, other)
        tally.changes.append(change)
        if change.moved:
            yield Mover(
                collection=sample.collection,
                at=sample.at,
                query_digest=sample.query_digest,
                run=None,
                moved=Moved(query=sample.query or "", before=one, after=other, rbo=change.rbo),
            )


def _question(sample: Sample) -> tuple[object, ...]:
    """What must be the same for two samples to be comparable. An instruction's version may differ, its name may not."""
    state = sample.state
    return sample.collection, sample.query_digest, _instruction_name(state), state.recall, state.candidates


def _instruction_name(state: RankingState) -> str:
    """Texts of requests are told apart by their digest."""
    return state.instruction_sha256 if state.instruction == NOT_NAMED else state.instruction.partition("@")[0]


def _answered(sample: Sample) -> Answered:
    return Answered(query_sha256=sample.query_digest, places=sample.places)


def _marks(samples: Sequence[Sample], runs: Sequence[Run]) -> Iterable[Mark]:
    """Yield where the state of a collection changed, in order of time.

    What a request chooses is no change; another version of the same instruction is. A golden set chooses the same each
    time, so any other instruction of its runs is a change.
    """
    seen = [(each.at, each.collection, each.state, _instruction_name(each.state)) for each in samples]
    seen += [(each.at, each.collection, each.state, f"set {each.golden}") for each in runs]
    last: dict[tuple[str, str], RankingState] = {}
    for at, collection, state, asked_with in sorted(seen, key=lambda each: each[0]):
        for group, factors in (("", _OF_COLLECTION), (asked_with, _OF_REQUEST)):
            before = last.get((collection, group))
            last[collection, group] = state
            for factor in () if before is None else changed_factors(before, state):
                if factor in factors and before is not None:
                    yield Mark(
                        at=at,
                        collection=collection,
                        factor=factor,
                        before=describe(factor, before),
                        after=describe(factor, state),
                    )


def _joined(marks: Iterable[Mark]) -> Sequence[Mark]:
    """Join the writes of a day, and its builds of an index: otherwise they would displace all other marks."""
    found: list[Mark] = []
    places: dict[tuple[str, Factor, date], int] = {}
    for mark in marks:
        key = mark.collection, mark.factor, mark.at.date()
        if mark.factor in _OFTEN and key in places:
            found[places[key]] = replace(found[places[key]], after=mark.after)
            continue
        places[key] = len(found)
        found.append(mark)
    return found
