"""Numbers, durations and foreign text, formatted for people."""

from __future__ import annotations

import re
from typing import Final

SNIPPET_CHARACTERS: Final = 180  # characters; two lines of a wide terminal
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # could repaint the terminal


def plain(text: str) -> str:
    """Replace characters of foreign text that could move the cursor or reverse the line."""
    return _CONTROL.sub("�", text)


def flat(text: str) -> str:
    """Put the text on one line, without tabs."""
    return plain(" ".join(text.split()))


def snippet(text: str, *, characters: int = SNIPPET_CHARACTERS) -> str:
    """Return the start of the text, on one line."""
    short = flat(text)
    return short if len(short) <= characters else short[: characters - 1].rstrip() + "…"


def number(value: float | None, *, digits: int = 3) -> str:
    """Format a score, or a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"


def amount(value: float) -> str:
    """Format a count for people: 1,234."""
    return f"{value:,.0f}"


def percent(share: float) -> str:
    """`90%`, `99.5%`: a promised share must not be rounded up to one that is not promised."""
    return f"{round(100.0 * share, 2):g}%"


def counted(count: int, noun: str) -> str:
    """`1 collection`, `2,000 documents`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float) -> str:
    """`3.2 s`, `2 min 05 s`, `1 h 03 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
