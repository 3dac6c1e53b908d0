"""The synchronous Python client, made from the asynchronous one by replacing words: they cannot differ."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).resolve().parents[2] / "clients" / "python" / "winnow_client"
SOURCE: Final = PACKAGE / "async_client.py"
TITLE: Final = '"""The synchronous client. Written by `python -m docs.generate` from async_client.py."""\n'
TEXTS: Final = (  # before words
    ("from winnow_client.async_tools import each\n", ""),
    ("in each(documents)", "in documents"),
    ("Iterable[SentDocument] | AsyncIterable[SentDocument]", "Iterable[SentDocument]"),
    ("import AsyncIterable, AsyncIterator, Iterable, Mapping", "import Iterable, Iterator, Mapping"),
)
WORDS: Final[Mapping[str, str]] = {
    "AsyncClient": "Client",
    "AsyncTransport": "Transport",
    "AsyncIterator": "Iterator",
    "async_transport": "transport",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
}


def module() -> str:
    """Return the source text, before it is formatted. Raises `ValueError` where a text to replace is missing."""
    _, text = SOURCE.read_text(encoding="utf-8").split("\n", 1)
    for before, after in TEXTS:
        if before not in text:
            raise ValueError(f"{SOURCE.name} does not contain {before!r}; change the rules that make client.py of it")
        text = text.replace(before, after)
    text = re.sub(r"\b(async|await) ", "", text)
    text = re.sub(r"\b(" + "|".join(WORDS) + r")\b", lambda found: WORDS[found[0]], text)
    return TITLE + text
