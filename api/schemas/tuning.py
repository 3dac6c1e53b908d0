"""What `winnow instructions tune --json` prints."""

from __future__ import annotations

from typing_extensions import TypedDict


class TuneWording(TypedDict):
    """A wording that was tried."""

    text: str
    mean: float  # of the measure, over the queries of the last round that tried it
    queries: int


class TuneRound(TypedDict):
    """A round of successive halving."""

    wordings: int
    queries: int


class TuneDifference(TypedDict):
    """The best wording minus the instruction in use, on the queries that confirm."""

    mean: float
    low: float  # the 95 % interval of the mean, by a paired bootstrap
    high: float
    p: float  # of the paired randomisation test, two-sided
    queries: int


class TuneResponse(TypedDict):
    """winnow instructions tune --json"""

    collection: str
    measure: str
    confirmed: bool
    winner: str | None  # None: no wording is shown to be better
    reason: str
    draft: str | None  # NAME@VERSION that was written
    before: str  # the instruction in use
    before_mean: float  # on the queries that choose
    wordings: list[TuneWording]  # best first
    rounds: list[TuneRound]
    difference: TuneDifference | None  # None: no wording was better on the queries that choose
    choosing: int  # queries
    confirming: int
    candidates: int
    rerankings_max: int  # planned, of the candidates of one query
    seed: int
    seconds: float
