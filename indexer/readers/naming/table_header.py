"""Finds the columns of a table: in its first row, from `--columns`, or by the two layouts of MS MARCO.

The delimiter is the one that gives the first row columns for id and text. MS MARCO's files have no header:

    pid <tab> text                        collection.tsv
    docid <tab> url <tab> title <tab> body    msmarco-docs.tsv

They are recognised only if no column of the first row has a known name, the first lines all have two or four columns
that differ in the first, and every first cell is a number, with at most one letter before it. In a table without a
header that is separated by tabs, quotes are text.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from winnow.indexer.readers.fields import Fields, require_columns, require_unrepeated
from winnow.indexer.readers.naming.detection import Decision, decide, is_complete, sample_columns
from winnow.retrieval.errors import CorpusUnreadable

DELIMITERS_TRIED: Final = (",", ";", "\t", "|")
_ANNOUNCED: Final = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # Excel writes this as the first line
_NUMBERED: Final = re.compile(r"[A-Za-z]?[0-9]+", re.ASCII)
_MS_MARCO: Final = {2: ("pid", "text"), 4: ("docid", "url", "title", "body")}  # by the number of columns
_MS_MARCO_LINES: Final = 20  # lines that must agree


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The columns of a table and its delimiter."""

    names: tuple[str, ...]  # column names in order; empty if a column has none
    delimiter: str
    rows_above: int = 1  # rows before the first record: the names, and a line that announces the delimiter
    is_literal: bool = False  # quotes are text
    note: str = ""  # why there is no header


def find_header(
    lines: Sequence[str], *, usual: str, asked: Fields, columns: tuple[str, ...] | None, origin: Path
) -> tuple[Header, Decision]:
    """Find columns and names in the first lines of a table. Raises `CorpusUnreadable`.

    `usual` is the delimiter by the file's ending. `columns` names the columns of a table without a header.
    """
    if not any(line.strip() for line in lines):
        raise CorpusUnreadable(f"{origin} is empty; its first line must name the columns")
    header = _forced(lines, usual, columns) if columns else _first_row(lines, usual, asked)
    decision = _decide(header.names, asked)
    if not columns and not is_complete(decision, asked):
        ms_marco = _ms_marco(lines, asked) if usual == "\t" else None
        if ms_marco is not None:
            header, decision = ms_marco, _decide(ms_marco.names, asked)
    named = [name for name in header.names if name]
    require_unrepeated(named, origin=origin)
    needs_id = asked.id_from is None or asked.id is not None
    require_columns(named, decision.fields, origin=origin, needs_id=needs_id)
    return header, decision


def _decide(names: Sequence[str], asked: Fields) -> Decision:
    return decide(sample_columns(name for name in names if name), asked)


def _forced(lines: Sequence[str], usual: str, columns: tuple[str, ...]) -> Header:
    is_literal = usual == "\t"
    tried = (usual, *(each for each in DELIMITERS_TRIED if each != usual))
    fitting = (each for each in tried if len(_names(lines, each, is_literal=is_literal)) == len(columns))
    said = ", ".join(columns)
    note = f"no header; the columns are {said}" + ("; quotes are text" if is_literal else "")
    return Header(names=columns, delimiter=next(fitting, usual), rows_above=0, is_literal=is_literal, note=note)


def _first_row(lines: Sequence[str], usual: str, asked: Fields) -> Header:
    announced = _ANNOUNCED.fullmatch(lines[0].strip("\n"))
    if announced:
        return Header(names=_names(lines[1:], announced[1]), delimiter=announced[1], rows_above=2)
    tried = (usual, *(each for each in DELIMITERS_TRIED if each != usual))
    found = {each: _names(lines, each) for each in tried}
    fitting = next((each for each in tried if _fits(found[each], asked)), None)
    delimiter = fitting or max(tried, key=lambda each: len(found[each]))
    return Header(names=found[delimiter], delimiter=delimiter)


def _fits(names: Sequence[str], asked: Fields) -> bool:
    decision = _decide(names, asked)
    wanted = {*decision.fields.text, *((decision.fields.id,) if asked.id_from is None or asked.id else ())}
    return is_complete(decision, asked) and wanted <= set(names)


def _ms_marco(lines: Sequence[str], asked: Fields) -> Header | None:
    rows = [line.rstrip("\n").split("\t") for line in lines[:_MS_MARCO_LINES] if line.strip()]
    names = _MS_MARCO.get(len(rows[0]))
    if names is None or not asked.chosen <= set(names):
        return None
    firsts = {row[0] for row in rows}
    is_like = (
        all(len(row) == len(names) and _NUMBERED.fullmatch(row[0]) for row in rows)
        and len(firsts) == len(rows)
        and any(_NUMBERED.fullmatch(row[-1].strip()) is None for row in rows)
        and (len(names) == 2 or all("://" in row[1] for row in rows))
    )
    note = (
        f"no header; the columns are {', '.join(names)}, as in MS MARCO; quotes are text. Use --columns if that is "
        "wrong"
    )
    return Header(names=names, delimiter="\t", rows_above=0, is_literal=True, note=note) if is_like else None


def _names(lines: Sequence[str], delimiter: str, *, is_literal: bool = False) -> tuple[str, ...]:
    """The first row that is not blank, split at this delimiter; empty if it is malformed."""
    if is_literal:
        first = next((line for line in lines if line.strip()), "")
        return tuple(cell.strip() for cell in first.split(delimiter))
    try:
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        return tuple(cell.strip() for cell in next((row for row in rows if row), []))
    except csv.Error:
        return ()
