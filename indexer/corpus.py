"""What does a corpus give, one record at a time, and which records are refused?

A reader yields a `Record` for what it could read and a `Reject` for what it could not, and goes on. It raises
`CorpusUnreadable` only where nothing after that place can be read either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import orjson

from winnow.indexer.account import Account
from winnow.retrieval.filters.grammar import INTEGER_MAX, INTEGER_MIN
from winnow.retrieval.limits import (
    DOCUMENT_CHARACTERS_MAX,
    DOCUMENT_ID_CHARACTERS_MAX,
    METADATA_BYTES_MAX,
    TITLE_CHARACTERS_MAX,
    URL_CHARACTERS_MAX,
)
from winnow.retrieval.records import Document, JsonValue, is_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a record lies, for somebody who wants to correct it."""

    source: str  # file, or file within the folder
    line: int | None = None  # counts from 1; None where the whole file is one record

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line is not None else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A document, and where it came from."""

    document: Document
    place: Place
    position: int  # how much of `Corpus.size` has been read with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A record that did not become a document, and why."""

    place: Place
    reason: str
    position: int
    id: str | None = None  # where the record got far enough to have one


Entry: TypeAlias = Record | Reject


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a piece of a corpus makes no document, before anybody says where it lies."""

    reason: str
    id: str | None = None


def entry_of(made: Document | Refused, *, place: Place, position: int) -> Entry:
    """What a reader made of one record, with its place."""
    if isinstance(made, Refused):
        return Reject(place=place, reason=made.reason, position=position, id=made.id)
    return Record(document=made, place=place, position=position)


class Corpus(Protocol):
    """Documents in an order that is the same at every reading of the same files."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int | None:
        """The end of the scale of `position`: bytes for a file, records for the rest. None where nobody knows."""
        ...

    def entries(self) -> Iterator[Entry]:
        """Every record once, in bounded memory. Raises `CorpusUnreadable`."""
        ...

    def account(self) -> Account:
        """What else there is to tell, after `entries` has come to its end."""
        ...

    def stop(self) -> None:
        """Ends a reading that waits for input, with `CorpusUnreadable`. Called from another thread."""
        ...


def refusal(document: Document) -> str | None:
    """Why this document cannot be stored, or None. Every way in asks here: the readers and the HTTP routes."""
    return (
        _id_refusal(document.id)
        or _text_refusal("title", document.title, TITLE_CHARACTERS_MAX)
        or _text_refusal("url", document.url or "", URL_CHARACTERS_MAX)
        or ("no text" if not document.text.strip() else None)
        or _text_refusal("text", document.text, DOCUMENT_CHARACTERS_MAX)
        or _metadata_refusal(document)
    )


def checked(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The same entries, with a Reject in place of each record that is refused or that repeats an id."""
    first_place_of: dict[str, Place] = {}
    for entry in entries:
        if isinstance(entry, Reject):
            yield entry
            continue
        document_id = entry.document.id
        reason = refusal(entry.document)
        if reason is None and (first := first_place_of.setdefault(document_id, entry.place)) is not entry.place:
            reason = f"the id is already used by {first}"
        if reason is None:
            yield entry
        else:
            yield Reject(place=entry.place, reason=reason, position=entry.position, id=_writable(document_id))


def _id_refusal(document_id: str) -> str | None:
    if not document_id.strip():
        return "no id"
    if any(ord(character) < 0x20 or character == "\x7f" for character in document_id):
        return "the id has control characters"
    return _text_refusal("id", document_id, DOCUMENT_ID_CHARACTERS_MAX)


def _text_refusal(name: str, value: str, characters_max: int) -> str | None:
    if len(value) > characters_max:
        return f"the {name} has {len(value)} characters; {characters_max} are allowed"
    if not is_text(value):
        return f"the {name} has half a surrogate pair, which is not a character"
    if "\0" in value:
        return f"the {name} has a NUL character; it may be in another encoding, or no text at all"
    return None


def _metadata_refusal(document: Document) -> str | None:
    for name, value in document.metadata.items():
        if (beyond := _beyond_integers(value)) is not None:
            return (
                f"the field {name!r} has a whole number of {len(str(abs(beyond)))} digits, which is beyond 64 bits and "
                "cannot be compared exactly; send it as a string"
            )
    try:
        size = len(orjson.dumps(dict(document.metadata)))
    except orjson.JSONEncodeError as error:
        return f"the metadata is not JSON: {error}"
    return f"the metadata has {size} bytes; {METADATA_BYTES_MAX} are allowed" if size > METADATA_BYTES_MAX else None


def _beyond_integers(value: JsonValue) -> int | None:
    """A whole number in here that a filter cannot compare exactly; None where there is none."""
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
    """An id that can go into the rejects file, whatever was in it."""
    return document_id[:DOCUMENT_ID_CHARACTERS_MAX].encode(errors="replace").decode()
