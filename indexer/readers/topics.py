"""Reads TREC topics: `<top> <num> Number: 301 <title> text ... </top>`, plain, .gz or .zst. The title is the query."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Final

from winnow.indexer.readers.lines import read_lines
from winnow.retrieval.errors import CorpusUnreadable

_TOPIC: Final = re.compile(r"<top>(.*?)(?:</top>|(?=<top>)|\Z)", re.DOTALL | re.IGNORECASE)
_NUMBER: Final = re.compile(r"<num>\s*(?:number\s*:)?\s*([^\s<]+)", re.IGNORECASE)
_TITLE: Final = re.compile(r"<title>\s*(?:topic\s*:)?([^<]*)", re.IGNORECASE)


def read_topics(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ids and texts in file order; nothing if the file has no topics. Raises `CorpusUnreadable`."""
    text = b"\n".join(line.content or b"" for line in read_lines(path)).decode("utf-8-sig", "replace")
    for place, topic in enumerate(_TOPIC.findall(text), start=1):
        number, title = _NUMBER.search(topic), _TITLE.search(topic)
        query = " ".join(unescape(title[1]).split()) if title else ""
        if number is None or not query:
            raise CorpusUnreadable(f"{path}: topic {place} has no <num> or no <title>")
        yield number[1], query
