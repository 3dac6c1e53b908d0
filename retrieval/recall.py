"""Which chunks are worth judging for this query? Embed it, search, fetch the texts."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass

from retrieval.allowed_search import Filtered
from retrieval.deadline import Deadline
from retrieval.embedder import DEFAULT_TASK, Embedder, Embeddings
from retrieval.errors import DeadlineExceeded
from retrieval.filters import Filter
from retrieval.records import Candidate, Vectors
from retrieval.searchable import Searchable, View
from retrieval.vector_index import Hits


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """The candidates of one query, nearest first, and what finding them took."""

    candidates: tuple[Candidate, ...]
    generation: str | None  # None: no generation is open, everything was compared from the store
    store_version: int
    embed_ms: float
    recall_ms: float
    fetch_ms: float
    tokens: int  # computed by the embedder
    query_remembered: bool = False  # the query's vector was not computed again
    fresh_chunks: int = 0  # that were compared beside the generation
    fallback_from: str | None = None  # why it is not the generation that should be open; None where it is
    filtered: Filtered | None = None  # how the filter was answered; None where there was none


class Recall:
    """Stage one over one collection."""

    def __init__(self, *, embedder: Embedder, searchable: Searchable) -> None:
        self._embedder = embedder
        self._searchable = searchable

    async def find(
        self,
        query: str,
        *,
        width: int,
        task: str = DEFAULT_TASK,
        where: Filter | None = None,
        deadline: Deadline | None = None,
    ) -> Recalled:
        """The `width` nearest chunks that match the filter, fewer only where the collection has fewer.

        Raises `CollectionNotReady`, `InvalidRequest` for a filter that does not fit the collection, `DeadlineExceeded`
        before a stage that would start too late and while a query is embedded, and what the embedder raises. Without a
        deadline it takes as long as it takes.
        """
        until = deadline or Deadline.never()
        _require_time(until, "embedding")
        began = time.perf_counter()
        embeddings = await self._embed(query, task, until)
        embedded = time.perf_counter()
        _require_time(until, "recall")
        view, hits, filtered = await asyncio.to_thread(self._search, embeddings.vectors[0], width, where)
        recalled = time.perf_counter()
        _require_time(until, "fetching texts")
        candidates = await asyncio.to_thread(_fetch, view, hits)
        fetched = time.perf_counter()
        return Recalled(
            candidates=candidates,
            generation=view.generation,
            store_version=view.store_version,
            embed_ms=1000.0 * (embedded - began),
            recall_ms=1000.0 * (recalled - embedded),
            fetch_ms=1000.0 * (fetched - recalled),
            tokens=embeddings.tokens,
            query_remembered=embeddings.remembered > 0,
            fresh_chunks=view.delta_count,
            fallback_from=view.fallback_from,
            filtered=filtered,
        )

    async def _embed(self, query: str, task: str, deadline: Deadline) -> Embeddings:
        """An embedder knows no deadline, and may be a server that has gone silent."""
        try:
            async with asyncio.timeout(None if math.isinf(deadline.at) else deadline.remaining_seconds):
                return await self._embedder.embed_queries([query], task)
        except TimeoutError as error:
            raise DeadlineExceeded("while embedding") from error

    def _search(self, vector: Vectors, width: int, where: Filter | None) -> tuple[View, Hits, Filtered | None]:
        view = self._searchable.view()
        if where is None:
            return view, view.search(vector, width), None
        return view, *view.search_where(vector, width, where)


def _fetch(view: View, hits: Hits) -> tuple[Candidate, ...]:
    """The hits with their texts, from the very version of the store that they were checked against."""
    chunks = view.snapshot.chunks(hits.numbers.tolist())
    assert len(chunks) == len(hits.numbers), "a view answers with live chunks only. This is a bug."
    return tuple(
        Candidate(chunk=chunk, recall_rank=rank, similarity=float(similarity))
        for rank, (chunk, similarity) in enumerate(zip(chunks, hits.similarities, strict=True), start=1)
    )


def _require_time(deadline: Deadline, stage: str) -> None:
    if deadline.has_passed:
        raise DeadlineExceeded(f"before {stage}")
