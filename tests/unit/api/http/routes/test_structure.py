"""Parts over HTTP: accepted, checked, searched, and told with every passage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.http.app import create_app
from winnow.retrieval.model.tokenizer import PlainTokenizer

HERE = "/v1/collections/docs/documents"
ROWS = "".join(f"part-{number} | {number} euro\n" for number in range(1, 41))
TABLE = f"part | price\n{ROWS}"
INTRO = "Prices hold for a year.\nThen they change.\n\n"
PARTS: list[dict[str, Any]] = [
    {"start": 0, "end": len(INTRO), "section": ["Prices"], "location": {"page": 3, "line": 1}},
    {
        "start": len(INTRO),
        "end": len(INTRO + TABLE),
        "kind": "rows",
        "section": ["Prices", "Table"],
        "header": "part | price",
        "location": {"sheet": "Q3", "row": 1},
    },
]
DOCUMENT: dict[str, Any] = {"id": "prices", "title": "List", "text": INTRO + TABLE, "parts": PARTS, "year": 2026}


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    with CheckingClient(
        create_app(parts_over(tmp_path, tokenizer, PrefersWord("part-33 "))), base_url="http://localhost"
    ) as client:
        assert client.post("/v1/collections", json={"name": "docs", "chunk_tokens": 160}).status_code == 201
        yield client


def test_a_row_is_found_with_its_sheet_section_and_header(client: TestClient) -> None:
    """The answer's chunk begins and ends at rows, and says which; neighbours say theirs."""
    assert client.post(HERE, json=DOCUMENT).status_code == 200
    body = {"query": "price of part-33", "collection": "docs", "top_k": 1, "neighbours": 1, "highlight": True}
    best = client.post("/v1/search", json=body).json()["results"][0]
    assert (best["section"], best["header"]) == (["Prices", "Table"], "part | price")
    rows = best["text"].splitlines()
    location = best["location"]
    assert location == {"sheet": "Q3", "row": location["row"], "row_end": location["row"] + len(rows) - 1}
    assert [f"part-{number} | {number} euro" for number in range(location["row"] - 1, location["row_end"])] == rows
    for each in best["highlights"]:
        assert best["text"][each["start"] : each["end"]] == each["text"]
    before = best["context"]["before"]
    assert before["location"]["row_end"] == location["row"] - 1
    assert before["section"] == ["Prices", "Table"]


def test_prose_has_its_lines_and_other_documents_have_nothing(client: TestClient) -> None:
    client.post(HERE, json=DOCUMENT)
    client.post(HERE, json={"id": "plain", "text": "Then they change again.", "parts": "three"})
    answer = client.post("/v1/search", json={"query": "Then they change", "collection": "docs"}).json()
    found = {each["text"]: each for each in answer["results"]}
    assert found[INTRO]["location"] == {"page": 3, "line": 1, "line_end": 2}
    assert found[INTRO]["section"] == ["Prices"]
    plain = found["Then they change again."]
    assert (plain["section"], plain["header"], plain["location"]) == ([], "", {})
    assert plain["metadata"] == {"parts": "three"}  # no list of objects: metadata, as ever


def test_a_document_comes_back_with_its_parts(client: TestClient) -> None:
    """All of them, or those of the requested range; sent again, it is unchanged."""
    client.post(HERE, json=DOCUMENT)
    read = client.get(f"{HERE}/prices").json()
    assert read["parts"] == [
        {"kind": "prose", "header": "", **PARTS[0]},
        PARTS[1],
    ]
    assert read["metadata"] == {"year": 2026}
    assert [part["start"] for part in client.get(f"{HERE}/prices?start={len(INTRO)}").json()["parts"]] == [len(INTRO)]
    assert client.get(f"{HERE}/prices?start=0&end=0").json()["parts"] == []
    again = {key: read[key] for key in ("id", "title", "text", "parts")} | {"year": 2026}
    assert client.post(HERE, json=again).json()["unchanged"] == 1
    moved = [PARTS[0] | {"location": {"page": 4}}, PARTS[1]]
    assert client.post(HERE, json=DOCUMENT | {"parts": moved}).json()["unchanged"] == 0


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([{"start": 0, "end": 4}], "the parts end at character 4"),
        ([{"start": 1, "end": 5}], "has to begin at 0"),
        ([{"start": 0}], "start and end must be whole numbers"),
        ([{"start": 0, "end": 5.0}], "start and end must be whole numbers"),
        ([{"start": 0, "end": True}], "start and end must be whole numbers"),
        ([{"start": 0, "end": 5, "page": 3}], "unknown field"),
        ([{"start": 0, "end": 5, "kind": "table"}], "kind must be prose or rows or code"),
        ([{"start": 0, "end": 5, "kind": ["rows"]}], "kind must be"),
        ([{"start": 0, "end": 5, "section": "A"}], "section must be a list of strings"),
        ([{"start": 0, "end": 5, "section": [1]}], "section must be a list of strings"),
        ([{"start": 0, "end": 5, "header": ["a"]}], "header must be a string"),
        ([{"start": 0, "end": 5, "location": [3]}], "location must be an object"),
        ([{"start": 0, "end": 5, "location": {"chapter": 3}}], "unknown field 'chapter'"),
        ([{"start": 0, "end": 5, "location": {"page": "3"}}], "page must be a whole number"),
        ([{"start": 0, "end": 5, "location": {"page": 0}}], "it counts from 1"),
        ([{"start": 0, "end": 5, "location": {"sheet": 3}}], "sheet must be a string"),
        ([{"start": 0, "end": 5, "section": ["\0"]}], "NUL"),
    ],
)
def test_parts_that_do_not_fit_are_refused_with_the_reason(client: TestClient, parts: object, reason: str) -> None:
    """And nothing is stored."""
    answer = client.post(HERE, json={"id": "a", "text": "abcde", "parts": parts})
    assert answer.status_code == 422
    assert reason in answer.json()["rejected"][0]["reason"]
    assert client.get(f"{HERE}/a").status_code == 404
