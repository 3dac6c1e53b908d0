"""The queries to learn from, and their candidates.

Queries come from a file, or are the titles of the collection's documents. Either way their order is drawn with the
seed, so that any beginning of them is a sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from winnow.indexer.readers.query_file import read_query_file
from winnow.retrieval.limits import QUERY_CHARACTERS_MAX
from winnow.retrieval.records import Document
from winnow.retrieval.store.contract import StoreSnapshot

TITLE_CHARACTERS: Final = range(4, 201)  # a shorter or longer title is no question
DOCUMENTS_READ_PER_QUERY: Final = 4  # documents looked at for each title that is wanted; not all have one


def read_queries(path: Path, *, seed: int, count: int) -> Mapping[str, str]:
    """A sample of the file's queries by id, each text once. Raises `CorpusUnreadable`."""
    texts = {query_id: text.strip() for query_id, text in read_query_file(path).items()}
    usable = {query_id: text for query_id, text in texts.items() if 0 < len(text) <= QUERY_CHARACTERS_MAX}
    return _sample(usable, seed=seed, count=count)


def title_queries(snapshot: StoreSnapshot, *, seed: int, count: int) -> Mapping[str, str]:
    """Titles, or first headings, of a sample of the documents, by document id."""
    ids = _drawn(snapshot.content_hashes(), seed)[: count * DOCUMENTS_READ_PER_QUERY]
    titles = ((each, _title_of(snapshot.document(each))) for each in ids)
    usable = {each: title for each, title in titles if len(title) in TITLE_CHARACTERS}
    return _sample(usable, seed=seed, count=count)


def _title_of(document: Document) -> str:
    return " ".join((document.title or next(_headings(document.text.splitlines()), "")).split())


def _headings(lines: Sequence[str]) -> Iterator[str]:
    return (line.lstrip("#").strip() for line in lines if line.startswith("#"))


def _sample(texts: Mapping[str, str], *, seed: int, count: int) -> dict[str, str]:
    """The first `count` in drawn order, of those that differ in more than case and blanks."""
    seen: set[str] = set()
    chosen: dict[str, str] = {}
    for query_id in _drawn(texts, seed):
        alike = " ".join(texts[query_id].casefold().split())
        if alike not in seen and len(chosen) < count:
            seen.add(alike)
            chosen[query_id] = texts[query_id]
    return chosen


def _drawn(ids: Iterable[str], seed: int) -> list[str]:
    """The ids in an order that depends on the seed and on nothing else."""
    return sorted(ids, key=lambda each: hashlib.sha256(f"{seed} {each}".encode("utf-8", "surrogatepass")).digest())
