"""Uploaded files: how they are kept, and how they become documents of a collection. Knows no HTTP.

Rule 1: the bytes of a file count as stored from their arrival until they are deleted. Rule 2: a file that is attached
again takes the place of what it was before; so do other attributes. Rule 3: a file that fails leaves no documents, and
its reason stays. Rule 4: a file that is deleted leaves no collection with its documents.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.ingest import COMMIT_DOCUMENTS, Ingest, Upserted
from winnow.api.collections.open_collections import OpenCollection, OpenCollections
from winnow.api.collections.storage_room import StorageRoom
from winnow.indexer.corpus import Entry, Record, Reject, check_entries
from winnow.indexer.readers.formats import Readability, format_of_name
from winnow.retrieval.catalog.uploads import (
    AttachedFile,
    AttributeValue,
    FileFault,
    FileStatus,
    UploadedFile,
    document_id_of,
    file_id_of,
    new_file_id,
)
from winnow.retrieval.concurrency.tasks import run_to_completion
from winnow.retrieval.errors import CollectionBusy, FileNotFound, WinnowError
from winnow.retrieval.files.uploads import Arriving, arriving, content_of, discard, sweep
from winnow.retrieval.limits import FILE_DOCUMENTS_MAX
from winnow.retrieval.records import Document
from winnow.retrieval.store.contract import StoreSnapshot
from winnow.retrieval.tenancy import TenantName

READING_MAX: Final = 1  # files read at once, each by a process of its own
ATTACHING_SECONDS_MAX: Final = 1_800.0  # after that a file has failed; one that is still in progress later was left
BATCH_CHARACTERS_MAX: Final = 4_000_000  # characters in memory at once, or one document
REMOVALS_MAX: Final = 10  # tries to delete a file that others attach meanwhile

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What became of a file so far."""

    ids: frozenset[str] = frozenset()
    rejected: int = 0
    reason: str | None = None  # of the first reject

    def plus(self, entries: Sequence[Entry]) -> _Read:
        rejects = [each for each in entries if isinstance(each, Reject)]
        return _Read(
            ids=self.ids | {each.document.id for each in entries if isinstance(each, Record)},
            rejected=self.rejected + len(rejects),
            reason=self.reason or (f"{rejects[0].place}: {rejects[0].reason}" if rejects else None),
        )


class _Failed(Exception):
    """A file cannot become documents."""

    def __init__(self, fault: FileFault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault
        self.reason = reason


class Uploads:
    """The uploaded files of all tenants."""

    def __init__(self, *, disk: DataFolder, collections: OpenCollections, ingest: Ingest, room: StorageRoom) -> None:
        self._disk = disk
        self._book = disk.catalog.uploads
        self._collections = collections
        self._ingest = ingest
        self._room = room
        self._reading = asyncio.Semaphore(READING_MAX)

    def sweep(self) -> None:
        """Remove what killed uploads left on the disk. Blocks."""
        for tenant in sorted(self._disk.layout.uploads.iterdir()) if self._disk.layout.uploads.is_dir() else []:
            removed = sweep(tenant, partial(self._book.ids, tenant.name))
            if removed:
                log.info("removed %d unfinished uploads of %s", removed, tenant.name)

    @asynccontextmanager
    async def arriving(self, tenant: TenantName, *, announced: int) -> AsyncIterator[Arrival]:
        """Receive a file of about so many bytes. What is not kept within the block is removed.

        Raises `StorageQuotaExceeded`, `StorageMoved`, `WriteFailed`, and `InvalidRequest` over a bucket.
        """
        self._disk.require_unmoved()
        self._disk.require_local(
            "files cannot be uploaded while the collections are in a bucket; write documents instead"
        )
        await self._room.require_bytes(tenant, announced)
        at = datetime.now(UTC)
        file_id = new_file_id(at)
        file = UploadedFile(tenant=tenant, id=file_id, name="", purpose="", bytes=0, created_at=at)
        held = arriving(self._disk.layout.upload(tenant, file_id))
        arrived = await asyncio.to_thread(held.__enter__)
        try:
            yield Arrival(self, arrived, file)
        finally:
            await run_to_completion(held.__exit__, None, None, None)

    async def kept(self, arrived: Arriving, file: UploadedFile) -> UploadedFile:
        """Keep a file that has arrived. Raises like `arriving`."""
        await asyncio.to_thread(arrived.finish)
        await self._room.require_bytes(file.tenant, 0)
        self._disk.require_unmoved()
        await run_to_completion(self._add, arrived, file)
        return file

    def _add(self, arrived: Arriving, file: UploadedFile) -> None:
        self._book.add(file)
        arrived.is_kept = True

    def content(self, tenant: TenantName, file_id: str) -> tuple[UploadedFile, Path]:
        """Return a file and where its bytes are. Blocks. Raises `FileNotFound`."""
        file = self._book.get(tenant, file_id)
        try:
            return file, content_of(self._disk.layout.upload(tenant, file.id))
        except OSError as error:
            raise FileNotFound(f"{file_id}: its content is gone from the data folder") from error

    async def delete(self, tenant: TenantName, file_id: str) -> None:
        """Delete a file, and its documents in every collection. Raises `FileNotFound`, and what writing raises."""
        for _ in range(REMOVALS_MAX):
            for collection in await asyncio.to_thread(self._book.collections_of, tenant, file_id):
                await self.detach(tenant, collection, file_id)
            if await run_to_completion(self._book.remove, tenant, file_id):
                await asyncio.to_thread(discard, self._disk.layout.upload(tenant, file_id))
                return
        raise CollectionBusy(f"{file_id} is attached again and again; retry later")

    async def detach(self, tenant: TenantName, collection: str, file_id: str) -> None:
        """Remove a file's documents from a collection. Raises `FileNotFound`, and what writing raises.

        Documents of a file that has no row here, such as those of a restored snapshot, are removed, too.
        """
        opened = await asyncio.to_thread(self._collections.get, tenant, collection)
        is_known = True
        try:
            await asyncio.to_thread(self._book.attached, tenant, collection, file_id)
        except FileNotFound:
            is_known = False
        forget = partial(self._book.detach, tenant, collection, file_id)
        removed = await self._ingest.drop(opened, partial(documents_of, file_id), after=forget)
        if not removed and not is_known:
            raise FileNotFound(f"{file_id[:80]} in {collection}")

    def attached(self, tenant: TenantName, collection: str, file_id: str) -> AttachedFile:
        """Blocks. Raises `CollectionNotFound`, `FileNotFound`."""
        self._disk.catalog.collections.get(tenant, collection)
        return self._book.attached(tenant, collection, file_id)

    def texts(self, tenant: TenantName, collection: str, file_id: str) -> list[str]:
        """Return what a file became, in its order. Blocks. Raises like `attached`."""
        self.attached(tenant, collection, file_id)
        snapshot = self._collections.get(tenant, collection).store.snapshot()
        ids = sorted(documents_of(file_id, snapshot), key=_by_number)
        return [snapshot.document(each).text for each in ids]

    async def attach(
        self,
        tenant: TenantName,
        collection: str,
        file_id: str,
        attributes: Mapping[str, AttributeValue],
        *,
        charge: Callable[[Upserted], None],
    ) -> AttachedFile:
        """Read a file into a collection; return when its documents are searchable, or when it has failed.

        Raises `FileNotFound`, `CollectionNotFound`, and what writing raises; the file has then failed, too.
        """
        opened = await asyncio.to_thread(self._collections.get, tenant, collection)
        file, path = await asyncio.to_thread(self.content, tenant, file_id)
        at = datetime.now(UTC)
        was_there = await run_to_completion(partial(self._book.attach, tenant, collection, file.id, attributes, at=at))
        attached = AttachedFile(
            file=file, collection=collection, attached_at=at, status=FileStatus.IN_PROGRESS, attributes=attributes
        )
        settle = partial(self._book.settle, attached)
        try:
            read = await self._read(opened, attached, path, charge)
            if was_there:
                await self._ingest.drop(opened, partial(documents_of, file.id, but=read.ids))
        except _Failed as failed:
            await self._ingest.drop(opened, partial(documents_of, file.id))
            await run_to_completion(
                partial(settle, status=FileStatus.FAILED, documents=0, rejected=0, error=failed.fault,
                        reason=failed.reason)
            )  # fmt: skip
        except WinnowError as error:
            await self._give_up(opened, attached, error)
            raise
        else:
            await run_to_completion(
                partial(settle, status=FileStatus.COMPLETED, documents=len(read.ids), rejected=read.rejected,
                        reason=read.reason)
            )  # fmt: skip
        return await asyncio.to_thread(self._book.attached, tenant, collection, file.id)

    async def _give_up(self, opened: OpenCollection, attached: AttachedFile, error: WinnowError) -> None:
        """Remove what was written, and note the error, as far as that is possible."""
        noted = partial(
            self._book.settle, attached, status=FileStatus.FAILED, documents=0, rejected=0,
            error=FileFault.SERVER, reason=error.message,
        )  # fmt: skip
        try:
            await self._ingest.drop(opened, partial(documents_of, attached.file.id), after=noted)
        except WinnowError as second:
            log.warning("%s of %s stays in progress: %s", attached.file.id, attached.collection, second)

    async def _read(
        self, opened: OpenCollection, attached: AttachedFile, path: Path, charge: Callable[[Upserted], None]
    ) -> _Read:
        """Write a file's documents, batch by batch. Raises `_Failed`, and what writing raises."""
        file, read, until = attached.file, _Read(), time.monotonic() + ATTACHING_SECONDS_MAX
        check = partial(self._book.attached, file.tenant, attached.collection, file.id)
        entries = _entries(path, attached)
        async with self._reading:
            try:
                while batch := await run_to_completion(_batch, entries):
                    charge(await self._ingest.put(opened, batch, check=check))
                    read = read.plus(batch)
                    if len(read.ids) > FILE_DOCUMENTS_MAX:
                        raise _Failed(FileFault.INVALID, f"it holds more than {FILE_DOCUMENTS_MAX} documents")
                    if time.monotonic() > until:
                        raise _Failed(FileFault.SERVER, f"reading took more than {ATTACHING_SECONDS_MAX:.0f} s")
            finally:
                await asyncio.to_thread(entries.close)  # ends the process that parses
        if not read.ids:
            raise _Failed(_fault_of(file.name), read.reason or "it holds nothing that can be read")
        return read


class Arrival:
    """A file that is arriving: where its bytes go, and how it is kept."""

    def __init__(self, uploads: Uploads, arrived: Arriving, file: UploadedFile) -> None:
        self._uploads = uploads
        self._file = file
        self.sink = arrived

    async def keep(self, *, name: str, purpose: str) -> UploadedFile:
        """Keep the file. Raises what `Uploads.arriving` raises."""
        file = replace(self._file, name=name, purpose=purpose, bytes=self.sink.size)
        return await self._uploads.kept(self.sink, file)


def shown_status(attached: AttachedFile, now: datetime) -> AttachedFile:
    """Return the file as callers see it: one that a killed process left in progress has failed."""
    is_left = now - attached.attached_at > timedelta(seconds=2 * ATTACHING_SECONDS_MAX)
    if attached.status is not FileStatus.IN_PROGRESS or not is_left:
        return attached
    return replace(
        attached,
        status=FileStatus.FAILED,
        error=FileFault.SERVER,
        reason="the service ended while it read the file; attach it again",
    )


def documents_of(file_id: str, snapshot: StoreSnapshot, *, but: frozenset[str] = frozenset()) -> list[str]:
    """Return the ids of a file's documents in a collection. Blocks."""
    return [each for each in snapshot.content_hashes() if file_id_of(each) == file_id and each not in but]


def _batch(entries: Iterator[Entry]) -> list[Entry]:
    """Return the next entries, as many as one commit takes. Blocks."""
    batch: list[Entry] = []
    characters = 0
    while len(batch) < COMMIT_DOCUMENTS and characters < BATCH_CHARACTERS_MAX:
        entry = next(entries, None)
        if entry is None:
            break
        batch.append(entry)
        characters += len(entry.document.text) if isinstance(entry, Record) else 0
    return batch


def _entries(path: Path, attached: AttachedFile) -> Generator[Entry, None, None]:
    """Yield what a file holds, as documents of this file with its attributes."""
    from winnow.indexer.readers.folder import FileCorpus  # its readers take a start 80 ms

    yield from check_entries(_of_file(FileCorpus(path=path).entries(), attached))


def _of_file(entries: Iterator[Entry], attached: AttachedFile) -> Iterator[Entry]:
    for entry in entries:
        if isinstance(entry, Record):
            yield replace(entry, document=_labelled(entry.document, attached))
        else:
            yield entry


def _labelled(document: Document, attached: AttachedFile) -> Document:
    others = {name: value for name, value in document.metadata.items() if name not in attached.attributes}
    return replace(
        document, id=document_id_of(attached.file.id, document.id), metadata={**attached.attributes, **others}
    )


def _fault_of(name: str) -> FileFault:
    chosen = format_of_name(name)
    is_readable = chosen is not None and Readability().can_read(chosen)
    return FileFault.INVALID if is_readable else FileFault.UNSUPPORTED


def _by_number(document_id: str) -> list[tuple[int, str]]:
    """Sort `#page-10` behind `#page-9`."""
    return [(int(each), "") if each.isdigit() else (-1, each) for each in re.split(r"([0-9]+)", document_id)]
