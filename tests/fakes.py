"""Real implementations of the seams that need no disk and no model; the contract suites run over them as well.

Rule 1: a fake keeps its contract: a test that passes here must mean something. Rule 2: nothing is patched anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tests.bm25_oracle import bm25
from tests.filter_oracle import matches, require_known, with_kinds_of
from winnow.rerank.prompt import Prompts
from winnow.rerank.reranker import Ranked, RankedBy, Ranking
from winnow.retrieval.concurrency.fair_limiter import LimiterStats
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.embedder import DEFAULT_TASK, EmbedderIdentity, Embeddings
from winnow.retrieval.errors import DeadlineExceeded, DocumentNotFound, RerankError, RerankTimeout
from winnow.retrieval.filters.grammar import Filter
from winnow.retrieval.records import (
    Candidate,
    Chunk,
    ChunkNumbers,
    Document,
    EmbeddedDocument,
    Piece,
    RecallMode,
    Span,
    Vectors,
)
from winnow.retrieval.search.grouping import spread
from winnow.retrieval.search.recall import Recalled, RecallRequest, RecallTimings, Served
from winnow.retrieval.store.contract import LexicalHits, VectorBatch
from winnow.retrieval.store.row_cache import RowCache
from winnow.retrieval.structure import UNPLACED, Placed, place_spans
from winnow.retrieval.vector_format import VectorFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySnapshot:
    """One version of a MemoryStore. Implements `StoreSnapshot`."""

    version: int
    documents: Mapping[str, Document]
    stored: Mapping[int, tuple[Chunk, Vectors]]  # by chunk number, ascending
    seen: Mapping[str, frozenset[str]] = field(default_factory=dict)  # the kinds of each attribute that ever was

    def chunk_numbers(self) -> ChunkNumbers:
        return np.fromiter(self.stored, dtype=np.int64, count=len(self.stored))

    def alive(self, numbers: ChunkNumbers) -> NDArray[np.bool_]:
        return np.array([int(number) in self.stored for number in numbers], dtype=np.bool_)

    def count(self, *, after: int = -1) -> int:
        return sum(number > after for number in self.stored)

    def vectors(self, *, after: int = -1) -> Iterator[VectorBatch]:
        newer = [(number, vector) for number, (_, vector) in self.stored.items() if number > after]
        for start in range(0, len(newer), 3):  # small, so that callers meet more than one batch
            numbers, vectors = zip(*newer[start : start + 3], strict=True)
            yield VectorBatch(numbers=np.array(numbers, dtype=np.int64), vectors=np.stack(vectors))

    def vectors_of(self, numbers: Sequence[int]) -> Vectors:
        return (
            np.stack([self.stored[int(number)][1] for number in numbers]) if numbers else np.empty((0, 0), np.float32)
        )

    def chunks(self, numbers: Sequence[int], *, cache: RowCache | None = None) -> list[Chunk]:
        return [self.stored[int(number)][0] for number in numbers if int(number) in self.stored]

    def chunks_at_hand(self, numbers: Sequence[int], cache: RowCache) -> list[Chunk]:
        return self.chunks(numbers, cache=cache)

    def pieces(self, numbers: Sequence[int]) -> list[Piece]:
        return [Piece(**{key: getattr(each, key) for key in Piece.__slots__}) for each in self.chunks(numbers)]

    def document_ids(self, numbers: Sequence[int]) -> list[str]:
        return [each.document_id for each in self.chunks(numbers)]

    def document(self, document_id: str) -> Document:
        if document_id not in self.documents:
            raise DocumentNotFound(document_id)
        return self.documents[document_id]

    def content_hashes(self) -> Mapping[str, str]:
        return {document_id: document.content_hash for document_id, document in self.documents.items()}

    def content_hash_batches(self) -> Iterator[Mapping[str, str]]:
        yield self.content_hashes()

    def counts(self) -> tuple[int, int]:
        return len(self.documents), len(self.stored)

    def attributes(self) -> Mapping[str, str]:
        return {key: " or ".join(sorted(self.seen[key])) for key in sorted(self.seen)}

    def numbers_where(self, where: Filter) -> ChunkNumbers:
        found = set(self.documents_where(where))
        return np.array([n for n, (chunk, _) in self.stored.items() if chunk.document_id in found], dtype=np.int64)

    def documents_where(self, where: Filter) -> list[str]:
        require_known(where, self.seen)
        in_order = dict.fromkeys(chunk.document_id for chunk, _ in self.stored.values())
        return [name for name in in_order if matches(where, self.documents[name].metadata)]

    def lexical(self, text: str, k: int, *, allowed: ChunkNumbers | None = None) -> LexicalHits:
        scores = bm25(text, {number: chunk for number, (chunk, _) in self.stored.items()})
        may_answer = scores.keys() if allowed is None else scores.keys() & set(allowed.tolist())
        best = sorted(may_answer, key=lambda number: (-scores[number], number))[: max(0, k)]
        return LexicalHits(
            numbers=np.array(best, dtype=np.int64),
            scores=np.array([scores[number] for number in best], dtype=np.float32),
        )

    def misfiled(self) -> list[str]:
        return []  # there are no columns that could differ


class MemoryStore:
    """The corpus of one collection in memory. Implements `Store`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next_number = 0
        self._newest = MemorySnapshot(version=1, documents=MappingProxyType({}), stored=MappingProxyType({}))

    @property
    def vector_format(self) -> VectorFormat:
        return VectorFormat.FLOAT32

    def snapshot(self) -> MemorySnapshot:
        return self._newest

    def replace(self, documents: Sequence[EmbeddedDocument], *, more_follows: bool = False) -> int:
        with self._lock:
            ids = frozenset(embedded.document.id for embedded in documents)
            assert len(ids) == len(documents) > 0, "different documents, at least one. This is a bug."
            kept, stored = self._without(ids)
            for embedded in documents:
                kept[embedded.document.id] = embedded.document
                placed = place_spans(embedded.document.text, embedded.document.parts, embedded.spans)
                for ordinal, (span, place) in enumerate(zip(embedded.spans, placed, strict=True)):
                    chunk = _chunk(self._next_number, ordinal, span, place, embedded.document)
                    stored[self._next_number] = (chunk, np.array(embedded.vectors[ordinal], dtype=np.float32))
                    self._next_number += 1
            return self._commit(kept, stored)

    def holding(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()  # whoever has a snapshot has all of it

    def clean_up(self) -> int:
        return 0

    remove_old_versions = clean_up

    def has_superseded(self) -> bool:
        return False

    def index_words(self) -> None:
        """Every search reads everything."""

    def renew_word_rules(self, locked: object = None) -> None:
        """There is one rule."""

    def delete(self, document_ids: Sequence[str]) -> int:
        with self._lock:
            gone = frozenset(document_ids) & self._newest.documents.keys()
            if gone:
                self._commit(*self._without(gone))
            return len(gone)

    def _without(self, gone: frozenset[str]) -> tuple[dict[str, Document], dict[int, tuple[Chunk, Vectors]]]:
        documents = {name: document for name, document in self._newest.documents.items() if name not in gone}
        stored = {number: row for number, row in self._newest.stored.items() if row[0].document_id not in gone}
        return documents, stored

    def _commit(self, documents: dict[str, Document], stored: dict[int, tuple[Chunk, Vectors]]) -> int:
        self._newest = MemorySnapshot(
            version=self._newest.version + 1,
            documents=MappingProxyType(documents),
            stored=MappingProxyType(stored),
            seen=with_kinds_of(self._newest.seen, documents.values()),
        )
        return self._newest.version


def _chunk(number: int, ordinal: int, span: Span, place: Placed, document: Document) -> Chunk:
    return Chunk(
        number=number,
        document_id=document.id,
        ordinal=ordinal,
        start=span.start,
        end=span.end,
        title=document.title,
        text=document.text[span.start : span.end],
        url=document.url,
        metadata=document.metadata,
        part=place.part,
        location=place.location,
    )


class HashEmbedder:
    """Texts that share character n-grams are near each other: no model, no download, the same on every machine.

    Each 1-, 2- and 3-gram adds +1 or -1 to one dimension, both chosen by its CRC-32; the sum is made unit length.
    """

    def __init__(self, *, dimension: int = 64, name: str = "hash-embedder", revision: str = "1") -> None:
        self._identity = EmbedderIdentity(name=name, revision=revision, dimension=dimension)

    @property
    def identity(self) -> EmbedderIdentity:
        return self._identity

    async def embed_queries(self, texts: Sequence[str], task: str = DEFAULT_TASK) -> Embeddings:
        return self._embed(texts)  # a real embedder reads the task; n-grams need not

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        return self._embed(texts)

    def _embed(self, texts: Sequence[str]) -> Embeddings:
        vectors = np.stack([self._vector(text) for text in texts]) if texts else np.empty((0, self._identity.dimension))
        return Embeddings(vectors=vectors.astype(np.float32), tokens=sum(len(text) + 1 for text in texts))

    def _vector(self, text: str) -> Vectors:
        vector = np.zeros(self._identity.dimension, dtype=np.float32)
        vector[0] = 0.5  # an empty text has a direction too
        folded = f" {text.casefold()} "
        for size in (1, 2, 3):
            for start in range(len(folded) - size + 1):
                code = zlib.crc32(folded[start : start + size].encode("utf-8", "surrogatepass"))
                vector[code % len(vector)] += 1.0 if code & 0x8000_0000 else -1.0
        if not vector.any():  # the n-grams may cancel out to nothing
            vector[0] = 1.0
        unit: Vectors = vector / np.linalg.norm(vector)
        return unit


class ScriptedRecall:
    """Recalls the texts it was given, in their order, whatever is asked. Implements `FindsCandidates`.

    A text "id|text" is a chunk of that document; each stands 0.01 less near than the one before.
    """

    def __init__(self, *texts: str) -> None:
        self._texts = texts
        self.widths: list[int] = []  # asked for, in order
        self.filters: list[Filter | None] = []  # likewise
        self.modes: list[RecallMode] = []  # likewise
        self.tasks: list[str] = []  # likewise

    async def find(self, request: RecallRequest) -> Recalled:
        if request.deadline.has_passed:
            raise DeadlineExceeded("before embedding")
        self.widths.append(request.width)
        self.filters.append(request.where)
        self.modes.append(request.mode)
        self.tasks.append(request.task)
        found = list(self._candidates())
        places = spread([each.chunk.document_id for each in found], width=request.width, documents=request.documents)
        stored = {each.chunk.number: (each.chunk, np.empty(0, np.float32)) for each in found}
        return Recalled(
            candidates=tuple(found[place] for place in places),
            mode=request.mode,
            tokens=len(request.query),
            served=Served(
                snapshot=MemorySnapshot(version=7, documents=MappingProxyType({}), stored=MappingProxyType(stored)),
                generation="g000001",
                store_version=7,
            ),
            timings=RecallTimings(embed_ms=1.0, recall_ms=2.0, fetch_ms=3.0),
        )

    def _candidates(self) -> Iterator[Candidate]:
        chunks_of: dict[str, int] = {}
        for place, scripted in enumerate(self._texts):
            document_id, text = scripted.split("|") if "|" in scripted else (f"doc-{place}", scripted)
            ordinal = chunks_of[document_id] = chunks_of.get(document_id, -1) + 1
            whole = Span(start=0, end=len(text))
            chunk = _chunk(place, ordinal, whole, UNPLACED, Document(id=document_id, text=text))
            yield Candidate(chunk=chunk, recall_rank=place + 1, similarity=0.9 - 0.01 * place)


class FakeReranker:
    """What fakes of `Reranker` have in common: each says in `ranking` how it orders."""

    name = "fake"
    revision = "1"
    reads_instruction = True

    def changes_order(self, instruction: str) -> bool:
        return True

    async def rank(
        self,
        query: str,
        candidates: Sequence[Candidate],
        *,
        instruction: str,
        tenant: str,
        deadline: Deadline,
        top_k: int | None = None,
    ) -> Ranking:
        if deadline.has_passed:
            raise RerankTimeout("before judging")
        return self.ranking(query, candidates, instruction)

    def ranking(self, query: str, candidates: Sequence[Candidate], instruction: str) -> Ranking:
        raise NotImplementedError


class PrefersWord(FakeReranker):
    """Judges by one word: 0.9 where the passage has it, 0.1 where it has not."""

    def __init__(self, word: str, *, name: str = "prefers-word", reads_instruction: bool = True) -> None:
        self.name = name
        self.reads_instruction = reads_instruction
        self._word = word
        self.instructions: list[str] = []  # under which it judged, in order

    def ranking(self, query: str, candidates: Sequence[Candidate], instruction: str) -> Ranking:
        self.instructions.append(instruction)
        relevances = [0.9 if self._word in each.chunk.passage else 0.1 for each in candidates]
        order = sorted(range(len(candidates)), key=lambda place: (-relevances[place], candidates[place].recall_rank))
        best = enumerate(((candidates[place], relevances[place]) for place in order), start=1)
        ranked = tuple(Ranked(candidate=each, rank=rank, score=score, relevance=score) for rank, (each, score) in best)
        cost, read = 10 * len(candidates), self.reads_instruction
        return Ranking(
            ranked=ranked, judged_by=self.name, ranked_by=RankedBy.RELEVANCE, tokens=cost, instruction_applied=read
        )


class FailingReranker(FakeReranker):
    """Fails in one way, always."""

    name = "failing"

    def __init__(self, failure: RerankError) -> None:
        self._failure = failure

    def ranking(self, query: str, candidates: Sequence[Candidate], instruction: str) -> Ranking:
        raise self._failure


class CountingJudge:
    """Says of every prompt how long its passage's part is, and remembers what it was asked. Implements `Judge`.

    Given a failure it raises that instead; given `said` it answers with those very numbers.
    """

    runs_on = "fingers"

    def __init__(
        self,
        *,
        failure: RerankError | None = None,
        said: Sequence[float] | None = None,
        portion_tokens: int | None = None,
    ) -> None:
        self.portion_tokens, self.doubts = portion_tokens, 0
        self.failure, self.said = failure, said
        self.asked: list[int] = []  # prompts of each call
        self.turns = LimiterStats(turns=0, wait_seconds=0.0)

    async def logits(self, prompts: Prompts, *, tenant: str, deadline: Deadline) -> Sequence[float]:
        self.asked.append(len(prompts.tails))
        await asyncio.sleep(0)  # as a judge that has to wait: others get their turn
        if self.failure is not None:
            raise self.failure
        return [len(tail) / 7 - 3 for tail in prompts.tails] if self.said is None else self.said
