"""Where `winnow collections` reads and writes: the catalog of a data folder, or a running service."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from winnow.api.cli.options import open_tenant

if TYPE_CHECKING:
    from winnow.api.collections.data_folder import DataFolder
    from winnow.api.schemas.collections import CollectionResponse, CollectionsResponse
    from winnow.api.settings import Settings
    from winnow.retrieval.tenancy import TenantName


class CollectionSource(Protocol):
    """Answers as the routes below /v1/collections give them. Raises `CollectionNotFound`."""

    def listed(self) -> CollectionsResponse: ...

    def described(self, name: str) -> CollectionResponse: ...

    def remove(self, name: str) -> None: ...

    def change(self, name: str, changes: Mapping[str, Any]) -> CollectionResponse:
        """Change what is named, as PATCH does: None returns to the default. Also raises what the change raises."""
        ...


def collection_source(settings: Settings, tenant: str) -> CollectionSource:
    """Return the source that the settings name. Raises what opening a catalog raises."""
    if settings.url is not None:
        from winnow.api.cli.client.collections import ServiceCollections
        from winnow.api.cli.client.service import Service

        return ServiceCollections(Service.of(settings))
    return FolderCollections(*open_tenant(settings, tenant))


class FolderCollections:
    """The collections of a tenant in a data folder. Implements `CollectionSource`."""

    def __init__(self, folder: DataFolder, tenant: TenantName) -> None:
        self._folder = folder
        self._tenant = tenant

    def listed(self) -> CollectionsResponse:
        from winnow.api.schemas.collections import collections_response

        return collections_response(self._folder.described(self._tenant))

    def described(self, name: str) -> CollectionResponse:
        from winnow.api.collections.disk_use import measure_collection
        from winnow.api.schemas.collections import collection_response

        collection = self._folder.catalog.collections.get(self._tenant, name)
        return collection_response(self._folder.describe(collection), measure_collection(self._folder, collection))

    def remove(self, name: str) -> None:
        self._folder.remove(self._tenant, name)

    def change(self, name: str, changes: Mapping[str, Any]) -> CollectionResponse:
        from winnow.api.fields import parsed
        from winnow.api.schemas.collections import CollectionChange, apply_change

        apply_change(self._folder, self._tenant, name, parsed(CollectionChange, changes))
        return self.described(name)


def moment_of(said: datetime | str) -> datetime:
    """A date of an answer: a data folder's has it as it is, a service's as a text."""
    return said if isinstance(said, datetime) else datetime.fromisoformat(said)
