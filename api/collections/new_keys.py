"""Creates keys whose defaults exist."""

from __future__ import annotations

from winnow.api.collections.data_folder import DataFolder
from winnow.retrieval.catalog.keys import IssuedKey, KeyWish
from winnow.retrieval.tenancy import Actor, TenantName


def issue_key(disk: DataFolder, tenant: TenantName, wish: KeyWish, *, by: Actor) -> IssuedKey:
    """Create a key. Blocks.

    Raises `CollectionNotFound` and what `Instructions.check_default` raises for its defaults, and what `SqlKeys.make`
    raises.
    """
    catalog, defaults = disk.catalog, wish.defaults
    if defaults.instruction is not None:
        catalog.instructions.check_default_of_key(tenant, defaults.instruction)
    if defaults.collection is not None:
        owner, is_granted, name = defaults.collection.rpartition("/")
        if is_granted and owner != tenant:
            catalog.collections.granted(owner, name, reader=tenant)
        else:
            catalog.collections.get(tenant, name)
    return catalog.keys.make(tenant, wish, by=by)
