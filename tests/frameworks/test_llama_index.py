"""The LlamaIndex adapter, in LlamaIndex, against a real service."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest

pytest.importorskip("llama_index.core", reason="LlamaIndex is not installed here: python -m tests.frameworks.run")

from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters

from tests.frameworks.conftest import ANSWER, CHINESE_FIRST, DEGRADED, MIXED, QUESTION, Scripted, found
from winnow_client import NotFound
from winnow_client.llama_index import WinnowRerank, WinnowRetriever


def dumped(nodes: list[NodeWithScore]) -> list[dict[str, object]]:
    return [each.model_dump() for each in nodes]


def test_a_node_has_its_metadata_and_both_scores(url: str) -> None:
    """Its score is the one that ordered the answer; a model that writes answers does not read the scores."""
    nodes = WinnowRetriever(url, "corpus", candidates=15, top_k=3).retrieve(QUESTION)
    first = nodes[0]
    assert first.metadata["document_id"] == first.node.ref_doc_id == ANSWER
    assert first.metadata["language"] == "en"
    assert 0 < first.metadata["relevance"] <= 1
    assert -1 <= first.metadata["recall_score"] <= 1
    assert [each.score for each in nodes] == sorted((each.score for each in nodes), reverse=True)
    read = first.node.get_content(metadata_mode=MetadataMode.LLM)
    assert "language: en" in read
    assert "relevance" not in read
    assert "score" not in read


def test_both_ways_of_calling_agree(url: str) -> None:
    retriever = WinnowRetriever(url, "corpus", candidates=15, top_k=4)
    ids = [each.node.node_id for each in retriever.retrieve(QUESTION)]
    assert len(set(ids)) == 4
    for _ in range(2):
        assert [each.node.node_id for each in asyncio.run(retriever.aretrieve(QueryBundle(QUESTION)))] == ids


def test_filters_and_instruction_arrive(url: str) -> None:
    """In LlamaIndex's classes or in the service's grammar; what the service cannot filter is refused."""
    recent = MetadataFilter(key="year", value=2022, operator=FilterOperator.GTE)
    filters = MetadataFilters(filters=[MetadataFilter(key="language", value="zh"), recent])
    nodes = WinnowRetriever(url, "corpus", candidates=15, top_k=5, filters=filters).retrieve(QUESTION)
    assert {each.metadata["language"] for each in nodes} == {"zh"}
    assert min(each.metadata["year"] for each in nodes) >= 2022
    own = WinnowRetriever(
        url, "corpus", candidates=15, filters={"type": "eq", "key": "language", "value": "zh"}
    ).retrieve(QUESTION)
    assert {each.metadata["language"] for each in own} == {"zh"}
    text = MetadataFilter(key="kind", value="stat", operator=FilterOperator.TEXT_MATCH)
    with pytest.raises(ValueError, match="text_match"):
        WinnowRetriever(url, "corpus", candidates=15, filters=MetadataFilters(filters=[text]))
    plain = WinnowRetriever(url, "corpus", candidates=15, top_k=5).retrieve(MIXED)
    steered = WinnowRetriever(url, "corpus", candidates=15, top_k=5, instruction=CHINESE_FIRST).retrieve(MIXED)
    languages = [[each.metadata["language"] for each in nodes] for nodes in (plain, steered)]
    assert languages[1].count("zh") > languages[0].count("zh")


def test_failures_are_those_of_the_client(url: str) -> None:
    with pytest.raises(NotFound):
        WinnowRetriever(url, "absent").retrieve(QUESTION)
    with pytest.raises(ValueError, match="query"):
        WinnowRerank(url=url).postprocess_nodes([])


def test_a_degraded_answer_shows(scripted: Scripted) -> None:
    scripted.answer = DEGRADED
    (node,) = WinnowRetriever(scripted.url, "docs").retrieve("q")
    assert node.metadata["degraded"] == "timeout"
    assert node.metadata["relevance"] is None


def test_the_key_is_sent_and_not_written(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """LlamaIndex saves the postprocessor without it; what is loaded takes the variable."""
    monkeypatch.delenv("WINNOW_API_KEY", raising=False)
    scripted.answer = found()
    WinnowRetriever(scripted.url, "docs", key="sk-geheim").retrieve("q")
    scripted.answer = {
        "id": "req_1",
        "model": "reranker",
        "results": [{"index": 0, "relevance_score": 0.5}],
        "meta": {"warnings": [], "winnow": {"instruction_applied": True}},
    }
    rerank = WinnowRerank(url=scripted.url, key="sk-geheim", top_n=2)
    saved = rerank.to_json()
    assert "geheim" not in saved + repr(rerank)
    monkeypatch.setenv("WINNOW_API_KEY", "sk-anders")
    nodes = [NodeWithScore(node=TextNode(text="text"), score=0.25)]
    copied = pickle.loads(pickle.dumps(rerank))  # noqa: S301  our own
    for each in (rerank, WinnowRerank.from_json(saved), copied):
        assert each.postprocess_nodes(nodes, query_str="q")[0].score == 0.5
    assert scripted.keys == ["Bearer sk-geheim", "Bearer sk-geheim", "Bearer sk-anders", "Bearer sk-geheim"]


def test_the_postprocessor_reranks_copies(url: str) -> None:
    """Best first; the score from before is kept, and the nodes passed in stay as they were."""
    given = WinnowRetriever(url, "corpus", candidates=15, top_k=6, rerank=False).retrieve(QUESTION)[::-1]
    before = copy.deepcopy(dumped(given))
    rerank = WinnowRerank(url=url, top_n=3, rerank_fields=["title"])
    ordered = rerank.postprocess_nodes(given, query_str=QUESTION)
    assert len(ordered) == 3
    assert given[-1].metadata["document_id"] == ANSWER
    assert ANSWER in [each.metadata["document_id"] for each in ordered[:2]]
    assert [each.score for each in ordered] == sorted((each.score for each in ordered), reverse=True)
    assert [each.score for each in ordered] == [each.metadata["relevance"] for each in ordered]
    assert dumped(given) == before
    again = asyncio.run(rerank.apostprocess_nodes(given, query_str=QUESTION))
    assert dumped(again) == dumped(ordered)


def test_the_postprocessor_takes_other_nodes(url: str) -> None:
    """A retriever's score becomes recall_score."""
    nodes = [
        NodeWithScore(node=TextNode(text="The heron strikes at fish.", metadata={"source": "birds"}), score=0.9),
        NodeWithScore(node=TextNode(text="A landlord returns the deposit after the tenant moved out."), score=0.1),
    ]
    first, second = WinnowRerank(url=url).postprocess_nodes(nodes, query_str=QUESTION)
    assert first.metadata["recall_score"] == 0.1
    assert second.metadata == {"source": "birds", "recall_score": 0.9, "relevance": second.score}
    assert second.score < first.score
    assert WinnowRerank(url="http://127.0.0.1:9").postprocess_nodes([], query_str="q") == []
