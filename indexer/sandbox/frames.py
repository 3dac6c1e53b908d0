"""Tasks and outcomes as bytes: JSON of a bounded length, checked field by field when it is read.

JSON and not pickle: what arrives may have been written by whoever wrote the file.
"""

from __future__ import annotations

import os
import struct
from dataclasses import asdict
from itertools import pairwise
from typing import Any, Final

import orjson

from winnow.indexer.corpus import Refused
from winnow.indexer.sandbox.outcomes import Ended, Member, Opened, Outcome, Skipped, Task
from winnow.retrieval.limits import DOCUMENT_CHARACTERS_MAX
from winnow.retrieval.records import NOWHERE, Document, Location, Part, PartKind

FRAME_BYTES_MAX: Final = 64_000_000  # the longest document, escaped, with its parts
HEADER: Final = struct.Struct("<I")  # length of the frame that follows
REASON_CHARACTERS_MAX: Final = 500
_NULS_MAX: Final = 10  # in a short text
_SURROGATES: Final = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
_SURROGATES_AND_NUL: Final = {0: "\ufffd", **_SURROGATES}


class Malformed(Exception):
    """A frame is not what it should be."""


def encode_task(task: Task) -> bytes:
    return _framed({**asdict(task), "path": os.fsencode(task.path).decode("latin-1")})  # any bytes are a path


def decode_task(content: bytes) -> Task:
    """Trusted: the parent wrote it."""
    fields = orjson.loads(content)
    path = os.fsdecode(fields["path"].encode("latin-1"))
    return Task(**{**fields, "path": path, "broken": tuple(fields["broken"])})


def encode_outcome(outcome: Outcome) -> bytes:
    """Raises `TypeError` for metadata that is not JSON, `Malformed` for a document that is too long."""
    match outcome:
        case Document():
            if len(outcome.text) > DOCUMENT_CHARACTERS_MAX:
                raise Malformed(f"the text has {len(outcome.text)} characters; the limit is {DOCUMENT_CHARACTERS_MAX}")
            return _framed({"document": _document_fields(outcome)})
        case Refused():
            reason = _clean(outcome.reason)[:REASON_CHARACTERS_MAX]
            name = _clean(outcome.id) if outcome.id else None
            return _framed({"refused": {"reason": reason, "id": name, "page": outcome.page}})
        case Ended():
            return _framed({"ended": {"reason": _clean(outcome.reason or "")[:REASON_CHARACTERS_MAX] or None}})
        case Opened():
            return _framed({"opened": asdict(outcome)})
        case Member():
            return _framed({"member": {"number": outcome.number, "name": _clean(outcome.name)}})
        case Skipped():
            return _framed({"skipped": {"ending": _clean(outcome.ending), "count": outcome.count}})


def decode_outcome(content: bytes, *, owner: str) -> Outcome:
    """Build the outcome of a frame. `owner` is the name of the file, which all its ids begin with.

    Raises `Malformed`.
    """
    try:
        ((kind, fields),) = orjson.loads(content).items()
        return _build(kind, fields, owner)
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise Malformed(str(error)) from error


def _build(kind: str, fields: dict[str, Any], owner: str) -> Outcome:
    match kind:
        case "document":
            return _document(fields, owner)
        case "refused":
            name, page = fields["id"], fields["page"]
            return Refused(
                reason=_text(fields["reason"]),
                id=None if name is None else _owned(name, owner),
                page=None if page is None else _count(page),
            )
        case "ended":
            reason = fields["reason"]
            return Ended(reason=None if reason is None else _text(reason))
        case "opened":
            return Opened(format=_text(fields["format"]))
        case "member":
            return Member(number=_count(fields["number"]), name=_owned(fields["name"], owner))
        case "skipped":
            return Skipped(ending=_text(fields["ending"])[:16], count=_count(fields["count"]))
    raise ValueError(kind)


def _document(fields: dict[str, Any], owner: str) -> Document:
    text, metadata, url = _text(fields["text"]), fields["metadata"], fields["url"]
    parts = tuple(_part(part) for part in fields["parts"])
    _require(isinstance(metadata, dict) and (url is None or isinstance(url, str)))
    _require(not parts or (parts[0].start == 0 and parts[-1].end == len(text)))
    _require(all(part.start <= part.end for part in parts))
    _require(all(one.end == other.start for one, other in pairwise(parts)))
    return Document(
        id=_owned(fields["id"], owner), text=text, title=_text(fields["title"]), url=url, metadata=metadata, parts=parts
    )


def _part(fields: dict[str, Any]) -> Part:
    section = tuple(_text(heading) for heading in fields["section"])
    location = Location(**fields["location"]) if fields["location"] else NOWHERE
    for name, value in fields["location"].items():
        kind = str if name in {"sheet", "symbol", "anchor"} else int
        _require(value is None or type(value) is kind)
    return Part(
        start=_count(fields["start"]),
        end=_count(fields["end"]),
        kind=PartKind(fields["kind"]),
        section=section,
        header=_text(fields["header"]),
        location=location,
    )


def _document_fields(document: Document) -> dict[str, Any]:
    parts = [
        {
            "start": part.start,
            "end": part.end,
            "kind": part.kind.value,
            "section": [_clean(heading) for heading in part.section],
            "header": _clean(part.header),
            "location": {
                name: _clean(value) if isinstance(value, str) else value
                for name, value in asdict(part.location).items()
                if value is not None
            },
        }
        for part in document.parts
    ]
    return {
        "id": _clean(document.id),
        "text": _clean(document.text),
        "title": _clean(document.title),
        "url": None if document.url is None else _clean(document.url),
        "metadata": _clean_values(dict(document.metadata)),
        "parts": parts,
    }


def _clean(text: str) -> str:
    """Replace what no text has, as damaged fonts and mails yield it; the length stays.

    Text with many NUL characters is none: they stay, so that the document is refused for them.
    """
    many = text.count("\0") > max(_NULS_MAX, len(text) // 100)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.translate(_SURROGATES if many else _SURROGATES_AND_NUL)
    return text if many else text.replace("\0", "\ufffd")


def _clean_values(value: Any) -> Any:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {_clean(str(name)): _clean_values(each) for name, each in value.items()}
    return [_clean_values(each) for each in value] if isinstance(value, list | tuple) else value


def _framed(fields: dict[str, Any]) -> bytes:
    content = orjson.dumps(fields)
    if len(content) > FRAME_BYTES_MAX:
        raise Malformed(f"the document has {len(content)} bytes; the limit is {FRAME_BYTES_MAX}")
    return HEADER.pack(len(content)) + content


def _owned(name: object, owner: str) -> str:
    """An id of this file: a hostile file must not replace the documents of another."""
    text = _text(name)
    _require(text == owner or text.startswith((f"{owner}#", f"{owner}/")))
    return text


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= 2**53:
        raise ValueError("not a count")
    return value


def _require(is_valid: bool) -> None:  # noqa: FBT001  reads as an assertion
    if not is_valid:
        raise ValueError("a field that does not fit")
