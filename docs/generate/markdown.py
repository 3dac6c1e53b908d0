"""Markdown, as the pages of the reference need it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Final


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. Every row has as many cells as the head."""
    lines = [list(head), ["---"] * len(head), *(list(row) for row in rows)]
    assert all(len(line) == len(head) for line in lines), "a row has too few or too many cells. This is a bug."
    return "".join("| " + " | ".join(cell(text) for text in line) + " |\n" for line in lines)


def cell(text: str) -> str:
    """Text that fits into one cell: on one line, with its bars escaped.

    Readers disagree about a backslash before a bar within backticks, so code that has one is written as HTML.
    """
    parts = re.split(r"(`[^`]*`)", re.sub(r"\s+", " ", escaped(text)).strip())
    parts[::2] = [part.replace("|", "\\|") for part in parts[::2]]
    parts[1::2] = [_as_html(part.strip("`")) if "|" in part else part for part in parts[1::2]]
    return "".join(parts)


def _as_html(text: str) -> str:
    return f"<code>{html.escape(text, quote=False).replace('|', '&#124;')}</code>"


def escaped(text: str) -> str:
    """Text in which only backticks and links mean something: `*`, `__` and `<` stand for themselves."""
    outside = re.split(r"(`[^`]*`)", text)
    outside[::2] = [re.sub(r"\*|__|<", lambda found: MEANT[found[0]], part) for part in outside[::2]]
    return "".join(outside)


MEANT: Final = {"*": "\\*", "__": "\\_\\_", "<": "&lt;"}


def code(text: object) -> str:
    """`text` in code style; nothing for an empty text."""
    return f"`{text}`" if str(text) else ""


def prose(text: str) -> str:
    """A docstring as paragraphs, each on one line. What is indented stays as it is."""
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(each if each.startswith("    ") else " ".join(escaped(each).split()) for each in paragraphs)


def anchor(heading: str) -> str:
    """The anchor that Markdown readers give to a heading."""
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip())
