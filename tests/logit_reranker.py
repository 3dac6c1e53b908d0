"""A reranker whose logits a test writes down; the order is made as a real one's is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.fakes import FakeReranker
from winnow.rerank.ranking import Mixture, make_ranking
from winnow.rerank.reranker import Ranking
from winnow.retrieval.errors import RerankTimeout
from winnow.retrieval.records import Candidate


class JudgesByLogit(FakeReranker):
    """Judges by a function of query and candidate, in the order of a mixture if it has one; may fail at one call."""

    def __init__(
        self,
        logit: Callable[[str, Candidate], float],
        *,
        name: str = "judges-by-logit",
        mixture: Mixture | None = None,
        fails_at: int | None = None,
    ) -> None:
        """`fails_at` counts the calls from 0."""
        self.name = name
        self._logit = logit
        self._mixture = mixture
        self._fails_at = fails_at
        self.calls: list[int] = []  # candidates of each call

    def changes_order(self, instruction: str) -> bool:
        return self._mixture is None or self._mixture.relevance_weight > 0

    def ranking(self, query: str, candidates: Sequence[Candidate], instruction: str) -> Ranking:
        if self._fails_at == len(self.calls):
            raise RerankTimeout("scripted")
        self.calls.append(len(candidates))
        logits = [self._logit(query, each) for each in candidates]
        tokens = 10 + len(candidates)
        return make_ranking(candidates, logits, judged_by=self.name, query=query, tokens=tokens, mixture=self._mixture)
