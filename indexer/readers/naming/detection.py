"""Recognises the names that people give to id, text, title and address.

    id     _id, id, docid, doc_id, pid; url if there is none of these
    text   text, contents, content, body, passage
    title  title, headline
    url    url

Rule 1. The first of these names that is there wins; other candidates stay in the metadata, and the report says so.
Rule 2. A name must hold a usable value in at least half as many of the first records as the most frequent candidate.
Rule 3. Case does not count if only one field is meant: `DocID` is `docid`, unless there is a `DOCID`, too.
Rule 4. What a flag or the mapping file names is not detected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from winnow.indexer.readers.fields import FieldMap, Fields
from winnow.retrieval.records import JsonValue

ID_NAMES: Final = ("_id", "id", "docid", "doc_id", "pid")
ID_NAMES_LAST: Final = ("url",)  # an id if nothing else is
TEXT_NAMES: Final = ("text", "contents", "content", "body", "passage")
TITLE_NAMES: Final = ("title", "headline")
URL_NAMES: Final = ("url",)


@dataclass(slots=True)
class Seen:
    """In how many records of the sample a field is there, and usable."""

    present: int = 0
    as_id: int = 0
    as_text: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The fields of a corpus, and what to tell about them."""

    fields: FieldMap
    taken: tuple[tuple[str, str], ...]  # (id, docid), (text, contents) ...
    others: tuple[str, ...]  # candidates that stay in the metadata

    def note(self, source: str) -> str:
        taken = ", ".join(f"{role} = {name}" for role, name in self.taken)
        others = f" Also there, and kept as metadata: {', '.join(self.others)}." if self.others else ""
        return f"{source}: {taken or 'no field was recognised'}.{others}"


def sample_records(records: Iterable[Mapping[str, JsonValue]]) -> dict[str, Seen]:
    """Count the fields of some records."""
    seen: dict[str, Seen] = {}
    for record in records:
        for name, value in record.items():
            counts = seen.setdefault(name, Seen())
            is_text = isinstance(value, str) and bool(value.strip())
            counts.present += 1
            counts.as_text += is_text
            counts.as_id += is_text or (isinstance(value, int) and not isinstance(value, bool))
    return seen


def sample_columns(names: Iterable[str]) -> dict[str, Seen]:
    """Take the columns of a table for usable."""
    return {name: Seen(present=1, as_id=1, as_text=1) for name in names}


def decide(seen: Mapping[str, Seen], asked: Fields) -> Decision:
    """Choose the fields of a corpus by what was seen of it."""
    free = {name: counts for name, counts in seen.items() if name not in asked.chosen}
    id_ = asked.id or _choose(ID_NAMES, free, _as_id) or _choose(ID_NAMES_LAST, free, _as_id)
    text = asked.text or _choose(TEXT_NAMES, free, _as_text)
    title = asked.title or _choose(TITLE_NAMES, free, _as_text)
    url = asked.url or _choose(URL_NAMES, free, _as_text)
    texts = asked.texts or ((text,) if isinstance(text, str) else ())
    fields = FieldMap(
        id=id_ or "id",
        text=texts or ("text",),
        title=title or "title",
        url=url or "url",
        metadata=asked.metadata,
        no_id=() if id_ else (*ID_NAMES, *ID_NAMES_LAST),
        no_text=() if texts else TEXT_NAMES,
    )
    taken = [("id", id_), ("text", " + ".join(texts)), ("title", title), ("url", url)]
    candidates = [
        *(_there(ID_NAMES, free) if asked.id is None else ()),
        *(_there(TEXT_NAMES, free) if asked.text is None else ()),
        *(_there(TITLE_NAMES, free) if asked.title is None else ()),
    ]
    return Decision(
        fields=fields,
        taken=tuple((role, name) for role, name in taken if name),
        others=tuple(name for name in candidates if name not in fields.named and asked.metadata.keeps(name)),
    )


def is_complete(decision: Decision, asked: Fields) -> bool:
    """Whether records of these fields can become documents."""
    return not decision.fields.no_text and (not decision.fields.no_id or asked.id_from is not None)


def _as_id(counts: Seen) -> int:
    return counts.as_id


def _as_text(counts: Seen) -> int:
    return counts.as_text


def _choose(candidates: Sequence[str], seen: Mapping[str, Seen], usable: Callable[[Seen], int]) -> str | None:
    found = _there(candidates, seen)
    most = max((usable(seen[name]) for name in found), default=0)
    fitting = (name for name in found if usable(seen[name]) and 2 * usable(seen[name]) >= most)
    return next(fitting, found[0] if found else None)


def _there(candidates: Sequence[str], seen: Mapping[str, Seen]) -> list[str]:
    """The fields that the candidates mean, in their order."""
    spelt = (_spelling(candidate, seen) for candidate in candidates)
    return [name for name in spelt if name is not None]


def _spelling(candidate: str, seen: Mapping[str, Seen]) -> str | None:
    if candidate in seen:
        return candidate
    alike = [name for name in seen if name.casefold() == candidate]
    return alike[0] if len(alike) == 1 else None
