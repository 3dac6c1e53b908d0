"""Sends calls over kept connections: one call, its attempts, one deadline."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Self

import httpx2

from winnow_client.calls import Call
from winnow_client.connection import base_of, options_of
from winnow_client.retrying import Attempts, Pause, Policy, Received


class AsyncTransport:
    """The connections of one client. Use them in one event loop."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        timeout: float | None,
        policy: Policy,
        tls: ssl.SSLContext | None,
        use_proxies: bool,
    ) -> None:
        self.url = base_of(url)
        self._timeout = timeout
        self._policy = policy
        self._http = httpx2.AsyncClient(**options_of(self.url, key=key, tls=tls, use_proxies=use_proxies))

    async def aclose(self) -> None:
        await self._http.aclose()

    async def send(self, call: Call, *, timeout: float | None = None) -> Any:
        """Return the answer's JSON value. Raises `WinnowError`."""
        attempts = Attempts(call, self._policy, self.url, self._timeout if timeout is None else timeout)
        while True:
            try:
                received = await self._exchange(call, attempts)
            except (httpx2.HTTPError, httpx2.InvalidURL) as failure:
                pause = attempts.pause_after(failure)
            else:
                answer = attempts.pause_or_answer(received)
                if not isinstance(answer, Pause):
                    return answer
                pause = answer.seconds
            await asyncio.sleep(pause)

    async def _exchange(self, call: Call, attempts: Attempts) -> Received:
        request = self._http.build_request(
            call.method,
            self.url + call.path,
            params=call.params,
            content=call.content,
            headers={} if call.content is None else {"content-type": call.content_type},
            timeout=attempts.timeouts(),
        )
        try:
            async with asyncio.timeout(attempts.remaining()):
                return await self._read(request, attempts)
        except TimeoutError:
            raise attempts.late() from None

    async def _read(self, request: httpx2.Request, attempts: Attempts) -> Received:
        response = await self._http.send(request, stream=True)
        try:
            content = bytearray()
            async for piece in response.aiter_bytes():
                content += piece
                attempts.check(len(content))
        finally:
            await response.aclose()
        return Received(response.status_code, response.headers, bytes(content))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
