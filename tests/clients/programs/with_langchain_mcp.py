"""langchain-mcp-adapters: the tools over streamable HTTP, as tools of LangChain."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from langchain_mcp_adapters.client import MultiServerMCPClient
from told import Wish, route, tell


def _arguments(wish: Wish) -> dict[str, Any]:
    more: dict[str, Any] = {"filter": None, "instruction": None, "top_k": None} if wish.with_nulls else {}
    if wish.is_invalid:
        more = {"instruction": "no-such-instruction"}
    if wish.instruction is not None:
        more = {"instruction": wish.instruction}
    return {"query": wish.query, "collection": wish.collection, **more}


async def _search(wish: Wish) -> list[str]:
    server = {
        "transport": "streamable_http",
        "url": f"{wish.url}/mcp",
        "headers": {"Authorization": f"Bearer {wish.key}"},
    }
    client = MultiServerMCPClient({"winnow": server}, handle_tool_errors=False)
    tools = {tool.name: tool for tool in await client.get_tools()}
    answer = await tools["search_filtered"].ainvoke(_arguments(wish))
    text = answer if isinstance(answer, str) else answer[0]["text"]
    return [each["id"].partition("/")[2] for each in json.loads(text)["results"]]


def search(wish: Wish) -> list[str]:
    return asyncio.run(_search(wish))


if __name__ == "__main__":
    tool = "with `handle_tool_errors=False`; by default a message with the reason, for the model"
    tell(
        "langchain-mcp-adapters",
        route(
            "POST /mcp",
            "search",
            search,
            notes={
                "404": tool,
                "422": tool,
                "503": tool,
                "degraded": "`relevance` is null",
                "instruction": "argument of `search_filtered`, or of the address",
            },
        ),
    )
