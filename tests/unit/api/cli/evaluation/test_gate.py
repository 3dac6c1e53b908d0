"""`--against` finds an injected regression, lets samples of the same quality pass, and refuses other files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from winnow.api.cli.evaluation.cases import Case
from winnow.api.cli.evaluation.gate import judge, read_baseline, read_gate, tell
from winnow.api.cli.evaluation.per_query import write_queries
from winnow.api.cli.terminal import Terminal
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest
from winnow.retrieval.measures import parse

QUERIES = 300
BOUND = 0.01
NDCG = parse("nDCG@10")
CASES = [Case(id=f"q{number}", text="x") for number in range(QUERIES)]
GOOD_LINE = '{"id": "q0", "text": "x", "runs": {"recall": {"nDCG@10": 0.5}}, "differences": {}}\n'


def orders(seed: int) -> list[list[str]]:
    """One relevant document of 100 for each query, d0, mostly near the top."""
    drawn = np.random.default_rng(seed)
    found = []
    for _ in range(QUERIES):
        others = [f"d{number}" for number in range(1, 100)]
        others.insert(min(99, int(drawn.geometric(0.4)) - 1), "d0")
        found.append(others)
    return found


def figures(ranked: list[list[str]]) -> NDArray[np.float64]:
    return np.array([NDCG.of(each, {"d0": 1}) for each in ranked])


def shuffled(ranked: list[list[str]], share: float, seed: int) -> list[list[str]]:
    """Shuffle the order of a share of the queries."""
    drawn = np.random.default_rng(seed)
    chosen = set(drawn.choice(len(ranked), int(share * len(ranked)), replace=False).tolist())
    return [drawn.permutation(each).tolist() if place in chosen else each for place, each in enumerate(ranked)]


def is_caught(folder: Path, before: NDArray[np.float64], now: NDArray[np.float64], *, bound: float = BOUND) -> bool:
    write_queries(folder / "before.jsonl", CASES, {"two-stage": {"nDCG@10": before.tolist()}})
    values = {"two-stage": {"nDCG@10": now.tolist()}}
    return bool(judge(read_baseline(folder / "before.jsonl"), CASES, values, bound=bound).failed)


@pytest.mark.parametrize("seed", range(5))
def test_orders_shuffled_for_a_tenth_of_the_queries_are_caught(tmp_path: Path, seed: int) -> None:
    ranked = orders(seed)
    assert is_caught(tmp_path, figures(ranked), figures(shuffled(ranked, 0.1, seed)))


def test_twenty_resamples_of_the_queries_are_not_caught(tmp_path: Path) -> None:
    """Another sample of the same queries: neither against itself, nor where it is taken for the figures now."""
    before = figures(orders(1))
    drawn = np.random.default_rng(2)
    for _ in range(20):
        picked = drawn.integers(0, QUERIES, QUERIES)
        assert not is_caught(tmp_path, before[picked], before[picked])
        assert not is_caught(tmp_path, before, before[picked])


def test_a_loss_within_the_bound_passes_however_sure_it_is(tmp_path: Path) -> None:
    before = figures(orders(3)) + 0.01
    assert not is_caught(tmp_path, before, before - 0.009)
    assert is_caught(tmp_path, before, before - 0.009, bound=0.005)
    assert not is_caught(tmp_path, before, before + 0.5)


def test_the_smallest_loss_that_the_queries_show_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what failed, what was compared over fewer queries, and what was not compared."""
    before = figures(orders(4))
    runs = {"recall": {"nDCG@10": before.tolist()}, "rerank": {"nDCG@10": before.tolist()}}
    write_queries(tmp_path / "before.jsonl", CASES, runs)
    baseline = read_baseline(tmp_path / "before.jsonl")
    now = {"recall": {"nDCG@10": (before[:200] * 0.8).tolist(), "R@1": [1.0] * 200}}
    verdict = judge(baseline, CASES[:200], now, bound=BOUND)
    tell(Terminal(json=True), verdict, baseline, asked=200, bound=BOUND)
    shown = capsys.readouterr()
    smallest = verdict.losses["recall", "nDCG@10"].smallest
    assert smallest is not None
    assert BOUND < smallest < 0.03
    assert f"the smallest loss that so many queries show is about {smallest:.4f}" in shown.err
    assert "200 queries are in both: 300 before, 200 now" in shown.err
    assert "has not measured it: rerank nDCG@10" in shown.err
    assert "fell by more than 0.01, and not by chance (p < 0.05): recall nDCG@10" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("", "is empty; pass a file written by"),
        ('{\n  "runs": [\n', "which --json does not print"),
        ('{"runs": [{"name": "recall"}], "queries": 2}\n', "which --json does not print"),
        (GOOD_LINE + "\n{oops\n", "line 3: not JSON"),
        (GOOD_LINE + '{"id": "q1", "runs": {}}\n', "line 2: not a line of --per-query"),
        (GOOD_LINE + '{"id": "q1", "runs": {"recall": {"nDCG@10": "0.5"}}}\n', "line 2: not a line of --per-query"),
        (GOOD_LINE + GOOD_LINE, "line 2: the query 'q0' was there before"),
    ],
)
def test_what_is_no_file_of_values_is_refused(tmp_path: Path, content: str, wrong: str) -> None:
    (tmp_path / "before.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(InvalidRequest) as refused:
        read_baseline(tmp_path / "before.jsonl")
    assert wrong in refused.value.detail


def test_what_has_nothing_in_common_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "before.jsonl"
    with pytest.raises(CorpusUnreadable):
        read_baseline(path)
    path.write_text(GOOD_LINE + json.dumps({"id": "q1", "runs": {"rerank": {"nDCG@10": 1}}}) + "\n", encoding="utf-8")
    baseline = read_baseline(path)
    with pytest.raises(InvalidRequest, match="none of the 1 queries"):
        judge(baseline, [Case(id="other", text="x")], {"recall": {"nDCG@10": [1.0]}}, bound=BOUND)
    with pytest.raises(InvalidRequest, match="no run and measure of this evaluation, only recall nDCG@10"):
        judge(baseline, CASES[:1], {"recall": {"R@1": [1.0]}}, bound=BOUND)
    with pytest.raises(InvalidRequest, match="not every query has nDCG@10 of the run recall"):
        judge(baseline, CASES[:2], {"recall": {"nDCG@10": [1.0, 1.0]}}, bound=BOUND)


@pytest.mark.parametrize("bound", [float("nan"), -0.1, 1.5])
def test_a_bound_that_is_none_is_refused(tmp_path: Path, bound: float) -> None:
    with pytest.raises(InvalidRequest, match="is not between 0 and 1"):
        read_gate(tmp_path / "before.jsonl", bound, None)


def test_the_earlier_evaluation_is_never_overwritten(tmp_path: Path) -> None:
    """A second run would compare with the figures that failed."""
    path = tmp_path / "before.jsonl"
    path.write_text(GOOD_LINE, encoding="utf-8")
    with pytest.raises(InvalidRequest, match="would overwrite"):
        read_gate(path, None, tmp_path / "." / "before.jsonl")
    gate = read_gate(path, None, tmp_path / "now.jsonl")
    assert gate is not None
    assert gate.bound == 0.01
    with pytest.raises(InvalidRequest, match="--max-loss needs --against"):
        read_gate(None, 0.01, None)
    assert read_gate(None, None, path) is None
