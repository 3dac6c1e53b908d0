"""A model that does not read is found out before anybody believes it."""

from __future__ import annotations

from collections.abc import Sequence

from tests.fakes import PrefersWord
from winnow.api.diagnostics.probe import likely_cause, probe_reranker
from winnow.rerank.ranking import make_ranking
from winnow.rerank.reranker import Ranking
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.records import Candidate


class SharesCharacters:
    """Judges by how many pairs of characters query and passage share. Implements `Reranker`."""

    name = "shares-characters"
    reads_instruction = True

    def __init__(self, *, languages: str) -> None:
        self._languages = languages

    def changes_order(self, instruction: str) -> bool:
        return True

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
        logits = [self._logit(query, each.chunk.text) for each in candidates]
        return make_ranking(candidates, logits, judged_by=self.name)

    def _logit(self, query: str, text: str) -> float:
        if (query.isascii() and "en" not in self._languages) or (not query.isascii() and "zh" not in self._languages):
            return 0.0
        pairs = {query[place : place + 2].lower() for place in range(len(query) - 1)}
        return 6.0 * sum(pair in text.lower() for pair in pairs) / len(pairs) - 3.0


async def test_a_judge_that_reads_passes() -> None:
    """Each passage wins under its own question, in both languages."""
    probed = await probe_reranker(SharesCharacters(languages="en zh"))
    assert [each.is_separated for each in probed] == [True] * 4
    assert likely_cause(probed) is None


async def test_a_judge_with_a_favourite_passage_does_not() -> None:
    """Under one of the two questions its favourite is the wrong one."""
    probed = await probe_reranker(PrefersWord("heron"))
    assert [each.is_separated for each in probed] == [False, True, False, False]
    assert "weights are probably random or damaged" in (likely_cause(probed) or "")


async def test_a_judge_of_one_language_is_told_apart_from_noise() -> None:
    """The likely cause is another one, and so is the remedy."""
    cause = likely_cause(await probe_reranker(SharesCharacters(languages="en"))) or ""
    assert "in zh" in cause
    assert "not trained on that language" in cause
