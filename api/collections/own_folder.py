"""Whether the catalog wrote what is in a collection's folder. What it did not write is refused, and stays as it is."""

from __future__ import annotations

from datetime import datetime

from winnow.api.collections.catalog import Catalog
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.errors import CollectionNotFound, FolderUnknown
from winnow.retrieval.files.folder_contents import contents_of, is_begun
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.tenancy import DEFAULT_TENANT, TenantName


def require_own(catalog: Catalog, tenant: TenantName, folder: CollectionFolder) -> None:
    """Check that this catalog wrote everything in the folder. The caller holds the lease. Raises `FolderUnknown`."""
    name = folder.path.name
    if found_in(catalog, tenant, name) is not None or not contents_of(folder):
        return
    if is_begun(folder, lambda: catalog.collections.begun(tenant, name)) or found_in(catalog, tenant, name) is not None:
        return
    raise FolderUnknown(f"{shown(folder)} is not empty; {_adopting(tenant, name)}, or move it away")


def refuse_foreign(catalog: Catalog, tenant: TenantName, folder: CollectionFolder) -> None:
    """Check the same without the lease, whose lock would be a new file in somebody else's folder.

    Another creation may move its files during this check. So a folder that has locks is checked again under the lease.
    Raises `FolderUnknown`, and what taking the lease raises.
    """
    try:
        require_own(catalog, tenant, folder)
    except FolderUnknown:
        if any(each.exists() for each in folder.locks):
            lease = catalog.leases.of(tenant, folder.path.name)
            with lease.writing(folder, wait_seconds=catalog.leases.busy_seconds):
                require_own(catalog, tenant, folder)
        elif contents_of(folder):  # it may have been removed during the check
            raise


def found_in(catalog: Catalog, tenant: TenantName, name: str) -> Collection | None:
    try:
        return catalog.collections.get(tenant, name)
    except CollectionNotFound:
        return None


def shown(folder: CollectionFolder) -> str:
    """Return the path within the data folder, whose own location is hidden from tenants."""
    return folder.path.relative_to(folder.path.parents[2]).as_posix()


def other(folder: CollectionFolder, collection: Collection, found: datetime | None) -> str:
    """Say that the folder holds another collection than the catalog's, and what to do."""
    return (
        f"{shown(folder)} holds a collection created at {found}, but the catalog has one created at "
        f"{collection.created_at}. Restore the matching folder or catalog; or "
        f"{_adopting(collection.tenant, collection.name)} as it is"
    )


def _adopting(tenant: TenantName, name: str) -> str:
    whose = "" if tenant == DEFAULT_TENANT else f" --tenant {tenant}"
    return f"`winnow collections adopt {name}{whose}` adds it to the catalog"
