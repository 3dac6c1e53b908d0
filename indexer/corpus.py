"""Records and rejects of a corpus, and the rules that every document must meet.

A reader yields a `Record` for what it could read, a `Reject` for what it could not, and continues. It raises
`CorpusUnreadable` only if nothing after that point can be read either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import orjson

from winnow.indexer.account import Account
from winnow.indexer.id_tables import SeenIds
from winnow.retrieval.filters.grammar import INTEGER_MAX, INTEGER_MIN
from winnow.retrieval.limits import (
    DOCUMENT_CHARACTERS_MAX,
    DOCUMENT_ID_CHARACTERS_MAX,
    METADATA_BYTES_MAX,
    TITLE_CHARACTERS_MAX,
    URL_CHARACTERS_MAX,
)
from winnow.retrieval.records import Document, JsonValue, is_text
from winnow.retrieval.structure import parts_fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Location of a record in its source, for a person who wants to correct it."""

    source: str  # file, or path within the folder
    line: int | None = None  # counted from 1; None if the whole file is one record

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line is not None else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A document and its location."""

    document: Document
    place: Place
    position: int  # how much of `Corpus.size` has been read with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A record that did not become a document, and why."""

    place: Place
    reason: str
    position: int
    id: str | None = None  # if the record was readable enough to have one
    holds_more: bool = False  # a file or an archive: documents `id#KEY` and `id/NAME` may not have been read


Entry: TypeAlias = Record | Reject


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a piece of a corpus is not a document, without its location."""

    reason: str
    id: str | None = None
    page: int | None = None  # of a file: it is an image, whose text an OCR command may read


def make_entry(made: Document | Refused, *, place: Place, position: int) -> Entry:
    """Add the location to what a reader made of one record."""
    if isinstance(made, Refused):
        return Reject(place=place, reason=made.reason, position=position, id=made.id)
    return Record(document=made, place=place, position=position)


class Corpus(Protocol):
    """Yields documents, in the same order at every reading of the same files."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int | None:
        """Maximum of `position`: bytes for a file, records otherwise. None if unknown."""
        ...

    def entries(self) -> Iterator[Entry]:
        """Yield every record once, in bounded memory. Raises `CorpusUnreadable`."""
        ...

    def account(self) -> Account:
        """Notes on the corpus. Call it after the end of `entries`."""
        ...

    def stop(self) -> None:
        """Stop a reading that waits for input, which then raises `CorpusUnreadable`. Called from another thread."""
        ...


def refusal(document: Document) -> str | None:
    """Why this document cannot be stored, or None. Both the readers and the HTTP routes use it."""
    return (
        _id_refusal(document.id)
        or _text_refusal("title", document.title, TITLE_CHARACTERS_MAX)
        or _text_refusal("url", document.url or "", URL_CHARACTERS_MAX)
        or ("no text" if not document.text.strip() else None)
        or _text_refusal("text", document.text, DOCUMENT_CHARACTERS_MAX)
        or parts_fault(len(document.text), document.parts)
        or _metadata_refusal(document)
    )


def check_entries(entries: Iterable[Entry], seen: SeenIds | None = None) -> Iterator[Entry]:
    """Replace each record that is refused or repeats an id by a `Reject`. `seen` bounds the memory for ids."""
    seen = seen or SeenIds()
    for entry in entries:
        if isinstance(entry, Reject):
            yield entry
            continue
        document_id = entry.document.id
        reason = refusal(entry.document)
        if reason is None and (first := seen.first_place(document_id, str(entry.place))) is not None:
            reason = f"the id is already used by {first}"
        if reason is None:
            yield entry
        else:
            yield Reject(place=entry.place, reason=reason, position=entry.position, id=_writable(document_id))


def _id_refusal(document_id: str) -> str | None:
    if not document_id.strip():
        return "no id"
    if any(ord(character) < 0x20 or character == "\x7f" for character in document_id):
        return "the id contains control characters"
    return _text_refusal("id", document_id, DOCUMENT_ID_CHARACTERS_MAX)


def _text_refusal(name: str, value: str, characters_max: int) -> str | None:
    if len(value) > characters_max:
        return f"the {name} has {len(value)} characters; the limit is {characters_max}"
    if not is_text(value):
        return f"the {name} contains half of a surrogate pair, which is not a character"
    if "\0" in value:
        return f"the {name} contains a NUL character; the file may be binary or in another encoding"
    return None


def _metadata_refusal(document: Document) -> str | None:
    for name, value in document.metadata.items():
        if (beyond := _beyond_integers(value)) is not None:
            return (
                f"field {name!r}: an integer of {len(str(abs(beyond)))} digits exceeds 64 bits and cannot be compared "
                "exactly; send it as a string"
            )
    try:
        size = len(orjson.dumps(dict(document.metadata)))
    except orjson.JSONEncodeError as error:
        return f"the metadata is not JSON: {error}"
    return f"the metadata has {size} bytes; the limit is {METADATA_BYTES_MAX}" if size > METADATA_BYTES_MAX else None


def _beyond_integers(value: JsonValue) -> int | None:
    """Find an integer that a filter cannot compare exactly, or None."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case bool() | None:
                pass
            case int() as number if not INTEGER_MIN <= number <= INTEGER_MAX:
                return number
            case list() as items:
                waiting.extend(items)
            case dict() as fields:
                waiting.extend(fields.values())
    return None


def _writable(document_id: str) -> str:
    """Make any id writable to the rejects file."""
    return document_id[:DOCUMENT_ID_CHARACTERS_MAX].encode(errors="replace").decode()
