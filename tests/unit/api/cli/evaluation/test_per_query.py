"""Each query is written with its own values; wins and losses are those with the largest differences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.api.cli.evaluation.cases import Case
from winnow.api.cli.evaluation.per_query import SHOWN, extremes, show_extremes, write_queries
from winnow.api.cli.terminal import Terminal
from winnow.retrieval.errors import WriteFailed

CASES = [Case(id="q1", text="第一个 question"), Case(id="q2", text="two\nlines")]
VALUES = {"recall": {"nDCG@10": (0.1, 1 / 3), "R@1": (0.0, 1.0)}, "rerank": {"nDCG@10": (0.3, 0.0), "R@1": (1.0, 1.0)}}


def test_each_line_has_a_querys_values_and_differences(tmp_path: Path) -> None:
    """Read again, values are the same to the last digit."""
    write_queries(tmp_path / "queries.jsonl", CASES, VALUES)
    lines = (tmp_path / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "id": "q1",
            "text": "第一个 question",
            "runs": {"recall": {"nDCG@10": 0.1, "R@1": 0.0}, "rerank": {"nDCG@10": 0.3, "R@1": 1.0}},
            "differences": {"rerank": {"nDCG@10": 0.3 - 0.1, "R@1": 1.0}},
        },
        {
            "id": "q2",
            "text": "two\nlines",
            "runs": {"recall": {"nDCG@10": 1 / 3, "R@1": 1.0}, "rerank": {"nDCG@10": 0.0, "R@1": 1.0}},
            "differences": {"rerank": {"nDCG@10": -1 / 3, "R@1": 0.0}},
        },
    ]


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(WriteFailed, match=r"missing.*queries\.jsonl"):
        write_queries(tmp_path / "missing" / "queries.jsonl", CASES, VALUES)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_wins_and_losses_are_the_largest(pairs: list[tuple[int, int]]) -> None:
    cases = [Case(id=f"q{number}", text="x") for number in range(len(pairs))]
    found = extremes(cases, [one / 4 for one, _ in pairs], [other / 4 for _, other in pairs])
    differences = sorted(((other - one) / 4 for one, other in pairs), reverse=True)
    wins = [each for each in differences if each > 0][:SHOWN]
    losses = [each for each in differences if each < 0][-SHOWN:]
    assert [each.difference for each in found] == wins + losses
    assert len({each.case.id for each in found}) == len(found)


def test_the_table_has_texts_of_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_extremes(Terminal(), CASES, VALUES)
    header, win, loss = capsys.readouterr().out.splitlines()
    assert header.split("\t") == ["run", "query", "text", "recall", "run's", "difference"]
    assert win.split("\t") == ["rerank", "q1", "第一个 question", "0.1000", "0.3000", "+0.2000"]
    assert loss.split("\t") == ["rerank", "q2", "two lines", "0.3333", "0.0000", "-0.3333"]


def test_equal_runs_have_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    show_extremes(Terminal(), CASES, {"recall": VALUES["recall"], "two-stage": VALUES["recall"]})
    show_extremes(Terminal(), CASES, {"recall": VALUES["recall"]})
    assert capsys.readouterr().out == ""
