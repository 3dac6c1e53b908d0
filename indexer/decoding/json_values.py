"""JSON as it was written: whole numbers of any length stay exact.

orjson makes a rounded float of a whole number from 2^64 on. Where a text holds a run of digits that long, the standard
library reads it again, after orjson has found that it is JSON.
"""

from __future__ import annotations

import json
import re
from typing import Final

import orjson

from winnow.indexer.corpus import Refused
from winnow.retrieval.errors import LimitExceeded
from winnow.retrieval.json_bounds import RECORD_JSON, JsonBounds, require_within
from winnow.retrieval.records import JsonValue

DIGITS: Final = 19  # 2^63 has as many
_MANY_DIGITS: Final = re.compile(rb"[0-9]{%d}" % DIGITS)
_SLICE_BYTES: Final = 65_536


def parsed(content: bytes | bytearray, *, bounds: JsonBounds | None = RECORD_JSON) -> JsonValue | Refused:
    """The value of a JSON text, or why it has none. Without `bounds` the caller has counted what it holds."""
    try:
        if bounds is not None:
            require_within(content, bounds)
        value: JsonValue = orjson.loads(content)
        if not _has_many_digits(content):
            return value
        exact: JsonValue = json.loads(content)
    except LimitExceeded as error:
        return Refused(reason=error.detail)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        return Refused(reason=f"not JSON: {error.msg} at {where}")
    except RecursionError:  # where orjson's bound on the depth is above the standard library's
        return Refused(reason="not JSON that can be read: its objects and arrays are nested too deeply")
    except ValueError:  # Python's own bound on the digits of a whole number
        return Refused(reason="not JSON that can be read: a number has thousands of digits")
    return exact


def _has_many_digits(content: bytes | bytearray) -> bool:
    """Looked for in slices, so that a long text keeps no other thread waiting."""
    starts = range(0, len(content), _SLICE_BYTES)
    return any(_MANY_DIGITS.search(content, start, start + _SLICE_BYTES + DIGITS) for start in starts)
