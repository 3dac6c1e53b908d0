"""Title and text of Markdown files. The only module that names markdown_it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from winnow.indexer.readers.front_matter import FrontMatter, front_matter
from winnow.retrieval.limits import TITLE_CHARACTERS_MAX

HEADING_WITHIN: Final = 100_000  # characters; a heading further down is not a title
_BLOCKS: Final = MarkdownIt("commonmark").disable("inline")  # only the text of one heading is parsed, not the file's
_WORDS: Final = MarkdownIt("commonmark")


def read_markdown(text: str) -> FrontMatter:
    """Title from the front matter, else the first heading; the rest of the front matter is metadata."""
    front = front_matter(text)
    title = front.title or first_heading(front.body if front.below is None else front.below)
    return FrontMatter(
        body=front.body, title=title[:TITLE_CHARACTERS_MAX], metadata=front.metadata, problem=front.problem
    )


def first_heading(markdown: str) -> str:
    """Text of the first non-empty heading (CommonMark) that is not inside a quote or a list."""
    start = markdown if len(markdown) <= HEADING_WITHIN else markdown[: markdown.rfind("\n", 0, HEADING_WITHIN) + 1]
    links: dict[str, object] = {}  # link definitions of the file
    tokens = _BLOCKS.parse(start, links)
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open" and opening.level == 0:
            words = " ".join(_text(_WORDS.parseInline(content.content[:TITLE_CHARACTERS_MAX], links)).split())
            if words:
                return words
    return ""


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
