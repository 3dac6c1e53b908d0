"""What the tools of MCP ask: searches, documents and collections, of one caller.

An id names a collection and a document: `handbook/refunds`. Granted collections are written `owner%2Fhandbook`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import quote, unquote

from winnow.api.assemble import Services
from winnow.api.library.instructions import instruction_of
from winnow.api.search.first_stage import find_collection
from winnow.api.search.records import Answer, Question
from winnow.retrieval.errors import CollectionNotReady, DocumentNotFound, InvalidRequest
from winnow.retrieval.filters.grammar import parse_filter
from winnow.retrieval.records import JsonValue, Metadata
from winnow.retrieval.tenancy import TenantName

TOP_K_DEFAULT: Final = 10
COLLECTIONS_MAX: Final = 8  # that one search without a collection looks through

Ask = Callable[[Question], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolHit:
    """A passage that was found."""

    id: str
    title: str
    url: str
    text: str
    relevance: float | None  # None: it was not reranked
    metadata: Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDocument:
    """A whole document."""

    id: str
    title: str
    text: str
    url: str
    metadata: Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCollection:
    """A collection that can be searched."""

    name: str
    documents: int
    attributes: dict[str, str]  # that a filter may use, with their types


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSearch:
    """A search. What it leaves open, the server's own defaults decide."""

    query: str
    collection: str | None = None
    where: JsonValue = None  # in the grammar of filters, not parsed yet
    instruction: str | None = None  # a text, or NAME or NAME@VERSION of the library
    top_k: int = TOP_K_DEFAULT


class Library(Protocol):
    """Raises `CallerError` for what the caller can change."""

    async def search(self, wish: ToolSearch) -> Sequence[ToolHit]: ...

    async def fetch(self, id_: str) -> ToolDocument: ...

    async def collections(self) -> Sequence[ToolCollection]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a server searches, and how, where a call does not say."""

    collection: str | None = None  # None: all of the caller's own
    instruction: str | None = None


class ServiceLibrary:
    """A library over the services of this process."""

    def __init__(
        self,
        parts: Services,
        *,
        tenant: TenantName,
        ask: Ask,
        defaults: Defaults | None = None,
    ) -> None:
        self._parts = parts
        self._tenant = tenant
        self._ask = ask
        self._defaults = defaults or Defaults()

    async def search(self, wish: ToolSearch) -> Sequence[ToolHit]:
        """Of several collections the passages are merged by relevance; where some have none, in turn."""
        where = None if wish.where is None else parse_filter(wish.where)
        instruction = instruction_of(wish.instruction or self._defaults.instruction)
        found = []
        for name in await searched(self, wish.collection or self._defaults.collection):
            question = Question(
                tenant=self._tenant,
                collection=name,
                query=wish.query,
                top_k=wish.top_k,
                where=where,
                rerank_always=True,
                instruction=instruction,
            )
            try:
                found.append(_hits(name, await self._ask(question)))
            except CollectionNotReady:  # nothing has been indexed into it yet
                if wish.collection is not None:
                    raise
        return merged(found)[: wish.top_k]

    async def fetch(self, id_: str) -> ToolDocument:
        name, document_id = split_id(id_)

        def read() -> ToolDocument:
            collection = find_collection(self._parts.disk.catalog.collections, name, asker=self._tenant)
            document = self._parts.ingest.document(collection.tenant, collection.name, document_id)
            return ToolDocument(
                id=id_,
                title=document.title or document_id,
                text=document.text,
                url=document.url or url_of(id_),
                metadata=document.metadata,
            )

        return await asyncio.to_thread(read)

    async def collections(self) -> Sequence[ToolCollection]:
        described = await asyncio.to_thread(self._parts.disk.described, self._tenant)
        return [
            ToolCollection(
                name=each.collection.name, documents=each.documents or 0, attributes=dict(each.attributes or {})
            )
            for each in described
            if each.problem is None
        ]


async def searched(library: Library, named: str | None) -> Sequence[str]:
    """The collection that is named, or all that hold documents. Raises `InvalidRequest` if those are too many."""
    if named is not None:
        return [named]
    names = [each.name for each in await library.collections() if each.documents]
    if len(names) > COLLECTIONS_MAX:
        raise InvalidRequest(
            f"there are {len(names)} collections; use search_filtered and name one: {', '.join(names[:20])}"
        )
    return names


def id_of(collection: str, document_id: str) -> str:
    return f"{quote(collection, safe='')}/{document_id}"


def split_id(id_: str) -> tuple[str, str]:
    """Collection and document of an id. Raises `DocumentNotFound`."""
    collection, slash, document_id = id_.partition("/")
    if not slash or not collection or not document_id:
        raise DocumentNotFound(f"{id_[:80]!r}; ids come from a search")
    return unquote(collection), document_id


def url_of(id_: str) -> str:
    """A name for a document that has no URL."""
    return f"winnow://{quote(id_)}"


def _hits(collection: str, answer: Answer) -> list[ToolHit]:
    hits = []
    for result in answer.results:
        chunk = result.best.candidate.chunk
        id_ = id_of(collection, chunk.document_id)
        hits.append(
            ToolHit(
                id=id_,
                title=chunk.title or chunk.document_id,
                url=chunk.url or url_of(id_),
                text=chunk.text,
                relevance=result.best.relevance,
                metadata=dict(chunk.metadata),
            )
        )
    return hits


def merged(found: Sequence[Sequence[ToolHit]]) -> list[ToolHit]:
    """Join the results of several collections: by relevance, or in turn where some have none."""
    if len(found) == 1:
        return list(found[0])
    if all(hit.relevance is not None for hits in found for hit in hits):
        return sorted(itertools.chain(*found), key=lambda hit: -(hit.relevance or 0.0))
    in_turn = itertools.zip_longest(*found)
    return [hit for row in in_turn for hit in row if hit is not None]
