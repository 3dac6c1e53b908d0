"""Finds what a document repeats at the top and bottom of its pages: titles, page numbers, footers.

A line is repeated if a page close by has the same text at the same height; its numbers may be equal, or differ by as
much as the two pages do. It takes two such pages among the four before and the four after, because left and right
pages differ, and so do chapters. A page that has nothing else keeps its text.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from winnow.indexer.readers.documents.pdf_layout import Fragment
from winnow.indexer.readers.documents.pdf_page import Page

_REACH: Final = 4  # pages before and after that are looked at
_MATCHES_MIN: Final = 2
_MARGIN_SHARE: Final = 0.13  # of the page's height, at the top and at the bottom
_LINES_MAX: Final = 3  # at each end of the page
_SAME_HEIGHT: Final = 6.0  # points
_CHARACTERS_MAX: Final = 200
_NUMBER: Final = re.compile(r"[0-9]+")
_ROMAN: Final = re.compile(r"(?=[ivxlc])(xc|xl|l?x{0,3})(ix|iv|v?i{0,3})")  # up to 99, as prefaces count their pages
_ROMAN_VALUES: Final = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marginal:
    """A line near the top or bottom of a page."""

    fragment: Fragment
    words: str  # the text without its numbers
    numbers: tuple[int, ...]


def without_furniture(pages: Iterable[Page]) -> Iterator[Page]:
    """Yield the pages without the lines that are repeated. Holds nine pages at a time."""
    window: deque[tuple[Page, list[_Marginal]]] = deque()
    done = 0  # pages at the window's left that have been yielded
    for page in pages:
        window.append((page, _marginals(page)))
        if len(window) - done > _REACH:
            yield _clean(window, done)
            done += 1
        if done > _REACH:
            window.popleft()
            done -= 1
    for index in range(done, len(window)):
        yield _clean(window, index)


def _clean(window: deque[tuple[Page, list[_Marginal]]], index: int) -> Page:
    page, marginals = window[index]
    near = [
        window[other] for other in range(max(index - _REACH, 0), min(index + _REACH + 1, len(window))) if other != index
    ]
    needed = min(_MATCHES_MIN, len(near))
    repeated = [
        each.fragment
        for each in marginals
        if needed and sum(_is_repeated(each, others, other.number - page.number) for other, others in near) >= needed
    ]
    kept = [each for each in page.fragments if each not in repeated]
    return replace(page, fragments=kept) if kept or page.is_picture else page


def _is_repeated(line: _Marginal, others: list[_Marginal], pages_apart: int) -> bool:
    return any(
        line.words == other.words
        and abs(line.fragment.bottom - other.fragment.bottom) <= _SAME_HEIGHT
        and len(line.numbers) == len(other.numbers)
        and all(theirs - ours in (0, pages_apart) for ours, theirs in zip(line.numbers, other.numbers, strict=True))
        for other in others
    )


def _marginals(page: Page) -> list[_Marginal]:
    margin = _MARGIN_SHARE * page.height
    from_top = sorted(page.fragments, key=lambda each: -each.bottom)
    from_bottom = from_top[::-1]
    found = [each for each in _outermost(from_top) if each.bottom >= page.height - margin]
    found += [each for each in _outermost(from_bottom) if each.top <= margin and each not in found]
    return [_marginal(each) for each in found if len(each.text) <= _CHARACTERS_MAX]


def _marginal(fragment: Fragment) -> _Marginal:
    text = " ".join(_arabic(word) for word in fragment.text.split(" "))
    numbers = tuple(int(number[:9]) for number in _NUMBER.findall(text))
    return _Marginal(fragment=fragment, words=_NUMBER.sub("#", text), numbers=numbers)


def _arabic(word: str) -> str:
    """A Roman number as an Arabic one; another word as it is."""
    lower = word.lower()
    if not _ROMAN.fullmatch(lower):
        return word
    values = [_ROMAN_VALUES[letter] for letter in lower]
    return str(
        sum(-value if value < following else value for value, following in zip(values, [*values[1:], 0], strict=True))
    )


def _outermost(fragments: list[Fragment]) -> Iterator[Fragment]:
    """Yield the fragments of the first few lines."""
    lines = 0
    before: Fragment | None = None
    for fragment in fragments:
        lines += before is None or not before.is_beside(fragment)
        if lines > _LINES_MAX:
            return
        before = fragment
        yield fragment
