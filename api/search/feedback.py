"""Feedback: what people say about the results of a search, by the id of its answer.

The process that answered a search remembers it for a while, in memory: no search is written to disk until someone
judges one of its results. A search of another tenant is as unknown as one that never was.
"""

from __future__ import annotations

import struct
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from winnow.api.search.first_stage import find_collection
from winnow.api.search.records import Answer, Question
from winnow.retrieval.bounded_cache import CacheState, entry_bytes
from winnow.retrieval.catalog.judgments import Judgment, Place, digest_of
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.judgments import SqlJudgmentBook
from winnow.retrieval.errors import InvalidRequest, SearchNotFound
from winnow.retrieval.limits import SEARCHES_REMEMBERED_BYTES_MAX, SEARCHES_REMEMBERED_SECONDS
from winnow.retrieval.tenancy import TenantName

_HEAD: Final = struct.Struct("<dII")  # until when it is held, and the bytes of the collection's name and the query
_HASH_BYTES: Final = 5  # of the id of a shown document; the ids themselves take ten times the memory
_HASH_MAX: Final = (1 << 8 * _HASH_BYTES) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What feedback needs of an answered search."""

    collection: str  # as the search named it
    query: str
    shown: bytes  # hashes of the ids of documents, one after the other

    def has_shown(self, document_id: str) -> bool:
        """Hashes differ in every process. Of 100 shown, an id that was not passes once in 10^10 tries."""
        wanted, starts = _hash_of(document_id), range(0, len(self.shown), _HASH_BYTES)
        return any(self.shown[start : start + _HASH_BYTES] == wanted for start in starts)


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
        self._found: dict[TenantName, OrderedDict[bytes, bytes]] = {}  # by id, packed; the oldest first
        self._bytes: dict[TenantName, int] = {}
        self._evictions = 0

    @property
    def state(self) -> CacheState:
        held, counted = list(self._found.values()), list(self._bytes.values())  # copies: /metrics may ask in a thread
        return CacheState(entries=sum(map(len, held)), bytes=sum(counted), evictions=self._evictions)

    def add(self, question: Question, answer: Answer) -> None:
        """Remember an answered search."""
        shown = dict.fromkeys(result.best.candidate.chunk.document_id for result in answer.results)
        key, packed = answer.id.encode(), _pack(question, shown, until=self._clock() + self._seconds_max)
        self._found.setdefault(question.tenant, OrderedDict())[key] = packed
        self._bytes[question.tenant] = self._bytes.get(question.tenant, 0) + _cost(key, packed)
        self._drop_old(question.tenant)
        while sum(self._bytes.values()) > self._bytes_max:
            self._drop_oldest(max(self._bytes, key=self._bytes.__getitem__))
            self._evictions += 1

    def find(self, tenant: TenantName, search_id: str) -> Searched:
        """Raises `SearchNotFound`."""
        self._drop_old(tenant)
        held = self._found.get(tenant)
        packed = None if held is None else held.get(search_id.encode("utf-8", "surrogatepass"))
        if packed is None:
            hours = SEARCHES_REMEMBERED_SECONDS // 3600
            raise SearchNotFound(
                f"{search_id[:80]} is not a search that this service answered for you in the last {hours} hours, or it "
                "has restarted since; search again and judge the new answer"
            )
        return _unpack(packed)

    def _drop_old(self, tenant: TenantName) -> None:
        now = self._clock()
        while (held := self._found.get(tenant)) and _HEAD.unpack_from(next(iter(held.values())))[0] <= now:
            self._drop_oldest(tenant)

    def _drop_oldest(self, tenant: TenantName) -> None:
        held = self._found[tenant]
        self._bytes[tenant] -= _cost(*held.popitem(last=False))
        if not held:
            del self._found[tenant], self._bytes[tenant]


def _pack(question: Question, shown: Iterable[str], *, until: float) -> bytes:
    """One object for each search: five took twice the memory."""
    collection, query = (text.encode("utf-8", "surrogatepass") for text in (question.collection, question.query))
    head = _HEAD.pack(until, len(collection), len(query))
    return b"".join((head, collection, query, *map(_hash_of, shown)))


def _unpack(packed: bytes) -> Searched:
    _, named, asked = _HEAD.unpack_from(packed)
    texts = packed[_HEAD.size :]
    return Searched(
        collection=texts[:named].decode("utf-8", "surrogatepass"),
        query=texts[named : named + asked].decode("utf-8", "surrogatepass"),
        shown=texts[named + asked :],
    )


def _hash_of(document_id: str) -> bytes:
    return (hash(document_id) & _HASH_MAX).to_bytes(_HASH_BYTES, "little")


def _cost(key: bytes, packed: bytes) -> int:
    return entry_bytes(len(packed), key_bytes=len(key))


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
