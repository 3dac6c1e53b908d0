"""Reads a data table of a page as rows of text.

A cell that spans several rows is repeated in each, so that a row can be read alone. Several header rows become one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import lxml.html
from lxml import etree

SEPARATOR: Final = " | "  # between the cells of a row
_COLUMNS_MAX: Final = 1000
_LAYOUT_CELL_CHARACTERS: Final = 1500  # a longer cell holds a whole article: the table only places it
_IGNORED: Final = frozenset(["script", "style", "template", "noscript", "rt", "rp", "select", "button", "svg"])
_BREAKS: Final = frozenset(["br", "p", "div", "li", "dd", "dt"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    caption: str
    header: str  # empty: the table names no columns
    rows: tuple[str, ...]  # without the header


def is_data_table(table: lxml.html.HtmlElement) -> bool:
    """Whether the table holds data. One that only places the page's pieces is read like any other element."""
    if table.get("role") in ("presentation", "none"):
        return False
    if next(table.iterdescendants("table", "pre", "h1", "h2", "h3", "h4", "form", "nav"), None) is not None:
        return False
    rows = [[cell for cell in row if cell.tag in ("td", "th")] for row in table.iter("tr")]
    widths = [len(row) for row in rows if row]
    if not widths or max(widths) < 2:
        return False
    if any(cell.tag == "th" for row in rows for cell in row):
        return True
    return len(widths) > 1 and all(len(cell_text(cell)) <= _LAYOUT_CELL_CHARACTERS for row in rows for cell in row)


def read_table(table: lxml.html.HtmlElement) -> Table:
    """Read a table's caption, column names and rows."""
    caption = next((cell_text(each) for each in table.iterchildren("caption")), "")
    header: list[list[str]] = []
    rows: list[list[str]] = []
    spans: dict[int, tuple[int, str]] = {}  # column -> rows that a cell above still covers, and its text
    for row in _in_reading_order(table):
        cells = [cell for cell in row if cell.tag in ("td", "th")]
        if not cells:
            continue
        texts = _row_texts(cells, spans)
        is_header = not rows and (_section_of(row) == "thead" or all(cell.tag == "th" for cell in cells))
        if any(texts):
            (header if is_header else rows).append(texts)
    if not rows:
        header, rows = [], header
    return Table(caption=caption, header=_join(_merge(header)), rows=tuple(_join(row) for row in rows))


def cell_text(element: lxml.html.HtmlElement) -> str:
    """Return the text of a cell on one line."""
    pieces: list[str] = []
    events = etree.iterwalk(element, events=("start", "end"))
    for event, inner in events:
        is_ignored = not isinstance(inner.tag, str) or inner.tag in _IGNORED or inner.get("hidden") is not None
        if event == "start":
            if is_ignored:
                events.skip_subtree()
                continue
            pieces.append(" " if inner.tag in _BREAKS else "")
            pieces.append(inner.text or "")
        elif inner is not element:
            pieces.append(inner.tail or "")
    return re.sub(r"\s+", " ", re.sub("[\u00ad\u200b\u2060\ufeff]", "", "".join(pieces))).strip()


def _in_reading_order(table: lxml.html.HtmlElement) -> list[lxml.html.HtmlElement]:
    """Rows of the head first and of the foot last, wherever they are written."""
    order = {"thead": 0, "tfoot": 2}
    return sorted(table.iter("tr"), key=lambda row: order.get(_section_of(row), 1))


def _section_of(row: lxml.html.HtmlElement) -> str:
    parent = row.getparent()
    return parent.tag if parent is not None and isinstance(parent.tag, str) else ""


def _row_texts(cells: list[lxml.html.HtmlElement], spans: dict[int, tuple[int, str]]) -> list[str]:
    texts: list[str] = []

    def fill() -> None:
        while len(texts) in spans:
            left, text = spans.pop(len(texts))
            if left > 1:
                waiting[len(texts)] = (left - 1, text)
            texts.append(text)

    waiting: dict[int, tuple[int, str]] = {}
    for cell in cells:
        fill()
        text = cell_text(cell)
        for _ in range(_span(cell, "colspan")):
            if len(texts) >= _COLUMNS_MAX:
                break
            if (rows := _span(cell, "rowspan")) > 1:
                waiting[len(texts)] = (rows - 1, text)
            texts.append(text)
    fill()
    spans.update(waiting)
    return texts


def _span(cell: lxml.html.HtmlElement, name: str) -> int:
    value = cell.get(name, "1").strip()
    return min(max(int(value), 1), _COLUMNS_MAX) if re.fullmatch(r"[0-9]{1,6}", value) else 1


def _merge(header: list[list[str]]) -> list[str]:
    """Join the names above each column: `2026` over `Q1` is `2026 Q1`."""
    width = max(map(len, header), default=0)
    columns = [[row[column] for row in header if column < len(row)] for column in range(width)]
    return [" ".join(dict.fromkeys(name for name in names if name)) for names in columns]


def _join(texts: list[str]) -> str:
    return SEPARATOR.join(texts).strip() if any(texts) else ""
