"""Reads queries from a file of their own: JSON Lines with `_id` or `id` and `text`, or lines of id, tab, text.

The format follows from the name: .jsonl or .tsv, plain, .gz or .zst. A file of another name is read as TREC topics. A
header of a table is read as a query; no judgment has its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

from winnow.indexer.readers.lines import Line, read_lines
from winnow.indexer.readers.topics import read_topics
from winnow.retrieval.errors import CorpusUnreadable

_COMPRESSIONS: Final = (".gz", ".zst")


def read_query_file(path: Path) -> Mapping[str, str]:
    """Read query texts by id, in file order. Raises `CorpusUnreadable`, which names the line."""
    bare = path.with_suffix("") if path.suffix in _COMPRESSIONS else path
    parse = {".jsonl": _from_json, ".tsv": _from_columns}.get(bare.suffix)
    if parse is None:
        return _topics(path)
    queries: dict[str, str] = {}
    for line in read_lines(path):
        if line.content is not None and not line.content.strip():
            continue
        try:
            query_id, text = parse(line)
        except (ValueError, KeyError, TypeError) as error:
            raise CorpusUnreadable(f"{path}, line {line.number}: not a query with an id and a text") from error
        if query_id in queries:
            raise CorpusUnreadable(f"{path}, line {line.number}: the id {query_id!r} is there twice")
        queries[query_id] = text
    return queries


def _topics(path: Path) -> Mapping[str, str]:
    queries: dict[str, str] = {}
    for query_id, text in read_topics(path):
        if query_id in queries:
            raise CorpusUnreadable(f"{path}: the id {query_id!r} is there twice")
        queries[query_id] = text
    if not queries:
        raise CorpusUnreadable(
            f"{path}: a file of queries is named .jsonl or .tsv (with .gz or .zst behind it), or holds TREC topics"
        )
    return queries


def _from_json(line: Line) -> tuple[str, str]:
    record = orjson.loads(line.content or b"")
    query_id, text = record["_id"] if "_id" in record else record["id"], record["text"]
    if not isinstance(text, str):
        raise TypeError("the text is not a string")
    return str(query_id), text


def _from_columns(line: Line) -> tuple[str, str]:
    query_id, text = (line.content or b"").decode("utf-8-sig" if line.number == 1 else "utf-8").split("\t")
    return query_id, text
