"""Maps the fields of a record to id, text, title and url; the rest becomes metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from winnow.indexer.corpus import Refused
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.records import Document, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Names of a record's fields, from the flags of `winnow index`."""

    id: str = "id"
    text: str = "text"
    title: str = "title"
    url: str = "url"


BEIR_FIELDS: Final = Fields(id="_id")
_COLUMNS_NAMED_MAX: Final = 20  # in a message


def require_columns(columns: Sequence[str], fields: Fields, *, origin: Path) -> None:
    """Raise `CorpusUnreadable` if a table repeats a column name, or lacks the column for id or text."""
    named = ", ".join(map(repr, columns[:_COLUMNS_NAMED_MAX])) or "none"
    if len(columns) > _COLUMNS_NAMED_MAX:
        named += f" and {len(columns) - _COLUMNS_NAMED_MAX} more"
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise CorpusUnreadable(
            f"{origin}: several columns are named {', '.join(map(repr, repeated))}; rename all but one. "
            f"The columns are {named}"
        )
    for flag, name in (("--id-field", fields.id), ("--text-field", fields.text)):
        if name not in columns:
            raise CorpusUnreadable(
                f"{origin} has no column {name!r}. The columns are {named}; choose one with {flag} NAME"
            )


def make_document(record: Mapping[str, JsonValue], fields: Fields) -> Document | Refused:
    """Build the document from these fields.

    A field `metadata` that holds an object is merged into the metadata; a field of the record wins over one of the same
    name inside it. Integers are accepted as ids, since most tables have them.
    """
    document_id = record.get(fields.id)
    if document_id is None or document_id == "":
        return Refused(reason=f"no id (field {fields.id!r})")
    if isinstance(document_id, bool) or not isinstance(document_id, str | int):
        return Refused(reason=f"the id (field {fields.id!r}) must be a string, not {_kind(document_id)}")
    text, title, url = record.get(fields.text), record.get(fields.title), record.get(fields.url)
    if text is None:
        return Refused(reason=f"no text (field {fields.text!r})", id=str(document_id))
    for name, value in ((fields.text, text), (fields.title, title), (fields.url, url)):
        if not isinstance(value, str | None):
            return Refused(reason=f"field {name!r} must be a string, not {_kind(value)}", id=str(document_id))
    return Document(
        id=str(document_id),
        text=str(text),
        title=str(title or ""),
        url=str(url) if url else None,
        metadata=_metadata(record, fields),
    )


def _metadata(record: Mapping[str, JsonValue], fields: Fields) -> dict[str, JsonValue]:
    named = {fields.id, fields.text, fields.title, fields.url}
    beside = {name: value for name, value in record.items() if name not in named}
    nested = beside.get("metadata", {})
    if nested is None or isinstance(nested, dict):
        others = {name: value for name, value in beside.items() if name != "metadata"}
        return {**(nested or {}), **others}
    return beside


def _kind(value: JsonValue) -> str:
    """JSON's name for the type."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
