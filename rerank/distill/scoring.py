"""Has a reranker score the candidates of many queries, and remembers what it said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from winnow.rerank.distill.saved_scores import SavedScores
from winnow.rerank.relevance import logit_of
from winnow.rerank.reranker import Reranker
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.records import Candidate

_PARTS: Final = "htdtthtttdthtthtdhth"  # purpose by place: held back, training, development


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query and its candidates, in recall's order."""

    id: str
    text: str
    candidates: tuple[Candidate, ...]

    @property
    def passages(self) -> list[str]:
        """The distinct passages, with the fields that are read before them."""
        return list(dict.fromkeys(map(read_text, self.candidates)))


def read_text(candidate: Candidate) -> str:
    """What a reranker reads of a candidate, before its own bounds. Equal texts have equal scores."""
    return "\n".join((*candidate.fields.lines, candidate.chunk.passage))


class Scoring:
    """One reranker under one instruction."""

    def __init__(self, reranker: Reranker, saved: SavedScores, *, instruction: str, tenant: str) -> None:
        self._reranker = reranker
        self._saved = saved
        self._instruction = instruction
        self._tenant = tenant

    def missing(self, question: Question) -> list[Candidate]:
        """The candidates without a score, each distinct passage once."""
        known = self._saved.known(question.text, question.passages)
        first = {read_text(each): each for each in reversed(question.candidates)}
        return [first[passage] for passage in question.passages if passage not in known]

    async def score(self, question: Question) -> None:
        """Score what has no score yet, and save it. Raises the `RerankError` leaves, `WriteFailed`."""
        missing = self.missing(question)
        if not missing:
            return
        ranking = await self._reranker.rank(
            question.text,
            missing,
            instruction=self._instruction,
            tenant=self._tenant,
            deadline=Deadline.never(),
        )
        logits: dict[str, float] = {}
        for each in ranking.ranked:
            if each.relevance is None:
                raise RerankUnavailable(f"{self._reranker.name} left a candidate without a score")
            logits[read_text(each.candidate)] = logit_of(each.relevance)
        self._saved.add(question.text, logits)

    def logits(self, question: Question) -> list[float]:
        """The saved logit of each candidate. All must have one."""
        known = self._saved.known(question.text, question.passages)
        return [known[read_text(each)] for each in question.candidates]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """Queries for three purposes; none serves two."""

    training: list[Question]
    development: list[Question]  # to fit the weights of the order
    held_back: list[Question]  # to compare


def is_scored(question: Question, scoring: Scoring) -> bool:
    return not scoring.missing(question)


def split(questions: Sequence[Question]) -> Parted:
    """Divide by place: of 20, 11 for training, 3 for development, 6 held back. Any beginning has about these shares."""
    parted = Parted(training=[], development=[], held_back=[])
    for place, question in enumerate(questions):
        part = _PARTS[place % len(_PARTS)]
        {"t": parted.training, "d": parted.development, "h": parted.held_back}[part].append(question)
    return parted
