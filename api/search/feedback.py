"""Feedback: what people say about the results of a search, by the id of its answer.

The process that answered a search remembers it for a while, in memory: no search is written to disk until someone
judges one of its results. A search of another tenant is as unknown as one that never was.
"""

from __future__ import annotations

import time
from array import array
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from winnow.api.search.first_stage import find_collection
from winnow.api.search.records import Answer, Question
from winnow.retrieval.catalog.judgments import Judgment, Place, digest_of
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.judgments import SqlJudgmentBook
from winnow.retrieval.errors import InvalidRequest, SearchNotFound
from winnow.retrieval.limits import SEARCHES_REMEMBERED_BYTES_MAX, SEARCHES_REMEMBERED_SECONDS
from winnow.retrieval.tenancy import TenantName

_ENTRY_BYTES: Final = 600  # of an entry without its texts
_ID_BYTES: Final = 8  # of a shown document
_CHARACTER_BYTES: Final = 4  # at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What feedback needs of an answered search."""

    collection: str  # as the search named it
    query: str
    shown: array[int]  # hashes of the ids of documents, each once: the ids take ten times the memory
    until: float  # by the clock
    bytes: int

    def has_shown(self, document_id: str) -> bool:
        """Hashes are of 64 bits and differ in every process: an id that was not shown passes once in 10^17 tries."""
        return hash(document_id) in self.shown


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackWish:
    """What a caller says about one result."""

    search_id: str
    document_id: str
    grade: int | None  # None: it was opened
    judge: str


class RecentSearches:
    """The answered searches of this process, bounded in bytes and age. Use it from one event loop.

    Where there is no more room, the tenant that has the most searches loses its oldest: no tenant can crowd out others.
    """

    def __init__(
        self,
        *,
        bytes_max: int = SEARCHES_REMEMBERED_BYTES_MAX,
        seconds_max: float = SEARCHES_REMEMBERED_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._clock = clock
        self._found: dict[TenantName, OrderedDict[str, Searched]] = {}
        self._bytes: dict[TenantName, int] = {}

    @property
    def bytes(self) -> int:
        """About how many are held."""
        return sum(self._bytes.values())

    def add(self, question: Question, answer: Answer) -> None:
        """Remember an answered search."""
        shown = array("q", dict.fromkeys(hash(result.best.candidate.chunk.document_id) for result in answer.results))
        searched = Searched(
            collection=question.collection,
            query=question.query,
            shown=shown,
            until=self._clock() + self._seconds_max,
            bytes=_ENTRY_BYTES + _CHARACTER_BYTES * len(question.query) + _ID_BYTES * len(shown),
        )
        self._found.setdefault(question.tenant, OrderedDict())[answer.id] = searched
        self._bytes[question.tenant] = self._bytes.get(question.tenant, 0) + searched.bytes
        self._drop_old(question.tenant)
        while self.bytes > self._bytes_max:
            self._drop_oldest(max(self._bytes, key=self._bytes.__getitem__))

    def find(self, tenant: TenantName, search_id: str) -> Searched:
        """Raises `SearchNotFound`."""
        self._drop_old(tenant)
        held = self._found.get(tenant)
        if held is None or search_id not in held:
            hours = SEARCHES_REMEMBERED_SECONDS // 3600
            raise SearchNotFound(
                f"{search_id[:80]} is not a search that this service answered for you in the last {hours} hours, or it "
                "has restarted since; search again and judge the new answer"
            )
        return held[search_id]

    def _drop_old(self, tenant: TenantName) -> None:
        now = self._clock()
        while (held := self._found.get(tenant)) and next(iter(held.values())).until <= now:
            self._drop_oldest(tenant)

    def _drop_oldest(self, tenant: TenantName) -> None:
        held = self._found[tenant]
        _, dropped = held.popitem(last=False)
        self._bytes[tenant] -= dropped.bytes
        if not held:
            del self._found[tenant], self._bytes[tenant]


class Feedback:
    """Turns feedback about recent searches into judgments."""

    def __init__(self, *, searches: RecentSearches, book: SqlJudgmentBook, catalog: SqlCollections) -> None:
        self.searches = searches
        self._book = book
        self._catalog = catalog

    def store(self, tenant: TenantName, wish: FeedbackWish, searched: Searched) -> Judgment:
        """Store a judgment and return it, without its query's text if that is not kept. Blocks.

        Raises `InvalidRequest` for a document that was not shown, `CollectionNotFound` for a collection that is gone or
        no longer granted, and what `SqlJudgmentBook` raises.
        """
        if not searched.has_shown(wish.document_id):
            raise InvalidRequest(f"the answer {wish.search_id} did not show the document {wish.document_id[:80]!r}")
        collection = find_collection(self._catalog, searched.collection, asker=tenant)
        judgment = Judgment(
            tenant=tenant,
            place=Place(owner=collection.tenant, name=collection.name),
            query_sha256=digest_of(searched.query),
            query=searched.query,
            document_id=wish.document_id,
            grade=wish.grade,
            judge=wish.judge,
            at=datetime.now(UTC),
        )
        return judgment if self._book.add([judgment]) else judgment.without_text()
