"""The Haystack components, in Haystack's pipelines, against a real service."""

from __future__ import annotations

import asyncio
import copy

import pytest

pytest.importorskip("haystack", reason="Haystack is not installed here: python -m tests.frameworks.run")

from haystack import Document, Pipeline
from haystack.utils import Secret

from tests.frameworks.conftest import ANSWER, CHINESE_FIRST, DEGRADED, MIXED, QUESTION, Scripted, found
from winnow_client import NotFound
from winnow_client.haystack import WinnowRanker, WinnowRetriever


def documents_of(component: WinnowRetriever, query: str = QUESTION) -> list[Document]:
    documents: list[Document] = component.run(query)["documents"]
    return documents


def test_a_document_has_its_meta_and_both_scores(url: str) -> None:
    documents = documents_of(WinnowRetriever(url, "corpus", candidates=15, top_k=3))
    first = documents[0]
    assert first.meta["document_id"] == ANSWER
    assert first.meta["language"] == "en"
    assert 0 < first.meta["relevance"] <= 1
    assert -1 <= first.meta["recall_score"] <= 1
    assert [each.score for each in documents] == sorted((each.score for each in documents), reverse=True)
    assert len({each.id for each in documents}) == 3
    assert Document.from_dict(first.to_dict()) == first


def test_both_ways_of_calling_agree(url: str) -> None:
    retriever = WinnowRetriever(url, "corpus", candidates=15, top_k=4)
    documents = documents_of(retriever)
    for _ in range(2):
        assert asyncio.run(retriever.run_async(QUESTION)) == {"documents": documents}


def test_filters_and_instruction_arrive(url: str) -> None:
    """In Haystack's grammar or in the service's; what the service cannot filter is refused."""
    chinese = {"field": "meta.language", "operator": "==", "value": "zh"}
    recent = {"field": "meta.year", "operator": ">=", "value": 2022}
    retriever = WinnowRetriever(url, "corpus", candidates=15, top_k=5)
    both = {"operator": "AND", "conditions": [chinese, recent]}
    documents = retriever.run(QUESTION, filters=both)["documents"]
    assert {each.meta["language"] for each in documents} == {"zh"}
    assert min(each.meta["year"] for each in documents) >= 2022
    negated = retriever.run(QUESTION, filters={"operator": "NOT", "conditions": [chinese]})["documents"]
    assert {each.meta["language"] for each in negated} == {"en"}
    own = retriever.run(QUESTION, filters={"type": "eq", "key": "language", "value": "zh"})["documents"]
    assert {each.meta["language"] for each in own} == {"zh"}
    with pytest.raises(ValueError, match="negate"):
        WinnowRetriever(url, "corpus", candidates=15, filters={"operator": "NOT", "conditions": [recent]})
    steered = retriever.run(MIXED, instruction=CHINESE_FIRST)["documents"]
    languages = [[each.meta["language"] for each in some] for some in (documents_of(retriever, MIXED), steered)]
    assert languages[1].count("zh") > languages[0].count("zh")


def test_failures_are_those_of_the_client(url: str) -> None:
    with pytest.raises(NotFound):
        WinnowRetriever(url, "absent").run(QUESTION)


def test_a_degraded_answer_shows(scripted: Scripted) -> None:
    scripted.answer = DEGRADED
    (document,) = documents_of(WinnowRetriever(scripted.url, "docs"))
    assert document.meta["degraded"] == "timeout"
    assert document.meta["relevance"] is None


def test_a_pipeline_is_saved_and_loaded(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every argument; the key is the name of a variable there, and a key as a text is not saved."""
    monkeypatch.setenv("MY_KEY", "sk-geheim")
    pipeline = Pipeline()
    retriever = WinnowRetriever(
        scripted.url,
        "docs",
        key=Secret.from_env_var("MY_KEY"),
        top_k=3,
        filters={"field": "meta.a", "operator": "in", "value": ["b"]},
        instruction={"name": "builtin/legal-statutes"},
        candidates=30,
        recall="dense",
        rerank=True,
        min_relevance=0.5,
        group_by_document=True,
        on_rerank_failure="error",
        timeout=5.0,
    )
    pipeline.add_component("retriever", retriever)
    pipeline.add_component("ranker", WinnowRanker(scripted.url, top_k=2, rerank_fields=["kind"], min_relevance=0.1))
    pipeline.connect("retriever.documents", "ranker.documents")
    saved = pipeline.dumps()
    assert "geheim" not in saved
    loaded = Pipeline.loads(saved, allowed_modules=["winnow_client.haystack"])
    assert loaded.dumps() == saved
    scripted.answer = found()
    loaded.get_component("retriever").run("q")
    assert scripted.keys == ["Bearer sk-geheim"]
    assert scripted.bodies == [
        {
            "query": "q",
            "collection": "docs",
            "top_k": 3,
            "filter": {"type": "in", "key": "a", "value": ["b"]},
            "instruction": {"name": "builtin/legal-statutes"},
            "candidates": 30,
            "recall": "dense",
            "rerank": True,
            "min_relevance": 0.5,
            "group_by_document": True,
            "on_rerank_failure": "error",
        }
    ]
    with pytest.raises(ValueError, match="Cannot serialize"):
        WinnowRanker(scripted.url, key=Secret.from_token("sk-1")).to_dict()


def test_a_pipeline_retrieves_and_reranks(url: str) -> None:
    """Synchronously and asynchronously alike."""
    pipeline = Pipeline()
    pipeline.add_component("retriever", WinnowRetriever(url, "corpus", candidates=15, top_k=6, rerank=False))
    pipeline.add_component("ranker", WinnowRanker(url, top_k=2, rerank_fields=["title"]))
    pipeline.connect("retriever.documents", "ranker.documents")
    asked = {"retriever": {"query": QUESTION}, "ranker": {"query": QUESTION}}
    done = pipeline.run(asked)
    assert ANSWER in [each.meta["document_id"] for each in done["ranker"]["documents"]]
    assert asyncio.run(pipeline.run_async(asked)) == done


def test_the_ranker_reranks_copies(url: str) -> None:
    """Best first; the score from before is kept, and the documents passed in stay as they were."""
    given = [
        Document(content="The heron strikes at fish.", meta={"source": "birds"}, score=0.9),
        Document(content="A landlord returns the deposit after the tenant moved out.", score=0.1),
        Document(content=None, meta={"empty": True}),
    ]
    before = copy.deepcopy(given)
    ranker = WinnowRanker(url)
    ordered = ranker.run(QUESTION, given)["documents"]
    assert ordered[0].id == given[1].id
    assert ordered[0].meta == {"recall_score": 0.1, "relevance": ordered[0].score}
    assert {each.id for each in ordered} == {each.id for each in given}
    assert given == before
    assert asyncio.run(ranker.run_async(QUESTION, given))["documents"] == ordered
    assert ranker.run(QUESTION, given, top_k=1)["documents"] == ordered[:1]
    assert WinnowRanker(url="http://127.0.0.1:9").run(QUESTION, []) == {"documents": []}
