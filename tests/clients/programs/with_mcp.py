"""mcp, the SDK of the Model Context Protocol: the tools over streamable HTTP, and over `winnow mcp` as a program."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from told import Wish, route, tell


class ToolRefused(Exception):
    """A tool's answer that is an error."""


def _arguments(wish: Wish) -> dict[str, Any]:
    more: dict[str, Any] = {"filter": None, "instruction": None, "top_k": None} if wish.with_nulls else {}
    if wish.is_invalid:
        more = {"instruction": "no-such-instruction"}
    if wish.instruction is not None:
        more = {"instruction": wish.instruction}
    return {"query": wish.query, "collection": wish.collection, **more}


async def _found(client: Client, wish: Wish) -> list[str]:
    answer = await client.call_tool("search_filtered", _arguments(wish))
    if answer.is_error:
        raise ToolRefused(answer.content[0].text)
    return [each["id"].partition("/")[2] for each in json.loads(answer.content[0].text)["results"]]


async def _over_http(wish: Wish) -> list[str]:
    headers = {"authorization": f"Bearer {wish.key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(f"{wish.url}/mcp", http_client=http)) as client,
    ):
        return await _found(client, wish)


async def _over_streams(wish: Wish) -> list[str]:
    command, *arguments = wish.winnow
    server = StdioServerParameters(
        command=command, args=[*arguments, "mcp", "--url", wish.url], env={"WINNOW_API_KEY": wish.key}
    )
    async with Client(server) as client:
        return await _found(client, wish)


if __name__ == "__main__":
    tool = "the tool answers `isError` with the reason"
    notes = {
        **dict.fromkeys(("404", "422", "503"), tool),
        "degraded": "`relevance` is null",
        "instruction": "argument of `search_filtered`, or of the address",
    }
    tell(
        "mcp",
        route("POST /mcp", "search", lambda wish: asyncio.run(_over_http(wish)), notes=notes),
        route(
            "winnow mcp --url",
            "search",
            lambda wish: asyncio.run(_over_streams(wish)),
            notes={**notes, "401": tool},
        ),
    )
