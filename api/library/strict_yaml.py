"""Strict YAML: texts, whole numbers, booleans, lists and mappings only; nothing that runs or repeats.

Besides indexer/readers/front_matter.py the only module that imports yaml. It reads the parser's events and ignores
tags, so no object is built, no alias multiplied, no `no` taken for false, and a date stays its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import yaml

from winnow.retrieval.concurrency.gil_yield import rest
from winnow.retrieval.errors import InvalidRequest, LimitExceeded
from winnow.retrieval.limits import LIBRARY_VALUES_MAX

Node: TypeAlias = "str | int | bool | list[Node] | dict[str, Node] | None"

DEPTH_MAX: Final = 12  # nested mappings and lists
_PARSER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the parser in C is twenty times faster
_WHOLE: Final = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_OTHER_LINE_ENDS: Final = frozenset("\x85\u2028\u2029")
_WORDS: Final = {"": None, "~": None, "null": None, "true": True, "false": False}


def read_yaml(content: bytes | bytearray, *, bytes_max: int, values_max: int = LIBRARY_VALUES_MAX) -> Node:
    """Read one document. Raises `InvalidRequest`, with the line, and `LimitExceeded`."""
    if len(content) > bytes_max:
        raise LimitExceeded(f"the YAML has {len(content)} bytes; the limit is {bytes_max}")
    try:
        events = yaml.parse(content.decode("utf-8-sig"), Loader=_PARSER)
        return _Reading(events, values_max=values_max).document()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the YAML is not UTF-8 at byte {error.start}") from error
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise InvalidRequest(f"invalid YAML{line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InvalidRequest("invalid YAML: it contains a character that YAML does not allow") from error


def write_yaml(value: dict[str, Any]) -> str:
    """Write YAML in the order of the keys; texts of several lines become blocks if that loses nothing."""
    written: str = yaml.dump(value, Dumper=_Writer, allow_unicode=True, sort_keys=False, width=100)
    return written


class _Writer(yaml.SafeDumper):  # type: ignore[misc]  # the library has no types
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  equal values are written in full
        return True


def _written_text(writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Write line ends of YAML that it would fold as escapes."""
    style = "|" if "\n" in text.strip("\n") else None
    if not _OTHER_LINE_ENDS.isdisjoint(text):
        style = '"'
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _written_text)


class _Reading:
    def __init__(self, events: Iterator[yaml.Event], *, values_max: int) -> None:
        self._events = events
        self._values_max = values_max
        self._values = 0

    def document(self) -> Node:
        value: Node = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _refused("only one document is allowed", event)
                value = self._node(next(self._events), depth=1)
        return value

    def _node(self, event: yaml.Event, *, depth: int) -> Node:
        self._values += 1
        rest(self._values)
        if self._values > self._values_max:
            raise LimitExceeded(f"the YAML has more than {self._values_max} values")
        if isinstance(event, yaml.AliasEvent):
            raise _refused("aliases are not supported", event)
        if event.anchor is not None:
            raise _refused("anchors are not supported", event)
        if event.tag is not None:
            raise _refused("tags are not supported", event)
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if depth > DEPTH_MAX:
            raise _refused(f"nested more than {DEPTH_MAX} levels deep", event)
        if isinstance(event, yaml.SequenceStartEvent):
            return [self._node(each, depth=depth + 1) for each in self._until(yaml.SequenceEndEvent)]
        return self._mapping(depth)

    def _mapping(self, depth: int) -> Node:
        found: dict[str, Node] = {}
        for event in self._until(yaml.MappingEndEvent):
            key = self._node(event, depth=depth + 1)
            if not isinstance(key, str):
                raise _refused("a key must be a text", event)
            if key in found:
                raise _refused(f"the key {key[:80]!r} is repeated", event)
            found[key] = self._node(next(self._events), depth=depth + 1)
        return found

    def _until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        for event in self._events:
            if isinstance(event, end):
                return
            yield event


def _scalar(event: yaml.ScalarEvent) -> Node:
    """Quoted values are texts; so are plain ones, except whole numbers and five words."""
    value: str = event.value
    if not event.implicit[0]:  # quoted
        return value
    if _WHOLE.fullmatch(value):
        return int(value)
    return _WORDS.get(value, value)


def _refused(said: str, event: yaml.Event) -> InvalidRequest:
    return InvalidRequest(f"line {event.start_mark.line + 1}: {said}")
