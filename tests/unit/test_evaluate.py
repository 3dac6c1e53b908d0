"""An evaluation asks the right queries, and its runs differ only in the order."""

from __future__ import annotations

from functools import partial

from api.evaluate import RECALL, RERANK, TWO_STAGE, Asking, Case, judged_cases, named_modes, trec_lines
from rerank.ranking import ranking_of
from rerank.reranker import Ranking
from retrieval.catalog import DEFAULT_TENANT
from retrieval.deadline import Deadline
from retrieval.model_folder import Blend
from retrieval.recall_mode import RecallMode
from retrieval.records import Candidate
from tests.fakes import PrefersWord, ScriptedRecall

CASE = Case(id="q1", text="question")
ours = partial(Asking, tenant=DEFAULT_TENANT)
DENSE = named_modes((), RecallMode.DENSE)


class Blending:
    """Judges by the length of a passage and blends it away again. Implements `Reranker`."""

    name = "blending"

    async def rank(
        self,
        query: str,
        candidates: list[Candidate],
        *,
        instruction: str,
        tenant: str,
        deadline: Deadline,
        top_k: int | None = None,
    ) -> Ranking:
        blend = Blend(embedder="e", relevance_weight=0.0, similarity_weight=1.0, bias=0.0)
        logits = [float(len(each.chunk.text)) for each in candidates]
        return ranking_of(candidates, logits, judged_by=self.name, blend=blend)


async def test_what_was_not_judged_keeps_recalls_order_behind() -> None:
    """Three are judged, the fourth is not, although it has the word."""
    recall = ScriptedRecall("a", "b", "c refund", "d refund")
    asking = ours(recall=recall, reranker=PrefersWord("refund"), candidates=3, depth=100, is_cut=False, modes=DENSE)
    orders = await asking.ask(CASE)
    assert orders == {
        RECALL: ["doc-0", "doc-1", "doc-2", "doc-3"],
        TWO_STAGE: ["doc-2", "doc-0", "doc-1", "doc-3"],
    }
    assert recall.widths == [100]


async def test_a_document_stands_where_its_best_chunk_stands() -> None:
    """Chunks of one document are one document; more chunks are recalled, so that enough documents are left."""
    recall = ScriptedRecall("x|a", "y|b", "x|c refund", "z|d")
    asking = ours(recall=recall, reranker=PrefersWord("refund"), candidates=4, depth=2, is_cut=True, modes=DENSE)
    orders = await asking.ask(CASE)
    assert orders == {RECALL: ["x", "y", "z"], TWO_STAGE: ["x", "y", "z"]}
    assert recall.widths == [6]


async def test_a_blend_is_measured_beside_relevance_alone() -> None:
    """The shipped order is the blend's; the third run shows what the judge alone would have made of it."""
    asking = ours(
        recall=ScriptedRecall("a", "bbb", "cc"), reranker=Blending(), candidates=3, depth=3, is_cut=False, modes=DENSE
    )
    orders = await asking.ask(CASE)
    assert orders[TWO_STAGE] == orders[RECALL] == ["doc-0", "doc-1", "doc-2"]
    assert orders[RERANK] == ["doc-1", "doc-2", "doc-0"]


async def test_recall_alone_needs_no_reranker() -> None:
    """One run, and nobody judges."""
    asking = ours(recall=ScriptedRecall("a"), reranker=None, candidates=3, depth=3, is_cut=False, modes=DENSE)
    assert await asking.ask(CASE) == {RECALL: ["doc-0"]}


async def test_ways_of_recall_are_compared_side_by_side() -> None:
    """Each is asked for each query, and its runs bear its name; without a wish it is the service's own, unnamed."""
    recall = ScriptedRecall("a", "b refund")
    modes = named_modes([RecallMode.LEXICAL, RecallMode.HYBRID], RecallMode.DENSE)
    reranker = PrefersWord("refund")
    asking = ours(recall=recall, reranker=reranker, candidates=3, depth=3, is_cut=False, modes=modes)
    orders = await asking.ask(CASE)
    assert list(orders) == ["recall-lexical", "two-stage-lexical", "recall-hybrid", "two-stage-hybrid"]
    assert recall.modes == [RecallMode.LEXICAL, RecallMode.HYBRID]
    assert named_modes((), RecallMode.HYBRID) == {"": RecallMode.HYBRID}


def test_only_queries_with_a_relevant_document_are_asked_and_a_sample_is_always_the_same() -> None:
    """A grade of 0 says that nothing was found: such a query has no best order."""
    queries = {f"q{number}": "text" for number in range(50)}
    judgments = {f"q{number}": {"d": number % 2} for number in range(40)}
    cases = judged_cases(queries, judgments, sample=None)
    assert [case.id for case in cases] == [f"q{number}" for number in range(1, 40, 2)]
    sample = judged_cases(queries, judgments, sample=7)
    assert sample == judged_cases(queries, judgments, sample=7)
    assert len(sample) == 7
    assert [case for case in cases if case in sample] == sample


def test_a_run_file_ranks_as_its_scores_do() -> None:
    """Six columns; tools sort by the score."""
    assert list(trec_lines({"q1": ["b", "a"]}, RECALL)) == ["q1 Q0 b 1 2 winnow-recall", "q1 Q0 a 2 1 winnow-recall"]
