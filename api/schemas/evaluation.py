"""What `winnow eval` writes about comparisons: parts of its JSON object, and the lines of --per-query."""

from __future__ import annotations

from typing_extensions import TypedDict


class EvalComparison(TypedDict):
    """One measure of two runs over the same queries: `run` minus `against`."""

    measure: str
    run: str
    against: str
    mean: float
    low: float  # the 95 % interval of the mean, by a paired bootstrap
    high: float
    p: float  # of the paired randomisation test, two-sided
    p_holm: float  # corrected by Holm's method over all pairs of the measure
    exact: bool  # p counts all patterns of signs, not draws
    draws: int  # of the test, unless it is exact, and of the bootstrap
    seed: int
    queries: int


class EvalQuery(TypedDict):
    """One line of `winnow eval --per-query`."""

    id: str
    text: str
    runs: dict[str, dict[str, float]]  # name of the run -> measure -> value
    differences: dict[str, dict[str, float]]  # the same minus the first run's, for all others
