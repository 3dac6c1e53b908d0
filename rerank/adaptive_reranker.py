"""A reranker that scores candidates in waves and stops early."""

from __future__ import annotations

from collections.abc import Sequence

from winnow.rerank.ranking import merge_waves
from winnow.rerank.reranker import Ranked, Ranking, Reranker
from winnow.rerank.stopping_rule import Seen, StoppingRule
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.records import Candidate


class AdaptiveDepth:
    """A `Reranker` that calls another one in waves, in recall's order, until the stopping rule says enough.

    Candidates that were not reranked follow all that were, in recall's order, with no relevance and no score.
    Everything is reranked where the rule lacks data: without `top_k`, or where a candidate has no similarity. A wave
    that fails or reaches the deadline fails the whole request: an accident is no reason to return a partial ranking.
    """

    def __init__(self, inner: Reranker, rule: StoppingRule | None = None) -> None:
        self._inner = inner
        self._rule = rule or StoppingRule()

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def revision(self) -> str:
        return self._inner.revision

    @property
    def reads_instruction(self) -> bool:
        return self._inner.reads_instruction

    def changes_order(self, instruction: str) -> bool:
        return self._inner.changes_order(instruction)

    async def rank(
        self,
        query: str,
        candidates: Sequence[Candidate],
        *,
        instruction: str,
        tenant: str,
        deadline: Deadline,
        top_k: int | None = None,
    ) -> Ranking:
        """Rank in waves. `tokens` sums all waves; a prefix that their prompts share is counted in each wave."""

        async def rerank(wave: Sequence[Candidate]) -> Ranking:
            return await self._inner.rank(
                query, wave, instruction=instruction, tenant=tenant, deadline=deadline, top_k=top_k
            )

        similarities = [each.similarity for each in candidates if each.similarity is not None]
        if top_k is None or len(similarities) < len(candidates):
            return await rerank(candidates)
        waiting = sorted(candidates, key=lambda candidate: candidate.recall_rank)
        waves: list[Ranking] = []
        start = 0
        for end in self._rule.waves(len(waiting), top_k=top_k):
            waves.append(await rerank(waiting[start:end]))
            start = end
            if self._is_enough(waves, waiting[end:], top_k):
                break
        return merge_waves(waves, waiting[start:], query=query)

    def _is_enough(self, waves: Sequence[Ranking], ahead: Sequence[Candidate], top_k: int) -> bool:
        """Whether the rest may be skipped; never true if a candidate was returned without a score."""
        ranked = sorted((each for wave in waves for each in wave.ranked), key=lambda each: each.candidate.recall_rank)
        seen = tuple(found for each in ranked if (found := _to_seen(each)) is not None)
        if not ahead or len(seen) < len(ranked):
            return False
        similarities = tuple(each.similarity for each in ahead if each.similarity is not None)
        return self._rule.is_enough(seen, similarities, top_k=top_k)


def _to_seen(ranked: Ranked) -> Seen | None:
    similarity = ranked.candidate.similarity
    if ranked.relevance is None or ranked.score is None or similarity is None:
        return None
    return Seen(similarity=similarity, score=ranked.score)
