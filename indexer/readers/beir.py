"""Reads BEIR folders: corpus, queries and relevance judgments.

Two layouts are supported, each file plain, .gz or .zst:

    corpus.jsonl  queries.jsonl  qrels/{split}.tsv     as BEIR publishes its sets
    corpus.jsonl  queries.jsonl  qrels.tsv             one set of judgments, whatever the split
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import orjson

from winnow.indexer.readers.lines import read_lines
from winnow.retrieval.errors import CorpusUnreadable

Judgments: TypeAlias = Mapping[str, Mapping[str, int]]  # query id -> document id -> grade; 0 is "read, not relevant"

_COMPRESSIONS: Final = ("", ".gz", ".zst")
_BEIR_COLUMNS: Final = 3  # query-id, corpus-id, score, separated by tabs, after a header
_TREC_COLUMNS: Final = 4  # query, iteration, document, grade, separated by tabs or spaces, no header


def is_beir(folder: Path) -> bool:
    """Whether the folder contains a BEIR corpus."""
    return _find(folder / "corpus.jsonl") is not None


def corpus_file(folder: Path) -> Path:
    return _require(folder / "corpus.jsonl")


def read_queries(folder: Path) -> Mapping[str, str]:
    """Read query texts by id, in file order. Raises `CorpusUnreadable`, which names the line."""
    path = _require(folder / "queries.jsonl")
    queries: dict[str, str] = {}
    for line in read_lines(path):
        if line.content is not None and not line.content.strip():
            continue
        try:
            record = orjson.loads(line.content or b"")
            query_id, text = str(record["_id"]), record["text"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise CorpusUnreadable(f"{path}, line {line.number}: not a query with _id and text") from error
        if not isinstance(text, str):
            raise CorpusUnreadable(f"{path}, line {line.number}: the text is not a string")
        queries[query_id] = text
    return queries


def read_qrels(folder: Path, split: str = "test") -> Judgments:
    """Read grades by query and document. Raises `CorpusUnreadable`, which names the line."""
    return read_qrels_file(_find(folder / "qrels" / f"{split}.tsv") or _require(folder / "qrels.tsv"))


def read_qrels_file(path: Path) -> Judgments:
    """Read grades by query and document from one file. Raises `CorpusUnreadable`, which names the line."""
    judgments: dict[str, dict[str, int]] = {}
    for number, (query_id, document_id, grade) in _judgment_rows(path):
        try:
            judgments.setdefault(query_id, {})[document_id] = int(grade)
        except ValueError as error:
            raise CorpusUnreadable(f"{path}, line {number}: the grade {grade!r} is not a whole number") from error
    return judgments


def _judgment_rows(path: Path) -> Iterator[tuple[int, tuple[str, str, str]]]:
    for line in read_lines(path):
        try:
            text = (line.content or b"").decode("utf-8-sig" if line.number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise CorpusUnreadable(f"{path}, line {line.number}: not UTF-8") from error
        columns = _columns(text.rstrip("\r\n"))
        if not columns or (line.number == 1 and not columns[-1].strip().removeprefix("-").isdigit()):
            continue  # a blank line, or the header
        match columns:
            case [query_id, document_id, grade] | [query_id, _, document_id, grade]:
                yield line.number, (query_id, document_id, grade)
            case _:
                raise CorpusUnreadable(
                    f"{path}, line {line.number}: {len(columns)} columns; "
                    f"expected {_BEIR_COLUMNS} (BEIR) or {_TREC_COLUMNS} (TREC)"
                )


def _columns(line: str) -> list[str]:
    """Split at tabs if that gives the right number (ids may contain spaces); else at whitespace, like TREC's tools."""
    at_tabs = line.split("\t")
    return at_tabs if len(at_tabs) in (_BEIR_COLUMNS, _TREC_COLUMNS) else line.split()


def _find(path: Path) -> Path | None:
    candidates = (path.with_name(path.name + compression) for compression in _COMPRESSIONS)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _require(path: Path) -> Path:
    found = _find(path)
    if found is None:
        raise CorpusUnreadable(f"{path.parent} contains no {path.name} (nor .gz, .zst)")
    return found
