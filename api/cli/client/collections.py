"""The collections of a service, as `winnow collections` asks them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from winnow.api.cli.client.service import Service

if TYPE_CHECKING:
    from winnow.api.schemas.collections import CollectionResponse, CollectionsResponse


class ServiceCollections:
    """The collections of the key's tenant. Implements `CollectionSource`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def listed(self) -> CollectionsResponse:
        return cast("CollectionsResponse", self._service.get("collections"))

    def described(self, name: str) -> CollectionResponse:
        return cast("CollectionResponse", self._service.get("collections", name))

    def remove(self, name: str) -> None:
        self._service.delete("collections", name)

    def change(self, name: str, changes: Mapping[str, Any]) -> CollectionResponse:
        return cast("CollectionResponse", self._service.patch("collections", name, body=changes))
