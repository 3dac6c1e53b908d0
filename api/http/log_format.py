"""The two forms of the service's log: lines for people, and one JSON object per line for programs.

Rule 1: both are redacted (api/http/log_redaction.py), each value before it is written.
Rule 2: a line written while a request is answered has that request's id and tenant, whatever part writes it.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import orjson

from winnow.api.http.log_redaction import RedactedFormatter, without_secrets
from winnow.api.http.observed import AnsweredRequest
from winnow.retrieval import tracing


class LineFormatter(RedactedFormatter):
    """For people: a line of text; that of a request ends with its duration, its stages, and who asked."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the name is logging's)
        line = super().formatMessage(record)
        request = _request_of(record)
        if request is None:
            return line
        stages = "".join(f" {name}={taken:.1f}" for name, taken in request.record.stages_ms.items())
        tenant = "" if request.record.tenant is None else f" tenant={request.record.tenant}"
        return f"{line} {request.duration_ms:.1f} ms{stages}{tenant} id={request.record.request_id}"


class JsonFormatter(RedactedFormatter):
    """For programs. The fields are documented in docs/how-to/observe.md."""

    def format(self, record: logging.LogRecord) -> str:
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _text(record.getMessage()),
        }
        if record.exc_info:
            found["exception"] = _text(self.formatException(record.exc_info))
        facts = getattr(record, "facts", None)
        if isinstance(facts, dict):  # names and numbers, from our own code
            found["facts"] = facts
        request = _request_of(record)
        followed = tracing.current() if request is None else request.record
        if followed is not None:
            found |= {"request_id": followed.request_id, "tenant": followed.tenant}
            if followed.trace_ids is not None:
                found["trace_id"], found["span_id"] = followed.trace_ids
        if request is not None:
            found |= _fields(request)
        return orjson.dumps(found).decode()


def _text(text: str) -> str:
    """Return it redacted, with half surrogate pairs escaped: JSON has no way to write them in UTF-8."""
    return without_secrets(text).encode("utf-8", "backslashreplace").decode()


def _request_of(record: logging.LogRecord) -> AnsweredRequest | None:
    request = getattr(record, "request", None)
    return request if isinstance(request, AnsweredRequest) else None


def _fields(request: AnsweredRequest) -> dict[str, Any]:
    record = request.record
    own = {} if record.answer_id == record.request_id else {"answer_id": record.answer_id}
    return own | {
        "client": request.client,
        "method": request.method,
        "path": without_secrets(request.path),
        "route": request.route,
        "status": request.status,
        "duration_ms": round(request.duration_ms, 3),
        "stages_ms": {name: round(taken, 3) for name, taken in record.stages_ms.items()},
    }
