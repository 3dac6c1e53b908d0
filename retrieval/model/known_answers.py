"""Answers that a model is known to give, and the comparison of what it gives here with them. Pure.

A folder states its answers in winnow.json (`known_answers`; training/known_answers.py writes them). Those of the
published Qwen3 models are in published_answers.json, in the same format:

    source   where the figures were published, or how they were measured
    within   the largest difference for each number type of the computation; of any other type, the largest of all
    answers  query, passage, relevant (whether the passage answers the query), and score or logit, or neither

A score is the relevance that a reranker gives under the default instruction, or an embedder's cosine with the default
task. A logit is published by libraries that do not apply the sigmoid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from winnow.retrieval.model.known_pairs import MARGIN, PAIRS

ModelKind = Literal["embedder", "reranker"]
Text = tuple[str, str]  # query and passage

FLOAT32: Final = "float32"
BFLOAT16: Final = "bfloat16"
BF16_MIXED: Final = "bf16-mixed"
WITHIN: Final = {FLOAT32: 1e-3, BF16_MIXED: 1e-2, BFLOAT16: 2e-2}  # where a file states nothing
_WITHIN_LISTED: Final[Mapping[ModelKind, Mapping[str, float]]] = {  # of the first format, a list of pairs of numbers
    "embedder": WITHIN,
    "reranker": {FLOAT32: 1e-3, BFLOAT16: 5e-2},  # middling relevance, which rounding moves most
}
# of log-odds; bfloat16 rounds a logit of 18 to steps of 0.125, and a wrong prompt moves it by several
LOG_ODDS_FAR: Final = 1.0
_LEAST: Final = 1e-12  # relevance; closer to 0 or 1 the log-odds say nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAnswer:
    """One passage for one query."""

    query: str
    passage: str
    is_relevant: bool
    score: float | None = None  # None: only known to be above or below the query's other passages

    @property
    def text(self) -> Text:
        return self.query, self.passage


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAnswers:
    """The answers of one model."""

    kind: ModelKind
    source: str
    within: Mapping[str, float]
    answers: tuple[KnownAnswer, ...]  # empty: the folder declares that none are known

    @property
    def has_figures(self) -> bool:
        return any(each.score is not None for each in self.answers)

    def bound(self, dtype: str | None) -> float:
        """Largest difference for a computation in this number type; None: the type is not known."""
        largest = max(self.within.values())
        if dtype == BF16_MIXED:  # rounds a part of what bfloat16 rounds
            largest = self.within.get(BFLOAT16, largest)
        return self.within.get(dtype or "", largest)


class Verdict(StrEnum):
    """The result for one known answer."""

    MATCHES = "matches"
    FAR_IN_LOG_ODDS = "far in log-odds"  # within the bound, but only because both are next to 0 or to 1
    IN_ORDER = "in order"  # no figure is known
    NOT_ITS_LANGUAGE = "not its language"  # no figure is known, and it orders the examples in another language rightly
    DIFFERS = "differs"
    OUT_OF_ORDER = "out of order"  # below an irrelevant passage of its query, or above a relevant one, or no number

    @property
    def is_right(self) -> bool:
        return self not in {Verdict.DIFFERS, Verdict.OUT_OF_ORDER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A known answer beside the one given."""

    known: KnownAnswer
    got: float
    bound: float
    verdict: Verdict

    @property
    def difference(self) -> float | None:
        return None if self.known.score is None else self.got - self.known.score


def mismatch(comparisons: Sequence[Comparison], *, called: str, model: str) -> str | None:
    """Why a server whose answers are in order is not this model; None if it may be. `called` names the answers."""
    differing = [each for each in comparisons if not each.verdict.is_right]
    if not differing:
        return None
    apart = max(abs(each.difference or 0.0) for each in differing)
    return (
        f"it distinguishes the known pairs, but its {called} differ by up to {apart:.3f} from those of {model}; at "
        f"most {differing[0].bound:g} is rounding. Probably it serves another model of the family, or a quantised one. "
        "Start it with the folder configured here, or configure the model that it serves. `winnow doctor` shows the "
        "figures"
    )


def only_order(kind: ModelKind) -> KnownAnswers:
    """The known pairs without figures, for a model that nothing else is known of."""
    return KnownAnswers(kind=kind, source="", within=WITHIN, answers=_of_pairs([(None, None)] * len(PAIRS)))


def compare(known: KnownAnswers, scores: Mapping[Text, float], *, dtype: str | None) -> tuple[Comparison, ...]:
    """Compare each known answer with the score given here, which `scores` must have."""
    bound = known.bound(dtype)
    return tuple(
        Comparison(known=each, got=scores[each.text], bound=bound, verdict=_verdict(each, known, scores, bound))
        for each in known.answers
    )


def _verdict(answer: KnownAnswer, known: KnownAnswers, scores: Mapping[Text, float], bound: float) -> Verdict:
    got = scores[answer.text]
    others = [each for each in known.answers if each.query == answer.query and each.is_relevant != answer.is_relevant]
    sign = 1.0 if answer.is_relevant else -1.0
    if not math.isfinite(got) or any(sign * (got - scores[each.text]) < MARGIN for each in others):
        return Verdict.OUT_OF_ORDER
    if answer.score is None:
        return Verdict.IN_ORDER
    if abs(got - answer.score) > bound:
        return Verdict.DIFFERS
    is_far = known.kind == "reranker" and abs(_log_odds(got) - _log_odds(answer.score)) > LOG_ODDS_FAR
    return Verdict.FAR_IN_LOG_ODDS if is_far else Verdict.MATCHES


def _log_odds(relevance: float) -> float:
    kept = min(max(relevance, _LEAST), 1.0 - _LEAST)
    return math.log(kept) - math.log1p(-kept)


def parse(written: object, kind: ModelKind, *, default_source: str) -> KnownAnswers:
    """Read the format above, or its first version, a list of two scores for each known pair.

    Raises `KeyError`, `TypeError`, `ValueError`.
    """
    if isinstance(written, list):
        return _parse_list(written, kind, default_source)
    if not isinstance(written, dict):
        raise TypeError("known_answers must be an object with source, within and answers")
    if not isinstance(written.get("within") or {}, dict) or not isinstance(written["answers"], list):
        raise TypeError("known_answers: within must be an object, and answers a list")
    within = {str(dtype): float(bound) for dtype, bound in (written.get("within") or WITHIN).items()}
    if not all(0.0 < bound < 1.0 for bound in within.values()):  # also NaN
        raise ValueError("the bounds in known_answers.within must be above 0 and below 1")
    return KnownAnswers(
        kind=kind,
        source=str(written["source"]),
        within=within,
        answers=tuple(_parse_answer(each) for each in written["answers"]),
    )


def _parse_answer(written: object) -> KnownAnswer:
    if not isinstance(written, dict):
        raise TypeError(
            "known_answers: each answer must be an object with query, passage, relevant, and score or logit"
        )
    score = written.get("score")
    if score is None and written.get("logit") is not None:
        score = 1.0 / (1.0 + math.exp(-float(written["logit"])))
    if score is not None and not -1.0 <= float(score) <= 1.0:
        raise ValueError(f"known_answers: the score {score} is neither a relevance nor a cosine")
    return KnownAnswer(
        query=str(written["query"]),
        passage=str(written["passage"]),
        is_relevant=bool(written["relevant"]),
        score=None if score is None else float(score),
    )


def _parse_list(written: Sequence[Any], kind: ModelKind, source: str) -> KnownAnswers:
    if len(written) not in {0, len(PAIRS)}:
        raise ValueError(f"known_answers must have {len(PAIRS)} entries")
    figures = [(float(right), float(wrong)) for right, wrong in written]
    return KnownAnswers(kind=kind, source=source, within=_WITHIN_LISTED[kind], answers=_of_pairs(figures))


def _of_pairs(figures: Sequence[tuple[float | None, float | None]]) -> tuple[KnownAnswer, ...]:
    return tuple(
        KnownAnswer(query=pair.query, passage=passage, is_relevant=passage == pair.relevant, score=score)
        for pair, scores in zip(PAIRS, figures, strict=False)
        for passage, score in zip((pair.relevant, pair.irrelevant), scores, strict=True)
    )
