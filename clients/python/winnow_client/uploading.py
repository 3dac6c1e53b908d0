"""Cuts documents into batches and adds up what the service answers. Both clients use it; it sends nothing itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from winnow_client.calls import NDJSON_TYPE, Call, Repeat, json_of, path_of, raw_call
from winnow_client.errors import InvalidRequest, WinnowError
from winnow_client.schemas import RejectedResponse

BATCH_DOCUMENTS: Final = 64  # what the service stores in one step
BATCH_BYTES: Final = 4_000_000  # a longer batch is cut; one document that is longer goes alone
WRITE_SECONDS: Final = 300.0  # for one batch: it is embedded before the service answers
REJECTS_KEPT_MAX: Final = 1_000  # in memory; all are counted
_TOO_LARGE: Final = 413

SentDocument: TypeAlias = Mapping[str, Any] | str | bytes  # a document, or one line of JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of the documents so far."""

    collection: str
    documents: int = 0  # answered: accepted or rejected
    accepted: int = 0
    unchanged: int = 0  # of the accepted ones: stored already as they are
    chunks: int = 0
    tokens: int = 0
    rejected_count: int = 0
    rejected: tuple[RejectedResponse, ...] = ()  # the first thousand; `line` counts the documents given, from 1
    store_version: int | None = None  # with all of it; None while nothing was written
    cosine_loss: float | None = None  # the largest of all; None: vectors are float32, or the service does not tell


OnProgress: TypeAlias = Callable[[Written], object]


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines that go in one request, and the place of each among the documents given."""

    lines: tuple[bytes, ...]
    places: tuple[int, ...]

    def call(self, collection: str) -> Call:
        """Return the request. It may be repeated: a document replaces the one of the same id."""
        path = path_of("collections", collection, "documents")
        return raw_call("POST", path, b"\n".join((*self.lines, b"")), NDJSON_TYPE, repeat=Repeat.SAFE)

    def halves(self) -> tuple[Batch, Batch]:
        middle = len(self.lines) // 2
        return (
            Batch(self.lines[:middle], self.places[:middle]),
            Batch(self.lines[middle:], self.places[middle:]),
        )


class Upload:
    """One upload: gives batches for documents, takes answers for batches. Memory is that of one batch."""

    def __init__(self, collection: str, *, batch_documents: int, batch_bytes: int) -> None:
        if batch_documents < 1 or batch_bytes < 1:
            raise ValueError("batch_documents and batch_bytes must be at least 1")
        self.written = Written(collection=collection)
        self._documents_max = batch_documents
        self._bytes_max = batch_bytes
        self._lines: list[bytes] = []
        self._places: list[int] = []
        self._bytes = 0
        self._place = 0

    def add(self, document: SentDocument) -> Batch | None:
        """Take a document; returns a batch if one is full now."""
        self._place += 1
        try:
            line = _line_of(document)
        except (TypeError, ValueError) as error:
            self._reject(self._place, _id_of(document), f"it is not JSON: {error}")
            return None
        if not line:
            return None
        full = None
        if self._lines and self._bytes + len(line) > self._bytes_max:
            full = self.rest()
        self._lines.append(line)
        self._places.append(self._place)
        self._bytes += len(line) + 1
        return full or (self.rest() if len(self._lines) >= self._documents_max else None)

    def rest(self) -> Batch | None:
        """Return what is waiting, None for nothing."""
        if not self._lines:
            return None
        batch = Batch(tuple(self._lines), tuple(self._places))
        self._lines, self._places, self._bytes = [], [], 0
        return batch

    def take(self, batch: Batch, answer: Mapping[str, Any]) -> None:
        """Add the answer to a batch."""
        was = self.written
        version, losses = answer["store_version"], (was.cosine_loss, answer.get("cosine_loss"))
        self.written = replace(
            was,
            documents=was.documents + len(batch.lines),
            accepted=was.accepted + answer["accepted"],
            unchanged=was.unchanged + answer["unchanged"],
            chunks=was.chunks + answer["chunks"],
            tokens=was.tokens + answer["tokens"],
            store_version=was.store_version if version is None else version,
            cosine_loss=max((each for each in losses if each is not None), default=None),
        )
        for each in answer["rejected"]:
            self._count(batch.places[each["line"] - 1], each["id"], each["reason"])

    def refused(self, batch: Batch, error: WinnowError) -> tuple[Batch, ...]:
        """Take a refusal; returns smaller batches to send instead. Raises it where it is not about the documents."""
        if isinstance(error, InvalidRequest) and "rejected" in error.body and "accepted" in error.body:
            self.take(batch, error.body)
            return ()
        if error.status == _TOO_LARGE and len(batch.lines) > 1:
            return batch.halves()
        if error.status == _TOO_LARGE:
            self._reject(batch.places[0], _id_of(batch.lines[0]), error.message)
            return ()
        raise error

    def end(self) -> Written:
        """Return what became of all. Raises `InvalidRequest` if there were documents and none was accepted."""
        done = self.written
        if done.accepted or not done.rejected_count:
            return done
        first = done.rejected[0]
        raise InvalidRequest(
            f"all {done.rejected_count} documents were rejected; document {first['line']}: {first['reason']}",
            code="invalid_request",
            body={"rejected": list(done.rejected)},
        )

    def _reject(self, place: int, id_: str | None, reason: str) -> None:
        """Count a document that the service did not see."""
        was = self.written
        self.written = replace(was, documents=was.documents + 1)
        self._count(place, id_, reason)

    def _count(self, place: int, id_: str | None, reason: str) -> None:
        was = self.written
        kept = was.rejected
        if len(kept) < REJECTS_KEPT_MAX:
            kept = (*kept, RejectedResponse(line=place, id=id_, reason=reason))
        self.written = replace(was, rejected_count=was.rejected_count + 1, rejected=kept)


def _line_of(document: SentDocument) -> bytes:
    """Return one line; empty for a blank one. Raises `TypeError`, `ValueError`."""
    if isinstance(document, Mapping):
        return json_of(document)
    line = (document.encode() if isinstance(document, str) else bytes(document)).strip()
    if b"\n" in line or b"\r" in line:
        raise ValueError("a text must be one line of JSON")
    return line


def _id_of(document: SentDocument) -> str | None:
    if not isinstance(document, Mapping):
        try:
            document = json.loads(document)
        except ValueError:
            return None
    found = document.get("id") if isinstance(document, Mapping) else None
    return None if found is None else str(found)
