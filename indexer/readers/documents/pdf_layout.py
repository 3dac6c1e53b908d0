"""Puts the words of a page into reading order and joins lines into paragraphs.

A page may have columns: a blank strip that lines of text stand on both sides of. Lines across the strip (a title, a
wide table) divide the page into bands; in each band the left column is read before the right one. Cells of a table are
short, lines of a column are long; that tells them apart. Vertical writing is not supported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

HYPHEN: Final = "\u00ad"  # at the end of a word that goes on in the next line
_SAME_LINE: Final = 0.5  # of the smaller height: pieces that overlap this much stand on one line
_COLUMN_LINES_MIN: Final = 2
_COLUMN_LETTERS_MIN: Final = 16  # letters of a line in a column, in the median; a Chinese one counts as two
_COLUMN_FILLED_MIN: Final = 0.6  # of a column's width that its lines fill, in the median
_CROSSING_SHARE_MAX: Final = 0.34  # of a page's lines that may cross the strip between its columns
_COLUMN_DEPTH_MAX: Final = 2  # four columns
_FRAGMENTS_MAX: Final = 2000  # of a page whose columns are looked for; a newspaper's has 600
_PARAGRAPH_STEP: Final = 1.35  # of the usual distance of lines
_SIZE_RATIO: Final = 1.3  # of two lines of one paragraph; lines of mixed Chinese and Latin fonts differ by 1.2
_SHORT_SHARE: Final = 0.6  # of the column's width: the next line does not continue such a line
_ENDS_SHARE: Final = 0.85  # of the column's width: the next line does not continue a sentence that ends before
_SENTENCE_END: Final = tuple('.!?:;。！？：；”"')
_ITEM: Final = re.compile(
    r"(?:[•▪●◦‣·–—-]|\(?\d{1,3}[.)、]|[a-zA-Z][.)]|[（(]?[一二三四五六七八九十]{1,3}[）)、])\s?(?!\d)"
)
_WIDE: Final = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
_UNSPACED: Final = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")  # Chinese and Japanese


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """Words that follow each other on one line. Points, from the page's lower left corner."""

    text: str
    left: float
    right: float
    bottom: float
    top: float

    @property
    def height(self) -> float:
        return self.top - self.bottom

    @property
    def width(self) -> float:
        return self.right - self.left

    def is_beside(self, other: Fragment) -> bool:
        """Whether both stand on one line."""
        overlap = min(self.top, other.top) - max(self.bottom, other.bottom)
        return overlap >= _SAME_LINE * min(self.height, other.height) and overlap > 0

    def followed_by(self, other: Fragment, *, gap_max: float) -> Fragment | None:
        """Both as one, if the other one continues the line with at most this blank, in em."""
        em = max(self.height, other.height)
        if not self.is_beside(other) or not -0.5 * em <= other.left - self.right <= gap_max * em:
            return None
        return self.joined(other)

    def joined(self, other: Fragment) -> Fragment:
        longer = (
            self if len(self.text) >= len(other.text) else other
        )  # a single sign of another font may be much taller
        blank = "" if _joins_without_blank(self.text, other.text) and other.left - self.right < self.height else " "
        return Fragment(
            text=f"{self.text}{blank}{other.text}",
            left=min(self.left, other.left),
            right=max(self.right, other.right),
            bottom=longer.bottom,
            top=longer.top,
        )


@dataclass(frozen=True, slots=True)
class Column:
    """Lines that are read one after the other."""

    lines: tuple[Fragment, ...]

    @property
    def left(self) -> float:
        return min(line.left for line in self.lines)

    @property
    def right(self) -> float:
        return max(line.right for line in self.lines)


def order_lines(fragments: Sequence[Fragment]) -> list[Column]:
    """Return the lines of a page in reading order."""
    return [Column(tuple(lines)) for lines in _columns(list(fragments), _COLUMN_DEPTH_MAX) if lines]


def _columns(fragments: list[Fragment], depth: int) -> list[list[Fragment]]:
    strip = _find_strip(fragments, depth)
    if strip is None:
        return [_lines(fragments)]
    columns: list[list[Fragment]] = []
    left: list[Fragment] = []
    right: list[Fragment] = []

    def end_band() -> None:
        for side in (left, right):
            if side:
                columns.extend(_columns(list(side), depth - 1))
            side.clear()

    crossing: list[Fragment] = []
    for fragment in sorted(fragments, key=lambda each: -each.top):
        if fragment.right <= strip or fragment.left >= strip:
            if crossing:
                columns.append(_lines(crossing))
                crossing = []
            (left if fragment.right <= strip else right).append(fragment)
        else:
            end_band()
            crossing.append(fragment)
    end_band()
    if crossing:
        columns.append(_lines(crossing))
    return columns


def _find_strip(fragments: list[Fragment], depth: int) -> float | None:
    """Find the x that separates columns of text, or None."""
    if not depth or not 2 * _COLUMN_LINES_MIN <= len(fragments) <= _FRAGMENTS_MAX:
        return None
    edges = sorted({round(fragment.left) for fragment in fragments})
    begin, end = edges[0], max(fragment.right for fragment in fragments)
    best: tuple[int, float] | None = None
    for edge in edges:
        if not begin + 0.2 * (end - begin) < edge < begin + 0.8 * (end - begin):
            continue
        x = edge - 1.0
        crossing = sum(fragment.left < x < fragment.right for fragment in fragments)
        if best is None or crossing < best[0]:
            left = [each for each in fragments if each.right <= x]
            right = [each for each in fragments if each.left >= x]
            if crossing <= _CROSSING_SHARE_MAX * len(fragments) and _is_text(left, depth) and _is_text(right, depth):
                best = (crossing, x)
    return best[1] if best else None


def _is_text(fragments: list[Fragment], depth: int) -> bool:
    return _is_column(fragments) or _find_strip(fragments, depth - 1) is not None


def _is_column(fragments: list[Fragment]) -> bool:
    """Whether these are lines of text rather than cells of a table."""
    if len(fragments) < _COLUMN_LINES_MIN:
        return False
    width = max(each.right for each in fragments) - min(each.left for each in fragments)
    return (
        median(len(each.text) + len(_WIDE.findall(each.text)) for each in fragments) >= _COLUMN_LETTERS_MIN
        and median(each.width for each in fragments) >= _COLUMN_FILLED_MIN * width
    )


def _lines(fragments: list[Fragment]) -> list[Fragment]:
    """Join what stands on one line, from left to right; lines from top to bottom."""
    rows: list[list[Fragment]] = []
    for fragment in sorted(fragments, key=lambda each: -(each.top + each.bottom)):
        if rows and rows[-1][0].is_beside(fragment):
            rows[-1].append(fragment)
        else:
            rows.append([fragment])
    lines = []
    for row in rows:
        first, *rest = sorted(row, key=lambda each: each.left)
        for fragment in rest:
            first = first.joined(fragment)
        lines.append(first)
    return lines


def join_paragraphs(columns: Sequence[Column]) -> str:
    """Return the text of lines: those of a paragraph joined, blank lines between paragraphs."""
    texts = [_join_column(column) for column in columns]
    text = texts[0] if texts else ""
    for (before, _), (column, following) in pairwise(zip(columns, texts, strict=True)):
        is_continued = _continues(before.lines[-1].text, column.lines[0].text)
        text = _continue(text, following) if is_continued else f"{text}\n\n{following}"
    return text.replace(HYPHEN, "")


def _join_column(column: Column) -> str:
    lines = column.lines
    steps = [above.bottom - below.bottom for above, below in pairwise(lines)]
    usual = median(steps) if steps else 0.0
    text = lines[0].text
    for (above, below), step in zip(pairwise(lines), steps, strict=True):
        ratio = max(above.height, below.height) / max(min(above.height, below.height), 0.1)
        is_apart = step > _PARAGRAPH_STEP * usual or ratio > _SIZE_RATIO or step < 0
        if is_apart:
            text = f"{text}\n\n{below.text}"
        elif _ends_paragraph(above, below, column):
            text = f"{text}\n{below.text}"
        else:
            text = _continue(text, below.text)
    return text


def _ends_paragraph(above: Fragment, below: Fragment, column: Column) -> bool:
    """Whether the line above ends a paragraph, as far as its length and the next line's begin show."""
    width = column.right - column.left
    reach = above.right - column.left
    return (
        _ITEM.match(below.text) is not None
        or reach < _SHORT_SHARE * width
        or (reach < _ENDS_SHARE * width and above.text.endswith(_SENTENCE_END))
        or below.left - above.left > 0.8 * below.height
    )


def _continues(above: str, below: str) -> bool:
    """Whether a sentence goes on in the next column."""
    return not above.endswith(_SENTENCE_END) and (above.endswith(("-", HYPHEN)) or below[:1].islower())


def _continue(text: str, following: str) -> str:
    """Join two lines: a word that was divided becomes whole, Chinese gets no blank."""
    if text.endswith(HYPHEN):
        return f"{text[:-1]}{following}"
    if text.endswith("-") and text[-2:-1].isalpha() and following[:1].islower():
        return f"{text[:-1]}{following}"
    return f"{text}{'' if _joins_without_blank(text, following) else ' '}{following}"


def _joins_without_blank(text: str, following: str) -> bool:
    return _UNSPACED.match(text[-1:]) is not None and _UNSPACED.match(following[:1]) is not None
