"""Divides a source file into parts: one for each function, one for the head of each long class.

A part is a run of whole lines, and the parts tile the file. A class that fits into a chunk stays whole, and so does a
run of functions and constants that are only a few lines each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

from winnow.indexer.readers.code.outline import Definition
from winnow.retrieval.records import Location, Part, PartKind

WHOLE_LINES_MAX: Final = 24  # lines of a class, or of a run, in one part; about 256 tokens, the default chunk
TINY_LINES_MAX: Final = 3  # lines of what is joined with its neighbours
LONG_FUNCTION_LINES: Final = 150  # lines; the functions inside a longer one get parts of their own
_SYMBOL_CHARACTERS_MAX: Final = 512
_SECTION_LEVELS_MAX: Final = 16  # what a part may have; deeper definitions stay in one part


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Lines `first` to `last`, counted from 0."""

    first: int
    last: int
    section: tuple[str, ...] = ()
    symbol: str = ""
    is_definition: bool = False


def code_parts(text: str, definitions: Sequence[Definition]) -> tuple[Part, ...]:
    """Return the parts of a text that is not blank."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()  # the text ends with a line end
    runs = _joined(list(_without_blank(_runs(definitions, 0, len(lines) - 1, (), ""), lines)), lines)
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    starts[-1] = len(text)
    return tuple(
        Part(
            start=starts[run.first],
            end=starts[run.last + 1],
            kind=PartKind.CODE,
            section=run.section,
            location=Location(
                line=run.first + 1,
                line_end=_last_filled(lines, run) + 1,
                symbol=run.symbol[:_SYMBOL_CHARACTERS_MAX] or None,
            ),
        )
        for run in runs
    )


def _runs(
    definitions: Sequence[Definition], first: int, last: int, section: tuple[str, ...], symbol: str
) -> Iterator[_Run]:
    """Yield the runs of lines `first` to `last`, in which these definitions stand. Recursion ends with the section."""
    row = first
    for each in definitions:
        begin, end = max(each.first, row), min(each.last, last)
        if begin > end:
            continue  # on the last line of the one before
        if row < begin:
            yield _Run(first=row, last=begin - 1, section=section, symbol=symbol)
        *owners, name = each.name.split(".")
        above = (*section, *owners)
        own_symbol = ".".join((*above, name))
        if _is_divided(each, begin, end) and len(above) < _SECTION_LEVELS_MAX:
            yield from _runs(each.inner, begin, end, (*above, name), own_symbol)
        else:
            yield _Run(
                first=begin, last=end, section=above[:_SECTION_LEVELS_MAX], symbol=own_symbol, is_definition=True
            )
        row = end + 1
    if row <= last:
        yield _Run(first=row, last=last, section=section, symbol=symbol)


def _is_divided(each: Definition, first: int, last: int) -> bool:
    lines_max = WHOLE_LINES_MAX if each.is_container else LONG_FUNCTION_LINES
    return bool(each.inner) and last - first >= lines_max


def _without_blank(runs: Iterator[_Run], lines: Sequence[str]) -> Iterator[_Run]:
    """Add blank lines, and those that only close brackets, to the run above them, or below at the top of the file."""
    above: _Run | None = None
    for run in runs:
        first = _first_filled(lines, run)
        if first is None and above is not None:
            above = replace(above, last=run.last)
        elif first is not None:
            if above is not None:
                yield replace(above, last=first - 1)
            above = replace(run, first=0 if above is None else first)
    yield above or _Run(first=0, last=len(lines) - 1)


def _first_filled(lines: Sequence[str], run: _Run) -> int | None:
    """First line that is not blank; None if no line has a word."""
    if not any(_has_word(line) for line in lines[run.first : run.last + 1]):
        return None
    return next(row for row in range(run.first, run.last + 1) if lines[row].strip())


def _has_word(line: str) -> bool:
    return line.strip() != "end" and any(character.isalnum() for character in line)


def _joined(runs: Sequence[_Run], lines: Sequence[str]) -> list[_Run]:
    """Join runs of the same section that are a few lines each."""
    made: list[_Run] = []
    is_open = False  # the last one takes more
    for run in runs:
        is_tiny = _last_filled(lines, run) - run.first < TINY_LINES_MAX
        last = made[-1] if made else None
        if (
            is_open
            and is_tiny
            and last is not None
            and last.section == run.section
            and _last_filled(lines, run) - last.first < WHOLE_LINES_MAX
        ):
            made[-1] = replace(last, last=run.last, symbol=".".join(run.section), is_definition=False)
        else:
            made.append(run)
            is_open = is_tiny
    return made


def _last_filled(lines: Sequence[str], run: _Run) -> int:
    """Last line that is not blank; the last line if all are."""
    return next((row for row in range(run.last, run.first - 1, -1) if lines[row].strip()), run.last)
