"""Reads the structural parts that a record names itself: `parts` of a document sent to the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from winnow.indexer.corpus import Refused
from winnow.indexer.readers.fields import USUAL, make_document
from winnow.retrieval.records import Document, JsonValue, Location, Part, PartKind
from winnow.retrieval.structure import LOCATION_KEYS

PARTS: Final = "parts"
_NAMES: Final = frozenset({"sheet", "symbol", "anchor"})  # the other keys of a location are numbers
_KEYS: Final = frozenset({"start", "end", "kind", "section", "header", "location"})


def make_structured(record: Mapping[str, JsonValue]) -> Document | Refused:
    """Build a document, with its parts if it names some. A `parts` that is no list of objects is metadata."""
    given = record.get(PARTS)
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        return make_document(record, USUAL)
    made = make_document({name: value for name, value in record.items() if name != PARTS}, USUAL)
    if isinstance(made, Refused):
        return made
    parts: list[Part] = []
    for place, each in enumerate(given):
        part = _part(each)
        if isinstance(part, str):
            return Refused(reason=f"part {place}: {part}", id=made.id)
        parts.append(part)
    return replace(made, parts=tuple(parts))


def _part(given: Any) -> Part | str:
    """The part, or why it is none. Its bounds are checked with the text (retrieval/structure.py)."""
    kind = given.get("kind", PartKind.PROSE.value)
    section, header, location = given.get("section") or [], given.get("header") or "", given.get("location") or {}
    unknown = sorted(given.keys() - _KEYS)
    wrong = {
        f"unknown field {unknown[:1]}; a part has {', '.join(sorted(_KEYS))}": bool(unknown),
        "start and end must be whole numbers": not _is_whole(given.get("start")) or not _is_whole(given.get("end")),
        f"kind must be {' or '.join(PartKind)}": kind not in list(PartKind),
        "section must be a list of strings": not _are_strings(section),
        "header must be a string": not isinstance(header, str),
        "location must be an object": not isinstance(location, dict),
    }
    if (
        reason := next((each for each, is_so in wrong.items() if is_so), None) or _location_fault(location)
    ) is not None:
        return reason
    return Part(
        start=given["start"],
        end=given["end"],
        kind=PartKind(kind),
        section=tuple(section),
        header=header,
        location=Location(**location),
    )


def _location_fault(location: Mapping[str, object]) -> str | None:
    for key, value in location.items():
        if key not in LOCATION_KEYS:
            return f"location has an unknown field {key!r}; it may have {', '.join(LOCATION_KEYS)}"
        if value is not None and not (isinstance(value, str) if key in _NAMES else _is_whole(value)):
            return f"{key} must be a {'string' if key in _NAMES else 'whole number'}"
    return None


def _are_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
