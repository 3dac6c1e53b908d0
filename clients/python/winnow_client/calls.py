"""Calls as values: what each method asks for, without a connection. Both clients send them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

JSON_TYPE: Final = "application/json"
NDJSON_TYPE: Final = "application/x-ndjson"


class Repeat(StrEnum):
    """When a call may be sent again."""

    SAFE = "safe"  # it changes nothing, or the same twice: also after a lost connection
    REFUSED = "refused"  # only where the service cannot have begun it


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    method: str
    path: str
    params: Mapping[str, str]
    content: bytes | None
    content_type: str
    repeat: Repeat


def call(
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    params: Mapping[str, str | int | None] | None = None,
    repeat: Repeat | None = None,
) -> Call:
    """Return a call; parameters that are None are left out. GET, HEAD and PUT are safe to repeat, others if said."""
    verb = method.upper()
    given = {key: str(value) for key, value in (params or {}).items() if value is not None}
    return Call(
        method=verb,
        path=path,
        params=given,
        content=None if body is None else json_of(body),
        content_type=JSON_TYPE,
        repeat=repeat or (Repeat.SAFE if verb in {"GET", "HEAD", "PUT"} else Repeat.REFUSED),
    )


def raw_call(method: str, path: str, content: bytes, content_type: str, *, repeat: Repeat) -> Call:
    """Return a call whose body is written already."""
    return Call(method=method, path=path, params={}, content=content, content_type=content_type, repeat=repeat)


def asking(path: str, body: Mapping[str, Any]) -> Call:
    """Return a POST that changes nothing."""
    return call("POST", path, body=body, repeat=Repeat.SAFE)


def path_of(*parts: str | int) -> str:
    """Return a path of the API; each part is escaped as a whole: no id can lead to another path."""
    return "/v1/" + "/".join(_escaped(str(part)) for part in parts)


def library_path(name: str, *rest: str | int) -> str:
    """Return the path of an instruction; `builtin/NAME` are two parts."""
    owner, slash, last = name.partition("/")
    return path_of("instructions", owner, last, *rest) if slash else path_of("instructions", owner, *rest)


def _escaped(part: str) -> str:
    return part.replace(".", "%2E") if part in {".", ".."} else quote(part, safe="", errors="surrogatepass")


def given(**values: object) -> dict[str, object]:
    """Return the fields that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def json_of(value: object) -> bytes:
    """Write a value as JSON. Raises `ValueError` or `TypeError` for what JSON cannot hold, NaN included."""
    try:
        return _written(value, ascii_only=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair: escaped, the service can name the record
        return _written(value, ascii_only=True).encode()


def _written(value: object, *, ascii_only: bool) -> str:
    return json.dumps(value, ensure_ascii=ascii_only, allow_nan=False, separators=(",", ":"), default=_plain)


def _plain(value: object) -> object:
    """Return mappings and sequences of other kinds as JSON has them."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
