"""A library over HTTP, for `winnow mcp --url`: the tools ask a service that runs elsewhere."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

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

_SECONDS_MAX: Final = 120.0
_ANSWER_BYTES_MAX: Final = 64_000_000


class RemoteLibrary:
    """The collections that a key of the service may search."""

    def __init__(self, url: str, *, key: str | None, defaults: Defaults) -> None:
        """Raises `SettingInvalid` for what is no URL of HTTP."""
        parsed = urllib.parse.urlsplit(url)
        if parsed.scheme not in {"http", "https"} or not parsed.netloc:
            raise SettingInvalid(f"{url!r} is not the address of a service, such as https://search.example.com")
        self._url = url.rstrip("/").removesuffix("/v1")
        self._headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        self._defaults = defaults

    async def search(self, wish: ToolSearch) -> Sequence[ToolHit]:
        instruction = instruction_of(wish.instruction or self._defaults.instruction)
        body: dict[str, Any] = {"query": wish.query, "top_k": wish.top_k, "rerank": "always", "filter": wish.where}
        if instruction is not None:
            named = instruction if isinstance(instruction, str) else {"name": instruction.name}
            version = None if isinstance(instruction, str) else instruction.version
            body["instruction"] = named if isinstance(named, str) else named | {"version": version}
        found = []
        for name in await searched(self, wish.collection or self._defaults.collection):
            answer = await self._asked("POST", "/v1/search", body | {"collection": name})
            found.append([_hit(name, each) for each in answer["results"]])
        return merged(found)[: wish.top_k]

    async def fetch(self, id_: str) -> ToolDocument:
        name, document_id = split_id(id_)
        quoted = urllib.parse.quote(document_id, safe="")
        read = await self._asked("GET", f"/v1/collections/{urllib.parse.quote(name, safe='')}/documents/{quoted}")
        return ToolDocument(
            id=id_,
            title=read["title"] or document_id,
            text=read["text"],
            url=read["url"] or url_of(id_),
            metadata=read["metadata"],
        )

    async def collections(self) -> Sequence[ToolCollection]:
        listed = await self._asked("GET", "/v1/collections")
        return [
            ToolCollection(
                name=each["name"], documents=each["documents"] or 0, attributes=dict(each["attributes"] or {})
            )
            for each in listed["collections"]
            if each["problem"] is None
        ]

    async def _asked(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await asyncio.to_thread(self._ask, method, path, body)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        """Blocks. Raises `InvalidRequest` with the service's own words."""
        content = None if body is None else orjson.dumps(body)
        request = urllib.request.Request(  # noqa: S310  checked when the library was made
            f"{self._url}{path}", data=content, headers=self._headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS_MAX) as answer:  # noqa: S310
                return orjson.loads(answer.read(_ANSWER_BYTES_MAX))
        except urllib.error.HTTPError as error:
            raise InvalidRequest(_detail(error)) from error
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"{self._url} does not answer as a winnow service: {error}") from error


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(orjson.loads(error.read(_ANSWER_BYTES_MAX))["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"the service answered {error.code}"


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
