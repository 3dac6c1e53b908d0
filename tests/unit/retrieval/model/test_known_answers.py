"""The verdict over an answer, and the format that known answers are stated in."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny_models import write_reranker
from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.model.known_answers import (
    WITHIN,
    KnownAnswer,
    KnownAnswers,
    ModelKind,
    Verdict,
    compare,
    mismatch,
    only_order,
    parse,
)
from winnow.retrieval.model.known_pairs import PAIRS

QUERY = "What is the capital of China?"


def example(right: float | None, wrong: float | None, kind: ModelKind = "reranker") -> KnownAnswers:
    answers = (
        KnownAnswer(query=QUERY, passage="Beijing", is_relevant=True, score=right),
        KnownAnswer(query=QUERY, passage="gravity", is_relevant=False, score=wrong),
    )
    return KnownAnswers(kind=kind, source="a card", within=WITHIN, answers=answers)


def verdicts(known: KnownAnswers, right: float, wrong: float, dtype: str | None = "bfloat16") -> tuple[Verdict, ...]:
    scores = {(QUERY, "Beijing"): right, (QUERY, "gravity"): wrong}
    return tuple(each.verdict for each in compare(known, scores, dtype=dtype))


@pytest.mark.parametrize(
    ("right", "wrong", "dtype", "expected"),
    [
        (0.74, 0.12, "bfloat16", (Verdict.MATCHES, Verdict.MATCHES)),
        (0.74, 0.12, "float32", (Verdict.DIFFERS, Verdict.DIFFERS)),
        (0.7508, 0.1, "float32", (Verdict.MATCHES, Verdict.MATCHES)),
        (0.74, 0.12, None, (Verdict.MATCHES, Verdict.MATCHES)),
        (0.74, 0.12, "float16", (Verdict.MATCHES, Verdict.MATCHES)),
        (0.9, 0.1, "bfloat16", (Verdict.DIFFERS, Verdict.MATCHES)),
        (0.1, 0.75, "bfloat16", (Verdict.OUT_OF_ORDER, Verdict.OUT_OF_ORDER)),
        (0.11, 0.1, "bfloat16", (Verdict.OUT_OF_ORDER, Verdict.OUT_OF_ORDER)),
        (math.nan, 0.1, "bfloat16", (Verdict.OUT_OF_ORDER, Verdict.MATCHES)),
        (math.inf, 0.1, "bfloat16", (Verdict.OUT_OF_ORDER, Verdict.MATCHES)),
    ],
)
def test_a_verdict_follows_from_order_and_difference(
    right: float, wrong: float, dtype: str | None, expected: tuple[Verdict, ...]
) -> None:
    """The order first: a difference within the bound does not excuse it."""
    assert verdicts(example(0.75, 0.1), right, wrong, dtype) == expected


def test_without_figures_only_the_order_counts() -> None:
    """Whatever the scores are."""
    assert verdicts(example(None, None), 0.3, 0.2) == (Verdict.IN_ORDER, Verdict.IN_ORDER)
    assert verdicts(example(None, None), 0.2, 0.3) == (Verdict.OUT_OF_ORDER, Verdict.OUT_OF_ORDER)
    known = only_order("embedder")
    assert (len(known.answers), known.has_figures) == (2 * len(PAIRS), False)


def test_scores_next_to_0_and_1_are_compared_as_log_odds_too() -> None:
    """A wrong template can keep both within the bound of the probabilities; cosines have no log-odds."""
    card = example(1 / (1 + math.exp(-7.625)), 1 / (1 + math.exp(11.375)))
    assert verdicts(card, 0.9994, 0.000011) == (Verdict.MATCHES, Verdict.MATCHES)
    assert verdicts(card, 0.985, 0.000011) == (Verdict.FAR_IN_LOG_ODDS, Verdict.MATCHES)
    assert verdicts(card, 1.0, 0.0) == (Verdict.FAR_IN_LOG_ODDS, Verdict.FAR_IN_LOG_ODDS)
    assert Verdict.FAR_IN_LOG_ODDS.is_right
    assert verdicts(example(0.999, 0.001, "embedder"), 0.985, 0.015) == (Verdict.MATCHES, Verdict.MATCHES)


@given(
    figures=st.tuples(*[st.floats(0.0, 1.0)] * 2),
    got=st.tuples(*[st.floats(0.0, 1.0)] * 2),
    dtype=st.sampled_from(["float32", "bfloat16", "bf16-mixed", "float16", None]),
)
def test_right_is_within_the_bound_and_in_order(
    figures: tuple[float, float], got: tuple[float, float], dtype: str | None
) -> None:
    """For any figures; and a server is refused exactly if one of them is not right."""
    known = example(*figures)
    bound = {"float32": 1e-3, "bf16-mixed": 1e-2}.get(dtype or "", 2e-2)
    found = compare(known, {(QUERY, "Beijing"): got[0], (QUERY, "gravity"): got[1]}, dtype=dtype)
    is_in_order = got[0] - got[1] >= 0.02
    for each, expected, given_score in zip(found, figures, got, strict=True):
        assert each.verdict.is_right == (is_in_order and abs(given_score - expected) <= bound)
        assert each.difference == given_score - expected
    refused = mismatch(found, called="scores", model="m") is not None
    assert refused == (not all(each.verdict.is_right for each in found))


def test_a_file_without_a_bound_for_bf16_mixed_gives_it_that_of_bfloat16() -> None:
    """It rounds a part of what bfloat16 rounds, and so never gets the wider bound of another type."""
    known = replace(example(0.75, 0.1), within={"float32": 1e-3, "bfloat16": 2e-2, "fp8": 9e-2})
    assert [known.bound(each) for each in ("bf16-mixed", "bfloat16", "fp8", None)] == [2e-2, 2e-2, 9e-2, 9e-2]
    assert replace(known, within={"float32": 1e-3}).bound("bf16-mixed") == 1e-3


def test_both_formats_are_read() -> None:
    """An object with source, bounds and answers; before that, two numbers for each known pair."""
    written = {
        "source": "a card",
        "within": {"float32": 0.001, "bfloat16": 0.03},
        "answers": [
            {"query": "q", "passage": "a", "relevant": True, "logit": 7.625},
            {"query": "q", "passage": "b", "relevant": False, "score": 0.25},
            {"query": "q", "passage": "c", "relevant": False},
        ],
    }
    known = parse(written, "reranker", default_source="x")
    assert [each.score for each in known.answers] == [pytest.approx(0.999512, abs=1e-6), 0.25, None]
    assert (known.source, known.bound("bfloat16"), known.bound(None)) == ("a card", 0.03, 0.03)
    listed = parse([[0.9, 0.1]] * 4, "reranker", default_source="x")
    assert [each.score for each in listed.answers] == [0.9, 0.1] * 4
    assert [each.text for each in listed.answers] == [each.text for each in only_order("reranker").answers]
    assert (listed.bound("float32"), listed.bound("bfloat16")) == (1e-3, 5e-2)
    assert parse([], "embedder", default_source="x").answers == ()


@pytest.mark.parametrize(
    "written",
    [
        "figures",
        7,
        [[0.9, 0.1]] * 3,
        [[0.9]] * 4,
        {"answers": []},
        {"source": "s", "answers": [{"query": "q", "passage": "a"}]},
        {"source": "s", "answers": [{"query": "q", "passage": "a", "relevant": True, "score": 7.6}]},
        {"source": "s", "answers": [{"query": "q", "passage": "a", "relevant": True, "score": float("nan")}]},
        {"source": "s", "answers": [], "within": {"float32": 0}},
        {"source": "s", "answers": [], "within": {"float32": float("nan")}},
    ],
)
def test_answers_that_cannot_be_compared_are_refused_with_the_folder(tmp_path: Path, written: object) -> None:
    """At start, and not when the first server is asked."""
    folder = write_reranker(tmp_path / "m")
    settings = json.loads((folder / "winnow.json").read_text("utf-8"))
    (folder / "winnow.json").write_text(json.dumps(settings | {"known_answers": written}), "utf-8")
    with pytest.raises(ModelUnusable, match=r"winnow\.json"):
        find_model(str(folder), kind="reranker")
