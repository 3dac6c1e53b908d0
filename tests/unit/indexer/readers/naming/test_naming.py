"""A corpus keeps the names that its first records decide, and makes ids only when asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from winnow.indexer.corpus import Record, Reject, check_entries
from winnow.indexer.id_source import IdSource
from winnow.indexer.readers.fields import Fields, MetadataChoice
from winnow.indexer.readers.naming.naming import SAMPLE_RECORDS
from winnow.indexer.readers.open_corpus import Reading, open_corpus
from winnow.retrieval.records import Document


def read(path: Path, records: list[Any], fields: Fields | None = None) -> tuple[list[Document], list[str], str]:
    """Documents, reasons of rejects, and the last note."""
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    corpus = open_corpus(str(path), Reading(fields=fields))
    entries = list(check_entries(corpus.entries()))
    documents = [entry.document for entry in entries if isinstance(entry, Record)]
    return documents, [entry.reason for entry in entries if isinstance(entry, Reject)], corpus.account().notes[-1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.jsonl"


def test_the_names_are_decided_once(path: Path) -> None:
    """A later record with a better name does not change them; the note tells what was taken and what was not."""
    records = [{"docid": number, "contents": f"t{number}"} for number in range(SAMPLE_RECORDS)]
    documents, reasons, note = read(path, [*records, {"id": "late", "text": "x"}])
    assert [document.id for document in documents] == [str(number) for number in range(SAMPLE_RECORDS)]
    assert reasons == ["no id (field 'docid')"]
    assert note == "a.jsonl: id = docid, text = contents."
    _, _, note = read(path, [{"_id": "a", "id": "b", "text": "t", "body": "u", "Title": "v"}])
    assert note == "a.jsonl: id = _id, text = text, title = Title. Also there, and kept as metadata: id, body."


def test_records_that_cannot_be_read_decide_nothing(path: Path) -> None:
    """However many of them come first."""
    documents, reasons, _ = read(path, [[]] * (2 * SAMPLE_RECORDS) + [{"pid": 7, "passage": "t"}])
    assert documents == [Document(id="7", text="t")]
    assert set(reasons) == {"not a JSON object"}


def test_an_address_is_an_id_if_nothing_else_is(path: Path) -> None:
    """And still the address."""
    documents, _, note = read(path, [{"url": "https://a.example/1", "text": "t", "lang": "en"}])
    assert documents == [
        Document(id="https://a.example/1", text="t", url="https://a.example/1", metadata={"lang": "en"})
    ]
    assert note == "a.jsonl: id = url, text = text, url = url."


def test_what_was_looked_for_is_said(path: Path) -> None:
    """Where no name is known."""
    _, reasons, _ = read(path, [{"title": "t"}, {"id": 1, "note": "t"}])
    assert reasons == [
        "no id (field 'id')",
        "no text (fields 'text', 'contents', 'content', 'body', 'passage')",
    ]


@pytest.mark.parametrize("source", IdSource)
def test_a_missing_id_is_made_if_asked(path: Path, source: IdSource) -> None:
    """By line or by content; a record's own id stays, and equal contents are one document."""
    records = [{"text": "a"}, {"id": "own", "text": "b"}, {"id": None, "text": "c"}, {"text": "a", "year": 1}]
    assert len(read(path, records)[0]) == 1
    documents, reasons, _ = read(path, records, Fields(id_from=source))
    if source is IdSource.LINE:
        assert [document.id for document in documents] == ["a.jsonl:1", "own", "a.jsonl:3", "a.jsonl:4"]
    else:
        assert [len(document.id) for document in documents] == [32, 3, 32]
        assert reasons == ["the id is already used by a.jsonl:1"]
        moved, _, _ = read(path, records[::-1], Fields(id_from=source))
        assert {document.id for document in moved} == {document.id for document in documents}


def test_several_fields_make_one_text(path: Path) -> None:
    """Joined by a blank line; a record that lacks one still has a text; metadata is kept, dropped and renamed."""
    fields = Fields(text=("abstract", "full"), metadata=MetadataChoice(drop=frozenset({"raw"}), rename={"yr": "year"}))
    records = [{"id": 1, "abstract": "a", "full": "b", "yr": 2020, "raw": "x"}, {"id": 2, "full": "b"}, {"id": 3}]
    documents, reasons, note = read(path, records, fields)
    assert documents == [Document(id="1", text="a\n\nb", metadata={"year": 2020}), Document(id="2", text="b")]
    assert reasons == ["no text (fields 'abstract', 'full')"]
    assert note == "a.jsonl: id = id, text = abstract + full."


def test_a_table_decides_by_its_columns(tmp_path: Path) -> None:
    """With the delimiter that its names show; ids are made here, too."""
    table = tmp_path / "a.csv"
    table.write_text("PID;Body;year\n1;a, b;2020\n", encoding="utf-8")
    (entry,) = open_corpus(str(table)).entries()
    assert isinstance(entry, Record)
    assert entry.document == Document(id="1", text="a, b", metadata={"year": 2020})
    table.write_text("body,year\na,2020\n", encoding="utf-8")
    (entry,) = open_corpus(str(table), Reading(fields=Fields(id_from=IdSource.LINE))).entries()
    assert isinstance(entry, Record)
    assert entry.document == Document(id="a.csv:2", text="a", metadata={"year": 2020})
