"""Tables: rows with the header known, spans repeated, layout tables read as text."""

from __future__ import annotations

import pytest

from winnow.indexer.readers.documents.html_source import parse_page
from winnow.indexer.readers.documents.html_table import Table, is_data_table, read_table


def table(markup: str) -> Table:
    return read_table(parse_page(f"<table>{markup}</table>").find(".//table"))


def test_header_rows_and_spans() -> None:
    found = table(
        "<caption>Filters <b>2026</b></caption><tfoot><tr><td>sum<td>3<td>4</tfoot>"
        "<thead><tr><th rowspan=2>Name<th colspan=2>Price</tr><tr><th>net<th>gross</thead>"
        "<tbody><tr><td rowspan=2>Larch<td>1<td>2</tr><tr><td>5<td>6<br>7</tr></tbody>"
    )
    assert found == Table(
        caption="Filters 2026",
        header="Name | Price net | Price gross",
        rows=("Larch | 1 | 2", "Larch | 5 | 6 7", "sum | 3 | 4"),
    )


@pytest.mark.parametrize(
    ("markup", "header", "rows"),
    [
        ("<tr><th>a<th>b<tr><td>1<td>2", "a | b", ("1 | 2",)),
        ("<tr><td>a<td>b<tr><td>1<td>2", "", ("a | b", "1 | 2")),
        ("<tr><th>a<td>b<tr><th>c<td>d", "", ("a | b", "c | d")),
        ("<tr><th>a<th>b", "", ("a | b",)),
        ("<tr><td>a<td colspan=99999999>b<tr><td rowspan=x>c<td>d", "", ("a | b", "c | d")),
        ("<tr><td>a<td><tr><td><td>", "", ("a |",)),
    ],
)
def test_headers(markup: str, header: str, rows: tuple[str, ...]) -> None:
    found = table(markup)
    assert (found.header, found.rows) == (header, rows)


def test_spans_are_bounded() -> None:
    """Cells that span a thousand columns and rows must not multiply without end."""
    found = table("<tr>" + "<td colspan=1000 rowspan=1000>x" * 50 + "<tr><td>y" * 20)
    assert max(len(row.split(" | ")) for row in found.rows) <= 2000


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<tr><td>a<td>b<tr><td>c<td>d", True),
        ("<tr><td>a<td>b", False),
        ("<tr><td>a<tr><td>b", False),
        ("<tr><td>a<td><table><tr><td>b</table><tr><td>c<td>d", False),
        (f"<tr><td>menu<td>{'text ' * 400}<tr><td>x<td>y", False),
        ("<tr><td>a<td><h2>b</h2><tr><td>c<td>d", False),
    ],
)
def test_layout_tables(markup: str, *, expected: bool) -> None:
    assert is_data_table(parse_page(f"<table>{markup}</table>").find(".//table")) is expected
    assert not is_data_table(parse_page(f"<table role=presentation>{markup}</table>").find(".//table"))
