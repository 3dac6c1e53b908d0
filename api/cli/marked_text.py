"""Marks sentences of a passage for a person at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from winnow.api.formatting import flat, snippet

HIT_STYLE: Final = "bold black on yellow"


def mark_text(text: str, spans: Sequence[tuple[int, int]], *, whole: bool) -> list[tuple[str, str]]:
    """Return the parts of a text on one line, each with its style. A span is the characters of a highlight, half-open.

    With highlights, the text is shown from the first to the last one unless `whole`; without any, its beginning.
    """
    if not spans:
        return [(flat(text) if whole else snippet(text), "")]
    place, last = (0, len(text)) if whole else (spans[0][0], spans[-1][1])
    parts = [("… " if place else "", "")]
    for start, end in spans:
        parts += [(_in_line(text[place:start]), ""), (flat(text[start:end]), HIT_STYLE)]
        place = end
    return [*parts, (_in_line(text[place:last]), ""), (" …" if last < len(text) else "", "")]


def _in_line(text: str) -> str:
    """Like `flat`, with one blank where the text has blanks at its ends."""
    inner = flat(text)
    before, after = text[:1].isspace(), text[-1:].isspace()
    return f"{' ' * before}{inner}{' ' * (after and bool(inner))}"
