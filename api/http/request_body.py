"""Reads request bodies completely and in time, before a slot for answering is taken.

Rule 1: a body announced or found to be longer than its route allows is refused, and the rest is not read.
Rule 2: after a grace period it must arrive at a minimum rate, and by a deadline. Rule 3: the number of bodies read at
once, and the bytes of long ones in memory, are bounded and shared between tenants; a long body waits for room, unread.
Rule 4: JSON is measured before it is parsed; long JSON is parsed in a thread, one body at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar, TypeVarTuple

import orjson
from starlette.requests import Request
from starlette.types import Receive

from winnow.api.http.body_limits import BodyLimit
from winnow.api.http.disconnect import CallerLeft
from winnow.api.http.request_limits import Room
from winnow.retrieval.errors import InvalidRequest, LimitExceeded, RequestSlow, UnsupportedMedia
from winnow.retrieval.index.memory import give_memory_back
from winnow.retrieval.json_bounds import JsonBounds, parse_json
from winnow.retrieval.limits import (
    BODIES_BYTES_MAX,
    BODIES_READ_MAX,
    BODY_BYTES_PER_SECOND_MIN,
    BODY_GRACE_SECONDS,
    BODY_SECONDS_MAX,
    SEARCH_BYTES_MAX,
)

Arguments = TypeVarTuple("Arguments")
Parsed = TypeVar("Parsed")

LONG_BYTES: Final = SEARCH_BYTES_MAX  # a longer body needs room in memory, and a thread
ROOM_SECONDS: Final = 10.0  # time that a long body waits for room
PIECE_BYTES: Final = 1_000_000  # room taken at once for a body of unknown length

TRIMMED_BYTES: Final = 8_000_000  # size of a body after which freed memory is returned to the system, which takes time
TRIM_SECONDS: Final = 5.0  # minimum time between two returns


class ReadRequest(Request):
    """A request whose body was read, and parsed if its route takes JSON."""

    def __init__(self, request: Request, content: bytearray, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._body: bytes | bytearray = content  # type: ignore[assignment]  # avoids a copy
        self._json = value

    @property
    def parsed(self) -> Any:
        """The value of a JSON body."""
        return self._json

    def take_body(self) -> bytes | bytearray:
        """Return the body and drop the reference to it."""
        content, self._body = self._body, b""
        return content


def take_body(request: Request) -> bytes | bytearray:
    """Return the body of a request to a guarded route."""
    assert isinstance(request, ReadRequest), "a guarded route reads the body first. This is a bug."
    return request.take_body()


class Intake:
    """Reads bodies. Belongs to one event loop."""

    def __init__(
        self,
        *,
        reading_max: int = BODIES_READ_MAX,
        bytes_max: int = BODIES_BYTES_MAX,
        grace_seconds: float = BODY_GRACE_SECONDS,
        bytes_per_second: int = BODY_BYTES_PER_SECOND_MIN,
        seconds_max: float = BODY_SECONDS_MAX,
    ) -> None:
        self._reading = Room(reading_max, what="bodies are being read")
        self._bytes = Room(bytes_max, what="bytes of bodies are in memory")
        self._grace_seconds = grace_seconds
        self._bytes_per_second = bytes_per_second
        self._seconds_max = seconds_max
        self._parsing = asyncio.Lock()
        self._trimmed_at = float("-inf")

    @asynccontextmanager
    async def taken(
        self, request: Request, limit: BodyLimit, *, tenant: str, as_json: bool
    ) -> AsyncIterator[ReadRequest]:
        """Read the request's body; its bytes count until the block ends.

        Raises `LimitExceeded`, `RequestSlow`, `Overloaded`, `UnsupportedMedia`, `InvalidRequest`, `CallerLeft`.
        """
        announced = announced_length(request)
        _refuse_encoded(request)
        if announced is not None and announced > limit.bytes:
            raise LimitExceeded(f"the body has {announced} bytes; the limit is {limit.bytes}")
        held = _Held(self._bytes, tenant)
        try:
            with self._reading.holding(tenant):
                content = await self._read(request.receive, limit, held, announced=announced)
            value = await self._parse(request, content, limit.json) if as_json and content else None
            read = ReadRequest(request, content, value)
            del content, value
            yield read
        finally:
            released = held.give_back()
            if released >= TRIMMED_BYTES and time.monotonic() - self._trimmed_at > TRIM_SECONDS:
                self._trimmed_at = time.monotonic()
                await asyncio.to_thread(give_memory_back)

    async def pieces(self, request: Request, limit: BodyLimit, *, tenant: str) -> AsyncGenerator[bytes, None]:
        """Yield a body as it arrives, for a route that keeps none of it in memory. Raises like `taken`."""
        announced = announced_length(request)
        _refuse_encoded(request)
        if announced is not None and announced > limit.bytes:
            raise LimitExceeded(f"the body has {announced} bytes; the limit is {limit.bytes}")
        received, began, more = 0, time.monotonic(), True
        with self._reading.holding(tenant):
            while more:
                message = await self._next(request.receive, began, received)
                if message["type"] == "http.disconnect":
                    raise CallerLeft
                piece = message.get("body", b"")
                received += len(piece)
                if received > limit.bytes:
                    raise LimitExceeded(f"the body has more than {limit.bytes} bytes, the limit of this route")
                more = message.get("more_body", False)
                yield piece

    async def one_by_one(self, parse: Callable[[*Arguments], Parsed], *args: *Arguments) -> Parsed:
        """Run `parse` in a thread, one long body at a time, which leaves threads to others."""
        async with self._parsing:
            return await asyncio.to_thread(parse, *args)

    async def _read(self, receive: Receive, limit: BodyLimit, held: _Held, *, announced: int | None) -> bytearray:
        if announced is not None and announced > LONG_BYTES:
            await held.grow(announced)
        content = bytearray()
        began = time.monotonic()
        while True:
            message = await self._next(receive, began, len(content))
            if message["type"] == "http.disconnect":
                raise CallerLeft
            content += message.get("body", b"")
            if len(content) > limit.bytes:
                raise LimitExceeded(f"the body has more than {limit.bytes} bytes, the limit of this route")
            if not message.get("more_body", False):
                return content
            if len(content) > LONG_BYTES and len(content) > held.amount:
                await held.grow(PIECE_BYTES)

    async def _next(self, receive: Receive, began: float, received: int) -> Any:
        """Receive a message. Raises `RequestSlow` if it arrives too late."""
        allowed = min(self._grace_seconds + received / self._bytes_per_second, self._seconds_max)
        try:
            async with asyncio.timeout(max(0.0, began + allowed - time.monotonic())):
                return await receive()
        except TimeoutError:
            raise RequestSlow(
                f"{received} bytes of the body in {allowed:.0f} seconds; send at least {self._bytes_per_second} per "
                f"second, and all of it within {self._seconds_max:.0f} seconds"
            ) from None

    async def _parse(self, request: Request, content: bytearray, bounds: JsonBounds) -> Any:
        require_json(request)
        try:
            if len(content) <= LONG_BYTES:
                return parse_json(memoryview(content), bounds)
            return await self.one_by_one(parse_json, memoryview(content), bounds)
        except orjson.JSONDecodeError as error:
            raise not_json(error) from error


class _Held:
    """The memory reserved for one body."""

    def __init__(self, room: Room, tenant: str) -> None:
        self._room, self._tenant = room, tenant
        self.amount = 0

    async def grow(self, amount: int) -> None:
        await self._room.wait(self._tenant, amount, seconds=ROOM_SECONDS)
        self.amount += amount

    def give_back(self) -> int:
        """Release the room, and return how much it was."""
        released, self.amount = self.amount, 0
        if released:
            self._room.give_back(self._tenant, released)
        return released


def media_type(request: Request) -> str:
    """Return the Content-Type without parameters; empty if missing."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_json(request: Request) -> None:
    """Raise `UnsupportedMedia` unless the body is JSON."""
    kind = media_type(request)
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedMedia(f"the Content-Type is {kind or 'missing'}; send 'Content-Type: application/json'")


def not_json(error: orjson.JSONDecodeError) -> InvalidRequest:
    return InvalidRequest(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")


def announced_length(request: Request) -> int | None:
    """Return the announced length, or None; it is the caller's claim."""
    said = request.headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() else None


def _refuse_encoded(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise UnsupportedMedia(
            f"the body is compressed (Content-Encoding: {encoding[:40]}); send it uncompressed, without that header"
        )
    if "content-length" in request.headers and "transfer-encoding" in request.headers:
        raise InvalidRequest("Content-Length and Transfer-Encoding exclude each other; send only one of them")
