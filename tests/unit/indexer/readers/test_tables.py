"""Tables: rows become documents as JSON lines do."""

from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow.indexer.corpus import Record, Reject, check_entries
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.open_corpus import Reading, open_corpus
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.records import Document

CSV = 'id,title,text,year\n1,"标题, 一","两行\n正文 ""引号""",2020\n\n2,,second,2021\n'
DOCUMENTS = [
    Document(id="1", title="标题, 一", text='两行\n正文 "引号"', metadata={"year": 2020}),
    Document(id="2", text="second", metadata={"year": 2021}),
]


def documents(path: Path, fields: Fields | None = None) -> list[Document]:
    return [
        entry.document
        for entry in open_corpus(str(path), Reading(fields=fields)).entries()
        if isinstance(entry, Record)
    ]


def test_csv_and_tsv(tmp_path: Path):
    """Quoted commas, line ends and quotes; compressed or not; tabs where the name says so."""
    plain, zipped, tabbed = tmp_path / "a.csv", tmp_path / "a.csv.gz", tmp_path / "a.tsv"
    plain.write_text(CSV, encoding="utf-8")
    zipped.write_bytes(gzip.compress(CSV.encode()))
    tabbed.write_text("id\ttext\n1\ta, b\n", encoding="utf-8")
    assert documents(plain) == documents(zipped) == DOCUMENTS
    assert documents(tabbed) == [Document(id="1", text="a, b")]


def test_bad_rows_are_named_and_the_rest_goes_in(tmp_path: Path):
    """Too few columns, bad UTF-8, no text: each with the line it ends on."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,text\n1,good\n2\n3,b\xffd\n4,\n5,good\n")
    rejects = [entry for entry in check_entries(open_corpus(str(path)).entries()) if isinstance(entry, Reject)]
    assert [(reject.place.line, reject.reason) for reject in rejects] == [
        (3, "1 columns, but the header has 2"),
        (4, "not UTF-8: a byte that is not valid in UTF-8; specify the encoding with --encoding NAME"),
        (5, "no text"),
    ]


def test_an_unclosed_quote_is_an_error(tmp_path: Path):
    """Nobody can tell where the next row begins."""
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,"never closed\n2,x\n', encoding="utf-8")
    with pytest.raises(CorpusUnreadable, match="line 3"):
        documents(path)


def test_a_long_field_is_read(tmp_path: Path):
    """Texts may be longer than the csv module's own limit."""
    path = tmp_path / "a.csv"
    path.write_text(f"id,text\n1,{'x' * 200_000}\n", encoding="utf-8")
    assert len(documents(path)[0].text) == 200_000


def test_parquet(tmp_path: Path):
    """Typed columns: numbers stay numbers, dates become text, a null text is rejected by its row."""
    path = tmp_path / "a.parquet"
    columns = {
        "key": [1, 2],
        "text": ["正文", None],
        "day": [dt.date(2020, 1, 2)] * 2,
        "tags": [["a"], []],
        "score": [0.5, 1.0],
    }
    pq.write_table(pa.table(columns), path)
    first, second = open_corpus(str(path), Reading(fields=Fields(id="key"))).entries()
    assert isinstance(first, Record)
    assert first.document == Document(id="1", text="正文", metadata={"day": "2020-01-02", "tags": ["a"], "score": 0.5})
    assert isinstance(second, Reject)
    assert (second.place.line, second.id, second.position) == (2, "2", open_corpus(str(path)).size)


def test_no_parquet_is_an_error(tmp_path: Path):
    """A file that is none is refused with its name."""
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR?")
    with pytest.raises(CorpusUnreadable, match=r"a\.parquet"):
        documents(path)
