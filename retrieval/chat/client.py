"""Client of one OpenAI-compatible chat model. (The only module here that names the HTTP client.)

Rule 1: one call is one request: no retry, no redirect, no proxy, no stream.
Rule 2: the reply is read up to a bound, and checked before it becomes data.
Rule 3: what is reported of a failure has the address and the status, and nothing that was sent or received: a reply may
repeat the conversation or the key.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import httpx2
import orjson

from winnow.retrieval.limits import REWRITE_REPLY_BYTES_MAX
from winnow.retrieval.tracing import call, propagate

_CONNECT_SECONDS_MAX: Final = 2.0  # seconds; a host that takes longer to connect is not there
_KEPT_ALIVE_SECONDS: Final = 4.0  # servers close connections that were idle for five
_ROUTE: Final = "/chat/completions"
_PORTS: Final = {"http": 80, "https": 443}
_BUSY: Final = frozenset({httpx2.codes.TOO_MANY_REQUESTS, httpx2.codes.SERVICE_UNAVAILABLE})
_OF_THE_REQUEST: Final = frozenset({400, 413, 422, 451})  # statuses that may concern one conversation only
_LASTING: Final = range(300, 500)  # a redirect, a wrong key, model or path: the next call gets the same
_DETAIL_CHARACTERS: Final = 40  # of the name of an error


class ChatFault(StrEnum):
    """How a call failed, which decides what may follow."""

    GONE = "gone"  # no connection, or it ended before the answer
    BUSY = "busy"  # the server says so
    BROKEN = "broken"  # the answer is an error, or invalid
    DECLINED = "declined"  # the server refuses this request, perhaps for what is in it
    SILENT = "silent"  # no answer in time


class ChatFailed(Exception):
    """A model did not answer a call. `detail` tells the operator the address and what was seen."""

    def __init__(self, fault: ChatFault, detail: str, *, is_lasting: bool = False) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail
        self.is_lasting = is_lasting  # the next call would fail in the same way


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a model answered."""

    text: str
    is_whole: bool  # False: it reached the maximum length
    is_refused: bool  # the server or the model says that it declines
    tokens: int  # that the server says it read and wrote; 0 if it does not say


class ChatClient:
    """Client of the model at `url`. Use and `close()` it in one event loop."""

    def __init__(self, url: str, *, model: str, key: str | None, connections_max: int) -> None:
        """The key never appears in an error, a log or a trace."""
        parsed = httpx2.URL(url)
        base = url.rstrip("/") if parsed.path.strip("/") else f"{url.rstrip('/')}/v1"
        self.url = base if base.endswith(_ROUTE) else base + _ROUTE
        self.model = model
        self._server: dict[str, str | int] = {
            "server.address": parsed.host,
            "server.port": parsed.port or _PORTS.get(parsed.scheme, 0),
        }
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._connections_max = connections_max
        self._http: httpx2.AsyncClient | None = None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def complete(self, messages: Sequence[Mapping[str, str]], *, tokens_max: int, seconds: float) -> Completion:
        """Raises `ChatFailed`."""
        body = {
            "model": self.model,
            "messages": messages,
            "max_tokens": tokens_max,
            "temperature": 0,
            "stream": False,
        }
        with call(f"POST {_ROUTE}") as calling:
            calling.note({"http.request.method": "POST", "url.full": self.url, **self._server})
            try:
                async with asyncio.timeout(seconds):
                    status, content = await self._send(orjson.dumps(body))
            except TimeoutError as error:
                calling.note_failure("timeout")
                raise ChatFailed(ChatFault.SILENT, f"{self.url}: no answer within {seconds:.1f} s") from error
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                is_unreachable = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.InvalidURL)
                calling.note_failure(type(error).__name__)
                raise ChatFailed(
                    ChatFault.GONE, f"{self.url}: {type(error).__name__}", is_lasting=is_unreachable
                ) from None  # its text may repeat a header
            calling.note({"http.response.status_code": status})
            if status != httpx2.codes.OK:
                calling.note_failure(str(status))
                raise self._refusal(status, content)
        return self._completion(content)

    async def _send(self, body: bytes) -> tuple[int, bytes]:
        headers = dict(self._headers)
        propagate(headers)
        async with self._client().stream("POST", self.url, content=body, headers=headers) as response:
            received = bytearray()
            async for part in response.aiter_raw():
                received += part
                if len(received) > REWRITE_REPLY_BYTES_MAX:
                    raise self._broken(f"the reply is longer than {REWRITE_REPLY_BYTES_MAX} bytes")
            return response.status_code, bytes(received)

    def _refusal(self, status: int, content: bytes) -> ChatFailed:
        said = _name_of_error(content)
        detail = f"{self.url}: status {status}{f' ({said})' if said else ''}"
        if status in _BUSY:
            return ChatFailed(ChatFault.BUSY, detail)
        if status in _OF_THE_REQUEST:
            return ChatFailed(ChatFault.DECLINED, detail)
        return ChatFailed(ChatFault.BROKEN, detail, is_lasting=status in _LASTING)

    def _completion(self, content: bytes) -> Completion:
        reply = _object(content)
        choices = reply.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        message = first.get("message") if isinstance(first, dict) else None
        if not isinstance(first, dict) or not isinstance(message, dict):
            raise self._broken("the reply is no chat completion")
        text, finish, usage = message.get("content"), first.get("finish_reason"), reply.get("usage")
        if text is not None and not isinstance(text, str):
            raise self._broken("the content of the reply is no text")
        tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
        return Completion(
            text=text or "",
            is_whole=finish != "length",
            is_refused=finish == "content_filter" or bool(message.get("refusal")),
            tokens=tokens if type(tokens) is int and 0 <= tokens < 2**31 else 0,
        )

    def _broken(self, what: str) -> ChatFailed:
        return ChatFailed(ChatFault.BROKEN, f"{self.url}: {what}")

    def _client(self) -> httpx2.AsyncClient:
        if self._http is None:
            self._http = httpx2.AsyncClient(
                verify=ssl.create_default_context(),  # the system's certificates: an operator's own are among them
                timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS_MAX),  # the deadline limits the rest
                limits=httpx2.Limits(max_connections=self._connections_max, keepalive_expiry=_KEPT_ALIVE_SECONDS),
                follow_redirects=False,
                trust_env=False,  # only api/settings.py reads the environment: no accidental proxy
            )
        return self._http


def _object(content: bytes) -> dict[str, Any]:
    try:
        reply = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return reply if isinstance(reply, dict) else {}


def _name_of_error(content: bytes) -> str:
    """Return the name that the server gives its error: a short identifier, never its text."""
    error = _object(content).get("error")
    named = (error.get("code") or error.get("type")) if isinstance(error, dict) else None
    is_name = isinstance(named, str) and named.isascii() and named.replace("_", "").isalnum()
    return named if is_name and isinstance(named, str) and len(named) <= _DETAIL_CHARACTERS else ""
