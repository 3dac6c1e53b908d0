"""Reading order and paragraphs."""

from __future__ import annotations

import random

import pytest

from winnow.indexer.readers.documents.pdf_layout import HYPHEN, Column, Fragment, join_paragraphs, order_lines


def line(text: str, x: float, y: float, *, size: float = 10, width: float | None = None) -> Fragment:
    width = len(text) * size / 2 if width is None else width
    return Fragment(text=text, left=x, right=x + width, bottom=y, top=y + size)


def text_of(*lines: Fragment) -> str:
    return join_paragraphs([Column(lines)])


def column(texts: list[str], *, width: float = 200) -> str:
    return text_of(*(line(each, 0, -12 * row, width=width) for row, each in enumerate(texts)))


LEFT = [line(f"left column, line {row} of its text", 50, 700 - 12 * row, width=200) for row in range(8)]
RIGHT = [line(f"right column, line {row} of its text", 300, 700 - 12 * row, width=200) for row in range(8)]
TITLE = line("A title across both columns", 100, 740, size=18, width=350)


@pytest.mark.parametrize("seed", range(5))
def test_columns_are_read_one_after_the_other(seed: int) -> None:
    """The order in which the file draws its words does not matter."""
    fragments = [TITLE, *LEFT, *RIGHT]
    random.Random(seed).shuffle(fragments)
    read = [each.text for column in order_lines(fragments) for each in column.lines]
    assert read == [each.text for each in [TITLE, *LEFT, *RIGHT]]


def test_a_line_across_the_columns_divides_the_page() -> None:
    across = line("A figure's caption across both columns of the page", 60, 600 - 2, width=420)
    low_left = [line(f"second left, line {row} of its text", 50, 570 - 12 * row, width=200) for row in range(5)]
    low_right = [line(f"second right, line {row} of its text", 300, 570 - 12 * row, width=200) for row in range(5)]
    expected = [*LEFT, *RIGHT, across, *low_left, *low_right]
    read = [each.text for column in order_lines(expected[::-1]) for each in column.lines]
    assert read == [each.text for each in expected]


def test_three_columns() -> None:
    columns = [
        [line(f"column {place}, line {row} of it", 40 + 180 * place, 700 - 12 * row, width=160) for row in range(9)]
        for place in range(3)
    ]
    expected = [each.text for column in columns for each in column]
    mixed = [each for row in zip(*columns, strict=True) for each in row]
    assert [each.text for column in order_lines(mixed) for each in column.lines] == expected


def test_cells_of_a_table_stay_in_their_rows() -> None:
    cells = [line(text, x, 700 - 12 * row) for row in range(9) for x, text in ((50, f"pos {row}"), (300, f"{row}.50"))]
    assert [each.text for column in order_lines(cells) for each in column.lines] == [
        f"pos {row} {row}.50" for row in range(9)
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["the pump holds the", "pressure"], "the pump holds the pressure"),
        (["the pres-", "sure holds"], "the pressure holds"),
        ([f"the pres{HYPHEN}", "sure holds"], "the pressure holds"),
        (["model X-", "Y and A-", "B"], "model X- Y and A- B"),
        (["pages 3-", "4"], "pages 3- 4"),
        (["水箱每周", "清洗一次"], "水箱每周清洗一次"),
        (["型号为 Velora", "的水箱"], "型号为 Velora 的水箱"),
        (["필터를 매주", "교체한다"], "필터를 매주 교체한다"),
        (["first:", "• one", "• two", "1. three"], "first:\n• one\n• two\n1. three"),
        (["总则", "第一、内容", "（二）内容"], "总则第一、内容\n（二）内容"),
    ],
)
def test_lines_are_joined(lines: list[str], expected: str) -> None:
    assert column(lines) == expected


def test_paragraphs() -> None:
    """A wide step, another size, an indented first line and a short last line end a paragraph."""
    assert text_of(
        line("Heading", 0, 100, size=16), line("text", 0, 80, width=200), line("more", 0, 68, width=200)
    ) == ("Heading\n\ntext more")
    assert text_of(*(line(text, 0, y, width=200) for text, y in (("a", 60), ("b", 48), ("c", 26), ("d", 14)))) == (
        "a b\n\nc d"
    )
    assert text_of(line("a", 0, 60, width=200), line("it.", 0, 48, width=90), line("c", 0, 36, width=200)) == "a it.\nc"
    assert text_of(line("a", 0, 60, width=200), line("b", 15, 48, width=185), line("c", 0, 36, width=200)) == "a\nb c"


def test_a_tall_sign_of_another_font_does_not_end_a_paragraph() -> None:
    tall = Fragment(text="“", left=100, right=105, bottom=40, top=62)
    assert text_of(line("text of a line", 0, 60, width=200), line("more of it", 0, 48, width=95).joined(tall)) == (
        "text of a line more of it “"
    )


def test_lines_of_mixed_fonts_are_one_paragraph() -> None:
    lines = [line("为 Debian 系", 0, 60, size=9.1, width=200), line("统的使用", 0, 48, size=10.6, width=200)]
    assert text_of(*lines) == "为 Debian 系统的使用"


def test_a_sentence_goes_on_in_the_next_column() -> None:
    columns = [Column((line("the pump holds the", 0, 10),)), Column((line("pressure. Next", 200, 10),))]
    assert join_paragraphs(columns) == "the pump holds the pressure. Next"
    assert join_paragraphs([columns[1], columns[0]]) == "pressure. Next the pump holds the"
    ended = Column((line("It ends.", 0, 10),))
    assert join_paragraphs([ended, columns[0]]) == "It ends.\n\nthe pump holds the"


def test_a_page_without_words() -> None:
    assert join_paragraphs(order_lines([])) == ""
