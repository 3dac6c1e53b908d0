"""The queries of an evaluation and their judgments, from a BEIR folder or from files of their own."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from winnow.indexer.readers.beir import Judgments, read_qrels, read_qrels_file, read_queries
from winnow.indexer.readers.query_file import read_query_file
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest

SAMPLE_SEED: Final = 20260  # the same sample every time: two evaluations of one sample can be compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A query with judgments."""

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where queries and judgments are read from; a file of its own replaces the folder's."""

    folder: Path | None = None  # in BEIR's format; None: there are no documents to index
    queries: Path | None = None
    qrels: Path | None = None
    split: str = "test"  # of the folder's judgments
    sample: int | None = None  # queries; None asks all

    def read(self) -> Judged:
        """Raises `CorpusUnreadable`, which names the line, and `InvalidRequest` if a source is missing."""
        judgments = read_qrels_file(self.qrels) if self.qrels else read_qrels(self._folder("--qrels"), self.split)
        queries = read_query_file(self.queries) if self.queries else read_queries(self._folder("--queries"))
        cases = judged_cases(queries, judgments, sample=self.sample)
        if not cases:
            raise CorpusUnreadable(
                f"{self.queries or self.folder} has no query with a relevant document in {self.qrels or self.folder}; "
                "check that both have the same query ids"
            )
        return Judged(cases=cases, judgments=judgments)

    def _folder(self, flag: str) -> Path:
        if self.folder is None:
            raise InvalidRequest(f"without a BEIR folder, pass {flag} FILE")
        return self.folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The queries that are asked, and all grades."""

    cases: Sequence[Case]
    judgments: Judgments


def judged_cases(queries: Mapping[str, str], judgments: Judgments, *, sample: int | None) -> list[Case]:
    """Queries that have a relevant document, in the order of the file; `sample` takes a fixed sample."""
    cases = [
        Case(id=query_id, text=text)
        for query_id, text in queries.items()
        if any(grade > 0 for grade in judgments.get(query_id, {}).values())
    ]
    if sample is None or sample >= len(cases):
        return cases
    chosen = sorted(random.Random(SAMPLE_SEED).sample(range(len(cases)), sample))  # noqa: S311  not a secret
    return [cases[place] for place in chosen]
