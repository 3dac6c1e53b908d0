"""Reads the tree of a page as blocks in reading order: headings, paragraphs, lists, tables, code.

Left out: hidden elements, scripts, forms' fields, `<template>`, `<noscript>`, the reading aids of ruby. The walk is a
loop, so that deep nesting does not exhaust the stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import lxml.html
from lxml import etree

from winnow.indexer.readers.documents.html_table import is_data_table, read_table
from winnow.retrieval.records import PartKind

SKIPPED: Final = frozenset(
    ["annotation", "annotation-xml", "applet", "audio", "base", "button", "canvas", "datalist", "embed", "frame",
     "frameset", "head", "iframe", "input", "link", "map", "meta", "meter", "noframes", "noscript", "object",
     "optgroup", "option", "progress", "rp", "rt", "rtc", "script", "select", "style", "svg", "template", "textarea",
     "title", "video"]
)  # fmt: skip
_BLOCKS: Final = frozenset(
    ["address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir", "div",
     "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend", "li",
     "main", "menu", "nav", "ol", "p", "search", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead",
     "tr", "ul"]
)  # fmt: skip
_LISTS: Final = frozenset(["ul", "ol", "dl", "menu", "dir"])
_HEADING: Final = re.compile(r"h([1-6])\Z")
_HIDDEN_STYLE: Final = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
_INVISIBLE: Final = re.compile("[\u00ad\u200b\u2060\ufeff]")  # soft hyphen, zero-width space, word joiner, mark
_BLANKS: Final = re.compile(r"[^\S\n]+")
_PERMALINK: Final = re.compile(r"\s*(?:¶|#|🔗|\[edit\]|\[编辑\]|\[編輯\])\s*\Z")
_SIGNS: Final = frozenset("¶§#🔗")  # of links to the heading that they stand in
_LIST_DEPTH_MAX: Final = 8  # levels that are indented
_MAIN: Final = frozenset(["main", "article"])
_AROUND_ROLES: Final = frozenset(["alertdialog", "contentinfo", "dialog", "menu", "menubar", "navigation", "search"])
_AROUND_NAMES: Final = re.compile(
    r"(?:^|[-_\s])(?:ads?|advert\w*|banner|breadcrumbs?|consent|cookies?\w*|footer|gdpr|menu|modal|nav|navbar|navigation"
    r"|newsletter|pagination|popup|promo|related|share|sharing|sidebar|skip-?link|skip-to-content|social|subscribe"
    r"|toolbar)(?:$|[-_\s])",
    re.IGNORECASE,
)


@dataclass(slots=True, kw_only=True)
class Block:
    """A heading, paragraph, list item, table or piece of code."""

    text: str
    element: lxml.html.HtmlElement
    kind: PartKind = PartKind.PROSE
    header: str = ""  # column names of a table
    level: int = 0  # of a heading, 1 to 6
    is_item: bool = False  # of a list: joined to the item before by a line end
    link_characters: int = 0


@dataclass(slots=True)
class Blocks:
    """The blocks of a page, and which of them may be navigation and the like."""

    blocks: list[Block] = field(default_factory=list)
    around: list[range] = field(default_factory=list)  # blocks of each element that usually holds no content
    main: list[range] = field(default_factory=list)  # blocks of each outermost <main> or <article>


@dataclass(slots=True)
class _Walk:
    found: Blocks = field(default_factory=Blocks)
    open: list[tuple[lxml.html.HtmlElement, int, bool]] = field(default_factory=list)  # with first block, is it main
    main_depth: int = 0  # open <main> and <article> elements
    pieces: list[str] = field(default_factory=list)  # of the block that is being read
    links: int = 0  # open <a> elements
    link_characters: int = 0
    lists: list[list[int | None]] = field(default_factory=list)  # open lists: number of the next item, or None
    marker: str = ""  # of the list item that has just begun

    def text(self, text: str | None) -> None:
        if text:
            text = text.replace("\n", " ").replace("\r", " ")
            self.pieces.append(text)
            if self.links:
                self.link_characters += len(text.strip())

    def flush(self, element: lxml.html.HtmlElement, *, level: int = 0) -> None:
        """End the block that is being read."""
        text = clean_text("".join(self.pieces))
        self.pieces.clear()
        link_characters, self.link_characters = self.link_characters, 0
        if level:
            text = _PERMALINK.sub("", text.replace("\n", " "))
        if not text:
            return
        is_item = bool(self.lists) and not level
        if is_item:
            indent = "  " * min(len(self.lists) - 1, _LIST_DEPTH_MAX)
            text = f"{indent}{self.marker or ''}{text}"
            self.marker = ""
        self.found.blocks.append(
            Block(text=text, element=element, level=level, is_item=is_item, link_characters=link_characters)
        )

    def open_region(self, element: lxml.html.HtmlElement) -> None:
        is_main = element.tag in _MAIN or element.get("role") == "main"
        if is_main or surrounds_content(element, is_inside_main=self.main_depth > 0):
            self.open.append((element, len(self.found.blocks), is_main))
            self.main_depth += is_main

    def close_region(self, element: lxml.html.HtmlElement) -> None:
        blocks = self.found.blocks
        if self.open and self.open[-1][0] is element:
            _, first, is_main = self.open.pop()
            self.main_depth -= is_main
            if not is_main:
                self.found.around.append(range(first, len(blocks)))
            elif not self.main_depth:
                self.found.main.append(range(first, len(blocks)))


def clean_text(text: str) -> str:
    """Join blanks, drop invisible characters, keep the line ends (which come from `<br>`)."""
    lines = _BLANKS.sub(" ", _INVISIBLE.sub("", text)).split("\n")
    return "\n".join(line.strip() for line in lines).strip()


def is_hidden(element: lxml.html.HtmlElement) -> bool:
    return (
        element.get("hidden", "until-found") != "until-found"
        or (element.get("aria-hidden") == "true" and element.tag in ("a", "i", "span"))  # icons and permalinks
        or _HIDDEN_STYLE.search(element.get("style", "")) is not None
        or (element.tag == "dialog" and element.get("open") is None)
        or (element.tag == "a" and (element.text or "").strip() in _SIGNS and _is_permalink(element))
    )


def _is_permalink(link: lxml.html.HtmlElement) -> bool:
    return len(link) == 0 and link.get("href", "").startswith("#")


def surrounds_content(element: lxml.html.HtmlElement, *, is_inside_main: bool) -> bool:
    """Whether such an element usually holds navigation, a banner, a footer."""
    tag, role = element.tag, element.get("role", "")
    if tag == "nav" or role in _AROUND_ROLES:
        return True
    if not is_inside_main and (tag in ("header", "footer", "aside") or role in ("banner", "complementary")):
        return True
    return tag not in ("html", "body") and any(
        _AROUND_NAMES.search(element.get(attribute, "")) for attribute in ("class", "id")
    )


def read_blocks(root: lxml.html.HtmlElement) -> Blocks:
    """Read the blocks of a tree in reading order."""
    walk = _Walk()
    skipped: lxml.html.HtmlElement | None = None
    events = etree.iterwalk(root, events=("start", "end"))
    for event, element in events:
        tag = element.tag if isinstance(element.tag, str) else ""
        if event == "end":
            if skipped is not None and element is skipped:
                walk.text(element.tail)
            else:
                _end(walk, element, tag)
                walk.close_region(element)
            continue
        skipped = None
        if tag in SKIPPED or not tag or is_hidden(element):
            skipped = element
        elif tag == "pre":
            skipped = element
            _read_code(walk, element)
        elif tag == "table" and is_data_table(element):
            skipped = element
            _read_data_table(walk, element)
        else:
            _start(walk, element, tag)
            continue
        events.skip_subtree()
    walk.flush(root)
    return walk.found


def _start(walk: _Walk, element: lxml.html.HtmlElement, tag: str) -> None:
    heading = _heading_level(element, tag)
    if heading or tag in _BLOCKS:
        parent = element.getparent()
        walk.flush(element if parent is None else parent)
        walk.open_region(element)
    if tag in _LISTS:
        walk.lists.append([_start_number(element)] if tag == "ol" else [None])
    elif tag == "li" and walk.lists:
        number = walk.lists[-1][0]
        walk.marker = "- " if number is None else f"{number}. "
        walk.lists[-1][0] = None if number is None else number + 1
    elif tag == "dd":
        walk.marker = "  "
    elif tag == "a":
        walk.links += 1
    elif tag == "br":
        walk.pieces.append("\n")
    elif tag == "q":
        walk.pieces.append("“")
    walk.text(element.text)


def _end(walk: _Walk, element: lxml.html.HtmlElement, tag: str) -> None:
    if (level := _heading_level(element, tag)) or tag in _BLOCKS:
        walk.flush(element, level=level)
        if tag in _LISTS and walk.lists:
            walk.lists.pop()
        if tag in ("li", "dd", "dt"):
            walk.marker = ""
    elif tag == "a":
        walk.links = max(walk.links - 1, 0)
    elif tag == "q":
        walk.pieces.append("”")
    walk.text(element.tail)


def _heading_level(element: lxml.html.HtmlElement, tag: str) -> int:
    found = _HEADING.match(tag)
    if found is not None:
        return int(found[1])
    if element.get("role") != "heading":
        return 0
    level = element.get("aria-level", "2")
    return min(int(level), 6) if level.isascii() and level.isdigit() and level != "0" else 2


def _start_number(element: lxml.html.HtmlElement) -> int:
    start = element.get("start", "1")
    return int(start) if re.fullmatch(r"-?[0-9]{1,6}", start) else 1


def _read_code(walk: _Walk, element: lxml.html.HtmlElement) -> None:
    parent = element.getparent()
    walk.flush(element if parent is None else parent)
    text = _INVISIBLE.sub("", "".join(_verbatim(element))).replace("\xa0", " ")
    lines = [line.rstrip() for line in text.split("\n")]
    text = "\n".join(lines).strip("\n")
    if text.strip():
        walk.found.blocks.append(Block(text=text, element=element, kind=PartKind.CODE))


def _verbatim(element: lxml.html.HtmlElement) -> Iterator[str]:
    for event, inner in etree.iterwalk(element, events=("start", "end")):
        if event == "start":
            if inner.tag == "br":
                yield "\n"
            elif inner.tag not in SKIPPED and inner.text:
                yield inner.text
        elif inner is not element and inner.tail:
            yield inner.tail


def _read_data_table(walk: _Walk, element: lxml.html.HtmlElement) -> None:
    parent = element.getparent()
    walk.flush(element if parent is None else parent)
    table = read_table(element)
    if table.rows:
        text = "\n".join(line for line in (table.caption, table.header, *table.rows) if line)
        walk.found.blocks.append(Block(text=text, element=element, kind=PartKind.ROWS, header=table.header))
