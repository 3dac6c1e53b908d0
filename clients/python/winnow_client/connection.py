"""How both clients connect: the address, the key, the certificates."""

from __future__ import annotations

import ssl
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from winnow_client.version import __version__

CONNECTIONS_MAX: Final = 100  # at once; more calls wait for one
KEPT_ALIVE_SECONDS: Final = 4.0  # the service closes connections that were idle for five


def base_of(url: str) -> str:
    """Return the address before `/v1`. Raises `ValueError` where it is none."""
    parsed = urlsplit(url)
    if parsed.username is not None or parsed.password is not None:
        raise ValueError("the address holds a user or a password; give the API key as `key`")
    if parsed.scheme not in {"http", "https"} or not parsed.hostname or parsed.query or parsed.fragment:
        raise ValueError(f"{url!r} is not the address of a service, such as https://search.example.com")
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def headers_of(key: str | None) -> dict[str, str]:
    """Return the headers of every request. Raises `ValueError` for a key that no header can carry."""
    if key is None or key == "":
        return {}
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the key has characters that no API key has, such as spaces or line breaks")
    return {"authorization": f"Bearer {key}"}


def options_of(url: str, *, key: str | None, tls: ssl.SSLContext | None, use_proxies: bool) -> dict[str, Any]:
    """Return the arguments of httpx2's clients, the same for both."""
    if tls is None and url.startswith("http:"):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts none, and takes no time to load certificates
    return {
        "headers": {"accept": "application/json", "user-agent": f"winnow-client/{__version__}", **headers_of(key)},
        "limits": httpx2.Limits(max_connections=CONNECTIONS_MAX, keepalive_expiry=KEPT_ALIVE_SECONDS),
        "verify": True if tls is None else tls,
        "trust_env": use_proxies,
        "follow_redirects": False,  # the key goes to the address that it was given for
    }
