"""Which rows of a workbook are a table, what its header is, and what is reported."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import openpyxl
import pytest

from tests.formats.packages import workbook_members, write_package
from winnow.indexer.corpus import Refused
from winnow.indexer.readers.documents import workbook
from winnow.indexer.readers.documents.sheets import parse
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.retrieval.records import Document, PartKind

Value = str | int | float | None


def parse_file(path: Path) -> list[Parsed]:
    return list(parse(SourceFile(path=path, name="a.xlsx")))


def parts_of(path: Path) -> list[tuple[PartKind, int | None, str, str]]:
    """Return kind, row, header and text of each part."""
    (document,) = parse_file(path)
    assert isinstance(document, Document)
    return [
        (part.kind, part.location.row, part.header, document.text[part.start : part.end].rstrip("\n"))
        for part in document.parts
    ]


def write(path: Path, rows: dict[int, list[Value]]) -> Path:
    book = openpyxl.Workbook()
    for row, values in rows.items():
        for column, value in enumerate(values, start=1):
            book.worksheets[0].cell(row, column, value)
    book.save(path / "a.xlsx")
    return path / "a.xlsx"


def write_xml(path: Path, *sheets: str, strings: str = "", names: tuple[str, ...] = ("S",)) -> Path:
    write_package(path / "a.xlsx", workbook_members(*sheets, strings=strings, names=names))
    return path / "a.xlsx"


def test_lines_above_a_table_are_prose(tmp_path: Path):
    rows: dict[int, list[Value]] = {1: ["Report"], 2: ["of March"], 3: ["name", "amount"], 4: ["a", 1], 5: ["b", 2]}
    assert parts_of(write(tmp_path, rows)) == [
        (PartKind.PROSE, 1, "", "Report\nof March"),
        (PartKind.ROWS, 3, "name | amount", "name | amount\na | 1\nb | 2"),
    ]


def test_empty_rows_and_columns_are_trimmed_and_rows_keep_their_numbers(tmp_path: Path):
    rows: dict[int, list[Value]] = {
        5: [None, None, "name", None, "amount"],
        6: [None, None, "a", None, 1],
        9: [None, None, "b", None, 2],
        30: [None, None, "c", None, 3],
    }
    assert parts_of(write(tmp_path, rows)) == [
        (PartKind.ROWS, 5, "name | amount", "name | amount\na | 1\n\n\nb | 2"),
        (PartKind.ROWS, 29, "name | amount", "name | amount\nc | 3"),
    ]


def test_a_second_table_has_a_header_of_its_own(tmp_path: Path):
    rows: dict[int, list[Value]] = {
        1: ["name", "amount"],
        2: ["a", 1],
        4: ["day", "place"],
        5: [3, "x"],
        7: ["b", 2],
        9: ["one", "two", "three"],
        10: ["u", "v", "w"],
    }
    assert parts_of(write(tmp_path, rows)) == [
        (PartKind.ROWS, 1, "name | amount", "name | amount\na | 1"),
        (PartKind.ROWS, 4, "day | place", "day | place\n3 | x\n\nb | 2"),
        (PartKind.ROWS, 9, "one | two | three", "one | two | three\nu | v | w"),
    ]


def test_text_rows_after_a_gap_go_on_below_the_header(tmp_path: Path):
    rows: dict[int, list[Value]] = {1: ["name", "place"], 2: ["a", "x"], 4: ["b", "y"], 5: ["c", "z"]}
    assert parts_of(write(tmp_path, rows)) == [
        (PartKind.ROWS, 1, "name | place", "name | place\na | x\n\nb | y\nc | z")
    ]


def test_rows_without_names_have_no_header(tmp_path: Path):
    assert parts_of(write(tmp_path, {1: [1, 2], 2: [3, 4]})) == [(PartKind.ROWS, 1, "", "1 | 2\n3 | 4")]
    assert parts_of(write(tmp_path, {1: ["one column"], 2: ["of text"]})) == [
        (PartKind.PROSE, 1, "", "one column\nof text")
    ]


def test_a_column_that_appears_late_is_not_lost(tmp_path: Path):
    rows: dict[int, list[Value]] = {1: ["a", "b"], **{row: ["x", row] for row in range(2, 40)}, 40: ["x", 40, "late"]}
    assert parts_of(write(tmp_path, rows))[0][3].endswith("x | 39\nx | 40 | late")


def test_hidden_sheets_are_read_and_claimed_dimensions_are_not_believed(tmp_path: Path):
    sheet = '<dimension ref="A1:XFD1048576"/><sheetData><row r="3"><c r="B3"><v>7</v></c></row></sheetData>'
    (document,) = parse_file(write_xml(tmp_path, sheet, sheet, names=("One", "Two")))
    assert isinstance(document, Document)
    assert [(part.location.sheet, part.location.row) for part in document.parts] == [("One", 3), ("Two", 3)]
    assert document.text == "7\n\n7"


def test_cells_of_all_kinds(tmp_path: Path):
    cells = (
        '<c t="s"><v>0</v></c><c t="inlineStr"><is><r><t>in</t></r><r><t>line</t></r></is></c>'
        '<c t="str"><f>A1</f><v>from a formula</v></c><c t="b"><v>1</v></c><c t="e"><v>#N/A</v></c>'
        '<c t="d"><v>2026-03-14</v></c><c t="s"><v>99</v></c><c r="XFD1"><v>5</v></c><c><v>6</v></c>'
    )
    strings = "<si><t>line_x000D_\nend</t><rPh><t>lost</t></rPh></si>"
    path = write_xml(tmp_path, f"<sheetData><row>{cells}</row></sheetData>", strings=strings)
    assert parts_of(path)[0][3] == "line end | inline | from a formula | TRUE | #N/A | 2026-03-14 | 5 | 6"


def test_formulas_without_a_value_are_reported(tmp_path: Path):
    parsed = parse_file(write(tmp_path, {1: ["name", "sum"], 2: ["a", "=1+1"], 3: ["b", "=2+2"]}))
    assert isinstance(parsed[0], Document)
    assert parsed[1:] == [
        Refused(
            reason="2 formulas have no stored value. Open the workbook in Excel or LibreOffice and save it",
            id="a.xlsx#Sheet!formulas",
        )
    ]


def test_a_row_that_is_too_long_is_reported_and_the_others_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workbook, "ROW_CHARACTERS_MAX", 1000)
    parsed = parse_file(write(tmp_path, {1: ["a", "b"], 2: ["x" * 600, "y" * 600], 3: ["c", "d"]}))
    assert isinstance(parsed[0], Document)
    assert parsed[0].text == "a | b\n\nc | d"
    assert parsed[1:] == [Refused(reason="row 2 has more than 1,000,000 characters", id="a.xlsx#Sheet!2")]


def test_too_many_texts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workbook, "STRINGS_MAX", 2)
    with pytest.raises(Unparsable, match="cells share more than 2 texts"):
        parse_file(write_xml(tmp_path, "<sheetData/>", strings="<si><t>a</t></si>" * 3))


@pytest.mark.parametrize(
    ("sheet", "reason"),
    [
        ("<sheetData><row>", "xl/sheet1.xml is not well-formed XML"),
        ("<sheetData><row><c><v>1</v></c></row>" + "<c>" * 300, "xl/sheet1.xml is not well-formed XML"),
    ],
)
def test_a_damaged_sheet_is_refused(tmp_path: Path, sheet: str, reason: str):
    with pytest.raises(Unparsable, match=reason):
        parse_file(write_xml(tmp_path, sheet))


def test_a_sheet_with_a_document_type_is_refused(tmp_path: Path):
    members = workbook_members("")
    members["xl/sheet1.xml"] = '<!DOCTYPE x [<!ENTITY e "ha">]><worksheet><sheetData><row/></sheetData></worksheet>'
    write_package(tmp_path / "a.xlsx", members)
    with pytest.raises(Unparsable, match="declares a document type"):
        parse_file(tmp_path / "a.xlsx")


def test_a_binary_workbook_names_the_format_to_save(tmp_path: Path):
    members = {name.replace("workbook.xml", "workbook.bin"): text for name, text in workbook_members("").items()}
    members["_rels/.rels"] = str(members["_rels/.rels"]).replace("workbook.xml", "workbook.bin")
    write_package(tmp_path / "a.xlsb", members)
    with pytest.raises(Unparsable, match=r"is in a binary format\. Save the file as an Excel workbook \(XLSX\)"):
        parse_file(tmp_path / "a.xlsb")


PEAK = """
import resource, sys
from pathlib import Path
from winnow.indexer.readers.documents.sheets import parse
from winnow.indexer.readers.parser import SourceFile
small, large = (SourceFile(path=Path(name), name="a.xlsx") for name in sys.argv[1:])
for source in (small, large):
    (document,) = parse(source)
    print(document.text, document.parts[0].location.row, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_empty_rows_and_cells(tmp_path: Path):
    for name, count in (("small", 10), ("large", 100_000)):
        members = workbook_members("")
        row = '<row><c s="1"/><c s="1"/></row>'
        last = '<row r="200000"><c><v>7</v></c></row>'
        cells = '<c s="1"/>' * count
        content = f"<worksheet><sheetData><row>{cells}</row>{row * count}{last}</sheetData></worksheet>"
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_STORED) as archive:
            for member, text in {**members, "xl/sheet1.xml": content}.items():
                archive.writestr(member, text)
    command = [sys.executable, "-c", PEAK, str(tmp_path / "small"), str(tmp_path / "large")]
    small, large = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert small.split()[:2] == large.split()[:2] == ["7", "200000"]
    assert int(large.split()[2]) - int(small.split()[2]) < 8_000  # KiB; the tree of the large one takes 60 MB
