"""Title, metadata and structure of Markdown files. The only module that names markdown_it.

A part is what stands below one heading, with the heading. Headings without any text of their own go to the part that
follows. Tables are parts of rows, with their column names as header. Code of some length is a part; a section with less
of it is one part that is cut between lines only. A short text directly before a table or code stays with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from winnow.indexer.readers.front_matter import front_matter
from winnow.retrieval.limits import (
    HEADING_CHARACTERS_MAX,
    PART_HEADER_CHARACTERS_MAX,
    PARTS_MAX,
    TITLE_CHARACTERS_MAX,
)
from winnow.retrieval.records import JsonValue, Location, Part, PartKind

HEADING_WITHIN: Final = 100_000  # characters; a heading further down is not a title
STRUCTURE_WITHIN: Final = 1_000_000  # characters; text further down belongs to the last part: parsing takes a second
CODE_CHARACTERS_MIN: Final = 600  # characters of code that is a part of its own; less is read with the text around it
INTRODUCTION_CHARACTERS_MAX: Final = 300  # characters of text that stays with the table or code below it

_BLOCKS: Final = MarkdownIt("commonmark").enable("table").disable("inline")  # only the text of headings is parsed
_WORDS: Final = MarkdownIt("commonmark")
_LINE_END: Final = re.compile(r"\r\n?|\n")  # as markdown_it counts lines
_BLANK_LINES: Final = re.compile(r"(?:[^\S\n]*+\n)*+(?:\s*+\Z)?+")
_MARKUP: Final = re.compile(r"[\\`*_\[\]<>&!\n]")
_CODE: Final = frozenset({"fence", "code_block"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkdownText:
    """A file split into front matter and text, with the structure of the text."""

    body: str  # the whole file if it has no front matter
    title: str
    metadata: dict[str, JsonValue]
    problem: str | None  # why a block that looks like front matter is invalid
    parts: tuple[Part, ...]


def read_markdown(text: str) -> MarkdownText:
    """Title from the front matter, else the first heading; the rest of the front matter is metadata."""
    front = front_matter(text)
    read = front.body if front.below is None else front.below  # headings are not searched in invalid front matter
    blocks = list(_blocks(read))
    title = front.title or next(
        (each.words for each in blocks if each.level and each.words and each.start < HEADING_WITHIN), ""
    )
    title = title[:TITLE_CHARACTERS_MAX]
    outline = _Outline(
        title=title,
        line=text.count("\n", 0, len(text) - len(front.body)) + 1,
        text=front.body,
        skipped=len(front.body) - len(read),
    )
    return MarkdownText(
        body=front.body,
        title=title,
        metadata=front.metadata,
        problem=front.problem,
        parts=outline.parts(blocks),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """A heading, code or table that is not inside a quote or a list; or code or a table that is."""

    start: int  # characters
    end: int
    kind: PartKind = PartKind.PROSE
    is_nested: bool = False
    level: int = 0  # of a heading; 0 for others
    words: str = ""  # of a heading, without markup
    header: str = ""  # first line of a table


def _blocks(markdown: str) -> Iterator[_Block]:
    """Yield headings, code and tables in their order (CommonMark with GitHub's tables)."""
    start = markdown if len(markdown) <= STRUCTURE_WITHIN else markdown[: markdown.rfind("\n", 0, STRUCTURE_WITHIN) + 1]
    line_starts = [0, *(match.end() for match in _LINE_END.finditer(start)), len(start)]
    links: dict[str, object] = {}  # link definitions of the file
    characters = TITLE_CHARACTERS_MAX  # of the first heading, which may be the title
    for token, content in pairwise([*_BLOCKS.parse(start, links), Token("end", "", 0)]):
        if token.map is None:
            continue
        first, last = (line_starts[min(line, len(line_starts) - 1)] for line in token.map)
        if token.type == "heading_open" and token.level == 0:
            words = _heading(content.content[:characters], links)
            characters = HEADING_CHARACTERS_MAX if words else characters
            yield _Block(start=first, end=last, level=int(token.tag[1:]), words=words)
        elif token.type in _CODE:
            yield _Block(start=first, end=last, kind=PartKind.CODE, is_nested=token.level > 0)
        elif token.type == "table_open":
            header = start[first : line_starts[token.map[0] + 1]].strip()
            yield _Block(start=first, end=last, kind=PartKind.ROWS, is_nested=token.level > 0, header=header)


@dataclass(slots=True, kw_only=True)
class _Outline:
    """Turns blocks into parts that cover the text."""

    title: str  # until its heading was met
    line: int  # of the text's first character in the file
    text: str
    skipped: int  # characters of the text before the blocks' first one
    headings: list[tuple[int, str]] = field(default_factory=list)  # open ones, with their levels
    found: list[Part] = field(default_factory=list)
    start: int = 0  # of the part that is open
    counted: int = 0  # characters whose lines are counted in `line`
    content: int = 0  # where the open part's text begins, below its headings
    has_code: bool = False

    def parts(self, blocks: Iterable[_Block]) -> tuple[Part, ...]:
        for block in blocks:
            start, end = block.start + self.skipped, block.end + self.skipped
            if len(self.found) >= PARTS_MAX - 2:
                break
            if block.level:
                if self._text(start):
                    self._close(start)
                self._open(block)
                self.content = end
            elif block.kind is PartKind.ROWS and not block.is_nested:
                self._separate(start, end, PartKind.ROWS, block.header)
            elif block.kind is PartKind.CODE and not block.is_nested and end - start >= CODE_CHARACTERS_MIN:
                self._separate(start, end, PartKind.CODE)
            else:
                self.has_code = True
        self._close(len(self.text))
        return tuple(self.found)

    def _separate(self, start: int, end: int, kind: PartKind, header: str = "") -> None:
        """Make a part of a table or of code, with a short text before it."""
        if len(self._text(start)) > INTRODUCTION_CHARACTERS_MAX:
            self._close(start)
        self._close(end, kind, header)

    def _text(self, until: int) -> str:
        return self.text[self.content : until].strip()

    def _close(self, end: int, kind: PartKind | None = None, header: str = "") -> None:
        """End the open part after the blank lines at its end, and begin another below the same headings."""
        blank = _BLANK_LINES.match(self.text, end)
        end = blank.end() if blank else end
        if self.text[self.start : end].strip():
            self.line += self.text.count("\n", self.counted, self.start)
            self.counted = self.start
            part = Part(
                start=self.start,
                end=end,
                kind=kind or (PartKind.CODE if self.has_code else PartKind.PROSE),
                section=tuple(words for _, words in self.headings if words),
                header=header[:PART_HEADER_CHARACTERS_MAX],
                location=Location(line=self.line),
            )
            self.found.append(part)
            self.start = self.content = end
            self.has_code = False

    def _open(self, heading: _Block) -> None:
        while self.headings and self.headings[-1][0] >= heading.level:
            self.headings.pop()
        words = heading.words
        if words == self.title:  # the title stands before every section already
            self.title, words = "", ""
        self.headings.append((heading.level, words[:HEADING_CHARACTERS_MAX]))


def _heading(content: str, links: dict[str, object]) -> str:
    """The words of a heading, without markup."""
    words = _text(_WORDS.parseInline(content, links)) if _MARKUP.search(content) else content
    return " ".join(words.split())


def _text(tokens: Iterable[Token]) -> str:
    """The text without markup."""
    said: list[str] = []
    for token in tokens:
        if token.children:
            said.append(_text(token.children))
        elif token.type in {"text", "code_inline", "text_special"}:
            said.append(token.content)
        elif token.type in {"softbreak", "hardbreak"}:
            said.append(" ")
    return "".join(said)
