"""Marks sentences of a passage for a person at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from winnow.api.formatting import flat, snippet

if TYPE_CHECKING:
    from winnow.rerank.highlight import Highlight

HIT_STYLE: Final = "bold black on yellow"


def mark_text(text: str, spans: Sequence[Highlight], *, whole: bool) -> list[tuple[str, str]]:
    """Return the parts of a text on one line, each with its style.

    With highlights, the text is shown from the first to the last one unless `whole`; without any, its beginning.
    """
    if not spans:
        return [(flat(text) if whole else snippet(text), "")]
    place, last = (0, len(text)) if whole else (spans[0].start, spans[-1].end)
    parts = [("… " if place else "", "")]
    for span in spans:
        parts += [(_in_line(text[place : span.start]), ""), (flat(text[span.start : span.end]), HIT_STYLE)]
        place = span.end
    return [*parts, (_in_line(text[place:last]), ""), (" …" if last < len(text) else "", "")]


def _in_line(text: str) -> str:
    """Like `flat`, with one blank where the text has blanks at its ends."""
    inner = flat(text)
    before, after = text[:1].isspace(), text[-1:].isspace()
    return f"{' ' * before}{inner}{' ' * (after and bool(inner))}"
