"""What an evaluation says in addition to its figures."""

from __future__ import annotations

import pytest

from winnow.api.cli.evaluation.report import say_conditions, show_times
from winnow.api.cli.terminal import Terminal


def test_a_table_names_the_rerankers_that_read_no_instruction(capsys: pytest.CaptureFixture[str]) -> None:
    """Once each; recall is not one of them."""
    read = [("recall", None, False), ("two-stage-a", "a", True), ("two-stage-b", "b", False), ("rerank-b", "b", False)]
    runs = [
        {"name": name, "reranker": reranker, "instruction_applied": applied, "metrics": {"nDCG@10": 0.5}}
        for name, reranker, applied in read
    ]
    sizes = {"queries": 1, "documents": 1, "candidates": 1, "seconds": 1.0}
    say_conditions(Terminal(), {"runs": runs, "rerankers": ["a", "b"], "embedder": "e", **sizes})
    warned = [line for line in capsys.readouterr().err.splitlines() if "reads no instruction" in line]
    assert warned == ["b reads no instruction: its order does not follow one."]


def test_a_run_has_its_times_and_its_price(capsys: pytest.CaptureFixture[str]) -> None:
    """A run without a second stage has no time there, and one from elsewhere has no row."""
    times = {stage: {"p50": 1.4, "p90": 20.0, "p99": 300.0} for stage in ("embed", "recall", "fetch", "total")}
    tokens = {"embed": 12.0, "rerank": 1_500.0}
    runs = [
        {"name": "recall", "timings": times | {"rerank": None}, "tokens": tokens, "cost_per_1000": None},
        {"name": "wide", "timings": times | {"rerank": times["total"]}, "tokens": tokens, "cost_per_1000": 0.25},
        {"name": "bm25", "timings": None, "tokens": None, "cost_per_1000": None},
    ]
    show_times(Terminal(), {"runs": runs})
    header, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert header == ["run", "embed", "recall", "fetch", "rerank", "search", "p90", "p99", "tokens", "cost"]
    assert rows == [
        ["recall", "1", "1", "1", "", "1", "20", "300", "1,512", ""],
        ["wide", "1", "1", "1", "1", "1", "20", "300", "1,512", "0.2500"],
    ]
