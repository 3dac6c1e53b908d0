"""A chatbot over the Model Context Protocol, with the SDK's own client: on standard streams, and against a service."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.acceptance.conftest import Command
from tests.acceptance.test_http import Service

pytestmark = pytest.mark.acceptance


KEY = "a-key-of-the-test-0123456789abcdef"


@pytest.fixture
def service(indexed: Command) -> Iterator[Service]:
    address = ("--host", "127.0.0.1", "--port", "0")
    process = indexed.start("serve", *address, "--data", str(indexed.data), WINNOW_API_KEY=KEY)
    yield Service(process)
    process.kill()
    process.communicate()


async def told(client: Client, tool: str, **arguments: Any) -> Any:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer
    return json.loads(answer.content[0].text)  # type: ignore[union-attr]


async def found_and_read(client: Client) -> dict[str, str]:
    """The first result of each question, and what its document says."""
    tools = {tool.name for tool in (await client.list_tools()).tools}
    assert tools == {"search", "fetch", "search_filtered", "list_collections"}
    said = {}
    for question in ("return goods bought online", "how does the heron catch fish"):
        first = (await told(client, "search", query=question))["results"][0]
        said[question] = (await told(client, "fetch", id=first["id"]))["text"]
    return said


EXPECTED = {
    "return goods bought online": "You may return goods bought online within fourteen days.",
    "how does the heron catch fish": "The heron stands still in shallow water and strikes at fish.",
}


async def test_a_program_that_starts_the_command_finds_and_reads(indexed: Command) -> None:
    server = StdioServerParameters(
        command=indexed.argv()[0], args=indexed.argv("mcp", "--data", str(indexed.data))[1:], env=indexed.environment
    )
    async with Client(server) as client:
        assert await found_and_read(client) == EXPECTED


@asynccontextmanager
async def over_http(url: str, key: str) -> AsyncIterator[Client]:
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=60) as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with Client(transport) as client:
            yield client


async def test_a_platform_and_a_command_ask_the_same_service(indexed: Command, service: Service) -> None:
    """The platform over HTTP, and a program through `winnow mcp --url`; a wrong key reaches neither tool."""
    async with over_http(service.url, KEY) as client:
        assert await found_and_read(client) == EXPECTED
    arguments = indexed.argv("mcp", "--url", service.url)[1:]
    for given in (KEY, "wrong-key-0123456789abcdef0123456789"):
        environment = indexed.environment | {"WINNOW_API_KEY": given}
        server = StdioServerParameters(command=indexed.argv()[0], args=arguments, env=environment)
        async with Client(server) as client:
            if given == KEY:
                assert await found_and_read(client) == EXPECTED
            else:
                refused = await client.call_tool("search", {"query": "q"})
                assert (refused.is_error, "API key" in str(refused.content)) == (True, True)
