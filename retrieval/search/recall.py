"""Which chunks are worth judging for this query? Embed it, search, fetch the texts."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass

from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.embedder import DEFAULT_TASK, Embedder, Embeddings
from winnow.retrieval.errors import DeadlineExceeded
from winnow.retrieval.filters.grammar import Filter
from winnow.retrieval.index.filtered_search import Filtered
from winnow.retrieval.index.gpu_index import ON_CPU, Seat
from winnow.retrieval.records import Candidate, RecallMode, Vectors
from winnow.retrieval.search.grouping import nearest_of_documents
from winnow.retrieval.search.hybrid import Proposal, proposal
from winnow.retrieval.search.reader import IndexReader, Searcher
from winnow.retrieval.store.contract import StoreSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """The candidates of one query, best first, and what finding them took."""

    candidates: tuple[Candidate, ...]
    generation: str | None  # None: no generation is open, everything was compared from the store
    store_version: int
    embed_ms: float
    recall_ms: float
    fetch_ms: float
    tokens: int  # computed by the embedder
    snapshot: StoreSnapshot  # of that version; for what else an answer shows of these documents
    query_remembered: bool = False  # the query's vector was not computed again
    filtered: Filtered | None = None  # how the filter was answered; None where there was none
    fresh_chunks: int = 0  # that were compared beside the generation
    fallback_from: str | None = None  # why it is not the generation that should be open; None where it is
    seat: Seat = ON_CPU  # where the generation was searched
    mode: RecallMode = RecallMode.DENSE
    lexical_ms: float | None = None  # of `recall_ms`: the search by words; None where there was none


class Recall:
    """Stage one over one collection."""

    def __init__(self, *, embedder: Embedder, searchable: IndexReader) -> None:
        self._embedder = embedder
        self._searchable = searchable

    async def find(
        self,
        query: str,
        *,
        width: int,
        documents: int = 0,
        task: str = DEFAULT_TASK,
        where: Filter | None = None,
        mode: RecallMode = RecallMode.HYBRID,
        deadline: Deadline | None = None,
    ) -> Recalled:
        """The `width` best chunks that match the filter, fewer only where there are fewer.

        With `documents` the last of them make room, if need be, so that there are as many different documents.

        Raises `CollectionNotReady`, `InvalidRequest` for a filter that does not fit the collection, `WordsNotIndexed`
        where words are asked for and were never indexed, `DeadlineExceeded` before a stage that would start too late
        and while a query is embedded, and what the embedder raises. Without a deadline it takes as long as it takes.
        """
        until = deadline or Deadline.never()
        _require_time(until, "embedding")
        began = time.perf_counter()
        embeddings = await self._embed(query, task, until)
        embedded = time.perf_counter()
        _require_time(until, "recall")
        vector = embeddings.vectors[0]
        view, found = await asyncio.to_thread(
            self._search, vector, query, mode=mode, width=width, documents=documents, where=where, deadline=until
        )
        recalled = time.perf_counter()
        _require_time(until, "fetching texts")
        candidates = await asyncio.to_thread(_fetch, view, found)
        fetched = time.perf_counter()
        return Recalled(
            candidates=candidates,
            generation=view.generation,
            store_version=view.store_version,
            embed_ms=1000.0 * (embedded - began),
            recall_ms=1000.0 * (recalled - embedded),
            fetch_ms=1000.0 * (fetched - recalled),
            tokens=embeddings.tokens,
            snapshot=view.snapshot,
            query_remembered=embeddings.remembered > 0,
            filtered=found.filtered,
            fresh_chunks=view.delta_count,
            fallback_from=view.fallback_from,
            seat=view.seat,
            mode=mode,
            lexical_ms=found.lexical_ms,
        )

    async def _embed(self, query: str, task: str, deadline: Deadline) -> Embeddings:
        """An embedder knows no deadline, and may be a server that has gone silent."""
        try:
            async with asyncio.timeout(None if math.isinf(deadline.at) else deadline.remaining_seconds):
                return await self._embedder.embed_queries([query], task)
        except TimeoutError as error:
            raise DeadlineExceeded("while embedding") from error

    def _search(
        self,
        vector: Vectors,
        query: str,
        *,
        mode: RecallMode,
        width: int,
        documents: int,
        where: Filter | None,
        deadline: Deadline,
    ) -> tuple[Searcher, Proposal]:
        """Blocks. The filter is answered once, however often it is looked further for more documents."""
        view = self._searchable.view()
        matching = None if where is None else view.snapshot.numbers_where(where)

        def best(k: int) -> Proposal:
            _require_time(deadline, "recall")
            return proposal(view, vector, query, mode=mode, width=k, matching=matching)

        if not documents:
            return view, best(width)
        owners = view.snapshot.document_ids
        return view, nearest_of_documents(
            best, lambda numbers: owners(numbers.tolist()), width=width, documents=documents
        )


def _fetch(view: Searcher, found: Proposal) -> tuple[Candidate, ...]:
    """The chunks with their texts, from the very version of the store that they were checked against."""
    chunks = view.snapshot.chunks(found.numbers.tolist())
    assert len(chunks) == len(found.numbers), "a view answers with live chunks only. This is a bug."
    scores = [None] * len(chunks) if found.scores is None else found.scores.tolist()
    figures = zip(
        found.similarities.tolist(), found.lexical_scores.tolist(), scores, found.standings.tolist(), strict=True
    )
    return tuple(
        Candidate(
            chunk=chunk,
            recall_rank=rank,
            similarity=similarity,
            lexical_score=None if math.isnan(lexical_score) else lexical_score,
            recall_score=score,
            standing=standing,
        )
        for rank, (chunk, (similarity, lexical_score, score, standing)) in enumerate(
            zip(chunks, figures, strict=True), start=1
        )
    )


def _require_time(deadline: Deadline, stage: str) -> None:
    if deadline.has_passed:
        raise DeadlineExceeded(f"before {stage}")
