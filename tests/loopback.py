"""A tiny HTTP server on loopback that answers whatever a test wants, also what no proper server would."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it arrived."""

    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseModel:
    """An answer: anything that is JSON, or bytes as they are. It may be the last on its connection, untold."""

    body: Any
    status: int = 200
    kind: str = "application/json"  # the content type
    hangs_up: bool = False


class HangUp(Exception):
    """Closes the connection without an answer."""


Answer = Callable[[Asked], Awaitable[ResponseModel]]


@dataclass(slots=True, kw_only=True)
class Loopback:
    """A server that runs, and what it was asked."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0

    def bodies(self, path: str) -> list[Any]:
        return [each.body for each in self.asked if each.path == path]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Loopback]:
    """Runs in the test's own loop until the block is left."""
    loopback = Loopback()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loopback.connections += 1
        try:
            while True:
                asked = await _read(reader)
                loopback.asked.append(asked)
                said = await answer(asked)
                writer.write(_written(said))
                await writer.drain()
                if said.hangs_up:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, HangUp):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    loopback.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield loopback
    finally:
        server.close()
        await asyncio.sleep(0)


def base64_of(numbers: Any) -> str:
    """A vector as vLLM writes it."""
    return base64.b64encode(np.asarray(numbers, dtype="<f4").tobytes()).decode()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.split(": ", 1) for line in head[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    length = int(headers.get("content-length", "0"))
    body = await reader.readexactly(length)
    return Asked(path=head[0].split(" ")[1], body=json.loads(body) if body else None, headers=headers)


def _written(said: ResponseModel) -> bytes:
    body = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
    head = f"HTTP/1.1 {said.status} said\r\nContent-Type: {said.kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
