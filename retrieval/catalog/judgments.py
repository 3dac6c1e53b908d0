"""Judgments: which documents answer a query, according to a person or a model. Their records and rules.

Rule 1: a query is stored as its SHA-256; its text only while the tenant allows that. Rule 2: what a model judged is
marked, and is read together with what people judged only where that is requested. Rule 3: a judge who judges a document
for the same query a second time replaces the first judgment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from statistics import median_low
from types import MappingProxyType
from typing import Final

from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import GRADE_MAX, JUDGE_CHARACTERS_MAX, QUERY_CHARACTERS_MAX
from winnow.retrieval.tenancy import TenantName

CLICK_GRADE: Final = 1  # grade of a click where clicks are read as judgments
ID_CHARACTERS: Final = 16  # of a digest, in the query ids of an export


class JudgmentSource(StrEnum):
    """What kind of judge it was."""

    PERSON = "person"
    MODEL = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A collection that a tenant searches: its own, or one that was granted to it."""

    owner: str
    name: str

    @classmethod
    def named(cls, collection: str, *, asker: str) -> Place:
        """Read NAME or OWNER/NAME, as the asker's searches name it. It need not exist."""
        owner, _, name = collection.rpartition("/")
        return cls(owner=owner or asker, name=name)

    def seen_by(self, tenant: TenantName) -> str:
        """The name that this tenant's searches use."""
        return self.name if self.owner == tenant else f"{self.owner}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgment:
    """What one judge says about one document and one query."""

    tenant: TenantName  # of the judge
    place: Place
    query_sha256: str
    query: str | None  # None: its text is not kept
    document_id: str
    grade: int | None  # 0 is "read, not relevant"; None: the document was opened, nothing was said about it
    source: JudgmentSource = JudgmentSource.PERSON
    judge: str  # a name, or the reranker's
    at: datetime  # UTC

    def __post_init__(self) -> None:
        """Raises `InvalidRequest`."""
        if self.grade is not None and not 0 <= self.grade <= GRADE_MAX:
            raise InvalidRequest(f"the grade {self.grade} of {self.document_id!r}: grades are 0 to {GRADE_MAX}")
        if not self.judge.strip() or len(self.judge) > JUDGE_CHARACTERS_MAX:
            raise InvalidRequest(f"the name of a judge has 1 to {JUDGE_CHARACTERS_MAX} characters")
        if self.query is not None and not 0 < len(self.query) <= QUERY_CHARACTERS_MAX:
            raise InvalidRequest(f"a query has 1 to {QUERY_CHARACTERS_MAX} characters")

    @property
    def is_click(self) -> bool:
        return self.grade is None

    def without_text(self) -> Judgment:
        return replace(self, query=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJudgment:
    """A judgment and its number in the catalog."""

    number: int  # ascending in time
    judgment: Judgment


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which judgments of a tenant are meant. None means all."""

    place: Place | None = None
    judge: str | None = None
    source: JudgmentSource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Qrels:
    """Judgments, one grade for each query and document."""

    grades: Mapping[str, Mapping[str, int]]  # by query id and document id
    texts: Mapping[str, str]  # by query id; a query whose text is unknown has none

    @property
    def without_text(self) -> int:
        """The number of queries whose text is unknown."""
        return len(self.grades) - len(self.texts)


def digest_of(query: str) -> str:
    """Return the SHA-256 that stands for a query."""
    return hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()


def query_id_of(digest: str) -> str:
    """Return the query id of an export: a part of the digest, so it is the same in every export."""
    return f"q{digest[:ID_CHARACTERS]}"


def qrels_of(
    judgments: Iterable[Judgment], *, clicks: bool = False, texts: Mapping[str, str] = MappingProxyType({})
) -> Qrels:
    """Merge judgments into one grade for each query and document.

    People's grades come before a model's, and a model's before clicks, which count only with `clicks`. Of several
    grades the median counts, of two middle ones the lower. `texts` are queries that the caller knows, by id; those that
    were judged keep their id.
    """
    ranks: dict[tuple[str, str], tuple[int, list[int]]] = {}
    known = {digest_of(text): (query_id, text) for query_id, text in texts.items()}
    kept: dict[str, str] = {}
    for each in judgments:
        if each.is_click and not clicks:
            continue
        rank = 2 if each.is_click else int(each.source is JudgmentSource.MODEL)
        grade = CLICK_GRADE if each.grade is None else each.grade
        pair = (each.query_sha256, each.document_id)
        best, grades = ranks.get(pair, (rank, []))
        if rank < best:
            best, grades = rank, []
        ranks[pair] = (best, [*grades, grade] if rank == best else grades)
        if each.query is not None:
            kept[each.query_sha256] = each.query
    merged: dict[str, dict[str, int]] = {}
    found: dict[str, str] = {}
    for (digest, document_id), (_, grades) in ranks.items():
        query_id, text = known.get(digest, (query_id_of(digest), kept.get(digest)))
        merged.setdefault(query_id, {})[document_id] = median_low(grades)
        if text is not None:
            found[query_id] = text
    return Qrels(grades=merged, texts=found)
