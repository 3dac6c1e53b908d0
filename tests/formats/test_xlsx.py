"""The facts in an Excel workbook, and two thousand rows."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import openpyxl
import pytest

from tests.formats.facts import AUTHOR, COLUMNS, FACTS, MODIFIED, ROWS, TITLE, chapters, only_part_with
from winnow.indexer.readers.documents import sheets
from winnow.indexer.readers.documents.sheets import parse
from winnow.indexer.readers.parser import Parsed, SourceFile
from winnow.retrieval.records import Document, PartKind


def write(path: Path) -> None:
    """Write one sheet for each chapter, with a title above the table."""
    book = openpyxl.Workbook()
    book.properties.title, book.properties.creator = TITLE, AUTHOR
    book.remove(book.worksheets[0])
    for chapter, _ in chapters():
        sheet = book.create_sheet(chapter)
        sheet["B2"] = f"All facts of {chapter}"
        for row, values in enumerate((COLUMNS, *(row for row in ROWS if row[1] == chapter)), start=4):
            for column, value in enumerate(values, start=2):
                sheet.cell(row, column, value)
    book.save(path)


def parse_file(path: Path) -> list[Parsed]:
    return list(parse(SourceFile(path=path, name=path.name)))


def test_each_fact_is_on_its_row_of_its_sheet(tmp_path: Path):
    write(tmp_path / "facts.xlsx")
    parsed = parse_file(tmp_path / "facts.xlsx")
    for fact, row in zip(FACTS, ROWS, strict=True):
        document, part = only_part_with(fact.text, parsed)
        assert (part.kind, part.section, part.header) == (PartKind.ROWS, (fact.section[0],), " | ".join(COLUMNS))
        assert (part.location.sheet, part.location.row) == (fact.section[0], 4)
        place = document.text[part.start : part.end].split("\n").index(" | ".join(row))
        assert part.location.row + place == 5 + [each for each in ROWS if each[1] == fact.section[0]].index(row)
    (document,) = parsed
    assert isinstance(document, Document)
    assert (document.title, document.metadata["author"], len(document.parts)) == (TITLE, AUTHOR, 8)


def thousands(path: Path) -> list[str]:
    """Write two thousand rows of all kinds of values; return their texts."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Data")
    sheet.append(["id", "name", "amount", "day", "paid"])
    texts = []
    for number in range(2000):
        day = datetime.fromisoformat(MODIFIED).replace(tzinfo=None, day=1 + number % 28)
        sheet.append([10**14 + number, f"row\n{number} 行", number / 8, day.date(), number % 2 == 0])
        amount = f"{number // 8}" if number % 8 == 0 else f"{number / 8}"
        paid = "TRUE" if number % 2 == 0 else "FALSE"
        texts.append(f"{10**14 + number} | row {number} 行 | {amount} | {day.date().isoformat()} | {paid}")
    book.save(path)
    return texts


def test_two_thousand_rows_have_equal_texts(tmp_path: Path):
    texts = thousands(tmp_path / "data.xlsx")
    (document,) = parse_file(tmp_path / "data.xlsx")
    assert isinstance(document, Document)
    assert document.text.split("\n") == ["id | name | amount | day | paid", *texts]
    assert [(part.location.sheet, part.location.row) for part in document.parts] == [("Data", 1)]


def test_a_workbook_with_too_much_text_is_several_documents_that_repeat_the_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    texts = thousands(tmp_path / "data.xlsx")
    monkeypatch.setattr(sheets, "DOCUMENT_CHARACTERS_MAX", 40_000)
    monkeypatch.setattr(sheets, "_PIECE_CHARACTERS_MAX", 15_000)
    documents = [each for each in parse_file(tmp_path / "data.xlsx") if isinstance(each, Document)]
    assert [each.id for each in documents] == ["data.xlsx#Data", *(f"data.xlsx#Data/{number}" for number in (2, 3, 4))]
    found = []
    for document in documents:
        assert len(document.text) <= 40_000
        for part in document.parts:
            assert part.location.row is not None
            header, *lines = document.text[part.start : part.end].rstrip("\n").split("\n")
            assert header == part.header == "id | name | amount | day | paid"
            found += [(part.location.row + place, line) for place, line in enumerate(lines, start=1)]
    assert found == list(enumerate(texts, start=2))
