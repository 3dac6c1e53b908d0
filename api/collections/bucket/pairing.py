"""Opens the catalog of a deployment whose collections are in a bucket, and checks that the two belong together.

The mark is an object, which is written once and never changes. It is written before the catalog names it, and another
object after that. So a crash in between leaves a mark that the next call takes, and from then on no other catalog does.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.folder import SqlFolderBook
from winnow.retrieval.catalog.sql.tenants import SqlTenants
from winnow.retrieval.errors import CatalogMismatch, SettingInvalid
from winnow.retrieval.files.folder_id import FolderMark
from winnow.retrieval.files.layout import BUCKET_COLLECTIONS
from winnow.retrieval.files.s3_access import BucketRoot
from winnow.retrieval.store.places.bucket import Bucket

MARK: Final = "folder-id"
JOINED: Final = "folder-id-joined"


def opened_with_bucket(bucket: Bucket, catalog_url: str | None) -> SqlDatabase:
    """Open the catalog of this prefix, with the newest schema.

    Raises `SettingInvalid` without a URL, `CatalogMismatch`, `StoreUnavailable`, and what `SqlDatabase.open` raises.
    """
    database = SqlDatabase.at(_require_url(bucket.root, catalog_url))
    with ExitStack() as on_failure:
        on_failure.callback(database.close)
        database.upgrade()
        book, mark = SqlFolderBook(database), _mark_of(bucket)
        named = book.folder()
        if named is None:
            if bucket.get(JOINED) is not None:
                raise CatalogMismatch(_said(bucket, database))
            _require_unused(bucket, database)
            named = book.join(mark or _draw(bucket))
            mark = _mark_of(bucket)
        if mark != named:
            raise CatalogMismatch(_said(bucket, database))
        bucket.put_new(JOINED, b"")
        on_failure.pop_all()
    return database


def require_used(root: BucketRoot, catalog_url: str | None) -> str:
    """Return the URL. Raises `SettingInvalid` without one, or if no deployment uses this prefix yet."""
    url = _require_url(root, catalog_url)
    if _mark_of(Bucket(root)) is None:
        raise SettingInvalid(f"--data {root.url} is not used by winnow yet; check the path, or index a corpus first")
    return url


def _require_url(root: BucketRoot, catalog_url: str | None) -> str:
    if catalog_url is None:
        raise SettingInvalid(f"--data {root.url} needs a catalog on PostgreSQL; set WINNOW_CATALOG_URL")
    return catalog_url


def _mark_of(bucket: Bucket) -> str | None:
    content = bucket.get(MARK)
    return None if content is None else content.decode("ascii", errors="replace").strip()


def _draw(bucket: Bucket) -> str:
    """Write a mark unless there is one, and return what is there then."""
    drawn = FolderMark.drawn().id
    bucket.put_new(MARK, f"{drawn}\n".encode("ascii"))
    return _mark_of(bucket) or drawn


def _require_unused(bucket: Bucket, database: SqlDatabase) -> None:
    """Check two that were never opened together: each must be without collections."""
    catalog = SqlCollections(database)
    is_catalog_used = any(catalog.of_tenant(tenant.name) for tenant in SqlTenants(database).tenants())
    if is_catalog_used or next(bucket.listed(BUCKET_COLLECTIONS), None) is not None:
        raise CatalogMismatch(_said(bucket, database))


def _said(bucket: Bucket, database: SqlDatabase) -> str:
    return (
        f"{bucket.root.url} does not belong to the catalog {database.place}. Check --data and WINNOW_CATALOG_URL, or "
        "restore the catalog that the prefix was used with"
    )
