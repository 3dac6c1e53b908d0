"""Titles and numbers that every page repeats."""

from __future__ import annotations

import pytest

from winnow.indexer.readers.documents.pdf_furniture import without_furniture
from winnow.indexer.readers.documents.pdf_layout import Fragment
from winnow.indexer.readers.documents.pdf_page import Page


def line(text: str, y: float) -> Fragment:
    return Fragment(text=text, left=50, right=200, bottom=y, top=y + 10)


def kept(pages: list[list[tuple[str, float]]]) -> list[list[str]]:
    read = (
        Page(number=number, height=800, fragments=[line(text, y) for text, y in lines])
        for number, lines in enumerate(pages, start=1)
    )
    return [[each.text for each in page.fragments] for page in without_furniture(read)]


def body(number: int) -> list[tuple[str, float]]:
    return [(f"text {'abcdefghij'[number]}", 700 - 12 * row) for row in range(20)]


@pytest.mark.parametrize("count", [2, 3, 9])
def test_headers_footers_and_numbers_are_left_out(count: int) -> None:
    pages = [[("Manual 300", 780), *body(n), (f"Page {n + 11} of {count}", 20), (f"{n + 1}", 8)] for n in range(count)]
    assert kept(pages) == [[text for text, _ in body(n)] for n in range(count)]


def test_prefaces_count_their_pages_in_roman_numbers() -> None:
    numbers = ["i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi"]
    pages = [[(number, 780), *body(n % 10)] for n, number in enumerate(numbers)]
    assert kept(pages) == [[text for text, _ in body(n % 10)] for n in range(11)]


def test_left_and_right_pages_have_headers_of_their_own() -> None:
    pages = [[("Book" if n % 2 else f"Chapter {n // 6}", 780), *body(n)] for n in range(10)]
    assert kept(pages)[:6] == [[text for text, _ in body(n)] for n in range(6)]


def test_text_at_the_top_of_a_page_is_kept() -> None:
    """A table's rows at a page's top have the same words, but their numbers do not count pages."""
    pages = [[(f"position {7 * n} costs {n * n + 3}", 780), *body(n), (f"total {100 - n}", 20)] for n in range(6)]
    assert kept(pages) == [[text for text, _ in page] for page in pages]


def test_one_page_and_the_middle_of_pages_are_kept() -> None:
    assert kept([[("Title", 780)]]) == [["Title"]]
    pages = [[("same words on each page", 400), *body(n)] for n in range(5)]
    assert all("same words on each page" in lines for lines in kept(pages))
