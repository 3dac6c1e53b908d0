"""A student is offered for a difference that chance does not explain, and for no other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.rerank.distill.comparison import best_first, ndcg
from winnow.rerank.distill.fitted_order import Example, answered_order, fit_mixture, order_with
from winnow.rerank.distill.scoring import Question
from winnow.rerank.distill.verdict import Contestant, Verdict, judge
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.ranking import make_ranking
from winnow.retrieval.measures import parse
from winnow.retrieval.model.folder import Mixture, Order
from winnow.retrieval.records import Candidate, candidates_of

RECALL_ONLY = Order(
    plain=Mixture(recall_weight=1.0, relevance_weight=0.0), instructed=Mixture(recall_weight=1.0, relevance_weight=1.0)
)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=15), st.randoms(use_true_random=False))
def test_ndcg_is_the_measure_of_evaluations_where_gains_are_grades(grades: list[int], rng: object) -> None:
    """`winnow eval` is the oracle."""
    order = list(range(len(grades)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    names = [str(place) for place in range(len(grades))]
    wanted = parse("nDCG@10").of([names[place] for place in order], dict(zip(names, grades, strict=True)))
    assert ndcg(order, grades) == pytest.approx(wanted if any(grades) else 1.0)


@settings(max_examples=50)
@given(st.data())
def test_an_order_is_that_of_an_answer(data: st.DataObject) -> None:
    """`make_ranking`, which orders answers, is the oracle."""
    numbers = st.integers(-4, 4).map(float)
    count = data.draw(st.integers(1, 8))
    standings = data.draw(st.lists(numbers, min_size=count, max_size=count).map(lambda each: sorted(each)[::-1]))
    logits = data.draw(st.lists(numbers, min_size=count, max_size=count))
    mixture = Mixture(recall_weight=data.draw(st.sampled_from([0.25, 0.5, 2.0])), relevance_weight=0.5)
    order = Order(plain=mixture, instructed=mixture)
    example = Example(standings=tuple(standings), logits=tuple(logits), teacher=tuple(logits))
    candidates = [
        Candidate(chunk=each.chunk, recall_rank=each.recall_rank, similarity=0.5, standing=standing)
        for each, standing in zip(candidates_of(["x"] * count), standings, strict=True)
    ]
    ranking = make_ranking(candidates, logits, judged_by="m", mixture=mixture)
    wanted = [each.candidate.chunk.number for each in ranking.ranked]
    assert answered_order(example, order, DEFAULT_INSTRUCTION) == wanted


def examples(count: int, *, noise: float, recall_noise: float, seed: int = 5) -> list[Example]:
    """Candidates in recall's order, which knows the teacher's scores with one noise and the model with another."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        teacher = rng.normal(0, 2, 12)
        standings = teacher + recall_noise * rng.normal(0, 1, 12)
        by_recall = np.argsort(-standings)
        logits = teacher + noise * rng.normal(0, 1, 12)
        found.append(
            Example(
                standings=tuple(standings[by_recall].tolist()),
                logits=tuple(logits[by_recall].tolist()),
                teacher=tuple(teacher[by_recall].tolist()),
            )
        )
    return found


def test_the_weight_of_recall_is_what_it_is_worth() -> None:
    assert fit_mixture(examples(60, noise=0.0, recall_noise=3.0)).recall_weight == 0.0
    assert fit_mixture(examples(60, noise=3.0, recall_noise=0.3)).recall_weight >= 2.0
    assert fit_mixture([]) == Mixture(recall_weight=0.0, relevance_weight=1.0)


def test_only_the_weights_of_this_kind_of_instruction_change() -> None:
    fitted = Mixture(recall_weight=0.5, relevance_weight=1.0, bias=0.1)
    assert order_with(fitted, RECALL_ONLY, DEFAULT_INSTRUCTION) == Order(
        plain=fitted, instructed=RECALL_ONLY.instructed
    )
    assert order_with(fitted, RECALL_ONLY, "statutes first") == Order(plain=RECALL_ONLY.plain, instructed=fitted)
    alone = order_with(fitted, None, DEFAULT_INSTRUCTION).instructed
    assert (alone.recall_weight, alone.relevance_weight) == (0.0, 1.0)


def verdict(
    stock: list[Example], student: list[Example], *, known: bool = True, grades: dict[str, dict[str, int]] | None = None
) -> Verdict:
    """Under an instruction, where the stock's order counts its scores."""
    questions = [
        Question(id=str(number), text="q", candidates=tuple(candidates_of(["x"] * 12))) for number in range(len(stock))
    ]
    return judge(
        questions,
        Contestant(name="stock", examples=stock, order=None),
        Contestant(name="student", examples=student, order=None),
        instruction="statutes first",
        grades=grades or {},
        seed=1,
        separates_known_pairs=known,
    )


def test_a_better_student_is_offered_and_no_other() -> None:
    good, bad = examples(40, noise=0.3, recall_noise=2), examples(40, noise=3.0, recall_noise=2)
    offered = verdict(bad, good)
    assert offered.is_offered
    assert [each.name for each in offered.orders][:2] == ["recall", "stock, as answered"]
    assert offered.orders[-1].means == {"nDCG@10 by teacher": 1.0, "RBO with teacher": pytest.approx(1.0)}
    assert offered.differences["as_answered"].low > 0
    assert not verdict(good, good).is_offered
    assert not verdict(good, bad).is_offered
    assert "known pairs" in verdict(bad, good, known=False).reason


def test_an_order_alone_is_no_reason_to_offer_a_model() -> None:
    """The same scores with another weight of recall need no other model."""
    same = examples(40, noise=0.3, recall_noise=3.0)
    questions = [
        Question(id=str(number), text="q", candidates=tuple(candidates_of(["x"] * 12))) for number in range(len(same))
    ]
    found = judge(
        questions,
        Contestant(name="stock", examples=same, order=RECALL_ONLY),
        Contestant(name="student", examples=same, order=None),
        instruction=DEFAULT_INSTRUCTION,
        grades={},
        seed=1,
        separates_known_pairs=True,
    )
    assert found.differences["as_answered"].is_gain
    assert not found.is_offered


def test_a_student_that_judgements_contradict_is_not_offered() -> None:
    """The documents that the stock puts first are the relevant ones; only judged queries count."""
    good, bad = examples(40, noise=0.3, recall_noise=2), examples(40, noise=3.0, recall_noise=2)
    grades = {str(number): {str(best_first(each.logits)[0]): 1} for number, each in enumerate(bad[:30])}
    found = verdict(bad, good, grades=grades)
    assert found.differences["qrels"].queries == 30
    assert found.differences["qrels"].is_loss
    assert not found.is_offered
    assert "--qrels" in found.reason
