"""The clients behind an adapter, which is made once, copied, pickled, and called from threads and event loops."""

from __future__ import annotations

import ssl
import threading
import weakref
from typing import Final

import httpx2

from winnow_client.async_client import AsyncClient
from winnow_client.client import Client
from winnow_client.connection import base_of, headers_of

TIMEOUT: Final = 30.0  # seconds, of one call


class Connections:
    """Clients of the service at `url`.

    Threads share one client, which keeps its connections. Each asynchronous call gets a client of its own: a kept one
    belongs to the event loop that first used it, and fails in the next. All share the certificates, which take longest
    to load.
    """

    def __init__(self, url: str, key: str | None, timeout: float | None) -> None:
        """Connects to nothing. Raises `ValueError` for what is no address or no key."""
        base_of(url)
        headers_of(key)
        self._arguments = (url, key, timeout)
        self._lock = threading.RLock()
        self._tls: ssl.SSLContext | None = None
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The client for threads; it is closed with this object."""
        url, key, timeout = self._arguments
        with self._lock:
            if self._client is None:
                self._client = Client(url, key=key, timeout=timeout, tls=self._certificates())
                weakref.finalize(self, self._client.close)
            return self._client

    def new_async_client(self) -> AsyncClient:
        """Return a client for one call: use it in `async with`."""
        url, key, timeout = self._arguments
        return AsyncClient(url, key=key, timeout=timeout, tls=self._certificates())

    def _certificates(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = httpx2.create_ssl_context()
            return self._tls

    def __reduce__(self) -> tuple[type[Connections], tuple[str, str | None, float | None]]:
        """A copy connects by itself."""
        return Connections, self._arguments
