"""Structure of documents: where each chunk stands, how that is stored, and which parts are refused. Pure.

A chunk has the location of its part, narrowed to the chunk: line ends are counted, so a part with a line tells the
chunk's own first and last line, and a part of rows its own rows. Every line of a part of rows is one row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from winnow.retrieval.limits import (
    HEADING_CHARACTERS_MAX,
    HEADINGS_MAX,
    LOCATION_CHARACTERS_MAX,
    LOCATION_NUMBER_MAX,
    PART_HEADER_CHARACTERS_MAX,
    PARTS_MAX,
)
from winnow.retrieval.records import NOWHERE, Location, Part, PartKind, Span, is_text

LOCATION_KEYS: Final = tuple(each.name for each in fields(Location))


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The part of a chunk, and the chunk's own location."""

    part: Part | None = None
    location: Location = NOWHERE

    @property
    def section(self) -> tuple[str, ...]:
        return self.part.section if self.part else ()


UNPLACED: Final = Placed()


def place_spans(text: str, parts: Sequence[Part], spans: Sequence[Span]) -> list[Placed]:
    """Return the place of each span. The spans tile the text, and none crosses a part's end."""
    if not parts:
        return [UNPLACED] * len(spans)
    placed = []
    following = iter(parts)
    part = next(following)
    counted, lines = part.start, 0  # line ends of the part before this character
    for span in spans:
        while span.start >= part.end and (later := next(following, None)) is not None:
            part, counted, lines = later, later.start, 0
        lines += text.count("\n", counted, span.start)
        counted = span.start
        placed.append(Placed(part=part, location=_narrowed(part, lines, text[span.start : span.end])))
    return placed


def known_places(location: Location) -> dict[str, int | str]:
    """Return what is known of a location, by key."""
    if location is NOWHERE:  # as in most collections, a hundred times an answer
        return {}
    values = ((key, getattr(location, key)) for key in LOCATION_KEYS)
    return {key: value for key, value in values if value is not None}


def structure_json(placed: Placed) -> str | None:
    """Return what the store keeps of a chunk's place; None without a part."""
    part = placed.part
    if part is None:
        return None
    own = None if placed.location == part.location else known_places(placed.location)
    kept = [part.start, part.end, part.kind.value, part.section, part.header, known_places(part.location), own]
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))


def placed_of(stored: str | None) -> Placed:
    """Convert what the store keeps back."""
    if stored is None:
        return UNPLACED
    start, end, kind, section, header, whole, own = json.loads(stored)
    location = _location(whole)
    part = Part(start=start, end=end, kind=PartKind(kind), section=tuple(section), header=header, location=location)
    return Placed(part=part, location=location if own is None else _location(own))


def parts_fault(characters: int, parts: Sequence[Part]) -> str | None:
    """Return why a text of this length cannot have these parts, or None."""
    if len(parts) > PARTS_MAX:
        return f"{len(parts)} parts; the limit is {PARTS_MAX}"
    end = 0
    for place, part in enumerate(parts):
        if part.start != end or part.end <= part.start:
            return (
                f"part {place} covers characters {part.start} to {part.end}, but has to begin at {end} and hold at "
                "least one: parts cover the text in order, without gaps"
            )
        end = part.end
        if (fault := _part_fault(part)) is not None:
            return f"part {place}: {fault}"
    return f"the parts end at character {end}, but the text at {characters}" if parts and end != characters else None


def join_places(first: Location, last: Location) -> Location:
    """Return the location of the text from one place to a later one, as far as it is one place."""
    location = first
    if first.line is not None and last.line is not None:
        location = replace(location, line_end=max(first.line, last.line_end or last.line))
    if first.row is not None and last.row is not None and first.sheet == last.sheet:
        location = replace(location, row_end=max(first.row, last.row_end or last.row))
    return location


def texts_of(part: Part) -> Iterator[str]:
    """Yield all texts of a part."""
    yield from (*part.section, part.header)
    yield from (value for value in known_places(part.location).values() if isinstance(value, str))


def cite(location: Location) -> str:
    """Return a location in words, outermost first: `sheet Q3, rows 40-52`. Empty if nothing is known."""
    named = [
        ("page", location.page),
        ("slide", location.slide),
        ("sheet", location.sheet),
        ("cell", location.cell),
    ]
    words = [f"{name} {value}" for name, value in named if value is not None]
    words += [
        _range(name, first, last)
        for name, first, last in (
            ("row", location.row, location.row_end),
            ("line", location.line, location.line_end),
        )
        if first is not None
    ]
    if location.symbol is not None:
        words.append(location.symbol)
    if location.anchor is not None:
        words.append(location.anchor if "#" in location.anchor else f"#{location.anchor}")
    return ", ".join(words)


def _range(name: str, first: int, last: int | None) -> str:
    return f"{name} {first}" if last is None or last == first else f"{name}s {first}-{last}"


def _narrowed(part: Part, before: int, text: str) -> Location:
    """Return the location of a piece of the part; `before` line ends of the part stand before it."""
    location = part.location
    has_rows = location.row is not None and part.kind is PartKind.ROWS
    if location.line is None and not has_rows:
        return location
    first = before + text.count("\n", 0, len(text) - len(text.lstrip()))
    last = max(first, before + text.count("\n", 0, len(text.rstrip())))
    if location.line is not None:
        location = replace(location, line=location.line + first, line_end=location.line + last)
    if location.row is not None and has_rows:
        location = replace(location, row=location.row + first, row_end=location.row + last)
    return location


def _location(known: Mapping[str, Any]) -> Location:
    return Location(**{key: known[key] for key in LOCATION_KEYS if key in known})


def _part_fault(part: Part) -> str | None:
    if len(part.section) > HEADINGS_MAX:
        return f"{len(part.section)} headings; the limit is {HEADINGS_MAX}"
    texts = [
        *(("heading", each, HEADING_CHARACTERS_MAX) for each in part.section),
        ("header", part.header, PART_HEADER_CHARACTERS_MAX),
    ]
    for key, value in known_places(part.location).items():
        if isinstance(value, str):
            texts.append((key, value, LOCATION_CHARACTERS_MAX))
        elif not 1 <= value <= LOCATION_NUMBER_MAX:
            return f"{key} is {value}; it counts from 1 to {LOCATION_NUMBER_MAX}"
    for name, value, characters_max in texts:
        if len(value) > characters_max:
            return f"the {name} has {len(value)} characters; the limit is {characters_max}"
        if not is_text(value) or "\0" in value:
            return f"the {name} contains half of a surrogate pair or a NUL character"
    return None
