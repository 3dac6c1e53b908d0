"""Uploaded files, and the collections that they are attached to, in SQL."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.tenants import add_tenant
from winnow.retrieval.catalog.sql.uploads.tables import UPLOADED_FILES, VECTOR_STORE_FILES, VECTOR_STORES
from winnow.retrieval.catalog.uploads import (
    AttachedFile,
    AttributeValue,
    FileFault,
    FileStatus,
    StoreNotes,
    UploadedFile,
)
from winnow.retrieval.errors import CollectionNotFound, FileNotFound
from winnow.retrieval.tenancy import TenantName

_JOINED: Final = sql.join(
    VECTOR_STORE_FILES,
    UPLOADED_FILES,
    sql.and_(VECTOR_STORE_FILES.c.tenant == UPLOADED_FILES.c.tenant, VECTOR_STORE_FILES.c.file == UPLOADED_FILES.c.id),
)
_OF_FILE: Final = [UPLOADED_FILES.c[name] for name in ("id", "name", "purpose", "created_at", "bytes")]
_OF_ATTACHED: Final = [each for each in VECTOR_STORE_FILES.c if each.name not in {"tenant", "file"}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Part of a list. Ids sort by time."""

    limit: int
    after: str | None = None
    before: str | None = None
    newest_first: bool = True


class SqlUploads:
    """The files of all tenants; another tenant's count as missing: `FileNotFound`.

    Its calls also raise what `SqlDatabase` raises.
    """

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def add(self, file: UploadedFile) -> None:
        row = {
            "tenant": file.tenant,
            "id": file.id,
            "name": file.name,
            "purpose": file.purpose,
            "bytes": file.bytes,
            "created_at": _said(file.created_at),
        }
        with self._database.writing() as connection:
            add_tenant(connection, file.tenant)
            connection.execute(sql.insert(UPLOADED_FILES).values(row))

    def get(self, tenant: TenantName, file_id: str) -> UploadedFile:
        wanted = sql.select(UPLOADED_FILES).where(_this_file(tenant, file_id))
        with self._database.reading() as connection:
            row = connection.execute(wanted).first()
        if row is None:
            raise FileNotFound(file_id[:80])
        return _file(row, tenant)

    def files(self, tenant: TenantName, page: Page, *, purpose: str | None = None) -> Sequence[UploadedFile]:
        wanted = sql.select(UPLOADED_FILES).where(UPLOADED_FILES.c.tenant == tenant)
        if purpose is not None:
            wanted = wanted.where(UPLOADED_FILES.c.purpose == purpose)
        with self._database.reading() as connection:
            rows = connection.execute(_paged(wanted, UPLOADED_FILES.c.id, page)).all()
        return [_file(row, tenant) for row in rows]

    def names(self, tenant: TenantName, file_ids: Collection[str]) -> Mapping[str, str]:
        """Return the names of these files, as far as they exist."""
        columns = UPLOADED_FILES.c
        wanted = sql.select(columns.id, columns.name).where(columns.tenant == tenant, columns.id.in_(file_ids))
        with self._database.reading() as connection:
            return {row.id: row.name for row in connection.execute(wanted)}

    def ids(self, tenant: str) -> frozenset[str]:
        """Return the ids of all files of a tenant."""
        wanted = sql.select(UPLOADED_FILES.c.id).where(UPLOADED_FILES.c.tenant == tenant)
        with self._database.reading() as connection:
            return frozenset(connection.scalars(wanted))

    def remove(self, tenant: TenantName, file_id: str) -> bool:
        """Remove a file; return False, changing nothing, while it is attached to a collection."""
        used = sql.and_(VECTOR_STORE_FILES.c.tenant == tenant, VECTOR_STORE_FILES.c.file == file_id)
        with self._database.writing() as connection:
            if connection.execute(sql.select(VECTOR_STORE_FILES.c.file).where(used).limit(1)).first() is not None:
                return False
            if not connection.execute(sql.delete(UPLOADED_FILES).where(_this_file(tenant, file_id))).rowcount:
                raise FileNotFound(file_id[:80])
            return True

    def attach(
        self,
        tenant: TenantName,
        collection: str,
        file_id: str,
        attributes: Mapping[str, AttributeValue],
        *,
        at: datetime,
    ) -> bool:
        """Note that a file is being read into a collection; return whether it was attached before.

        Raises `FileNotFound`, `CollectionNotFound`.
        """
        row = {
            "attached_at": _said(at),
            "attributes": json.dumps(dict(attributes), ensure_ascii=False),
            "status": FileStatus.IN_PROGRESS.value,
            "documents": 0,
            "rejected": 0,
            "error": None,
            "reason": None,
        }
        this = _attached_as(tenant, collection, file_id)
        with self._database.writing() as connection:
            if connection.execute(sql.select(UPLOADED_FILES.c.id).where(_this_file(tenant, file_id))).first() is None:
                raise FileNotFound(file_id[:80])
            if connection.execute(sql.update(VECTOR_STORE_FILES).where(this).values(row)).rowcount:
                return True
            whose = {"tenant": tenant, "collection": collection, "file": file_id}
            try:
                connection.execute(sql.insert(VECTOR_STORE_FILES).values(whose | row))
            except IntegrityError as error:  # the row refers to the collection
                raise CollectionNotFound(collection) from error
            return False

    def settle(
        self,
        attached: AttachedFile,
        *,
        status: FileStatus,
        documents: int,
        rejected: int,
        error: FileFault | None = None,
        reason: str | None = None,
    ) -> None:
        """Note how the reading of a file ended. A file that was detached meanwhile stays detached."""
        this = _attached_as(attached.file.tenant, attached.collection, attached.file.id)
        values = {
            "status": status.value,
            "documents": documents,
            "rejected": rejected,
            "error": None if error is None else error.value,
            "reason": reason,
        }
        with self._database.writing() as connection:
            connection.execute(sql.update(VECTOR_STORE_FILES).where(this).values(values))

    def attached(self, tenant: TenantName, collection: str, file_id: str) -> AttachedFile:
        wanted = _attached_rows(tenant, collection).where(VECTOR_STORE_FILES.c.file == file_id)
        with self._database.reading() as connection:
            row = connection.execute(wanted).first()
        if row is None:
            raise FileNotFound(f"{file_id[:80]} in {collection}")
        return _attached(row, tenant)

    def attached_files(
        self, tenant: TenantName, collection: str, page: Page, *, status: FileStatus | None = None
    ) -> Sequence[AttachedFile]:
        wanted = _attached_rows(tenant, collection)
        if status is not None:
            wanted = wanted.where(VECTOR_STORE_FILES.c.status == status.value)
        with self._database.reading() as connection:
            rows = connection.execute(_paged(wanted, VECTOR_STORE_FILES.c.file, page)).all()
        return [_attached(row, tenant) for row in rows]

    def collections_of(self, tenant: TenantName, file_id: str) -> Sequence[str]:
        """Return the collections that a file is attached to."""
        columns = VECTOR_STORE_FILES.c
        wanted = sql.select(columns.collection).where(columns.tenant == tenant, columns.file == file_id)
        with self._database.reading() as connection:
            return connection.scalars(wanted.order_by(columns.collection)).all()

    def detach(self, tenant: TenantName, collection: str, file_id: str) -> None:
        with self._database.writing() as connection:
            connection.execute(sql.delete(VECTOR_STORE_FILES).where(_attached_as(tenant, collection, file_id)))

    def counts(self, tenant: TenantName, collection: str) -> Mapping[FileStatus, tuple[int, int]]:
        """Return the number and the bytes of a collection's files, by status."""
        columns = VECTOR_STORE_FILES.c
        wanted = (
            sql.select(columns.status, sql.func.count(), sql.func.sum(UPLOADED_FILES.c.bytes))
            .select_from(_JOINED)
            .where(columns.tenant == tenant, columns.collection == collection)
            .group_by(columns.status)
        )
        with self._database.reading() as connection:
            return {FileStatus(row[0]): (row[1], int(row[2])) for row in connection.execute(wanted)}

    def notes(self, tenant: TenantName) -> Mapping[str, StoreNotes]:
        """Return what the tenant's vector stores have beyond their collections, by collection."""
        wanted = sql.select(VECTOR_STORES).where(VECTOR_STORES.c.tenant == tenant)
        with self._database.reading() as connection:
            return {
                row.collection: StoreNotes(name=row.name, metadata=json.loads(row.notes))
                for row in connection.execute(wanted)
            }

    def set_notes(self, tenant: TenantName, collection: str, notes: StoreNotes) -> None:
        """Raises `CollectionNotFound`."""
        where = sql.and_(VECTOR_STORES.c.tenant == tenant, VECTOR_STORES.c.collection == collection)
        row = {
            "tenant": tenant,
            "collection": collection,
            "name": notes.name,
            "notes": json.dumps(dict(notes.metadata), ensure_ascii=False),
        }
        with self._database.writing() as connection:
            connection.execute(sql.delete(VECTOR_STORES).where(where))
            try:
                connection.execute(sql.insert(VECTOR_STORES).values(row))
            except IntegrityError as error:  # the row refers to the collection
                raise CollectionNotFound(collection) from error


def _paged(wanted: sql.Select[Any], key: sql.ColumnElement[str], page: Page) -> sql.Select[Any]:
    if page.after is not None:
        wanted = wanted.where(key < page.after if page.newest_first else key > page.after)
    if page.before is not None:
        wanted = wanted.where(key > page.before if page.newest_first else key < page.before)
    return wanted.order_by(key.desc() if page.newest_first else key).limit(page.limit)


def _attached_rows(tenant: TenantName, collection: str) -> sql.Select[Any]:
    columns = VECTOR_STORE_FILES.c
    return (
        sql.select(*_OF_ATTACHED, *_OF_FILE)
        .select_from(_JOINED)
        .where(columns.tenant == tenant, columns.collection == collection)
    )


def _this_file(tenant: str, file_id: str) -> sql.ColumnElement[bool]:
    return sql.and_(UPLOADED_FILES.c.tenant == tenant, UPLOADED_FILES.c.id == file_id)


def _attached_as(tenant: str, collection: str, file_id: str) -> sql.ColumnElement[bool]:
    columns = VECTOR_STORE_FILES.c
    return sql.and_(columns.tenant == tenant, columns.collection == collection, columns.file == file_id)


def _said(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _file(row: sql.Row[Any], tenant: TenantName) -> UploadedFile:
    return UploadedFile(
        tenant=tenant,
        id=row.id,
        name=row.name,
        purpose=row.purpose,
        bytes=row.bytes,
        created_at=datetime.fromisoformat(row.created_at),
    )


def _attached(row: sql.Row[Any], tenant: TenantName) -> AttachedFile:
    return AttachedFile(
        file=_file(row, tenant),
        collection=row.collection,
        attached_at=datetime.fromisoformat(row.attached_at),
        status=FileStatus(row.status),
        attributes=json.loads(row.attributes),
        documents=row.documents,
        rejected=row.rejected,
        error=None if row.error is None else FileFault(row.error),
        reason=row.reason,
    )
