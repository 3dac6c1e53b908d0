"""The facts as records at a path in JSON and XML files."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.facts import COLUMNS, FACTS, ROWS
from winnow.indexer.corpus import Record, Reject
from winnow.indexer.readers.by_path.records_path import json_steps, xml_steps
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.open_corpus import Reading, open_corpus
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest
from winnow.retrieval.records import Document

RECORDS = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]


def read(path: Path, at: str, *, encoding: str | None = None, **fields: Any) -> list[Document | Reject]:
    reading = Reading(records_path=at, fields=Fields(**fields), encoding=encoding)
    entries = open_corpus(str(path), reading).entries()
    return [entry.document if isinstance(entry, Record) else entry for entry in entries]


def expected() -> list[tuple[str, str, str]]:
    return [(fact.id, fact.text, fact.section[0]) for fact in FACTS]


def found(documents: list[Document | Reject]) -> list[tuple[str, str, Any]]:
    return [(each.id, each.text, each.metadata["chapter"]) for each in documents if isinstance(each, Document)]


def xml_of(records: list[dict[str, str]]) -> ET.Element:
    feed = ET.Element("feed")
    for place, record in enumerate(records):
        item = ET.SubElement(ET.SubElement(feed, "entries") if place == 0 else feed[0], "entry", id=record["id"])
        for name in COLUMNS[1:]:
            ET.SubElement(item, name).text = record[name]
    return feed


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda records: {"meta": {"n": 1}, "data": {"items": records}, "z": [1]}, "data.items[*]"),
        (lambda records: {"data": {"items": records}}, "$.data.items"),
        (lambda records: records, "[*]"),
        (lambda records: [{"part": records[:7]}, {"other": 1}, {"part": records[7:]}], "[*].part[*]"),
        (lambda records: {"by": {record["id"]: record for record in records}}, "by.*"),
        (lambda records: {"a.b": records}, '"a.b"'),
    ],
)
def test_each_fact_is_a_document_of_a_json_file(tmp_path: Path, wrap: Any, path: str, indent: int | None):
    file = tmp_path / "export.json"
    file.write_text(json.dumps(wrap(RECORDS), indent=indent, ensure_ascii=indent is None), encoding="utf-8")
    assert found(read(file, path)) == expected()


@pytest.mark.parametrize("path", ["entries/entry", "entry", "/feed/entries/entry"])
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
def test_each_fact_is_a_document_of_an_xml_file(tmp_path: Path, path: str, encoding: str):
    file = tmp_path / "export.xml"
    file.write_bytes(ET.tostring(xml_of(RECORDS), encoding=encoding, xml_declaration=True))
    assert found(read(file, path)) == expected()


def test_compressed_files_are_read(tmp_path: Path):
    (tmp_path / "a.xml.gz").write_bytes(gzip.compress(ET.tostring(xml_of(RECORDS), encoding="utf-8")))
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps({"d": RECORDS}).encode()))
    assert found(read(tmp_path / "a.xml.gz", "entry")) == found(read(tmp_path / "a.json.gz", "d")) == expected()


def test_nested_fields_are_named_with_dots(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"d": [{"id": "1", "body": {"main": {"en": "the text"}}, "by": {"name": "x"}}]}')
    (tmp_path / "a.xml").write_text("<d><i id='1'><body><main><en>the text</en></main></body><by name='x'/></i></d>")
    for name, path in (("a.json", "d"), ("a.xml", "i")):
        (document,) = read(tmp_path / name, path, text="body.main.en", title="by.name")
        assert isinstance(document, Document)
        assert (document.text, document.title) == ("the text", "x")


def test_xml_elements_become_fields(tmp_path: Path):
    (tmp_path / "a.xml").write_text(
        '<feed xmlns:m="urn:m"><item id="1" m:rank="2">Some <b>bold</b> words'
        '<tag>a</tag><tag>b</tag><price unit="EUR">12</price></item></feed>'
    )
    (document,) = read(tmp_path / "a.xml", "item", url="nothing")
    assert isinstance(document, Document)
    assert document.text == "Some bold wordsab12"
    assert document.metadata == {"rank": "2", "b": "bold", "tag": ["a", "b"], "price": {"unit": "EUR", "text": "12"}}


def test_a_record_without_id_is_rejected_with_its_line(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"d": [\n {"id": "1", "text": "a"},\n {"text": "b"},\n 7]}')
    (tmp_path / "a.xml").write_text("<d>\n<i id='1'><text>a</text></i>\n<i><text>b</text></i></d>")
    for name, path, lines in (("a.json", "d", [3, 4]), ("a.xml", "i", [3])):
        rejects = [entry for entry in read(tmp_path / name, path) if isinstance(entry, Reject)]
        assert [reject.place.line for reject in rejects] == lines
        assert "no id" in rejects[0].reason


@pytest.mark.parametrize(
    ("name", "content", "path", "reason"),
    [
        ("a.json", '{"a": 1, "b": []}', "c.d", "no record at --records-path 'c.d'. The fields at the top are 'a', 'b'"),
        ("a.json", '{"a": [{"id": "1", "text": "x"}', "a", "ends in the middle"),
        ("a.json", '{"a" 1}', "a", "line 1: a field has no name"),
        ("a.json", '{"a": {}} x', "a", "unexpected text"),
        ("a.xml", "<a><b/></a>", "c", "no element at --records-path 'c'. The file begins with 'a', 'a/b'"),
        ("a.xml", "<a><b></a>", "b", "not well-formed"),
    ],
)
def test_what_cannot_be_read_says_what_is_there(tmp_path: Path, name: str, content: str, path: str, reason: str):
    (tmp_path / name).write_text(content)
    with pytest.raises(CorpusUnreadable, match=reason.replace("[", r"\[")):
        read(tmp_path / name, path)


def test_no_entity_of_xml_is_expanded(tmp_path: Path):
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    (tmp_path / "a.xml").write_text(
        f'<!DOCTYPE d [<!ENTITY x SYSTEM "{secret}">]><d><i id="1"><text>a &x; b</text></i></d>'
    )
    (document,) = read(tmp_path / "a.xml", "i")
    assert isinstance(document, Document)
    assert "SECRET" not in document.text


@pytest.mark.parametrize("path", ["a..b", "a[0]", "a b", "a[", '"a"b', ".".join("a" * 17)])
def test_json_paths_that_cannot_be_read(path: str):
    with pytest.raises(InvalidRequest, match="--records-path"):
        json_steps(path)


@pytest.mark.parametrize("path", ["", "a//b", "a/@b", "m:a", "a[1]", "a b"])
def test_xml_paths_that_cannot_be_read(path: str):
    with pytest.raises(InvalidRequest, match="--records-path"):
        xml_steps(path)


def test_a_path_needs_a_json_or_xml_file(tmp_path: Path):
    (tmp_path / "a.csv").write_text("id,text\n1,x\n")
    for source in (tmp_path / "a.csv", tmp_path):
        with pytest.raises(InvalidRequest, match=r"--records-path applies to a \.json or \.xml file"):
            read(source, "a")


@pytest.mark.parametrize("name", ["a.json", "a.xml"])
def test_a_large_file_takes_little_memory(tmp_path: Path, name: str):
    """3 MB of records, and as many values beside them that are passed over."""
    record = {"id": "x", "text": "word " * 200}
    with (tmp_path / name).open("w") as stream:
        if name == "a.json":
            stream.write('{"skip": [' + ",".join(["[1, 2]"] * 50_000) + '], "d": [')
            stream.writelines(
                f"{',' if place else ''}{json.dumps(record | {'id': str(place)})}" for place in range(3_000)
            )
            stream.write("]}")
        else:
            stream.write("<d>" + "<skip>1</skip>" * 20_000)
            stream.writelines(f"<i id='{place}'><text>{record['text']}</text></i>" for place in range(3_000))
            stream.write("</d>")
    corpus = open_corpus(str(tmp_path / name), Reading(records_path="d" if name == "a.json" else "i"))
    tracemalloc.start()
    assert sum(isinstance(entry, Record) for entry in corpus.entries()) == 3_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_500_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", 'c"\\', "水"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(value=JSON, indent=st.sampled_from([None, 1]))
def test_the_scanner_finds_what_a_parser_finds(
    tmp_path_factory: pytest.TempPathFactory, value: Any, indent: int | None
):
    path = tmp_path_factory.getbasetemp() / "scan.json"
    path.write_text(json.dumps({"x": [value], "d": {"a": value, "e": 1}, "y": value}, indent=indent))
    wanted = value if isinstance(value, list) else [value]
    if not wanted:
        with pytest.raises(CorpusUnreadable, match="no record"):
            read(path, "d.a")
        return
    entries = read(path, "d.a")
    assert len(entries) == len(wanted)
    assert all(isinstance(entry, Reject) for entry in entries)
