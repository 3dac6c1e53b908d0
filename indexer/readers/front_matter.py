"""Front matter of Markdown files: YAML between two lines of dashes at the beginning.

Values follow YAML 1.2's core schema if nothing is lost. Dates, `no`, and numbers that would be spelt differently are
strings. Keys are strings as written. Front matter must be a mapping.

Only this module and api/library/strict_yaml.py name yaml. Both read events, so that no tag builds an object and no
alias multiplies its target.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from winnow.retrieval.filters.grammar import INTEGER_MAX, INTEGER_MIN
from winnow.retrieval.limits import METADATA_BYTES_MAX
from winnow.retrieval.records import JsonValue

DEPTH_MAX: Final = 12  # nested mappings and lists
_PARSER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser is twenty times as fast
_FENCE: Final = "---"
_ENDS: Final = frozenset({"---", "..."})
_KEY: Final = re.compile(r"""["']?[\w][^:#{}\[\]]*:(\s|$)""")
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMatter:
    """A file split into front matter and body."""

    body: str  # the whole file if it has no front matter
    title: str = ""
    metadata: dict[str, JsonValue] = field(default_factory=dict)
    problem: str | None = None  # why a block that looks like front matter is invalid
    below: str | None = None  # text after an invalid block: headings are searched there, not in the YAML


class _NoFrontMatter(Exception):
    pass


def front_matter(text: str) -> FrontMatter:
    """Split a file. Never raises: an invalid block stays in the text."""
    lines = text.split("\n", 1)
    if len(lines) < 2 or lines[0].rstrip() != _FENCE:
        return FrontMatter(body=text)
    block, found, body = _split(lines[1])
    if not found:
        return FrontMatter(body=text)
    try:
        title, metadata = _Reading(yaml.parse(block, Loader=_PARSER)).front()
    except (yaml.YAMLError, _NoFrontMatter) as error:
        if _KEY.match(block.lstrip()) is None:
            return FrontMatter(body=text)
        return FrontMatter(body=text, problem=_describe(error), below=body)
    return FrontMatter(body=body, title=title, metadata=metadata)


def _split(rest: str) -> tuple[str, bool, str]:
    """The text above the closing line, whether that line exists, and the text below."""
    place = 0
    while place < min(len(rest), METADATA_BYTES_MAX):
        end = rest.find("\n", place)
        end = len(rest) if end < 0 else end
        if rest[place:end].rstrip() in _ENDS:
            return rest[:place], True, rest[end + 1 :].lstrip("\r\n")
        place = end + 1
    return "", False, rest


def _describe(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 2}: {error.problem}"
    return f"{error}".partition("\n")[0]


class _Reading:
    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events

    def front(self) -> tuple[str, dict[str, JsonValue]]:
        """Return the title, and everything else."""
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                break
        event = next(self._events, None)
        if not isinstance(event, yaml.MappingStartEvent):
            raise _NoFrontMatter("not a mapping")
        title = ""
        found: dict[str, JsonValue] = {}
        for key, value in self._pairs():
            if key == "title" and isinstance(value, yaml.ScalarEvent):
                title = "" if _scalar(value) is None else " ".join(value.value.split())
            elif key in found:
                raise _NoFrontMatter(f"duplicate key {key[:80]!r}")
            else:
                found[key] = self._node(value, depth=2)
        for _ in self._events:
            pass  # the rest must be valid YAML, too
        return title, found

    def _pairs(self) -> Iterator[tuple[str, Any]]:
        """Yield key and first event of each value of a mapping that has begun."""
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                return
            if not isinstance(event, yaml.ScalarEvent):
                raise _NoFrontMatter("a key is not a string")
            yield event.value, next(self._events)

    def _node(self, event: Any, *, depth: int) -> JsonValue:
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.AliasEvent):
            raise _NoFrontMatter("aliases are not supported")
        if depth > DEPTH_MAX:
            raise _NoFrontMatter(f"nested more than {DEPTH_MAX} levels deep")
        if isinstance(event, yaml.MappingStartEvent):
            return {key: self._node(value, depth=depth + 1) for key, value in self._pairs()}
        items: list[JsonValue] = []
        for each in self._events:
            if isinstance(each, yaml.SequenceEndEvent):
                break
            items.append(self._node(each, depth=depth + 1))
        return items


def _scalar(event: Any) -> JsonValue:
    """Convert a scalar. Quoted and tagged scalars are strings, as are bare ones except nulls, booleans and numbers."""
    value: str = event.value
    if not event.implicit[0]:
        return value
    if value in _NULLS:
        return None
    if value in _TRUTH:
        return _TRUTH[value]
    return _number(value)


def _number(value: str) -> int | float | str:
    """Return the number if it is spelt exactly like this, else the string."""
    try:
        number = float(value) if "." in value else int(value)
    except ValueError:
        return value
    if isinstance(number, int):
        return number if f"{number}" == value and INTEGER_MIN <= number <= INTEGER_MAX else value
    return number if f"{number}" == value and math.isfinite(number) else value
