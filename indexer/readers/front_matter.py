"""The front matter of a Markdown file: YAML between two lines of dashes, with which it begins.

Values are those of YAML 1.2's core schema, as far as nothing of them is lost: a number that a number would spell
otherwise, a date, and `no` are texts. Keys are texts as they are written. What is not a mapping is no front matter.

Here and in api/library/strict_yaml.py alone yaml is named. Events are read, so that no tag builds an object and no
alias multiplies what it stands for.
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

DEPTH_MAX: Final = 12  # mappings and lists within each other
_PARSER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is twenty times as fast
_FENCE: Final = "---"
_ENDS: Final = frozenset({"---", "..."})
_KEY: Final = re.compile(r"""["']?[\w][^:#{}\[\]]*:(\s|$)""")
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMatter:
    """A file taken apart."""

    body: str  # the file itself where it has no front matter
    title: str = ""
    metadata: dict[str, JsonValue] = field(default_factory=dict)
    problem: str | None = None  # why what looks like front matter is none
    below: str | None = None  # what follows front matter that cannot be read: headings stand there, not in the YAML


class _NoFrontMatter(Exception):
    pass


def front_matter(text: str) -> FrontMatter:
    """Never raises: what cannot be read stays in the text."""
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
        return FrontMatter(body=text, problem=_said(error), below=body)
    return FrontMatter(body=body, title=title, metadata=metadata)


def _split(rest: str) -> tuple[str, bool, str]:
    """What is above the closing line, whether there is one, and what is below."""
    place = 0
    while place < min(len(rest), METADATA_BYTES_MAX):
        end = rest.find("\n", place)
        end = len(rest) if end < 0 else end
        if rest[place:end].rstrip() in _ENDS:
            return rest[:place], True, rest[end + 1 :].lstrip("\r\n")
        place = end + 1
    return "", False, rest


def _said(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 2}: {error.problem}"
    return f"{error}".partition("\n")[0]


class _Reading:
    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events

    def front(self) -> tuple[str, dict[str, JsonValue]]:
        """The title, and everything else."""
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                break
        event = next(self._events, None)
        if not isinstance(event, yaml.MappingStartEvent):
            raise _NoFrontMatter("it is not a mapping")
        title = ""
        found: dict[str, JsonValue] = {}
        for key, value in self._pairs():
            if key == "title" and isinstance(value, yaml.ScalarEvent):
                title = "" if _scalar(value) is None else " ".join(value.value.split())
            elif key in found:
                raise _NoFrontMatter(f"the key {key[:80]!r} stands twice")
            else:
                found[key] = self._node(value, depth=2)
        for _ in self._events:
            pass  # what follows has to be YAML, too
        return title, found

    def _pairs(self) -> Iterator[tuple[str, Any]]:
        """Key and first event of each value of a mapping that has begun."""
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                return
            if not isinstance(event, yaml.ScalarEvent):
                raise _NoFrontMatter("a key is not a text")
            yield event.value, next(self._events)

    def _node(self, event: Any, *, depth: int) -> JsonValue:
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.AliasEvent):
            raise _NoFrontMatter("aliases are not read")
        if depth > DEPTH_MAX:
            raise _NoFrontMatter(f"it is nested more deeply than {DEPTH_MAX} levels")
        if isinstance(event, yaml.MappingStartEvent):
            return {key: self._node(value, depth=depth + 1) for key, value in self._pairs()}
        items: list[JsonValue] = []
        for each in self._events:
            if isinstance(each, yaml.SequenceEndEvent):
                break
            items.append(self._node(each, depth=depth + 1))
        return items


def _scalar(event: Any) -> JsonValue:
    """What is quoted or tagged is a text; so is what is bare, unless it is null, a truth value or a number."""
    value: str = event.value
    if not event.implicit[0]:
        return value
    if value in _NULLS:
        return None
    if value in _TRUTH:
        return _TRUTH[value]
    return _number(value)


def _number(value: str) -> int | float | str:
    """The number that is spelt like this, if there is one."""
    try:
        number = float(value) if "." in value else int(value)
    except ValueError:
        return value
    if isinstance(number, int):
        return number if f"{number}" == value and INTEGER_MIN <= number <= INTEGER_MAX else value
    return number if f"{number}" == value and math.isfinite(number) else value
