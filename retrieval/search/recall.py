"""Stage one: embeds a query, searches a collection for candidates, and fetches their texts."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from winnow.retrieval import tracing
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.embedder import DEFAULT_TASK, Embedder, Embeddings
from winnow.retrieval.errors import DeadlineExceeded, WordsNotIndexed
from winnow.retrieval.filters.grammar import Filter
from winnow.retrieval.index.build import IndexFacts
from winnow.retrieval.index.filtered_search import Filtered
from winnow.retrieval.index.gpu_index import ON_CPU, Seat
from winnow.retrieval.records import Candidate, Chunk, ChunkNumbers, RecallMode, Vectors
from winnow.retrieval.search.grouping import nearest_of_documents
from winnow.retrieval.search.hybrid import Proposal
from winnow.retrieval.search.reader import HasViews, Searcher
from winnow.retrieval.search.several_queries import propose_for_all
from winnow.retrieval.store.contract import StoreSnapshot
from winnow.retrieval.store.row_cache import RowCache
from winnow.retrieval.tracing import stage

QUICK_WIDTH: Final = 200  # candidates; turning so many rows into chunks takes two milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallRequest:
    """A query, and which candidates recall should find for it."""

    query: str
    further: tuple[str, ...] = ()  # queries whose candidates are fused with those of `query`
    width: int  # candidates
    documents: int = 0  # make room for chunks of this many documents; 0: the best chunks, whatever their documents
    task: str = DEFAULT_TASK  # what the query is embedded under
    where: Filter | None = None  # which documents may answer; None is all
    mode: RecallMode = RecallMode.HYBRID
    falls_back_to_dense: bool = False  # search by meaning where words are not indexed; False: raise `WordsNotIndexed`
    deadline: Deadline = field(default_factory=Deadline.never)

    @property
    def queries(self) -> tuple[str, ...]:
        """The main query first."""
        return self.query, *self.further


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The state of the collection that answered: one version of the store, and the generation that was open."""

    snapshot: StoreSnapshot  # for what else an answer shows of these documents
    store_version: int
    generation: str | None  # None: no generation is open, every vector was compared from the store
    fresh_chunks: int = 0  # newer than the generation; compared one by one
    fallback_from: str | None = None  # why an older generation serves; None: the newest does
    seat: Seat = ON_CPU  # where the generation was searched
    index: IndexFacts | None = None  # of the generation

    @classmethod
    def by(cls, view: Searcher) -> Served:
        return cls(
            snapshot=view.snapshot,
            store_version=view.store_version,
            generation=view.generation,
            fresh_chunks=view.delta_count,
            fallback_from=view.fallback_from,
            seat=view.seat,
            index=view.opened.manifest.index if view.opened else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallTimings:
    """How long each step took, in milliseconds."""

    embed_ms: float
    recall_ms: float
    fetch_ms: float
    lexical_ms: float | None = None  # the search by words, part of `recall_ms`; None: there was none


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """The candidates of one query, what served them, and what finding them took."""

    candidates: tuple[Candidate, ...]  # best first
    mode: RecallMode  # that found them
    filtered: Filtered | None = None  # how the filter was applied; None: there was none
    tokens: int  # of all queries
    queries: int = 1
    queries_remembered: int = 0  # whose vectors the cache had
    served: Served
    timings: RecallTimings

    @property
    def query_remembered(self) -> bool:
        """Whether the cache had the vectors of all queries."""
        return self.queries_remembered == self.queries

    @property
    def embedded_tokens(self) -> int:
        """Tokens that the embedder computed."""
        return 0 if self.query_remembered else self.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class _Searched:
    """What a search proposes, before texts are fetched."""

    view: Searcher
    found: Proposal
    mode: RecallMode
    at: float  # by time.perf_counter


class Recall:
    """Stage one over one collection."""

    def __init__(self, *, embedder: Embedder, searchable: HasViews, rows: RowCache | None = None) -> None:
        """Without `rows` every text is read from the store."""
        self._embedder = embedder
        self._searchable = searchable
        self._rows = rows

    async def find(self, request: RecallRequest) -> Recalled:
        """The `width` best chunks that match the filter, fewer only where there are fewer.

        With `documents`, chunks of further documents replace the last candidates until that many documents are found.

        Raises `CollectionNotReady`, `InvalidRequest` for a filter that does not fit the collection, `WordsNotIndexed`
        for a search by words over a collection without a word index, and what the embedder raises. Raises
        `DeadlineExceeded` before a step that would start too late, and while the query is embedded.
        """
        _require_time(request.deadline, "embedding")
        began = time.perf_counter()
        with stage("embed") as embedding:
            embeddings = await self._embed(request)
            embedding.note(self._embed_attributes(embeddings))
        embedded = time.perf_counter()
        _require_time(request.deadline, "recall")
        searched, candidates = await self._search_and_fetch(embeddings.vectors, request)
        fetched = time.perf_counter()
        return Recalled(
            candidates=candidates,
            mode=searched.mode,
            filtered=searched.found.filtered,
            tokens=embeddings.tokens,
            queries=len(request.queries),
            queries_remembered=embeddings.remembered,
            served=Served.by(searched.view),
            timings=RecallTimings(
                embed_ms=1000.0 * (embedded - began),
                recall_ms=1000.0 * (searched.at - embedded),
                fetch_ms=1000.0 * (fetched - searched.at),
                lexical_ms=searched.found.lexical_ms,
            ),
        )

    def _embed_attributes(self, embeddings: Embeddings) -> tracing.Attributes:
        identity = self._embedder.identity
        return {
            tracing.OPERATION: "embeddings",
            tracing.PROVIDER: "winnow",
            tracing.MODEL: identity.name,
            tracing.DIMENSIONS: identity.dimension,
            tracing.INPUT_TOKENS: 0 if embeddings.remembered == len(embeddings.vectors) else embeddings.tokens,
            tracing.REMEMBERED: embeddings.remembered,
        }

    async def _embed(self, request: RecallRequest) -> Embeddings:
        """An embedder knows no deadline, and may be a server that does not answer."""
        deadline = request.deadline
        try:
            async with asyncio.timeout(None if math.isinf(deadline.at) else deadline.remaining_seconds):
                return await self._embedder.embed_queries(request.queries, request.task)
        except TimeoutError as error:
            raise DeadlineExceeded("while embedding") from error

    async def _search_and_fetch(
        self, vectors: Vectors, request: RecallRequest
    ) -> tuple[_Searched, tuple[Candidate, ...]]:
        """Use a thread only for what takes longer than waiting for one, or may read the disk.

        Raises `DeadlineExceeded` before a fetch that would start too late.
        """
        if not _is_quick(request):
            return await asyncio.to_thread(self._search_and_fetch_blocking, vectors, request)
        view = self._searchable.view_at_hand()
        if view is None:  # the thread only looks for it: eight that search at once take each other's turns
            view = await asyncio.to_thread(self._searchable.view)
        if not view.is_quick:
            return await asyncio.to_thread(self._search_and_fetch_blocking, vectors, request)
        searched = self._search(view, vectors, request)
        _require_time(request.deadline, "fetching texts")
        chunks = None
        if self._rows is not None:
            chunks = view.snapshot.chunks_at_hand(searched.found.numbers.tolist(), self._rows)
        if chunks is None:
            return searched, await asyncio.to_thread(self._fetch, searched, request)
        with stage("fetch"):
            return searched, _candidates(chunks, searched.found)

    def _search_and_fetch_blocking(
        self, vectors: Vectors, request: RecallRequest
    ) -> tuple[_Searched, tuple[Candidate, ...]]:
        """In one turn of a thread, since waiting for another takes as long as fetching."""
        searched = self._search(self._searchable.view(), vectors, request)
        return searched, self._fetch(searched, request)

    def _search(self, view: Searcher, vectors: Vectors, request: RecallRequest) -> _Searched:
        """Blocks for anything but a quick request."""
        with stage("recall") as recalling:
            found, mode = _propose_or_fall_back(view, vectors, request)
            recalling.note(
                {tracing.OPERATION: "retrieval", "winnow.recall": mode.value, tracing.CANDIDATES: len(found.numbers)}
            )
        return _Searched(view=view, found=found, mode=mode, at=time.perf_counter())

    def _fetch(self, searched: _Searched, request: RecallRequest) -> tuple[Candidate, ...]:
        """Read the chunks from the version of the store that the search ran on. Blocks."""
        _require_time(request.deadline, "fetching texts")
        with stage("fetch"):
            chunks = searched.view.snapshot.chunks(searched.found.numbers.tolist(), cache=self._rows)
            return _candidates(chunks, searched.found)


def _is_quick(request: RecallRequest) -> bool:
    """Whether comparing vectors is all that the search needs: words and attributes may be read from the store."""
    return (
        request.mode is RecallMode.DENSE
        and request.where is None
        and not request.documents
        and not request.further
        and request.width <= QUICK_WIDTH
    )


def _propose_or_fall_back(view: Searcher, vectors: Vectors, request: RecallRequest) -> tuple[Proposal, RecallMode]:
    """Also return the mode that found the candidates."""
    matching = None if request.where is None else view.snapshot.numbers_where(request.where)
    try:
        return _propose(view, vectors, request, request.mode, matching), request.mode
    except WordsNotIndexed:
        if not request.falls_back_to_dense:
            raise
    return _propose(view, vectors, request, RecallMode.DENSE, matching), RecallMode.DENSE


def _propose(
    view: Searcher, vectors: Vectors, request: RecallRequest, mode: RecallMode, matching: ChunkNumbers | None
) -> Proposal:
    """Searches again, and wider, until the candidates come from as many documents as the request wants."""

    def best(k: int) -> Proposal:
        return propose_for_all(
            view,
            vectors,
            request.queries,
            mode=mode,
            width=k,
            matching=matching,
            before_each=lambda: _require_time(request.deadline, "recall"),
        )

    if not request.documents:
        return best(request.width)
    owners = view.snapshot.document_ids
    return nearest_of_documents(
        best, lambda numbers: owners(numbers.tolist()), width=request.width, documents=request.documents
    )


def _candidates(chunks: Sequence[Chunk], found: Proposal) -> tuple[Candidate, ...]:
    assert len(chunks) == len(found.numbers), "a view answers with live chunks only. This is a bug."
    scores = [None] * len(chunks) if found.scores is None else found.scores.tolist()
    places = [()] * len(chunks) if found.places is None else found.places.tolist()
    figures = zip(
        found.similarities.tolist(),
        found.lexical_scores.tolist(),
        scores,
        found.standings.tolist(),
        places,
        strict=True,
    )
    return tuple(
        Candidate(
            chunk=chunk,
            recall_rank=rank,
            similarity=similarity,
            lexical_score=None if math.isnan(lexical_score) else lexical_score,
            recall_score=score,
            standing=standing,
            found_by=tuple(place or None for place in found_at),
        )
        for rank, (chunk, (similarity, lexical_score, score, standing, found_at)) in enumerate(
            zip(chunks, figures, strict=True), start=1
        )
    )


def _require_time(deadline: Deadline, stage: str) -> None:
    if deadline.has_passed:
        raise DeadlineExceeded(f"before {stage}")
