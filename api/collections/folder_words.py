"""Says what a collection's folder holds that was not expected, and what to do."""

from __future__ import annotations

from datetime import datetime

from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.tenancy import DEFAULT_TENANT, TenantName


def adopting(tenant: TenantName, name: str) -> str:
    whose = "" if tenant == DEFAULT_TENANT else f" --tenant {tenant}"
    return f"`winnow collections adopt {name}{whose}` adds it to the catalog"


def other(folder: str, collection: Collection, found: datetime | None) -> str:
    return (
        f"{folder} holds a collection created at {found}, but the catalog has one created at "
        f"{collection.created_at}. Restore the matching folder or catalog; or "
        f"{adopting(collection.tenant, collection.name)} as it is"
    )
