"""Parses JSON with integers of any length kept exact.

orjson turns integers from 2^64 on into rounded floats. If a text contains a run of digits that long, the standard
library parses it again, after orjson has found it to be valid JSON.
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

DIGITS: Final = 19  # digits of 2^63
_MANY_DIGITS: Final = re.compile(rb"[0-9]{%d}" % DIGITS)
_SLICE_BYTES: Final = 65_536


def parse_record(content: bytes | bytearray, *, bounds: JsonBounds | None = RECORD_JSON) -> JsonValue | Refused:
    """Parse a JSON text, or say why it is invalid. Pass no `bounds` if the caller has checked them."""
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
    except RecursionError:  # orjson allows deeper nesting than the standard library
        return Refused(reason="cannot parse the JSON: objects and arrays are nested too deeply")
    except ValueError:  # Python limits the digits of an integer
        return Refused(reason="cannot parse the JSON: a number has thousands of digits")
    return exact


def _has_many_digits(content: bytes | bytearray) -> bool:
    """Search in slices, so that a long text does not hold up other threads."""
    starts = range(0, len(content), _SLICE_BYTES)
    return any(_MANY_DIGITS.search(content, start, start + _SLICE_BYTES + DIGITS) for start in starts)
