"""Sends one message to an address that a tenant chose. The only module here that names the HTTP client.

Rule 1: a name is resolved once; each address is checked against the operator's rules, and the connection is made to a
checked address, so that a name cannot change between check and connection.
Rule 2: redirects are not followed, the reply's body is not read, connections are not kept, and everything ends at the
attempt's deadline.
Rule 3: what is reported of a failure names no path and nothing of the reply but its status: a path may be a secret,
and a reply may be that of a server that the tenant should not see.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Final, Self

import httpx2

from winnow.retrieval.webhook.allowed import AllowedHosts, IpAddress, Target, parse_target

ADDRESSES_TRIED_MAX: Final = 3  # of a name, one after the other, until one accepts the connection
RESOLVERS: Final = 4  # threads; a name server that does not answer must not hold up the others of the process
_OK: Final = range(200, 300)
_REDIRECT: Final = range(300, 400)

Resolve = Callable[[str, int], Awaitable[Sequence[IpAddress]]]


class NotDelivered(Exception):
    """A message did not arrive, as far as can be known. The text says why, for the tenant."""


class WebhookClient:
    """Sends messages within the operator's rules. Use it in one event loop, in `async with`."""

    def __init__(self, allowed: AllowedHosts, *, resolve: Resolve | None = None) -> None:
        self._allowed = allowed
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="winnow-resolve")
        self._resolve = resolve or self._resolve_by_system
        self._http: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it; it may be opened again."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def require_allowed(self, url: str, *, seconds: float) -> None:
        """Check an address before it is stored; its receiver need not exist. Raises `ValueError` with a sentence."""
        target = parse_target(url)
        if not self._allowed.rules:
            raise ValueError("this service sends no webhooks; its operator allows hosts by the setting webhook_hosts")
        if self._allowed.names(target):
            return
        try:
            async with asyncio.timeout(seconds):
                await self._addresses(target)
        except TimeoutError:
            raise ValueError(f"{target.host} could not be resolved in time") from None
        except NotDelivered as refused:
            raise ValueError(str(refused)) from None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, seconds: float) -> None:
        """Send a message; returns once the receiver has accepted it with a status of 2xx. Raises `NotDelivered`."""
        try:
            async with asyncio.timeout(seconds):
                status = await self._sent(parse_target(url), body, headers)
        except ValueError as refused:
            raise NotDelivered(f"the address cannot be used: {refused}") from refused
        except TimeoutError as late:
            raise NotDelivered(f"no answer within {seconds:g} s") from late
        if status in _REDIRECT:
            raise NotDelivered(f"status {status}: redirects are not followed")
        if status not in _OK:
            raise NotDelivered(f"status {status}")

    async def _sent(self, target: Target, body: bytes, headers: Mapping[str, str]) -> int:
        problem = ""
        for address in (await self._addresses(target))[:ADDRESSES_TRIED_MAX]:
            try:
                return await self._status(target, address, body, headers)
            except httpx2.ConnectError as failed:  # nothing was sent
                problem = "TLS failed; check the certificate" if _is_of_tls(failed) else "no connection could be made"
            except (httpx2.HTTPError, httpx2.InvalidURL) as failed:
                raise NotDelivered(f"the connection failed: {type(failed).__name__}") from failed
        raise NotDelivered(problem)

    async def _status(self, target: Target, address: IpAddress, body: bytes, headers: Mapping[str, str]) -> int:
        host = f"[{address}]" if address.version == 6 else str(address)
        url = httpx2.URL(f"{target.scheme}://{host}:{target.port}{target.path}")
        sent = {**headers, "Host": target.authority, "Connection": "close"}
        extensions = {"sni_hostname": target.host}  # also the name that the certificate must have
        async with self._client().stream("POST", url, content=body, headers=sent, extensions=extensions) as response:
            return response.status_code

    async def _addresses(self, target: Target) -> Sequence[IpAddress]:
        """Return the addresses that a message to the target may be sent to. Raises `NotDelivered` if there are none."""
        given = target.address
        found = [given] if given is not None else await self._resolve(target.host, target.port)
        allowed = [each for each in found if self._allowed.allows(target, each)]
        if not found and self._allowed.names(target):  # of other names a tenant cannot learn whether they exist
            raise NotDelivered(f"{target.host} cannot be resolved")
        if not allowed:
            raise NotDelivered(f"the operator of this service allows no webhook to {target.host}:{target.port}")
        return allowed

    async def _resolve_by_system(self, host: str, port: int) -> Sequence[IpAddress]:
        def ask() -> list[IpAddress]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(ip_address(str(each[4][0]).partition("%")[0]) for each in found))

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        except (OSError, UnicodeError):
            return []

    def _client(self) -> httpx2.AsyncClient:
        if self._http is None:
            self._http = httpx2.AsyncClient(
                verify=ssl.create_default_context(),  # the system's certificates: an operator's own are among them
                timeout=httpx2.Timeout(None),  # the attempt's deadline limits everything
                limits=httpx2.Limits(max_keepalive_connections=0),  # a kept one may belong to another name
                follow_redirects=False,
                trust_env=False,  # no proxy by accident: it would resolve names itself
            )
        return self._http


def _is_of_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
