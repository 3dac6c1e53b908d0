"""Long documents over HTTP: a part of one, and what stands around a hit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from winnow.api.http.app import create_app
from winnow.retrieval.model.tokenizer import PlainTokenizer

HERE = "/v1/collections/docs/documents"


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    with CheckingClient(
        create_app(parts_over(tmp_path, tokenizer, PrefersWord("1"))), base_url="http://localhost"
    ) as client:
        assert client.post("/v1/collections", json={"name": "docs", "chunk_tokens": 16}).status_code == 201
        yield client


@pytest.mark.parametrize(
    ("asked", "span"), [("start=4&end=9", (4, 9)), ("end=3", (0, 3)), ("start=5&end=2", (5, 5)), ("start=9999", None)]
)
def test_a_part_of_a_document_is_told_by_its_span(client: TestClient, asked: str, span: tuple[int, int] | None) -> None:
    """The characters that places in answers count; what lies beyond the text is empty and no error."""
    client.post("/v1/collections/docs/documents", json=DOCUMENTS[0])
    text = DOCUMENTS[0]["text"]
    start, end = span or (len(text), len(text))
    said = client.get(f"/v1/collections/docs/documents/refunds?{asked}").json()
    assert (said["start"], said["end"], said["text"], said["characters"]) == (start, end, text[start:end], len(text))
    assert client.get("/v1/collections/docs/documents/refunds?start=-1").status_code == 422


def test_neighbours_are_told_with_their_spans(client: TestClient) -> None:
    """What stands around a hit is a part of the document by its own offsets; without the wish there is none."""
    text = " ".join(f"Sentence number {number} tells of herons and their rivers." for number in range(40))
    client.post("/v1/collections/docs/documents", json={"id": "long", "text": text})
    body = {"query": "herons", "collection": "docs", "top_k": 3}
    assert "context" not in client.post("/v1/search", json=body).json()["results"][0]
    said = client.post("/v1/search", json=body | {"neighbours": 2}).json()
    spans = []
    for each in said["results"]:
        extracts = [extract for extract in each["context"].values() if extract]
        assert all(text[part["start"] : part["end"]] == part["text"] for part in extracts)
        spans += [(part["start"], part["end"]) for part in (*extracts, each["chunk"])]
    spans.sort()
    assert len(spans) > 3
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_costs_no_record(client: TestClient, encoding: str) -> None:
    """In NDJSON and in JSON, as in a file."""
    lines = '{"id": "one", "text": "eins"}\n{"id": "two", "text": "zwei"}\n'.encode(encoding)
    sent = client.post(HERE, content=lines, headers={"content-type": "application/x-ndjson"})
    assert (sent.status_code, sent.json()["accepted"], sent.json()["rejected"]) == (200, 2, [])
    whole = client.post(
        HERE, content='{"id": "three", "text": "drei"}'.encode(encoding), headers={"content-type": "application/json"}
    )
    assert (whole.status_code, whole.json()["accepted"]) == (200, 1)
    assert client.get(f"{HERE}/one").json()["text"] == "eins"


@pytest.mark.parametrize("beyond", [2**63, 2**64, -(2**63) - 1])
def test_a_number_beyond_64_bits_is_refused_at_the_door(client: TestClient, beyond: int) -> None:
    """By the name of its field; the greatest that fits comes back to the last digit."""
    fits = 2**63 - 1
    body = f'{{"documents": [{{"id": "a", "text": "t", "n": {beyond}}}, {{"id": "b", "text": "t", "n": {fits}}}]}}'
    sent = client.post(HERE, content=body, headers={"content-type": "application/json"})
    assert sent.status_code == 200
    (rejected,) = sent.json()["rejected"]
    assert (rejected["id"], rejected["line"]) == ("a", 1)
    assert rejected["reason"].startswith(f"field 'n': an integer of {len(str(abs(beyond)))} digits")
    assert client.get(f"{HERE}/b").json()["metadata"] == {"n": fits}


def test_documents_are_listed_page_by_page(client: TestClient) -> None:
    """Every one once, in the order of their ids, whatever the size of a page; by filter too."""
    client.post("/v1/collections", json={"name": "paged"})
    documents = [{"id": f"{n:02}/é", "text": f"text {n}", "odd": bool(n % 2)} for n in range(23)]
    assert client.post("/v1/collections/paged/documents", json={"documents": documents}).status_code == 200
    odd = '{"type": "eq", "key": "odd", "value": true}'
    for wanted, filters in ((documents, {}), (documents[1::2], {"filter": odd})):
        for limit in (1, 7, 23, 100):
            found, after = [], ""
            while after is not None:
                query = {"limit": limit, "after": after} | filters
                page = client.get("/v1/collections/paged/documents", params=query).json()
                assert len(page["documents"]) <= limit
                found += page["documents"]
                after = page["next"]
            assert [each["id"] for each in found] == [each["id"] for each in wanted]
    assert found[0] == {"id": "01/é", "title": "", "url": None, "characters": 6, "metadata": {"odd": True}}
    assert client.get("/v1/collections/none/documents").status_code == 404
    for wrong in ({"limit": 0}, {"limit": 101}, {"filter": "{"}, {"filter": '{"type": "no"}'}):
        assert client.get("/v1/collections/paged/documents", params=wrong).status_code == 422, wrong
