"""What Schemathesis needs to know of the service. It imports this file in its own environment.

Rule 1. 500 is a fault; 503 and 504 are answers that the description names (a deadline of one millisecond passes).
Rule 2. Names lead to what exists in half of all requests, so that routes are tried beyond their 404.
Rule 3. Lines of NDJSON are documents, nearly documents and other text, chosen by the text that was generated.
"""

from __future__ import annotations

import json
import random
from typing import Any

import schemathesis

KNOWN = {"name": "handbook", "document_id": "undo", "version": 1, "number": 1, "reader": "acme"}
TEXTS = ("", "a", "The heron strikes at fish.", "退货", "\x00", "\U0001f426", '"', "a" * 300)
VALUES = (None, True, -1, 2**63, 1e308, "b", ["c", "d"], {"e": 1}, float("nan"))


@schemathesis.serializer("application/x-ndjson")
def as_bytes(_context: Any, value: Any) -> bytes:
    """A body of lines is text already."""
    return str(value).encode("utf-8", "surrogatepass")


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Rule 3."""
    operation = getattr(context, "operation", None)
    if not isinstance(body, str) or operation is None or not operation.path.endswith("/documents"):
        return body
    chosen = random.Random(body)
    return "\n".join(_line(chosen) for _ in range(chosen.randrange(6))) or body


@schemathesis.hook
def map_path_parameters(_context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Rule 2."""
    if not path_parameters or random.random() < 0.5:
        return path_parameters
    return {name: KNOWN.get(name, value) for name, value in path_parameters.items()}


@schemathesis.check
def no_unexpected_error(_context: Any, response: Any, _case: Any) -> None:
    """Rule 1."""
    assert response.status_code not in {500, 502}, f"{response.status_code}: {response.text[:300]}"


def _line(chosen: random.Random) -> str:
    document: dict[str, Any] = {"id": chosen.choice(TEXTS), "text": chosen.choice(TEXTS)}
    for name in ("title", "url", "metadata", "parts"):
        if chosen.random() < 0.3:
            document[name] = chosen.choice(VALUES if name == "parts" else (*TEXTS, {"k": chosen.choice(VALUES)}))
    return chosen.choice((json.dumps(document), json.dumps(document)[:-1], chosen.choice(TEXTS)))
