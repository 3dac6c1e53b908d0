"""Sends calls over kept connections, for the synchronous client: one call, its attempts, one deadline."""

from __future__ import annotations

import ssl
import time
from typing import Any, Self

import httpx2

from winnow_client.calls import Call
from winnow_client.connection import base_of, options_of
from winnow_client.retrying import Attempts, Pause, Policy, Received


class Transport:
    """The connections of one client. Threads may share them."""

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
        self._http = httpx2.Client(**options_of(self.url, key=key, tls=tls, use_proxies=use_proxies))

    def close(self) -> None:
        self._http.close()

    def send(self, call: Call, *, timeout: float | None = None) -> Any:
        """Return the answer's JSON value. Raises `WinnowError`.

        The deadline ends a slow body, but not a head that a server sends byte by byte.
        """
        attempts = Attempts(call, self._policy, self.url, self._timeout if timeout is None else timeout)
        while True:
            try:
                received = self._exchange(call, attempts)
            except (httpx2.HTTPError, httpx2.InvalidURL) as failure:
                pause = attempts.pause_after(failure)
            else:
                answer = attempts.pause_or_answer(received)
                if not isinstance(answer, Pause):
                    return answer
                pause = answer.seconds
            time.sleep(pause)

    def _exchange(self, call: Call, attempts: Attempts) -> Received:
        request = self._http.build_request(
            call.method,
            self.url + call.path,
            params=call.params,
            content=call.content,
            headers={} if call.content is None else {"content-type": call.content_type},
            timeout=attempts.timeouts(),
        )
        response = self._http.send(request, stream=True)
        try:
            content = bytearray()
            for piece in response.iter_bytes():
                content += piece
                attempts.check(len(content))
        finally:
            response.close()
        return Received(response.status_code, response.headers, bytes(content))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
