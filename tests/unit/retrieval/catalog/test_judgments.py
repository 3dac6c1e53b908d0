"""Judgments become one grade for each query and document."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import median_low

from hypothesis import given
from hypothesis import strategies as st

from winnow.retrieval.catalog.judgments import Judgment, JudgmentSource, Place, digest_of, qrels_of, query_id_of
from winnow.retrieval.tenancy import TenantName

ONE = TenantName("one")
PERSON, MODEL = JudgmentSource.PERSON, JudgmentSource.MODEL


def judged(
    grade: int | None, *, source: JudgmentSource = PERSON, judge: str = "ada", query: str = "q", document: str = "d"
) -> Judgment:
    return Judgment(
        tenant=ONE,
        place=Place(owner="one", name="docs"),
        query_sha256=digest_of(query),
        query=None,
        document_id=document,
        grade=grade,
        source=source,
        judge=judge,
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def grade_of(*judgments: Judgment, clicks: bool = True) -> int | None:
    grades = qrels_of(judgments, clicks=clicks).grades
    return grades.get(query_id_of(digest_of("q")), {}).get("d")


@given(
    st.lists(st.integers(0, 10), max_size=5),
    st.lists(st.integers(0, 10), max_size=5),
    st.integers(0, 2),
    st.randoms(use_true_random=False),
)
def test_people_come_before_models_and_models_before_clicks(
    people: list[int], models: list[int], clicks: int, chances: object
) -> None:
    """Whatever the order; the median of the best kind, of two middle grades the lower."""
    judgments = [judged(grade, judge=f"p{n}") for n, grade in enumerate(people)]
    judgments += [judged(grade, judge=f"m{n}", source=MODEL) for n, grade in enumerate(models)]
    judgments += [judged(None, judge=f"c{n}") for n in range(clicks)]
    chances.shuffle(judgments)  # type: ignore[attr-defined]  # hypothesis's own Random
    expected = median_low(people or models or [1] * clicks) if people or models or clicks else None
    assert grade_of(*judgments) == expected
    without = median_low(people or models) if people or models else None
    assert grade_of(*judgments, clicks=False) == without


def test_texts_are_those_that_are_kept_or_known() -> None:
    """A query that is known keeps its id; a known one that nobody judged changes nothing."""
    judgments = [judged(1, query="a"), judged(1, query="b"), judged(0, query="c")]
    found = qrels_of(judgments, texts={"q7": "b", "q8": "z"})
    assert found.texts == {"q7": "b"}
    assert set(found.grades) == {"q7", *(query_id_of(digest_of(text)) for text in "ac")}
    assert (len(found.grades), found.without_text) == (3, 2)
