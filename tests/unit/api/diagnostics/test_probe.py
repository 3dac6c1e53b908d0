"""A model that does not read is found out before anybody believes it."""

from __future__ import annotations

from tests.fakes import PrefersWord
from tests.logit_reranker import JudgesByLogit
from winnow.api.diagnostics.probe import likely_cause, probe_reranker
from winnow.retrieval.records import Candidate


def shares_characters(*, languages: str) -> JudgesByLogit:
    """Judges by how many pairs of characters query and passage share."""

    def logit(query: str, candidate: Candidate) -> float:
        if ("en" if query.isascii() else "zh") not in languages:
            return 0.0
        pairs = {query[place : place + 2].lower() for place in range(len(query) - 1)}
        return 6.0 * sum(pair in candidate.chunk.text.lower() for pair in pairs) / len(pairs) - 3.0

    return JudgesByLogit(logit, name="shares-characters")


async def test_a_judge_that_reads_passes() -> None:
    """Each passage wins under its own question, in both languages."""
    probed = await probe_reranker(shares_characters(languages="en zh"))
    assert [each.is_separated for each in probed] == [True] * 4
    assert likely_cause(probed) is None


async def test_a_judge_with_a_favourite_passage_does_not() -> None:
    """Under one of the two questions its favourite is the wrong one."""
    probed = await probe_reranker(PrefersWord("heron"))
    assert [each.is_separated for each in probed] == [False, True, False, False]
    assert "weights are probably random or damaged" in (likely_cause(probed) or "")


async def test_a_judge_of_one_language_is_told_apart_from_noise() -> None:
    """The likely cause is another one, and so is the remedy."""
    cause = likely_cause(await probe_reranker(shares_characters(languages="en"))) or ""
    assert "in zh" in cause
    assert "not trained on that language" in cause
