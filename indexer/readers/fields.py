"""Maps the fields of a record to id, text, title and url; the rest becomes metadata."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from winnow.indexer.corpus import Refused
from winnow.indexer.id_source import IdSource
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.records import Document, JsonValue

_COLUMNS_NAMED_MAX: Final = 20  # in a message
_JOINT: Final = "\n\n"  # between the fields of a text


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataChoice:
    """What becomes of the fields that are not id, text, title or url."""

    keep: frozenset[str] | None = None  # None: all
    drop: frozenset[str] = frozenset()
    rename: Mapping[str, str] = field(default_factory=dict)

    def of(self, fields: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        return {self.rename.get(name, name): value for name, value in fields.items() if self.keeps(name)}

    def keeps(self, name: str) -> bool:
        return name not in self.drop and (self.keep is None or name in self.keep)


ALL_METADATA: Final = MetadataChoice()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Names that the caller chose, by flags or a mapping file; those that are None are detected (naming/)."""

    id: str | None = None
    text: str | tuple[str, ...] | None = None  # several are joined, with a blank line between them
    title: str | None = None
    url: str | None = None
    metadata: MetadataChoice = ALL_METADATA
    id_from: IdSource | None = None  # None: a record without an id is refused

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.text,) if isinstance(self.text, str) else self.text or ()

    @property
    def chosen(self) -> frozenset[str]:
        return frozenset(name for name in (self.id, *self.texts, self.title, self.url) if name is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMap:
    """The fields of all records of a corpus."""

    id: str = "id"
    text: tuple[str, ...] = ("text",)
    title: str = "title"
    url: str = "url"
    metadata: MetadataChoice = ALL_METADATA
    no_id: tuple[str, ...] = ()  # names that were looked for in vain; `id` is then where one may still turn up
    no_text: tuple[str, ...] = ()

    @property
    def named(self) -> frozenset[str]:
        return frozenset((self.id, *self.text, self.title, self.url))


USUAL: Final = FieldMap()


def require_unrepeated(columns: Sequence[str], *, origin: Path) -> None:
    """Raise `CorpusUnreadable` if a table repeats a column name."""
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise CorpusUnreadable(
            f"{origin}: several columns are named {', '.join(map(repr, repeated))}; rename all but one. "
            f"The columns are {_listed(columns)}"
        )


def require_columns(columns: Sequence[str], fields: FieldMap, *, origin: Path, needs_id: bool = True) -> None:
    """Raise `CorpusUnreadable` if a table repeats a column name, or lacks the column for id or text."""
    require_unrepeated(columns, origin=origin)
    for flag, names, sought in (
        ("--id-field", (fields.id,) if needs_id else (), fields.no_id),
        ("--text-field", fields.text, fields.no_text),
    ):
        if missing := [name for name in names if name not in columns]:
            what = f"none of the columns {', '.join(map(repr, sought))}" if sought else f"no column {missing[0]!r}"
            raise CorpusUnreadable(
                f"{origin} has {what}. The columns are {_listed(columns)}; choose one with {flag} NAME"
            )


def _listed(columns: Sequence[str]) -> str:
    named = ", ".join(map(repr, columns[:_COLUMNS_NAMED_MAX])) or "none"
    more = len(columns) - _COLUMNS_NAMED_MAX
    return f"{named} and {more} more" if more > 0 else named


def make_document(record: Mapping[str, JsonValue], fields: FieldMap) -> Document | Refused:
    """Build the document from these fields.

    A field `metadata` that holds an object is merged into the metadata; a field of the record wins over one of the same
    name inside it. Integers are accepted as ids, since most tables have them.
    """
    document_id = record.get(fields.id)
    if document_id is None or document_id == "":
        return Refused(reason=f"no id ({_sought(fields.no_id or (fields.id,))})")
    if isinstance(document_id, bool) or not isinstance(document_id, str | int):
        return Refused(reason=f"the id (field {fields.id!r}) must be a string, not {_kind(document_id)}")
    texts = [record[name] for name in fields.text if record.get(name) is not None]
    if not texts:
        return Refused(reason=f"no text ({_sought(fields.no_text or fields.text)})", id=str(document_id))
    for name in (*fields.text, fields.title, fields.url):
        if not isinstance(value := record.get(name), str | None) and name != fields.id:
            return Refused(reason=f"field {name!r} must be a string, not {_kind(value)}", id=str(document_id))
    title, url = record.get(fields.title), record.get(fields.url)
    return Document(
        id=str(document_id),
        text=str(texts[0]) if len(fields.text) == 1 else _JOINT.join(str(text) for text in texts if text),
        title=str(title or ""),
        url=str(url) if url else None,
        metadata=_metadata(record, fields),
    )


def _sought(names: Sequence[str]) -> str:
    return f"field{'s' if len(names) > 1 else ''} {', '.join(map(repr, names))}"


def _metadata(record: Mapping[str, JsonValue], fields: FieldMap) -> dict[str, JsonValue]:
    named = fields.named
    beside = {name: value for name, value in record.items() if name not in named}
    nested = beside.get("metadata", {})
    if nested is None or isinstance(nested, dict):
        others = {name: value for name, value in beside.items() if name != "metadata"}
        beside = {**(nested or {}), **others}
    return fields.metadata.of(beside)


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
