"""The title of a Markdown file, and its text without front matter. The only module that names markdown_it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from winnow.indexer.readers.front_matter import FrontMatter, front_matter
from winnow.retrieval.limits import TITLE_CHARACTERS_MAX

HEADING_WITHIN: Final = 100_000  # characters; a title that comes later is none
_BLOCKS: Final = MarkdownIt("commonmark").disable("inline")  # the text of one heading is read, not of the whole file
_WORDS: Final = MarkdownIt("commonmark")


def read_markdown(text: str) -> FrontMatter:
    """The title of the front matter, else the first heading; the rest of the front matter as metadata."""
    front = front_matter(text)
    title = front.title or first_heading(front.body if front.below is None else front.below)
    return FrontMatter(
        body=front.body, title=title[:TITLE_CHARACTERS_MAX], metadata=front.metadata, problem=front.problem
    )


def first_heading(markdown: str) -> str:
    """The words of the first heading that has some, as CommonMark reads it; not one within a quote or a list."""
    start = markdown if len(markdown) <= HEADING_WITHIN else markdown[: markdown.rfind("\n", 0, HEADING_WITHIN) + 1]
    links: dict[str, object] = {}  # what the definitions of links in the file say
    tokens = _BLOCKS.parse(start, links)
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open" and opening.level == 0:
            words = " ".join(_text(_WORDS.parseInline(content.content[:TITLE_CHARACTERS_MAX], links)).split())
            if words:
                return words
    return ""


def _text(tokens: Iterable[Token]) -> str:
    """Without the marks around it."""
    said: list[str] = []
    for token in tokens:
        if token.children:
            said.append(_text(token.children))
        elif token.type in {"text", "code_inline", "text_special"}:
            said.append(token.content)
        elif token.type in {"softbreak", "hardbreak"}:
            said.append(" ")
    return "".join(said)
