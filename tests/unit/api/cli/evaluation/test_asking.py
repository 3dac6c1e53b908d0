"""What settings share is computed once, and each is charged what a search under it would take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import PrefersWord, ScriptedRecall
from tests.logit_reranker import JudgesByLogit
from winnow.api.cli.evaluation.asking import ADAPTIVE_TOP_K, Asking, NamedSetting, Places, Searched
from winnow.api.cli.evaluation.cases import Case
from winnow.api.cli.evaluation.named_settings import Order
from winnow.rerank.reranker import Reranker
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval.model.folder import Mixture
from winnow.retrieval.records import RecallMode
from winnow.retrieval.tenancy import DEFAULT_TENANT

CASE = Case(id="q1", text="question")


def setting(name: str, searched: Searched, reranker: Reranker | None, **chosen: object) -> NamedSetting:
    values = {"order": Order.ANSWER, "mode": RecallMode.DENSE, "candidates": 3, "depth": Depth.FULL} | chosen
    return NamedSetting(name=name, searched=searched, reranker=reranker, **values)


def searched(recall: ScriptedRecall) -> Searched:
    return Searched(name="docs", embedder="e", recall=recall, is_cut=False)


def asking(*settings: NamedSetting, depth: int = 10) -> Asking:
    return Asking(tenant=DEFAULT_TENANT, settings=settings, depth=depth)


async def test_settings_share_recall_and_scores() -> None:
    """One recall per collection and mode, as wide as the widest; one call per reranker, candidates and instruction."""
    recall, other, reranker = ScriptedRecall("a", "b refund", "c"), ScriptedRecall("z"), PrefersWord("refund")
    here, there = searched(recall), searched(other)
    found = await asking(
        setting("recall", here, None, order=Order.RECALL),
        setting("answer", here, reranker),
        setting("relevance", here, reranker, order=Order.RELEVANCE),
        setting("wide", here, reranker, candidates=50),
        setting("hybrid", here, reranker, mode=RecallMode.HYBRID),
        setting("elsewhere", there, reranker),
    ).ask(CASE)
    assert (recall.modes, recall.widths, other.widths) == ([RecallMode.DENSE, RecallMode.HYBRID], [50, 50], [10])
    assert len(reranker.instructions) == 4
    assert list(found["answer"].scored) == list(found["relevance"].scored) == ["doc-1", "doc-0", "doc-2"]
    assert found["answer"].cost.rerank_ms == found["relevance"].cost.rerank_ms


async def test_each_setting_is_the_first_in_turn() -> None:
    recall = ScriptedRecall("a")
    here = searched(recall)
    modes = (RecallMode.DENSE, RecallMode.HYBRID, RecallMode.LEXICAL)
    turns = asking(*(setting(mode, here, None, order=Order.RECALL, mode=mode) for mode in modes))
    for place in range(4):
        assert set(await turns.ask(CASE, begin=place)) == set(modes)
    assert recall.modes[::3] == [modes[0], modes[1], modes[2], modes[0]]


async def test_a_search_that_would_not_rerank_is_not_charged() -> None:
    """Where relevance has no weight the answer is recall's, but relevance alone needs the reranker."""
    no_weight = Mixture(recall_weight=1.0, relevance_weight=0.0)
    reranker = JudgesByLogit(lambda _, each: float(len(each.chunk.text)), name="blending", mixture=no_weight)
    here = searched(ScriptedRecall("a", "bbb", "cc"))
    found = await asking(
        setting("answer", here, reranker), setting("relevance", here, reranker, order=Order.RELEVANCE)
    ).ask(CASE)
    answer, relevance = found["answer"].cost, found["relevance"].cost
    assert (answer.embed_ms, answer.recall_ms, answer.fetch_ms) == (1.0, 2.0, 3.0)
    assert (answer.rerank_ms, answer.rerank_tokens, answer.total_ms) == (None, 0, 6.0)
    assert answer.embed_tokens == len(CASE.text)
    assert relevance.rerank_ms is not None
    assert relevance.total_ms == 6.0 + relevance.rerank_ms


async def test_an_adaptive_depth_leaves_the_rest_in_recalls_order() -> None:
    """What no wave reached stands behind, and there is no curve over depths."""
    texts = [f"{number} refund" if number == 3 else str(number) for number in range(200)]
    reranker = PrefersWord("refund")
    here = searched(ScriptedRecall(*texts))
    found = await asking(
        setting("full", here, reranker, candidates=200),
        setting("adaptive", here, reranker, candidates=200, depth=Depth.ADAPTIVE, order=Order.RELEVANCE),
        depth=200,
    ).ask(CASE)
    assert ADAPTIVE_TOP_K == 10
    adaptive = list(found["adaptive"].scored)
    assert adaptive == list(found["full"].scored)
    assert found["adaptive"].cost.rerank_tokens <= found["full"].cost.rerank_tokens
    scores = list(found["adaptive"].scored.values())
    assert scores == sorted(scores, reverse=True)
    assert found["full"].places is not None


async def test_the_curve_over_depths_ends_at_the_order_of_the_run() -> None:
    """And begins at recall's."""
    here = searched(ScriptedRecall("x|a", "y|b", "x|c refund", "z|d refund", "w|e refund"))
    found = await asking(setting("answer", here, PrefersWord("refund"), candidates=4)).ask(CASE)
    places = found["answer"].places
    assert places is not None
    assert places.at_depth(4) == places.at_depth(100) == list(found["answer"].scored) == ["x", "z", "y", "w"]
    assert places.at_depth(0) == ["x", "y", "z", "w"]


@given(st.permutations(range(6)), st.integers(0, 6))
def test_at_a_depth_the_first_are_reranked_and_the_rest_follows(reranked: list[int], depth: int) -> None:
    """The same as reranking only so many, since a score does not depend on other candidates."""
    owners = tuple(f"d{number}" for number in range(8))
    found = Places(owners=owners, reranked=tuple(reranked)).at_depth(depth)
    head = sorted(range(depth), key=reranked.index)
    assert found == [owners[place] for place in (*head, *range(depth, 8))]
