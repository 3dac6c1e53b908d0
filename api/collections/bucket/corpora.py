"""Where the corpus of a collection is: in the collection's folder, or in a bucket.

In a bucket each collection has a prefix of its own, named after the moment of its creation as well. So a writer of a
removed collection never writes to one that has its name. The folder is then a cache of this host: locks, indexes and
the rejects of the last run, which are dropped when the folder is found to be of an earlier collection.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Final

from winnow.api.collections.bucket.index_cache import make_room
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.errors import StorageError
from winnow.retrieval.files.durable import make_folder, remove
from winnow.retrieval.files.layout import (
    BUCKET_COLLECTIONS,
    CollectionFolder,
    Layout,
    bucket_folder,
    created_at_of,
    stamp_created,
)
from winnow.retrieval.files.locks import folding, pointing
from winnow.retrieval.generation.shared import SharedGenerations
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.places.bucket import Bucket
from winnow.retrieval.store.places.bucket_place import BucketPlace
from winnow.retrieval.store.places.local_place import LocalPlace
from winnow.retrieval.store.places.place import StorePlace
from winnow.retrieval.tenancy import TenantName

CACHE_SECONDS_MAX: Final = 5.0  # maximum wait for a build that still uses the folder of an earlier collection


def place_of_corpus(
    bucket: Bucket | None, tenant: str, name: str, created_at: datetime, folder: CollectionFolder
) -> StorePlace:
    """Return the place of the collection's corpus."""
    if bucket is None:
        return LocalPlace(folder.corpus)
    path = bucket_folder(tenant, name, created_at)
    return BucketPlace(bucket, f"{path}/corpus.lance", collection=name, local=folder.corpus)


def shared_generations(
    bucket: Bucket | None, tenant: str, name: str, created_at: datetime, folder: CollectionFolder
) -> SharedGenerations | None:
    """Return the collection's generations in the bucket, or None without one."""
    if bucket is None:
        return None
    room = partial(make_room, Layout(folder.path.parents[2]), bytes_max=bucket.root.cache_bytes_max, but=folder)
    return SharedGenerations(bucket, bucket_folder(tenant, name, created_at), make_room=room)


def shared_of(bucket: Bucket | None, collection: Collection, folder: CollectionFolder) -> SharedGenerations | None:
    """Like `shared_generations`."""
    return shared_generations(bucket, collection.tenant, collection.name, collection.created_at, folder)


def take_over_cache(collection: Collection, folder: CollectionFolder) -> None:
    """Make the folder this collection's cache. Raises `CollectionBusy`, `WriteFailed`."""
    if created_at_of(folder) == collection.created_at:
        return
    make_folder(folder.path)
    with folding(folder, wait_seconds=CACHE_SECONDS_MAX), pointing(folder):
        if created_at_of(folder) != collection.created_at:
            for left in reversed(folder.contents[1:]):
                remove(left)
            stamp_created(folder, collection.created_at)


def bytes_of(bucket: Bucket | None, tenant: TenantName) -> Iterator[tuple[str, int]]:
    """Yield the bytes of each object of a tenant, by collection; none without a bucket."""
    folder = f"{BUCKET_COLLECTIONS}/{tenant}"
    for each in () if bucket is None else bucket.listed(folder):
        yield each.name.removeprefix(f"{folder}/").partition("/")[0], each.bytes


def remove_from_bucket(bucket: Bucket, collection: Collection) -> None:
    """Remove all objects of a collection that the catalog no longer names. Raises `StoreUnavailable`."""
    bucket.remove_below(bucket_folder(collection.tenant, collection.name, collection.created_at))


def remove_abandoned(bucket: Bucket, collections: SqlCollections) -> None:
    """Remove all objects of creations and removals that were given up. Raises `StoreUnavailable`."""
    for tenant, name, made_at in collections.abandoned():
        bucket.remove_below(bucket_folder(tenant, name, made_at))
        collections.forget_abandoned(tenant, name, made_at)


def fault_of(store: LanceStore) -> str | None:
    """Return why the store cannot be used, or None."""
    try:
        store.require_usable()
    except StorageError as error:
        return error.message
    return None
