"""Compares what a command printed with what the page shows. `...` and `…` stand for anything."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

DOTS = re.compile(r"\.\.\.|…")
ANYTHING = "…"


def matches_text(shown: str, printed: str) -> bool:
    """Line by line; runs of spaces count as one, empty lines as none. A line of dots stands for any lines."""
    pattern = ""
    for line in _lines(shown):
        pattern += r"(?:.*\n)*" if DOTS.fullmatch(line) else ".*".join(map(re.escape, DOTS.split(line))) + "\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(printed))) is not None


def _lines(text: str) -> list[str]:
    squeezed = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in squeezed if line]


def matches_json(shown: str, printed: str) -> bool:
    """As values: a number as exactly as it is shown, an object with the key `…` may have more keys."""
    return _agree(json.loads(shown, parse_float=Decimal), json.loads(printed, parse_float=Decimal))


def _agree(shown: Any, printed: Any) -> bool:
    match shown:
        case dict():
            wanted = {key: value for key, value in shown.items() if key != ANYTHING}
            complete = ANYTHING in shown or (isinstance(printed, dict) and set(printed) == set(wanted))
            return (
                complete
                and isinstance(printed, dict)
                and all(key in printed and _agree(value, printed[key]) for key, value in wanted.items())
            )
        case list():
            if shown and shown[-1] == ANYTHING:
                shown, printed = shown[:-1], printed[: len(shown) - 1] if isinstance(printed, list) else printed
            return isinstance(printed, list) and len(shown) == len(printed) and all(map(_agree, shown, printed))
        case str() if shown == ANYTHING:
            return True
        case str():
            return isinstance(printed, str) and matches_text(shown, printed)
        case Decimal():
            exponent = shown.as_tuple().exponent
            assert isinstance(exponent, int)
            return isinstance(printed, Decimal | int) and abs(shown - printed) <= Decimal(1).scaleb(exponent)
        case _:
            return type(shown) is type(printed) and bool(shown == printed)
