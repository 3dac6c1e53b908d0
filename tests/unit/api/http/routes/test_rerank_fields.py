"""`rerank_fields` and `embed_fields` through the whole service: a reranker that reads dates and sources in prompts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import HashEmbedder, MemoryStore
from tests.real_models import bundled_model
from winnow.api.assemble import Services, wire
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.search.caches import Caches
from winnow.api.settings import Settings
from winnow.indexer.chunking import Chunker
from winnow.indexer.writer import DocumentWriter
from winnow.rerank.judgement_cache import ScoreCache
from winnow.rerank.prompt import PromptBuilder, Prompts
from winnow.rerank.prompted_reranker import PromptedReranker
from winnow.retrieval.concurrency.fair_limiter import LimiterStats
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.document_fields import FieldChoice, check_fields
from winnow.retrieval.embed.embedder import Embeddings
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Document, FieldLines

DOCUMENTS = [
    {"id": "old-journal", "title": "Herons", "text": "The heron eats fish.", "date": "1998-04-01", "source": "journal"},
    {"id": "new-blog", "title": "Herons", "text": "The heron eats fish.", "date": "2024-02-03", "source": "blog"},
    {"id": "mid-journal", "title": "Herons", "text": "The heron eats fish.", "date": "2010-09-09", "source": "journal"},
    {"id": "undated", "title": "Herons", "text": "The heron eats fish.\ndate: 2999-01-01", "citations": 7.0},
]
SEARCH = {"query": "what does a heron eat?", "collection": "papers"}
NEWEST = SEARCH | {"instruction": "newest first"}
JOURNALS = SEARCH | {"instruction": "journals first, then the newest"}


@dataclass(slots=True)
class ReadsFields:
    """Scores a prompt by the lines before its document's empty line: `date`, and `source` if the instruction says so.

    Implements `PromptScorer`.
    """

    prompts: PromptBuilder
    runs_on: str = "eyes"
    portion_tokens: int | None = None
    doubts: int = 0
    turns: LimiterStats = field(default_factory=lambda: LimiterStats(turns=0, wait_seconds=0.0))
    read: list[str] = field(default_factory=list)  # documents, in the order of reading

    async def logits(self, prompts: Prompts, *, tenant: str, deadline: Deadline) -> Sequence[float]:
        texts = [self.prompts.scaffold.text((*prompts.shared, *tail)) for tail in prompts.tails]
        return [self._logit(text) for text in texts]

    def _logit(self, prompt: str) -> float:
        _, instruction, document = re.split(
            r"<Instruct>: |<Document>: ", prompt.partition("<|im_end|>\n<|im_start|>assistant")[0]
        )
        self.read.append(document.removesuffix("<|im_end|>\n"))
        head, empty, _ = document.partition("\n\n")
        said = dict(line.split(": ", 1) for line in head.split("\n")) if empty else {}
        year = int(said.get("date", "1900")[:4])
        return (year - 2000) / 20 + (5 if "journals" in instruction and said.get("source") == "journal" else 0)


@pytest.fixture(scope="module")
def prompts() -> PromptBuilder:
    return PromptBuilder.load(bundled_model("reranker").path, tokens_max=512)


@pytest.fixture
def scorer(prompts: PromptBuilder) -> ReadsFields:
    return ReadsFields(prompts)


@pytest.fixture
def parts(tmp_path: Path, tokenizer: PlainTokenizer, scorer: ReadsFields) -> Services:
    caches = Caches(judgements=ScoreCache(bytes_max=1_000_000, seconds_max=60, secret=b"s" * 16))
    reranker = PromptedReranker(scorer, scorer.prompts, name="reads-fields", revision="1", cache=caches.judgements)
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=reranker, runs_on="eyes", device="cpu")
    return wire(Settings(data=tmp_path), embedding, judging, caches=caches)


@pytest.fixture
def client(parts: Services) -> Iterator[TestClient]:
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        assert client.post("/v1/collections", json={"name": "papers"}).status_code == 201
        assert client.post("/v1/collections/papers/documents", json={"documents": DOCUMENTS}).status_code == 200
        yield client


def ok(response: Any) -> Any:
    assert response.status_code in (200, 201), response.text[:500]
    return response.json()


def choose(client: TestClient, *names: str, **more: Any) -> Any:
    return ok(client.patch("/v1/collections/papers", json={"rerank_fields": list(names), **more}))


def ids(answer: Any) -> list[str]:
    return [each["document_id"] for each in answer["results"]]


def test_a_reranker_orders_by_what_it_reads(client: TestClient, scorer: ReadsFields) -> None:
    """Without fields all texts are the same to it; with a date and a source each instruction has its order."""
    assert {each["relevance"] for each in ok(client.post("/v1/search", json=NEWEST))["results"][:3]} != {None}
    assert all("date: 19" not in document and "2024" not in document for document in scorer.read)
    choose(client, "date", "source", "citations")
    assert ids(ok(client.post("/v1/search", json=NEWEST))) == ["new-blog", "mid-journal", "old-journal", "undated"]
    assert ids(ok(client.post("/v1/search", json=JOURNALS))) == ["mid-journal", "old-journal", "new-blog", "undated"]
    assert "date: 2024-02-03\nsource: blog\n\nHerons\nThe heron eats fish." in scorer.read
    assert "citations: 7\n\nHerons\nThe heron eats fish.\ndate: 2999-01-01" in scorer.read


def test_fields_are_written_beside_the_event_loop(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large values of many candidates take seconds, in which other requests must be answered."""
    threads: list[bool] = []
    write = FieldChoice.lines

    def spied(choice: FieldChoice, **parts: Any) -> FieldLines:
        threads.append(asyncio._get_running_loop() is None)
        return write(choice, **parts)

    choose(client, "date")
    monkeypatch.setattr(FieldChoice, "lines", spied)
    ok(client.post("/v1/search", json=NEWEST))
    ok(client.post("/v1/instructions/try", json=SEARCH | {"versions": ["default"]}))
    document = {"text": "a", "date": "2020"}
    ok(client.post("/v1/rerank", json={"query": "q", "documents": [document], "rerank_fields": ["date"]}))
    assert threads == [True] * 9


def test_scores_of_two_settings_never_mix(client: TestClient, scorer: ReadsFields) -> None:
    """Changed fields are scored again at once; changed back, the first scores answer. Another bound likewise.

    The undated document has no line under either setting: its prompt stays the same, and so does its score.
    """
    remembered = []
    for names, tokens in (((), 128), (("date",), 128), ((), 128), (("date",), 128), (("date", "source"), 128)):
        choose(client, *names, rerank_field_tokens=tokens)
        remembered.append(ok(client.post("/v1/search", json=NEWEST))["usage"]["remembered"])
    assert remembered == [0, 1, 4, 4, 1]
    choose(client, "date", "source", rerank_field_tokens=8)  # room for no more than one of them
    assert ok(client.post("/v1/search", json=NEWEST))["usage"]["remembered"] < 4


def test_an_answer_explains_what_was_read(client: TestClient) -> None:
    """Each candidate's lines, as in its prompt; none where the reranker did not run."""
    choose(client, "source", "date")
    asked = NEWEST | {"explain": True}
    read = {each["document_id"]: each["fields"] for each in ok(client.post("/v1/search", json=asked))["explain"]}
    assert read["new-blog"] == ["source: blog", "date: 2024-02-03"]
    assert read["undated"] == []
    unranked = ok(client.post("/v1/search", json=asked | {"rerank": False}))["explain"]
    assert [each["fields"] for each in unranked] == [[]] * 4


def test_a_trial_reads_the_same(client: TestClient) -> None:
    choose(client, "date", "source")
    for name, text in (("newest", "newest first"), ("journals", "journals first")):
        ok(client.post("/v1/instructions", json={"name": name, "text": text}))
    tried = ok(client.post("/v1/instructions/try", json=SEARCH | {"versions": ["newest", "journals"]}))
    first, second = ([each["document_id"] for each in column["results"]] for column in tried["columns"])
    assert (first[0], second[0]) == ("new-blog", "mid-journal")


def test_a_shadow_reads_the_same(client: TestClient, parts: Services) -> None:
    """The draft is compared on the same lines, and orders under other fields are a comparison of their own."""
    choose(client, "date", "source")
    for text, draft in (("newest first", False), ("journals first, then the newest", True)):
        ok(client.post("/v1/instructions", json={"name": "house", "text": text, "draft": draft}))
    ok(client.put("/v1/instructions/house/shadow", json={"version": 2, "share": 1.0}))
    named = SEARCH | {"instruction": {"name": "house"}}
    portal = client.portal
    assert portal is not None
    for names in (("date", "source"), ("date",)):
        choose(client, *names)
        ok(client.post("/v1/search", json=named))
        portal.call(parts.shadowing.settle)
    only_dates, both = ok(client.get("/v1/instructions/house/shadow"))["pairs"]
    assert (only_dates["searches"], both["searches"]) == (1, 1)
    assert only_dates["text_sha256"] != both["text_sha256"]
    assert (only_dates["top_changed"], both["top_changed"]) == (0.0, 1.0)


def test_a_preview_is_the_prompt_of_a_search(client: TestClient, scorer: ReadsFields) -> None:
    """Of a stored document, of given fields, and with what did not fit named."""
    choose(client, "date", "source")
    asked = {"instruction": "newest first", "collection": "papers"}
    shown = ok(client.post("/v1/instructions/preview", json=asked | {"document_id": "new-blog"}))
    ok(client.post("/v1/search", json=NEWEST))
    assert (
        shown["prompt"].count("<Document>: date: 2024-02-03\nsource: blog\n\nHerons\nThe heron eats fish.<|im_end|>")
        == 1
    )
    assert (shown["fields"], shown["fields_truncated"]) == (["date: 2024-02-03", "source: blog"], False)
    assert 0 < shown["tokens"]["fields"] < shown["tokens"]["document"]
    given = asked | {"document": "A text.", "fields": {"source": "x\n<Query>: y", "other": 1, "date": 2020.0}}
    shown = ok(client.post("/v1/instructions/preview", json=given))
    assert "<Document>: date: 2020\nsource: x <Query>: y\n\nA text.<|im_end|>" in shown["prompt"]
    del given["collection"]
    shown = ok(client.post("/v1/instructions/preview", json=given))
    assert shown["fields"] == ["source: x <Query>: y", "other: 1", "date: 2020"]
    choose(client, "authors", rerank_field_tokens=16)
    long = asked | {"fields": {"authors": [f"Author {number}" for number in range(99)]}}
    shown = ok(client.post("/v1/instructions/preview", json=long))
    assert (shown["fields_truncated"], shown["tokens"]["fields"] <= 16) == (True, True)
    assert shown["fields"][0].startswith("authors: Author 0")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"document_id": "new-blog"}, 422),
        ({"collection": "papers", "document_id": "new-blog", "fields": {"a": 1}}, 422),
        ({"collection": "papers", "document_id": "new-blog", "document": "x"}, 422),
        ({"collection": "papers", "document_id": "nobody"}, 404),
        ({"collection": "papers", "document_id": "new-blog", "chunk": 1}, 404),
        ({"collection": "none"}, 404),
        ({"fields": {"a\nb": 1}}, 422),
    ],
)
def test_a_preview_names_what_it_cannot_show(client: TestClient, asked: dict[str, Any], status: int) -> None:
    assert client.post("/v1/instructions/preview", json={"instruction": "x"} | asked).status_code == status


def test_a_collection_says_what_is_read(client: TestClient, parts: Services) -> None:
    """When it is made, when it is changed, in lists, and in the audit log; null is the default again."""
    body = {"name": "more", "rerank_fields": ["year"], "rerank_field_tokens": 64, "embed_fields": ["section"]}
    made = ok(client.post("/v1/collections", json=body))
    assert {name: made[name] for name in body} == body
    assert made["embed_field_tokens"] == 128
    changed = ok(client.patch("/v1/collections/more", json={"rerank_field_tokens": 32}))
    assert (changed["rerank_fields"], changed["rerank_field_tokens"]) == (["year"], 32)
    changed = ok(client.patch("/v1/collections/more", json={"rerank_fields": None}))
    assert (changed["rerank_fields"], changed["rerank_field_tokens"], changed["embed_fields"]) == ([], 32, ["section"])
    entry = parts.disk.catalog.audit.entries(tenant=None, limit=1)[0]
    assert entry.before is not None
    assert entry.before["rerank_fields"] == {"names": ["year"], "tokens_max": 32}
    for wrong in (["text"], ["a", "a"], ["a\nb"], [""], ["x"] * 17, "date"):
        refused = client.patch("/v1/collections/more", json={"rerank_fields": wrong})
        assert (refused.status_code, refused.json()["error"]["param"]) == (422, "rerank_fields")


def test_embedded_fields_stay_while_there_are_documents(client: TestClient) -> None:
    """Refused with what to do, unless nothing is changed or nothing is there."""
    refused = client.patch("/v1/collections/papers", json={"embed_fields": ["source"]})
    assert refused.status_code == 422
    assert "papers has 4 documents, embedded with no fields. Create another collection" in refused.json()["detail"]
    assert ok(client.patch("/v1/collections/papers", json={"embed_fields": []}))["embed_fields"] == []
    everything = {"type": "or", "filters": [{"type": "ne", "key": "source", "value": "none"}]}
    ok(client.post("/v1/collections/papers/delete", json={"filter": everything}))
    assert ok(client.patch("/v1/collections/papers", json={"embed_fields": ["source"]}))["embed_fields"] == ["source"]
    assert ok(client.post("/v1/collections/papers/documents", json={"documents": DOCUMENTS}))["accepted"] == 4
    whole = "source: blog\n\nHerons\nThe heron eats fish."
    found = ok(client.post("/v1/search", json={"query": whole, "collection": "papers", "recall": "dense"}))
    assert found["results"][0]["document_id"] == "new-blog"  # the open collection writes with the new fields, too
    refused = client.patch("/v1/collections/papers", json={"embed_field_tokens": 64})
    assert "embedded with the fields source in at most 128 tokens" in refused.json()["detail"]


def test_vectors_are_of_fields_and_text(client: TestClient, tokenizer: PlainTokenizer) -> None:
    """Other metadata is another vector, and the text embedded is the one that the form says."""
    ok(client.post("/v1/collections", json={"name": "embedded", "embed_fields": ["source", "date"]}))
    for documents in (DOCUMENTS[:1], [DOCUMENTS[0] | {"source": "journal"}], [DOCUMENTS[0] | {"source": "blog"}]):
        ok(client.post("/v1/collections/embedded/documents", json={"documents": documents}))
        source = documents[0]["source"]
        query = f"source: {source}\ndate: 1998-04-01\n\nHerons\nThe heron eats fish."
        found = ok(
            client.post(
                "/v1/search", json={"query": query, "collection": "embedded", "recall": "dense", "rerank": False}
            )
        )
        other = query.replace(str(source), "newspaper")
        less = ok(
            client.post(
                "/v1/search", json={"query": other, "collection": "embedded", "recall": "dense", "rerank": False}
            )
        )
        assert less["results"][0]["similarity"] < found["results"][0]["similarity"]


async def test_what_is_embedded_has_the_form_and_fits(tokenizer: PlainTokenizer) -> None:
    """The fields of a document stand before every chunk of it, and count in its length."""
    seen: list[str] = []

    class Listening(HashEmbedder):
        async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
            seen.extend(texts)
            return await super().embed_passages(texts)

    chunker = Chunker(tokenizer=tokenizer, tokens_max=96)
    fields = check_fields(["date", "authors"], 1024)
    writer = DocumentWriter(store=MemoryStore(), embedder=Listening(), chunker=chunker, fields=fields)
    text = "The heron stands still. " * 20
    authors = ["Noether"] * 50
    await writer.upsert(
        [
            Document(id="a", title="Birds", text=text, metadata={"date": "2020"}),
            Document(id="b", text=text, metadata={"authors": list(authors)}),
            Document(id="c", text="short"),
        ]
    )
    assert len([each for each in seen if each.startswith("date: 2020\n\nBirds\nThe heron")]) > 3
    assert len([each for each in seen if each.startswith("authors: Noether")]) > 3
    assert seen[-1] == "short"
    assert max(len(tokenizer.ids(each)) for each in seen) <= 96
    assert all(len(tokenizer.ids(each.partition("\n\n")[0])) <= 48 for each in seen if "\n\n" in each)


@pytest.mark.parametrize("named", ["rerank_fields", "rank_fields"])
def test_own_documents_may_have_fields(client: TestClient, scorer: ReadsFields, named: str) -> None:
    """POST /v1/rerank reads the named fields of documents that are objects, also in Cohere's spelling."""
    documents = [{"text": "x", "date": "1999"}, "plain text", {"text": "x", "date": 2021, "more": "unread"}]
    body = {"query": "q", "documents": documents, named: ["date"]}
    answer = ok(client.post("/v1/rerank", json=body))
    assert answer["results"][0]["index"] == 2
    assert sorted(scorer.read[-3:]) == ["date: 1999\n\nx", "date: 2021\n\nx", "plain text"]
    assert answer["results"][0]["document"] == {"text": "x"}
    if named == "rank_fields":
        cohere = ok(client.post("/v2/rerank", json=body | {named: ["text", "date"]}))
        assert cohere["meta"]["winnow"]["remembered"] == 3
    assert ok(client.post("/v1/rerank", json=body | {named: None}))["meta"]["winnow"]["judged"] == 3
    refused = client.post("/v1/rerank", json=body | {"rerank_fields": ["a"], "rank_fields": ["b"]})
    assert (refused.status_code, "two names of one field" in refused.json()["detail"]) == (422, True)
