"""A library over HTTP, for `winnow mcp --url`: the tools ask a service that runs elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar, cast

import winnow_client
from winnow.api.library.instructions import instruction_of
from winnow.api.mcp.library import (
    Defaults,
    ToolCollection,
    ToolDocument,
    ToolHit,
    ToolSearch,
    id_of,
    merged,
    searched,
    split_id,
    url_of,
)
from winnow.retrieval.errors import InvalidRequest, SettingInvalid
from winnow_client.schemas import SearchOptions

_SECONDS_MAX: Final = 120.0
_Answer = TypeVar("_Answer")


class RemoteLibrary:
    """The collections that a key of the service may search."""

    def __init__(self, url: str, *, key: str | None, defaults: Defaults) -> None:
        """Raises `SettingInvalid` for what is no URL of HTTP."""
        try:
            self._client = winnow_client.Client(url, key=key, timeout=_SECONDS_MAX)
        except ValueError as error:
            raise SettingInvalid(f"{url!r} is not the address of a service: {error}") from error
        self._defaults = defaults

    async def search(self, wish: ToolSearch) -> Sequence[ToolHit]:
        instruction = instruction_of(wish.instruction or self._defaults.instruction)
        where = cast("Mapping[str, Any] | None", wish.where)  # the service refuses what is no filter
        options = SearchOptions(top_k=wish.top_k, rerank="always", filter=where)
        if instruction is not None:
            options["instruction"] = (
                instruction
                if isinstance(instruction, str)
                else {"name": instruction.name, "version": instruction.version}
            )
        found = []
        for name in await searched(self, wish.collection or self._defaults.collection):
            answer = await _asked(partial(self._client.search, wish.query, collection=name, **options))
            found.append([_hit(name, each) for each in answer["results"]])
        return merged(found)[: wish.top_k]

    async def fetch(self, id_: str) -> ToolDocument:
        name, document_id = split_id(id_)
        read = await _asked(lambda: self._client.fetch(name, document_id))
        return ToolDocument(
            id=id_,
            title=read["title"] or document_id,
            text=read["text"],
            url=read["url"] or url_of(id_),
            metadata=read["metadata"],
        )

    async def collections(self) -> Sequence[ToolCollection]:
        listed = await _asked(self._client.collections)
        return [
            ToolCollection(
                name=each["name"], documents=each["documents"] or 0, attributes=dict(each["attributes"] or {})
            )
            for each in listed
            if each["problem"] is None
        ]


async def _asked(ask: Callable[[], _Answer]) -> _Answer:
    """Raises `InvalidRequest` with the service's own words."""
    try:
        return await asyncio.to_thread(ask)
    except winnow_client.WinnowError as error:
        raise InvalidRequest(error.message) from error


def _hit(collection: str, result: Mapping[str, Any]) -> ToolHit:
    id_ = id_of(collection, result["document_id"])
    return ToolHit(
        id=id_,
        title=result["title"] or result["document_id"],
        url=result["url"] or url_of(id_),
        text=result["text"],
        relevance=result["relevance"],
        metadata=result["metadata"],
    )
