"""Reads the queries of a golden set from files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest

if TYPE_CHECKING:
    from winnow.retrieval.catalog.stability import GoldenQuery

FILE_BYTES_MAX: Final = 64_000_000  # bytes; a golden set has hundreds of queries


def read_query_file(path: Path) -> list[dict[str, Any]]:
    """Return the queries of a file as request bodies have them.

    A `.jsonl` file has an object per line: `query` (or `text`), and perhaps `judgments`. Any other file has a query
    per line. Raises `CorpusUnreadable`, `InvalidRequest`.
    """
    lines = [(number, line.strip()) for number, line in enumerate(_lines(path), start=1)]
    if path.suffix != ".jsonl":
        return [{"query": line} for _, line in lines if line]
    return [_query_of(line, f"{path.name}, line {number}") for number, line in lines if line]


def read_judged_folder(folder: Path, split: str) -> list[dict[str, Any]]:
    """Return the judged queries of a folder in BEIR's form. Raises `CorpusUnreadable`."""
    from winnow.indexer.readers.beir import read_qrels, read_queries

    queries, judgments = read_queries(folder), read_qrels(folder, split)
    return [{"query": queries[key], "judgments": dict(judgments[key])} for key in judgments if key in queries]


def read_paraphrases(path: Path, queries: Sequence[GoldenQuery]) -> dict[str, list[str]]:
    """Return the paraphrases in a `.jsonl` file, by query: objects with `query` and `paraphrases`, a list.

    Raises `InvalidRequest` if none of the queries is in the file, and `CorpusUnreadable`.
    """
    found: dict[str, list[str]] = {}
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            record = _object(line, f"{path.name}, line {number}")
            query, others = record.get("query"), record.get("paraphrases") or []
            if not isinstance(query, str) or not _is_texts(others):
                raise InvalidRequest(f"{path.name}, line {number}: 'query' and a list 'paraphrases' are expected")
            found.setdefault(query, []).extend(others)
    known = {each.query: found[each.query] for each in queries if each.query in found}
    if not known:
        raise InvalidRequest(f"{path.name} has paraphrases of none of the golden set's queries")
    return known


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and each.strip() for each in value)


def _query_of(line: str, where: str) -> dict[str, Any]:
    record = _object(line, where)
    if "query" not in record and "text" in record:  # as queries.jsonl of BEIR names it
        return {"query": record["text"]}
    unknown = set(record) - {"query", "judgments"}
    if unknown or "query" not in record:
        raise InvalidRequest(f"{where}: an object with 'query' and perhaps 'judgments' is expected")
    return record


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise InvalidRequest(f"{where}: it is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise InvalidRequest(f"{where}: an object is expected")
    return record


def _lines(path: Path) -> list[str]:
    """Split at line feeds only: a JSON string may contain the other characters that `str.splitlines` splits at."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise CorpusUnreadable(f"{path} has more than {FILE_BYTES_MAX} bytes")
        return path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise CorpusUnreadable(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CorpusUnreadable(f"{path} is not UTF-8") from error
