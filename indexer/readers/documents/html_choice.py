"""Chooses the main content among the blocks of a page.

    1. Elements that usually hold navigation, banners, footers are left out, and so are lists of links outside the main
       content, unless such an element holds half of the page's text: then it is a wrapper, or the page is an index.
    2. If `<main>` or `<article>` elements hold half of the rest, only they are read.
    3. Otherwise trafilatura says where the main text is; the lowest element around it is read whole, tables and code
       included, if it holds three quarters of the rest outside links.
    4. Otherwise the whole rest is read: a page with too much is found, one that lost its answers is not.

The only module that names trafilatura.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from copy import deepcopy
from itertools import accumulate
from typing import Any, Final

import lxml.html

from winnow.indexer.readers.documents.html_blocks import Block, Blocks

SHARE_MIN: Final = 0.5  # of the text: less is not the main content, more is not navigation
_FOUND_SHARE_MIN: Final = 0.75  # of the text outside links; heuristics lose more than an author who wrote <main>
_LINK_SHARE: Final = 0.8  # of the characters of a list of links
_LINK_LIST_ITEMS: Final = 4
_CONTAINERS: Final = frozenset(["article", "body", "div", "main", "section", "td"])
_EVIDENCE_CHARACTERS: Final = 12  # of a block that shows where the main text is
_ELEMENTS_MAX: Final = 20_000  # of a page for trafilatura, which takes seconds beyond
_DEPTH_MAX: Final = 200  # it recurses


def choose_blocks(found: Blocks, tree: lxml.html.HtmlElement) -> list[Block]:
    """Return the blocks of the main content in reading order."""
    blocks = found.blocks
    lengths = [0, *accumulate(len(block.text) for block in blocks)]
    is_around = _mark(
        (each for each in found.around if _characters(lengths, each) < SHARE_MIN * lengths[-1]), len(blocks)
    )
    is_main = _mark(found.main, len(blocks))
    links = [each for each in _link_lists(blocks) if not is_main[each.start]]
    if sum(_characters(lengths, each) for each in links) < SHARE_MIN * lengths[-1]:
        is_around = [a or b for a, b in zip(is_around, _mark(links, len(blocks)), strict=True)]
    rest = [number for number in range(len(blocks)) if not is_around[number]]
    chosen = [number for number in rest if is_main[number]]
    if not chosen or _count(blocks, chosen) < SHARE_MIN * _count(blocks, rest):
        chosen = _around_main_text(blocks, rest, tree)
        if not chosen or _count(blocks, chosen) < _FOUND_SHARE_MIN * _count(blocks, rest):
            return [blocks[number] for number in rest]
    return _with_headings(blocks, chosen, is_around)


def _characters(lengths: list[int], numbers: range) -> int:
    return lengths[numbers.stop] - lengths[numbers.start]


def _count(blocks: list[Block], numbers: Iterable[int]) -> int:
    """Characters outside links."""
    return sum(len(blocks[number].text) - blocks[number].link_characters for number in numbers)


def _mark(ranges: Iterable[range], length: int) -> list[bool]:
    """For each number whether one of the ranges holds it."""
    steps = [0] * (length + 1)
    for each in ranges:
        steps[each.start] += 1
        steps[each.stop] -= 1
    return [depth > 0 for depth in accumulate(steps[:length])]


def _link_lists(blocks: list[Block]) -> list[range]:
    """Find runs of list items that consist of links."""
    runs, start = [], None
    for number, block in enumerate([*blocks, None]):
        is_link = (
            block is not None and block.is_item and block.link_characters >= _LINK_SHARE * len(block.text.strip(" -"))
        )
        if is_link and start is None:
            start = number
        elif not is_link and start is not None:
            if number - start >= _LINK_LIST_ITEMS:
                runs.append(range(start, number))
            start = None
    return runs


def _with_headings(blocks: list[Block], chosen: list[int], is_around: list[bool]) -> list[Block]:
    """The chosen blocks, led by the headings that are open where they begin.

    A first-level heading in the page's header is the page's own, one of a lower level is not.
    """
    path: list[Block] = []
    for number, block in enumerate(blocks[: chosen[0]]):
        if block.level and (block.level == 1 or not is_around[number]):
            path = [*(each for each in path if each.level < block.level), block]
    first = blocks[chosen[0]]
    return [
        *(each for each in path if not first.level or each.level < first.level),
        *(blocks[number] for number in chosen),
    ]


def _around_main_text(blocks: list[Block], rest: list[int], tree: lxml.html.HtmlElement) -> list[int]:
    """The blocks of the lowest element that contains all main text; none if trafilatura finds no main text."""
    main_text = _squash(find_main_text(tree))
    evidence = [
        blocks[number].element
        for number in rest
        if blocks[number].link_characters < SHARE_MIN * len(blocks[number].text)
        and len(squashed := _squash(blocks[number].text)) >= _EVIDENCE_CHARACTERS
        and squashed in main_text
    ]
    if not evidence:
        return []
    common = _path(evidence[0])
    for element in evidence[1:]:
        path = _path(element)
        common = [a for a, b in zip(common, path, strict=False) if a is b]
    root = next((each for each in reversed(common) if each.tag in _CONTAINERS), common[0])
    return [number for number in rest if root in _path(blocks[number].element)]


def find_main_text(tree: lxml.html.HtmlElement) -> str:
    """Return the main text as trafilatura finds it; empty for a page that is too large or too deep for it."""
    for number, element in enumerate(tree.iter()):
        if number > _ELEMENTS_MAX or (number % 64 == 0 and len(_path(element)) > _DEPTH_MAX):
            return ""
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    extracted: Any = trafilatura.bare_extraction(deepcopy(tree), favor_recall=True, include_comments=False)
    return "" if extracted is None else str(extracted.text or "")


def _path(element: lxml.html.HtmlElement) -> list[lxml.html.HtmlElement]:
    """The element and those above it, outermost first."""
    return [*reversed([*element.iterancestors()]), element]


def _squash(text: str) -> str:
    return re.sub(r"\W+", "", text)
