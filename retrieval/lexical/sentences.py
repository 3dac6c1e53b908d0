"""Splits a text into sentences, English or Chinese."""

from __future__ import annotations

import re
from typing import Final

from winnow.retrieval.records import Span

# The pattern can match a run at its first position only, so a megabyte of "!" costs one pass.
SENTENCE_END: Final = re.compile(
    r"""[。！？；…]++[”’」』）】》"')\]]*+\s*+|(?<![.!?])[.!?]++["')\]”’]*+\s++|\n\s*+""",
)


def split_sentences(text: str) -> list[Span]:
    """Return the sentences of a text in order, without the blanks around them.

    A line end inside a sentence, as in wrapped text, does not end it. What has no letter and no digit is no sentence.
    """
    found: list[Span] = []
    start = 0
    for end in (*(match.end() for match in SENTENCE_END.finditer(text) if not _is_wrap(text, match)), len(text)):
        piece = text[start:end]
        blanks = len(piece) - len(piece.lstrip())
        if any(character.isalnum() for character in piece):
            found.append(Span(start=start + blanks, end=start + len(piece.rstrip())))
        start = end
    return found


def _is_wrap(text: str, match: re.Match[str]) -> bool:
    """Whether it is one line end, and the next line goes on in lower case."""
    is_line_end = match[0].startswith("\n") and match[0].count("\n") == 1
    return is_line_end and text[match.end() : match.end() + 1].islower()
