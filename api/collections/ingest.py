"""Creates collections, and adds, reads and deletes documents. Knows no HTTP.

Rule 1: accepted documents are on the disk and searchable when the call returns. Rule 2: a rejected record is named, and
does not affect the others. Rule 3: a document that is already stored unchanged costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeAlias, TypeVar

from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.given_parts import make_structured
from winnow.api.collections.open_collections import OpenCollection, OpenCollections
from winnow.api.collections.storage_room import StorageRoom
from winnow.indexer.chunking import Chunker
from winnow.indexer.corpus import Entry, Place, Record, Refused, Reject, check_entries, make_entry
from winnow.indexer.decoding.encodings import to_utf8
from winnow.indexer.decoding.json_values import parse_record
from winnow.indexer.report import largest_loss
from winnow.indexer.writer import DocumentWriter
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.quotas import Held
from winnow.retrieval.concurrency.gil_yield import rest
from winnow.retrieval.concurrency.lock_waits import LockWaits
from winnow.retrieval.concurrency.tasks import run_to_completion
from winnow.retrieval.document_fields import NO_CHOICE, FieldChoice
from winnow.retrieval.embed.embedder import Embedder
from winnow.retrieval.errors import CollectionBusy, DocumentNotFound, LimitExceeded
from winnow.retrieval.filters.grammar import Filter
from winnow.retrieval.generation.history import fold
from winnow.retrieval.index.planner import ANY_INDEX, IndexWish
from winnow.retrieval.limits import GENERATIONS_KEPT_MIN, NDJSON_LINES_MAX
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import AS_RANKED, Diversity, Document, JsonValue
from winnow.retrieval.store.contract import StoreSnapshot
from winnow.retrieval.tenancy import COMMAND_LINE, Actor, TenantName
from winnow.retrieval.tracing import stage
from winnow.retrieval.vector_format import VectorFormat

COMMIT_DOCUMENTS: Final = 64  # documents; a few seconds of embedding on a CPU, the most that an error costs
DELTA_CHUNKS_MAX: Final = 10_000  # chunks compared outside the index; 1 ms at 384 dimensions, and a second to fold
LOOKED_UP_MAX: Final = 8  # documents; for more, reading all hashes at once is cheaper than single lookups
COUNTED_BYTES: Final = 65_536  # of a body, scanned at once: some microseconds without other threads
LOOKING_MAX: Final = 1  # concurrent reads of stored documents; a second one would also compete with searches

Looked = TypeVar("Looked")
Sent: TypeAlias = tuple[int, JsonValue | Refused]  # line, and a record as it arrived or why it cannot be parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Upserted:
    """The result for the records of one call."""

    accepted: int
    unchanged: int  # of the accepted ones
    chunks: int
    tokens: int
    bytes: int  # UTF-8, of written titles and texts
    rejects: tuple[Reject, ...]
    store_version: int | None  # the version with all of it; None if nothing was written
    cosine_loss: float | None  # the largest of the commits (indexer/writer.py)


@dataclass(frozen=True, slots=True, kw_only=True)
class Emptied:
    """The result of a deletion by filter."""

    documents: int
    dry_run: bool  # then nothing was removed
    store_version: int


class Ingest:
    """Creates, fills, empties and removes collections."""

    def __init__(
        self,
        *,
        disk: DataFolder,
        collections: OpenCollections,
        embedder: Embedder,
        tokenizer: PlainTokenizer,
        chunk_tokens_default: int,
        delta_chunks_max: int | None = DELTA_CHUNKS_MAX,
        generations_kept: int = GENERATIONS_KEPT_MIN,
        index_wish: IndexWish = ANY_INDEX,
        room: StorageRoom | None = None,
    ) -> None:
        """`delta_chunks_max` None means that writes are folded elsewhere (api/collections/folding.py).

        Without `room` every tenant may store what fits on the disk.
        """
        self._disk = disk
        self._collections = collections
        self._embedder = embedder
        self._tokenizer = tokenizer
        self._chunk_tokens_default = chunk_tokens_default
        self._delta_chunks_max = delta_chunks_max
        self._kept = generations_kept
        self._wish = index_wish
        self._room = room
        self._read_slots = asyncio.Semaphore(LOOKING_MAX)
        self._locks = LockWaits()
        self._reading = asyncio.Lock()  # one at a time, so that long bodies leave threads to others

    def make(
        self,
        tenant: TenantName,
        name: str,
        *,
        chunk_tokens: int | None = None,
        instruction: str | None = None,
        reranker: str | None = None,
        demote_query_echo: bool = False,
        require_instruction: bool = False,
        rerank_fields: FieldChoice = NO_CHOICE,
        embed_fields: FieldChoice = NO_CHOICE,
        diversity: Diversity = AS_RANKED,
        vectors: VectorFormat = VectorFormat.FLOAT32,
        by: Actor = COMMAND_LINE,
    ) -> OpenCollection:
        """Create an empty collection. Blocks. The caller has checked reranker and fields.

        Raises `CollectionExists`, `WriteFailed`, and what `Instructions.check_default` raises.
        """
        if instruction is not None:
            self._disk.catalog.instructions.check_default(tenant, instruction, collection=name)
        collection = Collection(
            tenant=tenant,
            name=name,
            embedder=self._embedder.identity,
            chunk_tokens=chunk_tokens or self._chunk_tokens_default,
            created_at=datetime.now(UTC),
            instruction=instruction,
            reranker=reranker,
            demote_query_echo=demote_query_echo,
            require_instruction=require_instruction,
            rerank_fields=rerank_fields,
            embed_fields=embed_fields,
            diversity=diversity,
        )
        self._disk.make(collection, vectors=vectors, by=by)
        return self._collections.get(tenant, name)

    async def looked(self, look: Callable[[], Looked]) -> Looked:
        """Run `document` or `documents` in a thread, one at a time, so that threads are left for searches."""
        async with self._read_slots:
            return await asyncio.to_thread(look)

    def document(self, tenant: TenantName, name: str, document_id: str) -> Document:
        """Return a document. Blocks. Raises `CollectionNotFound`, `DocumentNotFound`."""
        return self._collections.get(tenant, name).store.snapshot().document(document_id)

    def documents(
        self, tenant: TenantName, name: str, *, after: str, most: int, where: Filter | None
    ) -> tuple[list[Document], str | None]:
        """Return matching documents by id, from the first id after `after`, and `after` for the next page.

        Blocks. Raises `CollectionNotFound`, `InvalidRequest`.
        """
        snapshot = self._collections.get(tenant, name).store.snapshot()
        ids = snapshot.content_hashes() if where is None else snapshot.documents_where(where)
        page = heapq.nsmallest(most + 1, (each for each in ids if each > after))
        following = page[most - 1] if len(page) > most else None
        return [snapshot.document(each) for each in page[:most]], following

    async def upsert(self, tenant: TenantName, name: str, records: Iterator[Sent]) -> Upserted:
        """Write in commits of up to `COMMIT_DOCUMENTS`, each searchable at once.

        Raises what a write raises, and `StorageQuotaExceeded` before anything is written.

        After an error the earlier commits stay: repeating the call finds them unchanged.
        """
        opened = await asyncio.to_thread(self._collections.get, tenant, name)
        async with self._reading:
            with stage("read"):
                entries = await asyncio.to_thread(lambda: list(check_entries(_entries(records))))
        return await self.put(opened, entries)

    async def put(
        self, opened: OpenCollection, entries: Sequence[Entry], *, check: Callable[[], object] = lambda: None
    ) -> Upserted:
        """Write checked entries like `upsert`. Within the turn `check` may refuse, before anything is written."""
        documents = [entry.document for entry in entries if isinstance(entry, Record)]
        async with self._turn_of(opened):
            await asyncio.to_thread(check)
            snapshot = opened.store.snapshot()
            fresh = await asyncio.to_thread(_fresh, snapshot, documents)
            async with self._reserve_room(opened, snapshot, fresh):
                with stage("write"):
                    reports = [
                        await self.writer(opened).upsert(fresh[start : start + COMMIT_DOCUMENTS])
                        for start in range(0, len(fresh), COMMIT_DOCUMENTS)
                    ]
            await run_to_completion(self._show, opened)
        return Upserted(
            accepted=len(documents),
            unchanged=len(documents) - len(fresh),
            chunks=sum(report.chunks for report in reports),
            tokens=sum(report.tokens for report in reports),
            bytes=sum(map(_bytes_of, fresh)),
            rejects=tuple(entry for entry in entries if isinstance(entry, Reject)),
            store_version=reports[-1].store_version if reports else None,
            cosine_loss=largest_loss(*(report.cosine_loss for report in reports)),
        )

    async def drop(
        self,
        opened: OpenCollection,
        chosen: Callable[[StoreSnapshot], Sequence[str]],
        *,
        after: Callable[[], None] = lambda: None,
    ) -> int:
        """Delete the documents that `chosen` names, in one commit; then do `after`, within the same turn."""
        async with self._turn_of(opened):
            ids = await asyncio.to_thread(chosen, opened.store.snapshot())
            removed = await run_to_completion(opened.store.delete, ids) if ids else 0
            if removed:
                await run_to_completion(self._show, opened)
            await run_to_completion(after)
        return removed

    async def delete(self, tenant: TenantName, name: str, document_id: str) -> None:
        """Delete a document. Raises `CollectionNotFound`, `DocumentNotFound`."""
        opened = await asyncio.to_thread(self._collections.get, tenant, name)
        async with self._turn_of(opened):
            removed = await run_to_completion(opened.store.delete, [document_id])
            await run_to_completion(self._show, opened)
        if not removed:
            raise DocumentNotFound(document_id)

    async def delete_where(self, tenant: TenantName, name: str, where: Filter, *, dry_run: bool = False) -> Emptied:
        """Delete all matching documents in one commit. Raises `CollectionNotFound`, `InvalidRequest`."""
        opened = await asyncio.to_thread(self._collections.get, tenant, name)
        if dry_run:
            snapshot = opened.store.snapshot()
            matching = await asyncio.to_thread(snapshot.documents_where, where)
            return Emptied(documents=len(matching), dry_run=True, store_version=snapshot.version)
        async with self._turn_of(opened):  # what is found is what is removed: no write comes in between
            matching = await asyncio.to_thread(opened.store.snapshot().documents_where, where)
            removed = await run_to_completion(opened.store.delete, matching) if matching else 0
            await run_to_completion(self._show, opened)
            return Emptied(documents=removed, dry_run=False, store_version=opened.store.snapshot().version)

    def _reserve_room(
        self, opened: OpenCollection, snapshot: StoreSnapshot, fresh: Sequence[Document]
    ) -> AbstractAsyncContextManager[None]:
        """Reserve storage for new data, before any of it is written."""
        if self._room is None or not fresh:
            return contextlib.nullcontext()
        mine = opened.collection
        return self._room.reserved(
            mine.tenant,
            mine.name,
            lambda: Held(documents=_new(snapshot, fresh), bytes=sum(map(_bytes_of, fresh))),
        )

    def _show(self, opened: OpenCollection) -> None:
        """Make writes searchable, and fold them into the index unless that is done elsewhere. Blocks."""
        view = opened.searchable.follow()
        if self._delta_chunks_max is None or view.unfolded <= self._delta_chunks_max:
            return
        opened.store.renew_word_rules()
        view = opened.searchable.follow()
        with contextlib.suppress(CollectionBusy):  # another process is folding it
            fold(
                opened.folder,
                view.snapshot,
                opened.collection.embedder,
                wish=self._wish,
                kept=self._kept,
                made_at=opened.collection.created_at,
                lease=opened.lease,
                shared=opened.shared,
            )
            opened.searchable.refresh()

    def writer(self, opened: OpenCollection) -> DocumentWriter:
        """Return the writer for this collection; its lock must be held."""
        chunker = Chunker(tokenizer=self._tokenizer, tokens_max=opened.collection.chunk_tokens)
        fields = opened.collection.embed_fields
        return DocumentWriter(store=opened.store, embedder=self._embedder, chunker=chunker, fields=fields)

    @contextlib.asynccontextmanager
    async def _turn_of(self, opened: OpenCollection) -> AsyncIterator[None]:
        """Hold the turn among writers of this process, then of all processes. Raises `CollectionBusy`, `StorageMoved`.

        The data folder is checked before the lock, which would create the folder again, and before anything is
        acknowledged.
        """
        async with opened.turn:
            self._disk.require_unmoved()
            mine = opened.collection
            lock = partial(self._disk.writing, mine.tenant, mine.name)
            async with self._locks.held(lock, wait_seconds=self._disk.catalog.leases.busy_seconds):
                await asyncio.to_thread(self._collections.require_still, opened)
                yield
                self._disk.require_unmoved()


def records_of_lines(body: bytes | bytearray) -> Iterator[Sent]:
    """Yield the records of NDJSON, with or without a byte order mark; blank lines are skipped.

    Blocks, with pauses. Raises `LimitExceeded` if there are too many lines.
    """
    body = to_utf8(body)
    _require_lines(body)
    end, number = -1, 0
    while end < len(body):
        start, end = end + 1, _line_end(body, end + 1)
        line = body[start:end]
        number += 1
        rest(number)
        if line.strip():
            yield number, parse_record(line)


def _require_lines(body: bytes | bytearray) -> None:
    """Raise `LimitExceeded` before any line is parsed."""
    ends = 0 if body.endswith(b"\n") else 1
    for start in range(0, len(body), COUNTED_BYTES):
        ends += body.count(b"\n", start, start + COUNTED_BYTES)
        if ends > NDJSON_LINES_MAX:
            raise LimitExceeded(f"the body has more than {NDJSON_LINES_MAX} lines; send them in several requests")


def _line_end(body: bytes | bytearray, start: int) -> int:
    found = body.find(b"\n", start)
    return len(body) if found < 0 else found


def _entries(records: Iterator[Sent]) -> Iterator[Entry]:
    for number, record in records:
        if isinstance(record, dict):
            made = make_structured(record)
        else:
            made = record if isinstance(record, Refused) else Refused(reason="not a JSON object")
        yield make_entry(made, place=Place(source="request", line=number), position=number)


def _fresh(snapshot: StoreSnapshot, documents: Sequence[Document]) -> list[Document]:
    """Return documents that are not stored unchanged."""
    if len(documents) <= LOOKED_UP_MAX:
        return [document for document in documents if not _is_stored(snapshot, document)]
    known = snapshot.content_hashes()
    return [document for document in documents if known.get(document.id) != document.content_hash]


def _new(snapshot: StoreSnapshot, documents: Sequence[Document]) -> int:
    """Return how many documents replace none."""
    known = snapshot.content_hashes()
    return sum(document.id not in known for document in documents)


def _bytes_of(document: Document) -> int:
    return len(document.title.encode()) + len(document.text.encode())


def _is_stored(snapshot: StoreSnapshot, document: Document) -> bool:
    try:
        return snapshot.document(document.id).content_hash == document.content_hash
    except DocumentNotFound:
        return False
