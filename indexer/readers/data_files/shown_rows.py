"""What the parsers of tables and JSON share: documents of records, and documents that show rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final, Protocol

from winnow.indexer.corpus import Entry, Record, Refused
from winnow.indexer.readers.parser import Parsed, SourceFile, Unparsable
from winnow.indexer.readers.structured_text import StructuredText
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.limits import DOCUMENT_CHARACTERS_MAX
from winnow.retrieval.records import NOWHERE, Document, Location, PartKind

ROW_CHARACTERS_MAX: Final = 1_000_000  # characters; a longer row is refused
_PIECE_CHARACTERS_MAX: Final = 500_000  # characters of a part
_DOCUMENT_CHARACTERS: Final = DOCUMENT_CHARACTERS_MAX - _PIECE_CHARACTERS_MAX - 2 * ROW_CHARACTERS_MAX


class HasEntries(Protocol):
    """A corpus of records in one file."""

    def entries(self) -> Iterator[Entry]: ...


def records_of(corpus: HasEntries, source: SourceFile) -> Iterator[Parsed]:
    """Yield the records of a file, with ids below its name. Raises `Unparsable`."""
    try:
        for entry in corpus.entries():
            if isinstance(entry, Record):
                yield replace(entry.document, id=f"{source.name}#{entry.document.id}")
            else:
                line = "" if entry.place.line is None else f"#line-{entry.place.line}"
                yield Refused(reason=entry.reason, id=f"{source.name}{line}")
    except CorpusUnreadable as error:
        raise Unparsable(_without_path(error, source)) from error


def shown(rows: Iterable[str], source: SourceFile, *, header: str = "", is_numbered: bool = True) -> Iterator[Parsed]:
    """Yield a document of these rows, the header included; or several, if they are too many.

    Rows are numbered from 1, if that is how people count them. A part that continues the table begins with the header
    once more, in place of the row above.
    """
    document = StructuredText()
    lines: list[str] = []
    first, characters, made = 1, 0, 0

    def end_part() -> None:
        nonlocal lines, characters
        location = Location(row=first) if is_numbered else NOWHERE
        document.add("\n".join(lines), kind=PartKind.ROWS, header=header, location=location)
        lines, characters = [], 0

    for number, row in enumerate(rows, start=1):
        is_too_long = len(row) > ROW_CHARACTERS_MAX
        if is_too_long:
            yield Refused(reason=f"row {number} is longer than {ROW_CHARACTERS_MAX} characters", id=source.name)
        if characters > _PIECE_CHARACTERS_MAX:
            end_part()
            if document.characters > _DOCUMENT_CHARACTERS:
                made += 1
                yield _document(document, source, made)
                document = StructuredText()
            first = number
            if header:
                lines, first = [header], number - 1
        lines.append("" if is_too_long else row)
        characters += len(row) + 1
    end_part()
    if document.parts:
        yield _document(document, source, made + 1 if made else 0)


def _document(text: StructuredText, source: SourceFile, number: int) -> Document:
    return text.document(f"{source.name}#{number}" if number else source.name)


def one_line(value: object) -> str:
    return " ".join(str(value).split())


def _without_path(error: CorpusUnreadable, source: SourceFile) -> str:
    """The reason without the path, which may be of a temporary file."""
    return error.detail.removeprefix(str(source.path)).lstrip(",: ") or "it cannot be read"
