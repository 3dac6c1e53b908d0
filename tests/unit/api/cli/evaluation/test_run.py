"""An evaluation asks the right queries, and its runs differ only in the order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import PrefersWord, ScriptedRecall
from tests.logit_reranker import JudgesByLogit
from winnow.api.cli.evaluation.asking import (
    Asking,
    NamedSetting,
    Scored,
    Searched,
    continued,
)
from winnow.api.cli.evaluation.cases import Case, judged_cases
from winnow.api.cli.evaluation.named_settings import RECALL, RERANK, TWO_STAGE, product
from winnow.api.cli.evaluation.run import trec_lines
from winnow.api.library.instructions import BUILT_IN, AppliedInstruction, InstructionSource
from winnow.rerank.relevance import relevance_of
from winnow.rerank.reranker import Reranker
from winnow.retrieval.model.folder import Mixture
from winnow.retrieval.records import Candidate, Chunk, RecallMode
from winnow.retrieval.tenancy import DEFAULT_TENANT

CASE = Case(id="q1", text="question")


def ours(
    *,
    recall: ScriptedRecall,
    rerankers: Sequence[Reranker],
    candidates: int,
    depth: int,
    is_cut: bool,
    modes: Sequence[RecallMode] = (),
    instruction: AppliedInstruction = BUILT_IN,
) -> Asking:
    """The settings that flags make, over one collection."""
    searched = Searched(name="docs", embedder="e", recall=recall, is_cut=is_cut)
    by_name = {each.name: each for each in rerankers}
    typed = product(modes, list(by_name), is_reranked=bool(rerankers), default=RecallMode.DENSE)
    settings = [
        NamedSetting(
            name=each.name,
            order=each.order,
            searched=searched,
            mode=each.recall or RecallMode.DENSE,
            candidates=candidates,
            reranker=None if each.reranker is None else by_name[each.reranker],
            instruction=instruction,
        )
        for each in typed
    ]
    return Asking(tenant=DEFAULT_TENANT, settings=settings, depth=depth)


async def asked(asking: Asking) -> dict[str, Scored]:
    return {name: each.scored for name, each in (await asking.ask(CASE)).items()}


def documents_of(orders: dict[str, Scored]) -> dict[str, list[str]]:
    return {name: list(scored) for name, scored in orders.items()}


def candidate(document_id: str, score: float) -> Candidate:
    chunk = Chunk(
        number=0, document_id=document_id, ordinal=0, start=0, end=1, title="", text="x", url=None, metadata={}
    )
    return Candidate(chunk=chunk, recall_rank=1, similarity=0.5, recall_score=score)


def blending() -> JudgesByLogit:
    """Judges by the length of a passage and blends it away again."""
    mixture = Mixture(recall_weight=1.0, relevance_weight=0.0)
    return JudgesByLogit(lambda _, each: float(len(each.chunk.text)), name="blending", mixture=mixture)


async def test_what_was_not_judged_keeps_recalls_order_behind() -> None:
    """Three are judged, the fourth is not, although it has the word."""
    recall = ScriptedRecall("a", "b", "c refund", "d refund")
    asking = ours(recall=recall, rerankers=[PrefersWord("refund")], candidates=3, depth=100, is_cut=False)
    orders = await asked(asking)
    assert documents_of(orders) == {
        RECALL: ["doc-0", "doc-1", "doc-2", "doc-3"],
        TWO_STAGE: ["doc-2", "doc-0", "doc-1", "doc-3"],
        RERANK: ["doc-2", "doc-0", "doc-1", "doc-3"],
    }
    assert orders[RECALL] == pytest.approx({"doc-0": 0.9, "doc-1": 0.89, "doc-2": 0.88, "doc-3": 0.87})
    assert [orders[TWO_STAGE][each] for each in ("doc-2", "doc-0", "doc-1")] == [0.9, 0.1, 0.1]
    assert recall.widths == [100]


async def test_a_document_stands_where_its_best_chunk_stands() -> None:
    """Chunks of one document are one document; more chunks are recalled, so that enough documents are left."""
    recall = ScriptedRecall("x|a", "y|b", "x|c refund", "z|d")
    asking = ours(recall=recall, rerankers=[PrefersWord("refund")], candidates=4, depth=2, is_cut=True)
    orders = await asked(asking)
    assert documents_of(orders) == {name: ["x", "y", "z"] for name in (RECALL, TWO_STAGE, RERANK)}
    assert recall.widths == [6]


async def test_the_answered_order_is_measured_beside_relevance_alone() -> None:
    """Where relevance has no weight a search answers in recall's order; the third run shows relevance all the same."""
    asking = ours(
        recall=ScriptedRecall("a", "bbb", "cc"),
        rerankers=[blending()],
        candidates=3,
        depth=3,
        is_cut=False,
    )
    orders = await asked(asking)
    assert orders[TWO_STAGE] == orders[RECALL]
    assert documents_of(orders)[RECALL] == ["doc-0", "doc-1", "doc-2"]
    assert documents_of(orders)[RERANK] == ["doc-1", "doc-2", "doc-0"]
    assert orders[RERANK]["doc-1"] == relevance_of(3.0)


async def test_an_instruction_reaches_both_stages() -> None:
    """The reranker reads its text, and recall embeds the query under its task."""
    recall, reranker = ScriptedRecall("a"), PrefersWord("refund")
    instruction = AppliedInstruction(text="Prefer b.", source=InstructionSource.REQUEST, embedding_task="Find b.")
    asking = ours(
        recall=recall,
        rerankers=[reranker],
        candidates=3,
        depth=3,
        is_cut=False,
        instruction=instruction,
    )
    await asked(asking)
    assert (reranker.instructions, recall.tasks) == (["Prefer b."], ["Find b."])


async def test_recall_alone_needs_no_reranker() -> None:
    """One run, and nobody judges."""
    asking = ours(recall=ScriptedRecall("a"), rerankers=[], candidates=3, depth=3, is_cut=False)
    assert documents_of(await asked(asking)) == {RECALL: ["doc-0"]}


async def test_ways_of_recall_are_compared_side_by_side() -> None:
    """Each is asked for each query, and its runs bear its name; without a wish it is the service's own, unnamed."""
    recall = ScriptedRecall("a", "b refund")
    modes = [RecallMode.LEXICAL, RecallMode.HYBRID]
    reranker = PrefersWord("refund")
    asking = ours(recall=recall, rerankers=[reranker], candidates=3, depth=3, is_cut=False, modes=modes)
    orders = await asked(asking)
    assert list(orders) == [f"{name}-{way}" for way in ("lexical", "hybrid") for name in (RECALL, TWO_STAGE, RERANK)]
    assert recall.modes == [RecallMode.LEXICAL, RecallMode.HYBRID]
    (alone,) = product((), (), is_reranked=False, default=RecallMode.HYBRID)
    assert (alone.name, alone.recall) == (RECALL, RecallMode.HYBRID)


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


@settings(deadline=None)
@given(
    head=st.lists(st.sampled_from([0.0, 0.25, 1.0]) | st.floats(0, 1), max_size=6),
    behind=st.lists(st.sampled_from([-2.0, 7.5]) | st.floats(-5, 50), max_size=6),
    name=st.sampled_from(["doc", "a doc", "题 号"]),
)
def test_a_run_file_carries_the_scores_that_ordered(head: list[float], behind: list[float], name: str) -> None:
    """Sorted by its scores, in single precision, a file gives our order; and each reranked document has its score."""
    falling = sorted(head, reverse=True), sorted(behind, reverse=True)
    reranked = [(candidate(f"{name} {place}", 0.5), score) for place, score in enumerate(falling[0])]
    rest = [candidate(f"{name} {len(head) + place}", score) for place, score in enumerate(falling[1])]
    scored = {each.chunk.document_id: score for each, score in continued(reranked, rest)}
    rows = [line.split("\t") for line in trec_lines({"q 1": scored}, TWO_STAGE)]
    assert [row[2] for row in rows] == list(scored)
    assert [(row[0], row[1], row[3], row[5]) for row in rows] == [
        ("q 1", "Q0", str(rank), "winnow-two-stage") for rank in range(1, len(rows) + 1)
    ]
    scores = [np.float32(row[4]) for row in rows]
    assert all(one > other for one, other in pairwise(scores))
    assert [float(score) for score in scores[: len(head)]] == pytest.approx(falling[0], abs=1e-6)


def test_a_run_file_is_spaced_by_blanks_where_ids_have_none() -> None:
    """As TREC's tools have it."""
    lines = list(trec_lines({"q1": {"b": 2.5, "a": 1.25}}, RECALL))
    assert lines == ["q1 Q0 b 1 2.5 winnow-recall", "q1 Q0 a 2 1.25 winnow-recall"]


async def test_several_rerankers_order_the_same_candidates() -> None:
    """One recall for all; each has its own runs, which say whose they are."""
    recall = ScriptedRecall("a", "b heron", "c refund")
    rerankers = [PrefersWord("refund", name="org/one"), PrefersWord("heron", name="two"), blending()]
    modes = (RecallMode.DENSE, RecallMode.HYBRID)
    asking = ours(recall=recall, rerankers=rerankers, candidates=3, depth=3, is_cut=False, modes=modes)
    orders = documents_of(await asked(asking))
    assert len(recall.widths) == 2
    assert orders["two-stage-org/one-dense"][0] == "doc-2"
    assert orders["rerank-two-hybrid"][0] == "doc-1"
    judges = {each.name: each.reranker.name for each in asking.settings if each.reranker is not None}
    assert set(judges) == set(orders) - {"recall-dense", "recall-hybrid"}
    assert judges["rerank-two-hybrid"] == "two"
