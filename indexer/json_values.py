"""JSON as it was written: whole numbers of any length stay exact.

orjson makes a rounded float of a whole number from 2^64 on. Where a text holds a run of digits that long, the standard
library reads it again, after orjson has found that it is JSON.
"""

from __future__ import annotations

import json
import re
from typing import Final

import orjson

from indexer.corpus import Refused
from retrieval.records import JsonValue

_MANY_DIGITS: Final = re.compile(rb"[0-9]{19}")  # 2^63 has as many


def parsed(content: bytes) -> JsonValue | Refused:
    """The value of a JSON text, or why it has none."""
    try:
        value: JsonValue = orjson.loads(content)
        if _MANY_DIGITS.search(content) is None:
            return value
        exact: JsonValue = json.loads(content)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        return Refused(reason=f"not JSON: {error.msg} at {where}")
    except RecursionError:  # where orjson's bound on the depth is above the standard library's
        return Refused(reason="not JSON that can be read: its objects and arrays are nested too deeply")
    return exact
