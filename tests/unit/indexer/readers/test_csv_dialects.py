"""CSV as people have it: other separators, old line ends, repeated names, and types where every value agrees."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.indexer.corpus import Record, Reject, check_entries
from winnow.indexer.decoding.column_types import ColumnType, RequestedTypes, convert_cell, infer_types, parse_types
from winnow.indexer.readers.fields import Fields
from winnow.indexer.readers.open_corpus import Reading, open_corpus
from winnow.indexer.readers.tables import CsvCorpus
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest
from winnow.retrieval.records import Document, JsonValue

CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=6)


def corpus(folder: Path, content: str | bytes, name: str = "a.csv", reading: Reading | None = None) -> CsvCorpus:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    opened = open_corpus(str(path), reading)
    assert isinstance(opened, CsvCorpus)
    return opened


def documents(read: CsvCorpus) -> list[Document]:
    return [entry.document for entry in check_entries(read.entries()) if isinstance(entry, Record)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["a.csv", "A.CSV", "a.TSV"])
def test_every_separator_and_line_end(tmp_path: Path, delimiter: str, line_end: str, name: str):
    """Found by the columns of id and text, whatever the name says; the account says which."""
    rows = [["id", "text", "year"], ["1", "one, two; three", "2020"], ["2", "four | five", "2021"]]
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, lineterminator=line_end).writerows(rows)
    read = corpus(tmp_path, written.getvalue().encode(), name)
    assert documents(read) == [
        Document(id="1", text="one, two; three", metadata={"year": 2020}),
        Document(id="2", text="four | five", metadata={"year": 2021}),
    ]
    said = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}[delimiter]
    assert read.account().notes == (
        f"{name}: separated by {said}; number: year; all other columns are text (change that with --types).",
        f"{name}: id = id, text = text.",
    )


def test_the_line_that_excel_writes(tmp_path: Path):
    """`sep=` names the delimiter, and is no header."""
    assert documents(corpus(tmp_path, "sep=#\r\nid#text\r\n1#a;b\r\n")) == [Document(id="1", text="a;b")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,text,year,year\n1,t,1,2\n", "several columns are named 'year'; rename all but one"),
        (
            "key;body\n1;t\n",
            "'pid', 'url'. The columns are 'key', 'body'; choose one with --id-field NAME",
        ),
        ("id,note\n1,t\n", "'body', 'passage'. The columns are 'id', 'note'; choose one with --text-field NAME"),
        ("", "is empty; its first line must name the columns"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_the_cause(tmp_path: Path, content: str, said: str):
    """Once, with the columns found, and not row by row."""
    with pytest.raises(CorpusUnreadable) as refused:
        documents(corpus(tmp_path, content))
    assert said in refused.value.message


def test_columns_without_a_name_are_left_out_and_counted(tmp_path: Path):
    """What a trailing comma or an index without a name makes."""
    read = corpus(tmp_path, ",id, text ,\n0,1,t,\n")
    assert documents(read) == [Document(id="1", text="t")]
    assert read.account().notes[0] == "a.csv: separated by commas; 2 unnamed columns were ignored."


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-7", ""], ColumnType.NUMBER),
        (["9223372036854775807"], ColumnType.NUMBER),
        (["9223372036854775808"], ColumnType.TEXT),
        (["0.5", "1"], ColumnType.NUMBER),
        (["19.90", "5.00"], ColumnType.NUMBER),
        (["1.9", "1.10"], ColumnType.TEXT),
        (["0.1234567890123456"], ColumnType.TEXT),
        (["007"], ColumnType.TEXT),
        (["+1"], ColumnType.TEXT),
        (["12E4"], ColumnType.TEXT),
        (["１"], ColumnType.TEXT),
        (["NaN"], ColumnType.TEXT),
        (["1", "unknown"], ColumnType.TEXT),
        (["true", "FALSE", ""], ColumnType.BOOLEAN),
        (["yes", "no"], ColumnType.TEXT),
        (["true", "1"], ColumnType.TEXT),
        (["", " "], ColumnType.TEXT),
        ([], ColumnType.TEXT),
    ],
)
def test_the_type_of_a_column(cells: list[str], kind: ColumnType):
    """Typed only where nothing of any value is lost."""
    assert infer_types(["x"], [[cell] for cell in cells]) == {"x": kind}


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.decimals(-(10**6), 10**6, places=3), min_size=1))
def test_what_is_typed_is_written_back_alike(numbers: list[object]):
    """The number of every cell of a number column equals the cell."""
    cells = [f"{number}" for number in numbers]
    if infer_types(["x"], [[cell] for cell in cells])["x"] is ColumnType.NUMBER:
        for cell in cells:
            value = convert_cell(cell, ColumnType.NUMBER)
            assert isinstance(value, int | float)
            assert f"{value:.3f}" == cell if "." in cell else str(value) == cell


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_any_cells_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]):
    """Whatever a cell holds: quotes, separators, line ends."""
    written = io.StringIO()
    table = [("id", "text", "title", "more"), *((str(number), "t", *row) for number, row in enumerate(rows))]
    csv.writer(written).writerows(table)
    types = RequestedTypes(of_others=ColumnType.TEXT)
    read = corpus(tmp_path_factory.mktemp("cells"), written.getvalue(), reading=Reading(types=types))
    expected = [
        Document(id=str(number), text="t", title=one, metadata={"more": other})
        for number, (one, other) in enumerate(rows)
    ]
    assert documents(read) == expected


def test_types_can_be_asked_for(tmp_path: Path):
    """For one column or for all; a value that does not fit rejects its row by the column's name."""
    content = "id,text,year,zip,open\n1,t,2020,010,true\n2,t,soon,20,\n"

    def read(*spellings: str) -> list[object]:
        entries = check_entries(corpus(tmp_path, content, reading=Reading(types=parse_types(spellings))).entries())
        return [dict(each.document.metadata) if isinstance(each, Record) else each.reason for each in entries]

    found: list[dict[str, JsonValue]] = [
        {"year": "2020", "zip": "010", "open": True}, {"year": "soon", "zip": "20", "open": None}
    ]  # fmt: skip
    assert read() == found
    assert read("text")[0] == {"year": "2020", "zip": "010", "open": "true"}
    assert read("zip=number", "year=NUMBER") == [
        {"year": 2020, "zip": 10, "open": True}, "column 'year': 'soon' is not a number"
    ]  # fmt: skip
    assert read("open=text")[0] == {"year": "2020", "zip": "010", "open": "true"}


def test_a_type_that_cannot_be_is_refused(tmp_path: Path):
    """An unknown type, and a column that is not there."""
    with pytest.raises(InvalidRequest, match="text, number, boolean"):
        parse_types(["year=date"])
    with pytest.raises(CorpusUnreadable, match="no column 'when' for --types"):
        documents(corpus(tmp_path, "id,text\n1,t\n", reading=Reading(types=parse_types(["when=number"]))))


def test_rows_before_a_torn_one_are_still_read(tmp_path: Path):
    """The first reading, for the types, does not end the second one early."""
    entries = corpus(tmp_path, 'id,text,n\n1,t,1\n2,"never closed\n', reading=Reading(fields=Fields())).entries()
    first = next(entries)
    assert isinstance(first, Record)
    assert not isinstance(first, Reject)
    with pytest.raises(CorpusUnreadable, match="line 3"):
        next(entries)
