"""Opens the catalog of a data folder, and checks that the two belong together.

Each data folder has an id, which its catalog names. A catalog and a folder that were never opened together are joined
the first time, if nothing contradicts it: a catalog and a folder both without collections, or a catalog that knows a
collection of the folder. Everything else is refused before any change, because the usual cause is a wrong --data, a
forgotten WINNOW_CATALOG_URL or a lost catalog.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.folder import FIRST_REVISION, SqlFolderBook
from winnow.retrieval.catalog.sql.migrate import Schema
from winnow.retrieval.catalog.sql.tenants import SqlTenants
from winnow.retrieval.errors import CatalogMismatch, SettingInvalid, StoreCorrupt
from winnow.retrieval.files.durable import remove
from winnow.retrieval.files.folder_contents import contents_of
from winnow.retrieval.files.folder_id import FolderMark, joining, read_mark, write_mark
from winnow.retrieval.files.layout import CollectionFolder, Layout, created_at_of
from winnow.retrieval.limits import COLLECTION_NAME_PATTERN
from winnow.retrieval.tenancy import DEFAULT_TENANT

_NAME: Final = re.compile(COLLECTION_NAME_PATTERN)
NAMED_MAX: Final = 5  # folders named in one message
EMPTY: Final = Schema(revision=None)


def opened(layout: Layout, catalog_url: str | None) -> SqlDatabase:
    """Open the catalog of this data folder, with the newest schema.

    Raises `CatalogMismatch`, and what `SqlDatabase.open` raises.
    """
    require_catalog(layout, catalog_url)
    database = SqlDatabase.at(catalog_url or layout.catalog)
    with ExitStack() as on_failure:
        on_failure.callback(database.close)
        if database.schema() == EMPTY:
            _require_bare(layout, database.place)
        database.upgrade()
        _pair(layout, database)
        on_failure.pop_all()
    return database


def require_catalog(layout: Layout, catalog_url: str | None) -> None:
    """Check that SQLite need not create a missing file, which would discard its log. Raises `CatalogMismatch`."""
    if catalog_url is None and not layout.catalog.exists():
        _require_bare(layout, str(layout.catalog))


def require_existing(root: Path, catalog_url: str | None) -> None:
    """Raise `SettingInvalid` for a missing data folder, and `CatalogMismatch` for a folder that lost its catalog."""
    is_there = root.is_dir() if catalog_url else Layout(root).catalog.is_file()
    if not is_there:
        require_catalog(Layout(root), catalog_url)
        raise SettingInvalid(
            f"--data {root} is not a data folder of winnow yet; check the path, or index a corpus first"
        )


def mismatch(layout: Layout, catalog_url: str | None) -> str | None:
    """Return why folder and catalog do not belong together, or None. Otherwise raises what `opened` raises."""
    try:
        opened(layout, catalog_url).close()
    except CatalogMismatch as error:
        return error.detail
    except StoreCorrupt as error:
        if not layout.mark.exists() or _is_readable(layout):
            raise
        return error.detail
    return None


def join(layout: Layout, catalog_url: str | None) -> None:
    """Join the two, whatever each belonged to before. Raises what `SqlDatabase.open` raises."""
    database = SqlDatabase.open(catalog_url or layout.catalog)
    try:
        with joining(layout):
            mark = FolderMark.drawn()  # a new one: the catalog that had this folder no longer has it
            write_mark(layout, mark)
            SqlFolderBook(database).join(mark.id, replace=True)
            write_mark(layout, FolderMark(id=mark.id, is_new=False))
    finally:
        database.close()


def lend_mark(layout: Layout, database: SqlDatabase) -> None:
    """Give a folder that a catalog was copied into the catalog's mark, unless it has its own."""
    named = SqlFolderBook(database).folder()
    with joining(layout):
        if named is not None and read_mark(layout) is None:
            write_mark(layout, FolderMark(id=named, is_new=False))


def part(layout: Layout, database: SqlDatabase) -> None:
    """Remove the mark after a downgrade: an older catalog cannot name a folder."""
    if (database.schema().revision or "") < FIRST_REVISION:
        remove(layout.mark)


def folders_of(layout: Layout) -> Iterator[tuple[str, CollectionFolder]]:
    """Yield tenant and folder of everything in the place of collections."""
    for tenant in sorted(layout.tenants.iterdir()) if layout.tenants.is_dir() else []:
        for path in sorted(tenant.iterdir()) if tenant.is_dir() else []:
            yield tenant.name, CollectionFolder(path)


def _pair(layout: Layout, database: SqlDatabase) -> None:
    book, mark = SqlFolderBook(database), read_mark(layout)
    named = book.folder()
    if mark is not None and mark == FolderMark(id=named or "", is_new=False):
        return
    with joining(layout):
        mark, named = read_mark(layout), book.folder()
        if named is None and (mark is None or mark.is_new):
            _require_fit(layout, database)
            mark = mark or FolderMark.drawn()
            write_mark(layout, mark)
            named = book.join(mark.id)
        if mark is None or mark.id != named:
            raise CatalogMismatch(_said(layout, database.place))
        if mark.is_new:
            write_mark(layout, FolderMark(id=mark.id, is_new=False))


def _require_bare(layout: Layout, place: str) -> None:
    """Check, before creating a catalog, that the folder never had one and is empty; otherwise it lost its catalog."""
    mark = read_mark(layout)
    if (mark is not None and not mark.is_new) or any(_held(layout)):
        raise CatalogMismatch(_said(layout, f"{place}, which is missing or empty,"))


def _require_fit(layout: Layout, database: SqlDatabase) -> None:
    """Check two that were never opened together: an earlier winnow gave neither an id."""
    held = {(tenant, folder.path.name): folder for tenant, folder in _held(layout)}
    catalog = SqlCollections(database)
    known = [each for tenant in SqlTenants(database).tenants() for each in catalog.of_tenant(tenant.name)]
    if (known or held) and not any(_is_it(each, held.get((each.tenant, each.name))) for each in known):
        raise CatalogMismatch(_said(layout, database.place))


def _held(layout: Layout) -> Iterator[tuple[str, CollectionFolder]]:
    """Yield folders that may be collections, not stray files or leftovers of a removal."""
    for tenant, folder in folders_of(layout):
        if _NAME.fullmatch(folder.path.name) and folder.path.is_dir() and contents_of(folder):
            yield tenant, folder


def _is_it(collection: Collection, folder: CollectionFolder | None) -> bool:
    return folder is not None and created_at_of(folder) in {None, collection.created_at}


def _is_readable(layout: Layout) -> bool:
    try:
        read_mark(layout)
    except StoreCorrupt:
        return False
    return True


def _said(layout: Layout, place: str) -> str:
    root: Path = layout.root
    names = [_shown(tenant, folder) for tenant, folder in _held(layout)]
    more = [f"{len(names) - NAMED_MAX} more"] if len(names) > NAMED_MAX else []
    held = f" and holds {', '.join(names[:NAMED_MAX] + more)}" if names else ""
    return (
        f"{root} does not belong to the catalog {place}{held}. Check --data and WINNOW_CATALOG_URL, or "
        f"restore its own catalog. If that is lost, `winnow collections adopt --all --data {root}` adds the folder "
        "to this one"
    )


def _shown(tenant: str, folder: CollectionFolder) -> str:
    return folder.path.name if tenant == DEFAULT_TENANT else f"{tenant}/{folder.path.name}"
