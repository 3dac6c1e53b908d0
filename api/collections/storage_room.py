"""Reserves storage for a tenant's documents before they are written, so that concurrent writers respect its limits.

A reservation lasts as long as its writer holds the lock of its collection; a killed writer has lost both. A collection
counts with its reservation or with its size on the disk, whichever is larger: nothing is counted twice, however far a
writer is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from winnow.api.collections.bucket.corpora import bytes_of
from winnow.api.collections.data_folder import DataFolder
from winnow.api.tenancy.quotas import STORED, Quotas
from winnow.retrieval.catalog.quotas import Held, Limit, TenantLimits
from winnow.retrieval.catalog.sql.reservations import SqlReservations
from winnow.retrieval.concurrency.tasks import run_to_completion
from winnow.retrieval.errors import Overloaded, WinnowError
from winnow.retrieval.files.locks import is_written
from winnow.retrieval.files.sizes import bytes_below
from winnow.retrieval.tenancy import TenantName

UPLOADS: Final = "/files"  # among the names of collections
TRIES_MAX: Final = 100  # other reservations of the tenant while this one counts; each of those has succeeded

log = logging.getLogger(__name__)


class StorageRoom:
    """The storage that a tenant's collections use, and will use."""

    def __init__(self, disk: DataFolder, quotas: Quotas, book: SqlReservations) -> None:
        self._disk = disk
        self._quotas = quotas
        self._book = book

    @asynccontextmanager
    async def reserved(self, tenant: TenantName, collection: str, more: Callable[[], Held]) -> AsyncIterator[None]:
        """Reserve storage while `more` is written to the collection, whose lock the caller holds.

        Costs nothing if the tenant has no such limit. Raises `StorageQuotaExceeded`, and what the catalog raises.
        """
        limits = await self._quotas.limits_of(tenant)
        if all(limits.of(limit) is None for limit in STORED):
            yield
            return
        await run_to_completion(self._reserve, tenant, collection, more, limits)
        try:
            yield
        finally:
            await run_to_completion(self._release, tenant, collection)

    async def require_bytes(self, tenant: TenantName, more: int) -> None:
        """Check that so many more bytes fit beside what is stored and reserved. Raises `StorageQuotaExceeded`.

        Bytes of uploads are on the disk before they are checked, so writers that come later count them.
        """
        limits = await self._quotas.limits_of(tenant)
        if limits.of(Limit.BYTES) is not None:
            await asyncio.to_thread(self._require_bytes, tenant, more, limits)

    def _require_bytes(self, tenant: TenantName, more: int, limits: TenantLimits) -> None:
        known = self._book.reservations(tenant)
        alive = [name for name in known.held if is_written(self._disk.layout.collection(tenant, name))]
        held = self.held(tenant, limits)
        for name in alive:
            held[name] = held.get(name, Held()) | known.held[name]
        self._quotas.require_stored(Held(bytes=sum(each.bytes for each in held.values()) + more), limits)

    def held(self, tenant: TenantName, limits: TenantLimits) -> dict[str, Held]:
        """Return the amounts by collection, as far as they are limited. Blocks.

        Bytes include all kept versions and generations, files being removed, and under a name that no collection can
        have, uploaded files; in a bucket all objects, but not this host's copies.
        """
        held: dict[str, Held] = {}
        if limits.of(Limit.DOCUMENTS) is not None:
            held = {each.collection.name: Held(documents=each.documents or 0) for each in self._disk.described(tenant)}
        folder = self._disk.layout.collections(tenant)
        if limits.of(Limit.BYTES) is not None and self._disk.bucket is None and folder.is_dir():
            for path in folder.iterdir():
                held[path.name] = held.get(path.name, Held()) + Held(bytes=bytes_below(path))
        if limits.of(Limit.BYTES) is not None:
            for name, size in bytes_of(self._disk.bucket, tenant):
                held[name] = held.get(name, Held()) + Held(bytes=size)
        uploads = self._disk.layout.uploads_of(tenant)
        if limits.of(Limit.BYTES) is not None and uploads.is_dir():
            held[UPLOADS] = Held(bytes=bytes_below(uploads))
        return held

    def _reserve(self, tenant: TenantName, collection: str, more: Callable[[], Held], limits: TenantLimits) -> None:
        wanted = more()
        for _ in range(TRIES_MAX):
            known = self._book.reservations(tenant)
            others = [name for name in known.held if name != collection]
            alive = [name for name in others if is_written(self._disk.layout.collection(tenant, name))]
            held = self.held(tenant, limits)  # last, so that it includes the data of writers that just ended
            mine = held.pop(collection, Held()) + wanted
            for name in alive:
                held[name] = held.get(name, Held()) | known.held[name]
            self._quotas.require_stored(sum(held.values(), mine), limits)
            if self._book.reserve(tenant, collection, mine, turn=known.turn):
                return
        raise Overloaded(f"{TRIES_MAX} other writers of this tenant came first; retry later")

    def _release(self, tenant: TenantName, collection: str) -> None:
        """Release the reservation; one that cannot be released ends with the lock."""
        try:
            self._book.release(tenant, collection)
        except WinnowError as error:
            log.warning("the storage reserved for %s of %s could not be released: %s", collection, tenant, error)
