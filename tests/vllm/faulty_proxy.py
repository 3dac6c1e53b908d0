"""A way to a real vLLM on which things go wrong to order: between the pool and the server, on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

HALF: Final = 2  # what part of a reply is let through before the connection ends
DRIP_SECONDS: Final = 0.2  # between two bytes: no reply of a hundred bytes arrives before any deadline here


class Fault(StrEnum):
    """What goes wrong."""

    NONE = "none"
    DELAY = "delay"  # the reply comes, after every deadline
    RESET = "reset"  # the connection is reset once the request has arrived
    HALF_REPLY = "half reply"
    STATUS_500 = "status 500"
    STATUS_503 = "status 503"
    GARBAGE = "garbage"  # 200, with a body that is none
    WRONG_COUNT = "wrong count"  # one judgement too few
    SLOW_DRIP = "slow drip"  # a byte now and then
    REFUSED = "refused"  # connections are closed before anything is said


class FaultyProxy:
    """Passes HTTP on to one server. A test turns `fault` while requests are under way."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname is not None
        assert parts.port is not None
        self._upstream = (parts.hostname, parts.port)
        self.fault = Fault.NONE
        self.url = ""
        self.passed = 0  # replies that went through as they were
        self._connections: set[asyncio.Task[None]] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        try:
            while self.fault is not Fault.REFUSED:
                request = await _message(reader)
                if self.fault is Fault.RESET:
                    writer.transport.abort()
                    return
                await self._answer(request, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return  # cancelled by `close` only, and the stream's own callback takes a cancelled task for a failed one
        finally:
            writer.close()

    async def close(self) -> None:
        """Ends what is under way."""
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _answer(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        """The fault that holds when the request arrives holds for its reply."""
        fault = self.fault
        if fault is Fault.DELAY:
            await asyncio.sleep(20)
        if fault in {Fault.STATUS_500, Fault.STATUS_503}:
            reply = _reply(b'{"error": "scripted"}', status=int(fault.value.split()[1]))
        elif fault is Fault.GARBAGE:
            reply = _reply(b"<html>Welcome to the router</html>")
        else:
            reply = await self._passed_on(request)
        if fault is Fault.WRONG_COUNT:
            reply = _one_row_less(reply)
        if fault is Fault.HALF_REPLY:
            writer.write(reply[: len(reply) // HALF])
            await writer.drain()
            raise ConnectionResetError
        if fault is Fault.SLOW_DRIP:
            for byte in reply:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(DRIP_SECONDS)
        writer.write(reply)
        await writer.drain()
        self.passed += fault is Fault.NONE

    async def _passed_on(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self._upstream)
        try:
            writer.write(request)
            await writer.drain()
            return await _message(reader)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def proxy_to(upstream: str, *, port: int = 0) -> AsyncIterator[FaultyProxy]:
    proxy = FaultyProxy(upstream)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", port)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A whole request or reply; both sides say how long theirs are."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    return head + await reader.readexactly(int(lengths[0]) if lengths else 0)


def _reply(body: bytes, *, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d scripted\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def _one_row_less(reply: bytes) -> bytes:
    _head, _, body = reply.partition(b"\r\n\r\n")
    said = json.loads(body)
    if isinstance(said.get("data"), list):
        said["data"] = said["data"][:-1]
    return _reply(json.dumps(said).encode())
