"""Writes judgments as BEIR's files: qrels as a .tsv, queries as JSON Lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from winnow.retrieval.catalog.judgments import Qrels
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.files.durable import write_errors
from winnow.retrieval.records import is_text

HEADER: Final = "query-id\tcorpus-id\tscore\n"


def check_paths(qrels: Path, queries: Path | None, texts: Path | None) -> None:
    """Check the files of an export before any is written. Raises `InvalidRequest`."""
    if queries is not None and queries.suffix != ".jsonl":
        raise InvalidRequest(f"--queries {queries}: name it .jsonl; readers of queries go by the name")
    flags = {"--qrels": qrels, "--queries": queries, "--texts": texts}
    named = [(flag, path.resolve()) for flag, path in flags.items() if path is not None]
    for place, (flag, path) in enumerate(named):
        same = next((other for other, earlier in named[:place] if earlier == path), None)
        if same is not None:
            raise InvalidRequest(f"{same} and {flag} are the same file, {path}; name another one")


def write_qrels(path: Path, qrels: Qrels) -> int:
    """Write one line for each query and document, and return how many. Raises `WriteFailed`.

    Ids that the format cannot hold are left out.
    """
    lines = [
        f"{query_id}\t{document_id}\t{grade}\n"
        for query_id, documents in qrels.grades.items()
        for document_id, grade in documents.items()
        if _fits(query_id) and _fits(document_id)
    ]
    with write_errors(path):
        path.write_text(HEADER + "".join(lines), encoding="utf-8", newline="")
    return len(lines)


def write_query_texts(path: Path, qrels: Qrels) -> None:
    """Write the queries whose text is known. Raises `WriteFailed`."""
    lines = b"".join(orjson.dumps({"_id": each, "text": text}) + b"\n" for each, text in _texts(qrels))
    with write_errors(path):
        path.write_bytes(lines)


def _texts(qrels: Qrels) -> Iterator[tuple[str, str]]:
    return ((query_id, text) for query_id, text in qrels.texts.items() if is_text(text))


def _fits(id_: str) -> bool:
    return is_text(id_) and not any(each in id_ for each in "\t\r\n")
