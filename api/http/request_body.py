"""How does the body of a request get in? Whole and in time, before a place is taken for answering it.

Rule 1: a body that announces or turns out to be longer than its route allows is refused, the rest of it unread.
Rule 2: after a grace it has to come at a rate, and by a deadline. Rule 3: how many bodies are read at once, and how
many bytes of long ones are in memory, is bounded and shared between the tenants; a long one waits for room, unread.
Rule 4: JSON is counted before it is parsed, and parsed in a thread, one at a time, where it is long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
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

LONG_BYTES: Final = SEARCH_BYTES_MAX  # from here on a body is long: it needs room in memory, and a thread
ROOM_SECONDS: Final = 10.0  # that a long body waits for room
PIECE_BYTES: Final = 1_000_000  # of room, taken at once for a body that does not say how long it is

TRIMMED_BYTES: Final = 8_000_000  # of a body after which freed memory goes back to the system; others would wait for it
TRIM_SECONDS: Final = 5.0  # between two times


class ReadRequest(Request):
    """A request whose body has been read, and parsed where its route takes JSON."""

    def __init__(self, request: Request, content: bytearray, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._body: bytes | bytearray = content  # type: ignore[assignment]  # a copy would be as large again
        self._json = value

    def take_body(self) -> bytes | bytearray:
        """The body, of which nothing is kept here."""
        content, self._body = self._body, b""
        return content


def take_body(request: Request) -> bytes | bytearray:
    """The body of a request to a guarded route."""
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
        """The request with its body, whose bytes count for as long as the block lasts.

        Raises `LimitExceeded`, `RequestSlow`, `Overloaded`, `UnsupportedMedia`, `InvalidRequest`, `CallerLeft`.
        """
        announced = _announced(request)
        _refuse_encoded(request)
        if announced is not None and announced > limit.bytes:
            raise LimitExceeded(f"the body has {announced} bytes; {limit.bytes} are allowed")
        held = _Held(self._bytes, tenant)
        try:
            with self._reading.holding(tenant):
                content = await self._read(request.receive, limit, held, announced=announced)
            value = await self._parsed(request, content, limit.json) if as_json and content else None
            read = ReadRequest(request, content, value)
            del content, value
            yield read
        finally:
            released = held.give_back()
            if released >= TRIMMED_BYTES and time.monotonic() - self._trimmed_at > TRIM_SECONDS:
                self._trimmed_at = time.monotonic()
                await asyncio.to_thread(give_memory_back)

    async def one_by_one(self, parse: Callable[[*Arguments], Parsed], *args: *Arguments) -> Parsed:
        """What it returns, in a thread: long bodies take turns, and leave threads to the others."""
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
                raise LimitExceeded(f"the body has more than {limit.bytes} bytes")
            if not message.get("more_body", False):
                return content
            if len(content) > LONG_BYTES and len(content) > held.amount:
                await held.grow(PIECE_BYTES)

    async def _next(self, receive: Receive, began: float, received: int) -> Any:
        """Raises `RequestSlow` when it comes too late."""
        allowed = min(self._grace_seconds + received / self._bytes_per_second, self._seconds_max)
        try:
            async with asyncio.timeout(max(0.0, began + allowed - time.monotonic())):
                return await receive()
        except TimeoutError:
            raise RequestSlow(
                f"{received} bytes of the body in {allowed:.0f} seconds; send at least {self._bytes_per_second} a "
                f"second, and all of it within {self._seconds_max:.0f} seconds"
            ) from None

    async def _parsed(self, request: Request, content: bytearray, bounds: JsonBounds) -> Any:
        require_json(request)
        try:
            if len(content) <= LONG_BYTES:
                return parse_json(memoryview(content), bounds)
            return await self.one_by_one(parse_json, memoryview(content), bounds)
        except orjson.JSONDecodeError as error:
            raise not_json(error) from error


class _Held:
    """The room that one body has in memory."""

    def __init__(self, room: Room, tenant: str) -> None:
        self._room, self._tenant = room, tenant
        self.amount = 0

    async def grow(self, amount: int) -> None:
        await self._room.wait(self._tenant, amount, seconds=ROOM_SECONDS)
        self.amount += amount

    def give_back(self) -> int:
        """How much it was."""
        released, self.amount = self.amount, 0
        if released:
            self._room.give_back(self._tenant, released)
        return released


def media_type(request: Request) -> str:
    """What the Content-Type says, without its parameters; empty where there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_json(request: Request) -> None:
    """Raises `UnsupportedMedia`."""
    kind = media_type(request)
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedMedia(f"the Content-Type is {kind or 'missing'}; send 'Content-Type: application/json'")


def not_json(error: orjson.JSONDecodeError) -> InvalidRequest:
    return InvalidRequest(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")


def _announced(request: Request) -> int | None:
    """The caller's word only. None where it gives none."""
    said = request.headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() else None


def _refuse_encoded(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise UnsupportedMedia(
            f"the body is compressed (Content-Encoding: {encoding[:40]}); send it as it is, without that header"
        )
    if "content-length" in request.headers and "transfer-encoding" in request.headers:
        raise InvalidRequest("Content-Length and Transfer-Encoding say two things about the body; send one of them")
