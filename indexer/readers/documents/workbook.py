"""Streams the rows of a workbook (XLSX, XLSM): cached values, never formulas; macros are not opened.

A sheet's claimed dimensions are not used. Only one row of a sheet, and the workbook's table of texts, are in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from lxml import etree

from winnow.indexer.readers.documents.cell_values import (
    GENERAL,
    NumberFormat,
    built_in_format,
    number_text,
    read_format,
)
from winnow.indexer.readers.documents.package import Package, child, descendants, local_name, relation
from winnow.indexer.readers.parser import Unparsable

WHAT: Final = "an Excel workbook (XLSX)"
NAME_CHARACTERS_MAX: Final = 100  # characters of a sheet's name; Excel allows 31
ROW_CHARACTERS_MAX: Final = 1_000_000  # characters of one row
STRINGS_MAX: Final = 2_000_000  # texts that a workbook's cells share
STRINGS_CHARACTERS_MAX: Final = 50_000_000  # characters of these texts
_ESCAPED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
_COLUMN: Final = re.compile(r"([A-Za-z]{1,3})\d*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    name: str
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The cells of a row that have text."""

    number: int
    columns: tuple[int, ...]  # from 1, ascending
    texts: tuple[str, ...]
    values: frozenset[int]  # columns of numbers, dates and booleans
    is_too_long: bool = False


@dataclass(slots=True, kw_only=True)
class Workbook:
    package: Package
    sheets: tuple[Sheet, ...]
    strings: list[str]
    formats: list[NumberFormat]  # by the number of a cell's style
    is_1904: bool
    without_value: dict[str, int] = field(default_factory=dict)  # formulas that were never calculated, by sheet

    def rows(self, sheet: Sheet) -> Iterator[Row]:
        """Yield the rows that have text, in the order of the file."""
        self.without_value[sheet.name] = 0
        number = column = characters = 0
        cells: dict[int, tuple[str, bool]] = {}
        for element in self.package.elements(sheet.member, ("sheetData", "row", "c")):
            name = local_name(element)
            if name == "c":
                column = _column_of(element.get("r") or "") or column + 1
                text, is_value = self._cell(element, sheet)
                characters += len(text)
                if text and characters <= ROW_CHARACTERS_MAX:
                    cells[column] = (text, is_value)
            elif name == "row":
                given = element.get("r") or ""
                number = int(given) if given.isdecimal() and len(given) < 9 else number + 1
                if cells:
                    yield _row(number, cells, is_too_long=characters > ROW_CHARACTERS_MAX)
                column = characters = 0
                cells = {}
            else:
                return

    def _cell(self, cell: etree._Element, sheet: Sheet) -> tuple[str, bool]:
        """Return a cell's text on one line, and whether it is a value rather than text."""
        kind = cell.get("t") or "n"
        if kind == "inlineStr":
            inline = child(cell, "is")
            return (_rich_text(inline) if inline is not None else ""), False
        raw = next((value.text for value in cell if local_name(value) == "v"), None)
        if not raw:
            self.without_value[sheet.name] += kind != "str" and child(cell, "f") is not None
            return "", False
        if kind == "s":
            return (self.strings[int(raw)] if raw.isdecimal() and int(raw) < len(self.strings) else ""), False
        if kind == "n":
            style = cell.get("s") or ""
            is_known = style.isdecimal() and int(style) < len(self.formats)
            return number_text(raw, self.formats[int(style)] if is_known else GENERAL, is_1904=self.is_1904), True
        if kind == "b":
            return ("TRUE" if raw.strip() == "1" else "FALSE"), True
        return _one_line(raw), kind != "str"


def open_workbook(package: Package) -> Workbook:
    member, root = package.main("workbook", WHAT)
    related = package.relationships(member)
    sheets: dict[str, Sheet] = {}  # by member, which is read once
    for entry in descendants(root, "sheet"):
        found = related.get(relation(entry))
        if found is not None and found.kind == "worksheet":
            sheets.setdefault(
                found.target, Sheet(name=_one_line(entry.get("name") or "")[:NAME_CHARACTERS_MAX], member=found.target)
            )
    settings = child(root, "workbookPr")
    return Workbook(
        package=package,
        sheets=tuple(sheets.values()),
        strings=_read_strings(package, member),
        formats=_read_formats(package, member),
        is_1904=settings is not None and settings.get("date1904") in {"1", "true"},
    )


def _row(number: int, cells: dict[int, tuple[str, bool]], *, is_too_long: bool) -> Row:
    columns = tuple(sorted(cells))
    return Row(
        number=number,
        columns=columns,
        texts=tuple(cells[column][0] for column in columns),
        values=frozenset(column for column in columns if cells[column][1]),
        is_too_long=is_too_long,
    )


def _read_strings(package: Package, member: str) -> list[str]:
    strings: list[str] = []
    characters = 0
    for part in package.related(member, "sharedStrings"):
        for element in package.elements(part, ("si",)):
            strings.append(_rich_text(element))
            characters += len(strings[-1])
            if len(strings) > STRINGS_MAX or characters > STRINGS_CHARACTERS_MAX:
                raise Unparsable(
                    f"the workbook's cells share more than {STRINGS_MAX:,} texts or {STRINGS_CHARACTERS_MAX:,} "
                    "characters. Split it, or save its sheets as CSV"
                )
    return strings


def _read_formats(package: Package, member: str) -> list[NumberFormat]:
    formats: list[NumberFormat] = []
    for part in package.related(member, "styles"):
        root = package.tree(part)
        codes = {each.get("numFmtId"): each.get("formatCode") or "" for each in descendants(root, "numFmt")}
        styles = child(root, "cellXfs")
        for style in styles if styles is not None else ():
            number = style.get("numFmtId") or ""
            if number in codes:
                formats.append(read_format(codes[number]))
            else:
                formats.append(built_in_format(int(number)) if number.isdecimal() else GENERAL)
    return formats


def _rich_text(element: etree._Element) -> str:
    """Return the text of a string on one line, without its phonetic reading."""
    phonetic = {text for reading in descendants(element, "rPh") for text in descendants(reading, "t")}
    return _one_line("".join(each.text or "" for each in descendants(element, "t") if each not in phonetic))


def _one_line(text: str) -> str:
    if "_x" in text:
        text = _ESCAPED.sub(_unescape, text)
    return " ".join(text.split())


def _unescape(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character.isprintable() else " "


@cache
def _letters_to_number(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def _column_of(reference: str) -> int:
    """Return the column of a reference such as AB12; 0 if there is none."""
    match = _COLUMN.fullmatch(reference)
    return _letters_to_number(match[1]) if match else 0
