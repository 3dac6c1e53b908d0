"""The LangChain adapter, in LangChain, against a real service."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle

import pytest

pytest.importorskip("langchain_core", reason="LangChain is not installed here: python -m tests.frameworks.run")

from langchain_core.documents import Document
from langchain_core.load import dumps, loads

from tests.frameworks.conftest import ANSWER, CHINESE_FIRST, DEGRADED, MIXED, QUESTION, Scripted, found
from winnow_client import InvalidRequest, NotFound
from winnow_client.langchain import WinnowReranker, WinnowRetriever


def test_a_document_has_its_metadata_and_both_scores(url: str) -> None:
    """The right document comes first, with its own metadata, its place and its scores."""
    first, *_ = WinnowRetriever(url=url, collection="corpus", candidates=15, top_k=3).invoke(QUESTION)
    assert first.metadata["document_id"] == ANSWER
    assert first.metadata["language"] == "en"
    assert first.metadata["year"] > 2000
    assert 0 < first.metadata["relevance"] <= 1
    assert -1 <= first.metadata["recall_score"] <= 1
    assert {"title", "url", "section", "location", "chunk"} <= set(first.metadata)
    assert first.metadata["degraded"] is None
    assert "deposit" in first.page_content


def test_both_ways_of_calling_agree(url: str) -> None:
    """One retriever serves threads and several event loops."""
    retriever = WinnowRetriever(url=url, collection="corpus", candidates=15, top_k=4)
    ids = [each.id for each in retriever.invoke(QUESTION)]
    assert len(set(ids)) == 4
    for _ in range(2):
        assert [each.id for each in asyncio.run(retriever.ainvoke(QUESTION))] == ids
    assert [[each.id for each in some] for some in retriever.batch([QUESTION, QUESTION])] == [ids, ids]


def test_filter_and_instruction_arrive(url: str) -> None:
    """For all calls or for one, and the instruction changes the order."""
    zh = {"type": "eq", "key": "language", "value": "zh"}
    retriever = WinnowRetriever(url=url, collection="corpus", candidates=15, top_k=5)
    assert {each.metadata["language"] for each in retriever.invoke(QUESTION, filter=zh)} == {"zh"}
    narrow = WinnowRetriever(url=url, collection="corpus", candidates=15, top_k=5, filter=zh)
    assert [each.id for each in narrow.invoke(QUESTION)] == [each.id for each in retriever.invoke(QUESTION, filter=zh)]
    plain = [each.metadata["language"] for each in retriever.invoke(MIXED)]
    steered = [each.metadata["language"] for each in retriever.invoke(MIXED, instruction=CHINESE_FIRST)]
    assert steered.count("zh") > plain.count("zh")


def test_failures_are_those_of_the_client(url: str) -> None:
    with pytest.raises(NotFound):
        WinnowRetriever(url=url, collection="absent").invoke(QUESTION)
    with pytest.raises(InvalidRequest, match="x"):
        WinnowRetriever(url=url, collection="corpus", candidates=15).invoke(
            QUESTION, filter={"type": "eq", "key": "x", "value": 1}
        )


def test_a_degraded_answer_shows(scripted: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    """Each document says so, and a warning does."""
    scripted.answer = DEGRADED
    with caplog.at_level(logging.WARNING, "winnow_client"):
        (document,) = WinnowRetriever(url=scripted.url, collection="docs").invoke("q")
    assert document.metadata["degraded"] == "timeout"
    assert document.metadata["relevance"] is None
    assert "timeout" in caplog.text


def test_an_instruction_that_nothing_read_is_warned_about(scripted: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    scripted.answer = found(instruction_applied=False)
    with caplog.at_level(logging.WARNING, "winnow_client"):
        WinnowRetriever(url=scripted.url, collection="docs").invoke("q")
        assert caplog.text == ""
        WinnowRetriever(url=scripted.url, collection="docs", instruction="Newest first.").invoke("q")
    assert "instruction" in caplog.text


def test_the_key_is_sent_and_not_written(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither into a representation nor into what LangChain saves; loading takes it from the secrets."""
    monkeypatch.delenv("WINNOW_API_KEY", raising=False)
    scripted.answer = found()
    retriever = WinnowRetriever(url=scripted.url, collection="docs", key="sk-geheim", top_k=3)
    saved = dumps(retriever)
    assert "geheim" not in saved + repr(retriever)
    loaded = loads(
        saved,
        secrets_map={"WINNOW_API_KEY": "sk-anders"},
        allowed_objects=[WinnowRetriever],
        valid_namespaces=["winnow_client"],
    )
    copied = pickle.loads(pickle.dumps(retriever))  # noqa: S301  our own
    for each in (retriever, loaded, copy.deepcopy(retriever), copied):
        each.invoke("q")
    assert scripted.keys == ["Bearer sk-geheim", "Bearer sk-anders", "Bearer sk-geheim", "Bearer sk-geheim"]
    assert {body["top_k"] for body in scripted.bodies} == {3}


def test_the_compressor_reranks_copies(url: str) -> None:
    """Best first, with a relevance; the documents passed in stay as they were."""
    given = WinnowRetriever(url=url, collection="corpus", candidates=15, top_k=6, rerank=False).invoke(QUESTION)[::-1]
    before = copy.deepcopy(given)
    reranker = WinnowReranker(url=url, top_n=3, rerank_fields=["title"])
    ordered = reranker.compress_documents(given, QUESTION)
    assert given[-1].metadata["document_id"] == ANSWER
    assert ANSWER in [each.metadata["document_id"] for each in ordered[:2]]
    assert [each.metadata["relevance"] for each in ordered] == sorted(
        (each.metadata["relevance"] for each in ordered), reverse=True
    )
    assert len(ordered) == 3
    assert given == before
    assert {each.metadata["relevance"] for each in given} == {None}
    assert asyncio.run(reranker.acompress_documents(given, QUESTION)) == ordered


def test_the_compressor_takes_other_documents(url: str) -> None:
    """Of any metadata; none at all are no request."""
    documents = [
        Document("The heron strikes at fish.", metadata={"source": "birds"}),
        Document("A landlord returns the deposit within two months after the tenant moved out.", id="rent"),
    ]
    reranker = WinnowReranker(url=url)
    assert [each.id for each in reranker.compress_documents(documents, QUESTION)] == ["rent", None]
    assert reranker.compress_documents(documents, QUESTION)[1].metadata["source"] == "birds"
    threshold = reranker.compress_documents(documents, QUESTION)[0].metadata["relevance"]
    strict = WinnowReranker(url=url, min_relevance=threshold)
    assert [each.id for each in strict.compress_documents(documents, QUESTION)] == ["rent"]
    assert WinnowReranker(url="http://127.0.0.1:9").compress_documents([], QUESTION) == []
