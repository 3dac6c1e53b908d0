"""Tables and JSON files among other files: records become documents, everything else one that shows all of it."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.indexer.corpus import Refused
from winnow.indexer.readers.data_files import columnar_file, json_file, table_file
from winnow.indexer.readers.data_files.shown_rows import shown
from winnow.indexer.readers.parser import Parsed, Parser, SourceFile, Unparsable
from winnow.retrieval.limits import DOCUMENT_CHARACTERS_MAX
from winnow.retrieval.records import Document, Location, PartKind

RECORDS = [{"id": 1, "text": "hello", "lang": "en"}, {"id": 2, "text": "你好", "lang": "zh"}]


def parsed(parse: Parser, folder: Path, name: str, content: bytes | str) -> list[Parsed]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(parse(SourceFile(path=path, name=f"sub/{name}")))


def only(found: list[Parsed]) -> Document:
    (document,) = found
    assert isinstance(document, Document)
    return document


def parquet(rows: list[dict[str, Any]]) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), written)
    return written.getvalue()


@pytest.mark.parametrize(
    ("parse", "name", "content"),
    [
        (table_file.parse, "a.csv", "id;text;lang\n1;hello;en\n2;你好;zh\n"),
        (table_file.parse, "a.tsv", "lang\tid\ttext\nen\t1\thello\nzh\t2\t你好\n"),
        (json_file.parse, "a.json", json.dumps(RECORDS)),
        (json_file.parse, "a.jsonl", "\n".join(map(json.dumps, RECORDS))),
        (columnar_file.parse, "a.parquet", parquet(RECORDS)),
    ],
)
def test_records_become_documents_below_the_name_of_their_file(
    tmp_path: Path, parse: Parser, name: str, content: bytes | str
) -> None:
    found = parsed(parse, tmp_path, name, content)
    assert found == [
        Document(id=f"sub/{name}#{each['id']}", text=str(each["text"]), metadata={"lang": each["lang"]})
        for each in RECORDS
    ]


def test_a_record_that_is_no_document_is_refused_with_its_line(tmp_path: Path) -> None:
    found = parsed(json_file.parse, tmp_path, "a.jsonl", '{"id": 1, "text": "a"}\n{"id": 2}\n{"id": 3, "text": "c"}\n')
    assert [each.id for each in found] == ["sub/a.jsonl#1", "sub/a.jsonl#line-2", "sub/a.jsonl#3"]
    assert isinstance(found[1], Refused)


def test_a_table_without_such_columns_is_one_document_of_rows(tmp_path: Path) -> None:
    """By the delimiter that fits, with the column names as header."""
    document = only(parsed(table_file.parse, tmp_path, "prices.csv", 'Article;Price\nLamp;10\n"two\nlines";"a;b"\n'))
    (part,) = document.parts
    assert document.text == "Article | Price\nLamp | 10\ntwo lines | a;b"
    assert (part.kind, part.header, part.location) == (PartKind.ROWS, "Article | Price", Location(row=1))
    encoded = "商品,数量\n苹果,12\n".encode("gb18030") * 20
    assert "苹果 | 12" in only(parsed(table_file.parse, tmp_path, "库存.csv", encoded)).text
    columns = only(
        parsed(columnar_file.parse, tmp_path, "t.parquet", parquet([{"k": 1, "v": None}, {"k": 2, "v": "y"}]))
    )
    assert columns.text == "k | v\n1 | \n2 | y"


def test_a_json_file_shows_each_value_by_its_path(tmp_path: Path) -> None:
    """Objects of an array that hold single values take a row each."""
    value = {
        "name": "svc", "ports": [80, 443], "limits": {"cpu": 2, "on": True, "none": None},
        "users": [{"n": "a", "age": 3}, {"n": "b", "tags": ["x"]}], "empty": {},
    }  # fmt: skip
    assert only(parsed(json_file.parse, tmp_path, "c.json", json.dumps(value))).text.split("\n") == [
        "name: svc", "ports: 80, 443", "limits.cpu: 2", "limits.on: true", "users[0]: n: a; age: 3", "users[1].n: b",
        "users[1].tags: x",
    ]  # fmt: skip
    lines = only(parsed(json_file.parse, tmp_path, "l.ndjson", '{"a": 1}\n\n{"a": 2}\n'))
    assert lines.text == "a: 1\na: 2"


@pytest.mark.parametrize(
    "content", [b"", b'{"a": [1,', b"[", b"nonsense", b'{"a":1}{', b"\xff\xfe\xfa", b"[" * 100_000]
)
def test_what_is_no_json_is_told_in_words(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Unparsable):
        parsed(json_file.parse, tmp_path, "bad.json", content)


def test_a_damaged_parquet_file_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(Unparsable, match="damaged"):
        parsed(columnar_file.parse, tmp_path, "bad.parquet", b"PAR1" + b"\0" * 100)


def test_a_long_table_is_divided_without_loss(tmp_path: Path) -> None:
    """Each document within the limit, each part with its header and the number of its first row."""
    rows = ["number | text", *(f"{number} | {'x' * 90}" for number in range(2, 100_000))]
    source = SourceFile(path=tmp_path, name="long.csv")
    documents = [each for each in shown(iter(rows), source, header=rows[0]) if isinstance(each, Document)]
    assert [each.id for each in documents] == [f"long.csv#{number}" for number in range(1, len(documents) + 1)]
    assert len(documents) > 2
    read: list[str] = []
    for document in documents:
        assert len(document.text) <= DOCUMENT_CHARACTERS_MAX
        for part in document.parts:
            lines = document.text[part.start : part.end].rstrip("\n").split("\n")
            assert lines[0] == rows[0]
            assert part.location.row is not None
            assert lines[1].startswith(f"{part.location.row + 1} |")
            read += lines[1:]
    assert read == rows[1:]


CELLS = st.text(alphabet='ab,;"\n\t 字', max_size=6)


@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=3), min_size=1, max_size=5))
def test_every_word_of_any_table_is_there(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    found = parsed(table_file.parse, tmp_path_factory.getbasetemp(), "any.csv", written.getvalue())
    text = "\n".join(each.text for each in found if isinstance(each, Document))
    words = {word for row in rows for cell in row for word in re.findall(r"\w+", cell)}
    assert words <= set(re.findall(r"\w+", text))
