"""Finds out why a run differs from its baseline, by elimination.

1. Which factors differ between the two states?
2. Of those whose old one is still there: what does the run look like with one of them, and with all, put back?
3. What is left of the difference is due to the others that changed. A passage that did not change, and has another
   relevance, tells whether stage two is among them.
4. If nothing known changed: another relevance of the same passage is due to what computes it, anything else is
   unexplained.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from winnow.api.stability.measures import compare, is_moved, moved_queries
from winnow.api.stability.states import changed_factors, describe
from winnow.retrieval.catalog.stability import Answered, Cause, CauseKind, Factor, Proof, RankingState

Answers: TypeAlias = Mapping[str, Answered]  # by query
Replay: TypeAlias = Callable[[frozenset[Factor]], Awaitable[Answers | None]]  # None: an old one is no longer there
RESCORING: Final = frozenset({Factor.MODEL, Factor.INSTRUCTION, Factor.SETTINGS, Factor.NUMERICS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A run and its baseline: the states and the answers of both."""

    state_before: RankingState
    state: RankingState
    before: Answers
    after: Answers

    @property
    def moved(self) -> list[str]:
        return moved_queries(self.before, self.after)

    def cause(self, factor: Factor, proof: Proof, share: float | None = None) -> Cause:
        return Cause(
            kind=CauseKind(factor.value),
            proof=proof,
            before=describe(factor, self.state_before),
            after=describe(factor, self.state),
            share=share,
        )


async def attribute(observed: Observed, replay: Replay) -> tuple[Cause, ...]:
    """Return the causes; none if nothing moved. `replay` repeats the run with the old ones of these factors."""
    moved = observed.moved
    if not moved:
        return ()
    changed = changed_factors(observed.state_before, observed.state)
    put_back = {
        factor: answers
        for factor in changed
        if (answers := _compared(await replay(frozenset({factor})), moved)) is not None
    }
    everything: Answers | None = observed.after
    if len(put_back) == 1:
        (everything,) = put_back.values()
    elif put_back:
        everything = _compared(await replay(frozenset(put_back)), moved)
    if everything is None:  # an old one went away, or reranking failed, since it was put back alone
        put_back, everything = {}, observed.after
    left = moved_queries(observed.before, everything)
    replayed = [
        observed.cause(factor, Proof.REPLAY, _share(observed.before, answers, moved))
        for factor, answers in put_back.items()
        if moved_queries(answers, observed.after)
    ]
    if left:
        return (*replayed, *_of_rest(observed, everything, left, [each for each in changed if each not in put_back]))
    return tuple(replayed) or tuple(observed.cause(factor, Proof.TOGETHER) for factor in put_back)


def _compared(answers: Answers | None, moved: list[str]) -> Answers | None:
    """Leave out degraded answers, which say nothing about the old one; None if none of a moved query is left."""
    sound = {query: answer for query, answer in (answers or {}).items() if answer.degraded is None}
    return sound if any(query in sound for query in moved) else None


def _of_rest(observed: Observed, everything: Answers, left: list[str], rest: list[Factor]) -> Iterable[Cause]:
    """Explain what is left when everything that can be put back is put back."""
    is_rescored = any(compare(observed.before[query], everything[query]).rescored for query in left)
    has_relevance = any(each.relevance is not None for query in left for each in everything[query].places)
    scoring = [factor for factor in rest if factor in RESCORING]
    if has_relevance and not is_rescored and len(rest) > len(scoring):  # stage two did as before
        rest = [factor for factor in rest if factor not in RESCORING]
    proof = Proof.ELIMINATION if len(rest) == 1 else Proof.TOGETHER
    found = [observed.cause(factor, proof) for factor in rest]
    if is_rescored and not scoring:  # the same passage, query, model and instruction
        found.append(observed.cause(Factor.NUMERICS, Proof.ELIMINATION))
    if not found:
        found.append(Cause(kind=CauseKind.UNEXPLAINED, proof=Proof.ELIMINATION, before="", after=""))
    return found


def _share(before: Answers, put_back: Answers, moved: list[str]) -> float:
    """Of the queries that moved and were answered with the old one, the share that is as in the baseline."""
    answered = [query for query in moved if query in put_back]
    return sum(not is_moved(before[query], put_back[query]) for query in answered) / len(answered)
