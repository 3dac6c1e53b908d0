"""Splits a prompt into pieces that a page can colour: the smallest runs of tokens that hold whole characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

INSTRUCT: Final = "<Instruct>: "
QUERY: Final = "\n<Query>: "
DOCUMENT: Final = "\n<Document>:"
INCOMPLETE: Final = "\ufffd"  # at the end of decoded tokens: the character continues in the next token
RUN_MAX: Final = 8  # tokens; no character needs more, but a text may itself hold many U+FFFD


class PromptPart(StrEnum):
    """What a piece of a prompt is."""

    PREFIX = "prefix"
    LABEL = "label"  # such as `<Query>: `
    INSTRUCTION = "instruction"
    QUERY = "query"
    FIELDS = "fields"
    DOCUMENT = "document"  # title and text
    SUFFIX = "suffix"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPiece:
    """A run of tokens of one part."""

    part: PromptPart
    text: str
    tokens: int  # more than one where a character needs several


def question_spans(text: str, *, instruction: str, query: str) -> list[tuple[PromptPart, int]]:
    """Return the parts between prefix and document with their ends in `text`; one label if the prompt cut a text."""
    instruction, query = (unicodedata.normalize("NFC", each) for each in (instruction, query))
    if text != f"{INSTRUCT}{instruction}{QUERY}{query}{DOCUMENT}":
        return [(PromptPart.LABEL, len(text))]
    ends = [
        (PromptPart.LABEL, len(INSTRUCT)),
        (PromptPart.INSTRUCTION, len(instruction)),
        (PromptPart.LABEL, len(QUERY)),
        (PromptPart.QUERY, len(query)),
        (PromptPart.LABEL, len(DOCUMENT)),
    ]
    return _summed(ends)


def document_spans(text: str, *, head: str) -> list[tuple[PromptPart, int]]:
    """Return fields and document with their ends in `text`."""
    head = unicodedata.normalize("NFC", f" {head}") if head else ""
    if not head or not text.startswith(head):
        return [(PromptPart.DOCUMENT, len(text))]
    return [(PromptPart.FIELDS, len(head)), (PromptPart.DOCUMENT, len(text))]


def pieces_of(
    ids: Sequence[int], spans: Sequence[tuple[PromptPart, int]], decode: Callable[[Sequence[int]], str]
) -> Iterator[PromptPiece]:
    """Yield the pieces of these tokens. A piece belongs to the part of its first character that is no space."""
    run: list[int] = []
    place, ends = 0, iter(spans)
    part, end = next(ends)
    for read, token in enumerate(ids, start=1):
        run.append(token)
        text = decode(run)
        if text.endswith(INCOMPLETE) and len(run) < RUN_MAX and read < len(ids):
            continue
        first = place + (len(text) - len(text.lstrip()) if text.strip() else len(text) - 1)
        while first >= end:
            part, end = next(ends, (part, first + 1))
        place += len(text)
        yield PromptPiece(part=part, text=text, tokens=len(run))
        run = []


def _summed(lengths: Sequence[tuple[PromptPart, int]]) -> list[tuple[PromptPart, int]]:
    place, ends = 0, []
    for part, length in lengths:
        place += length
        ends.append((part, place))
    return ends
