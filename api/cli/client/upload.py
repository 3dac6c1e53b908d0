"""Indexes a corpus into a collection of a service: documents are read and parsed here, and sent in batches.

The service answers a batch when its documents are stored and searchable. One that it holds already, word for word, is
not embedded again: a run that was interrupted is repeated from the start, and what was done costs its sending.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

import winnow_client
from winnow.api.cli.client.service import Service
from winnow.api.collections.requirements import Requirements
from winnow.indexer.changes import Changes, reason_to_keep
from winnow.indexer.corpus import Corpus, Record, Reject, check_entries
from winnow.indexer.id_tables import KnownDocuments, SeenIds
from winnow.indexer.job import State
from winnow.indexer.progress import Figures, Progress
from winnow.indexer.rejects import RejectsFile
from winnow.indexer.report import IndexReport, peak_memory_bytes
from winnow.retrieval.document_fields import NO_CHOICE, FieldChoice
from winnow.retrieval.errors import CollectionNotFound, CorpusUnreadable, DocumentNotFound
from winnow.retrieval.records import Document
from winnow.retrieval.structure import known_places

if TYPE_CHECKING:
    from winnow.api.schemas.collections import CollectionResponse
    from winnow_client import Written

REJECTS: Final = "winnow-rejects-{collection}.jsonl"  # in the current folder
SECONDS_MAX: Final = 600.0  # for one batch: it is embedded before the service answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A collection as the service describes it, for `Requirements`."""

    name: str
    chunk_tokens: int
    reranker: str | None
    rerank_fields: FieldChoice
    embed_fields: FieldChoice

    @classmethod
    def of(cls, answer: CollectionResponse) -> Described:
        return cls(
            name=answer["name"],
            chunk_tokens=answer["chunk_tokens"],
            reranker=answer["reranker"],
            rerank_fields=FieldChoice(names=tuple(answer["rerank_fields"]), tokens_max=answer["rerank_field_tokens"]),
            embed_fields=FieldChoice(names=tuple(answer["embed_fields"]), tokens_max=answer["embed_field_tokens"]),
        )


def open_collection(service: Service, name: str, required: Requirements) -> None:
    """Create the collection, or check that it is made as required. Raises `InvalidRequest`."""
    try:
        found: CollectionResponse = service.get("collections", name)
    except CollectionNotFound:
        service.post("collections", body={"name": name} | _options(required))
    else:
        required.check(Described.of(found), found["vectors"])


def document_line(document: Document) -> bytes:
    """The document as POST /v1/collections/NAME/documents reads it, without loss."""
    body: dict[str, Any] = {"id": document.id, "text": document.text}
    if document.title:
        body["title"] = document.title
    if document.url is not None:
        body["url"] = document.url
    if document.metadata:
        body["metadata"] = dict(document.metadata)
    if document.parts:
        body["parts"] = [
            {
                "start": each.start,
                "end": each.end,
                "kind": each.kind.value,
                "section": list(each.section),
                "header": each.header,
                "location": known_places(each.location),
            }
            for each in document.parts
        ]
    return orjson.dumps(body)


class Pruning(StrEnum):
    """Whether documents that the corpus no longer has are removed."""

    NEVER = "never"
    IF_READ = "if_read"  # completely
    ANYWAY = "anyway"


def upload(
    service: Service, corpus: Corpus, collection: str, *, progress: Progress, rejects: Path, prune: Pruning
) -> IndexReport:
    """Send the corpus. Raises what stopped it; repeating the run finds unchanged what was stored.

    `rejects` is the file for refused records, of this machine and of the service.
    """
    run = _Run(service=service, corpus=corpus, collection=collection, progress=progress, rejects=RejectsFile(rejects))
    return run.finish(prune)


@dataclass(slots=True, kw_only=True)
class _Run:
    service: Service
    corpus: Corpus
    collection: str
    progress: Progress
    rejects: RejectsFile
    began: float = field(default_factory=time.monotonic)
    position: int = 0
    sent: int = 0
    waiting: dict[int, Record] = field(default_factory=dict)  # without an answer, by place among those sent; 1 is first
    written: Written | None = None  # as answered last
    changes: Changes | None = None  # where something may be pruned

    def finish(self, prune: Pruning) -> IndexReport:
        before: CollectionResponse = self.service.get("collections", self.collection)
        self.progress.started(self.corpus.name, self.corpus.size)
        if prune is not Pruning.NEVER:
            with self.service.asked() as client:
                self.changes = Changes(KnownDocuments({each["id"]: "" for each in client.documents(self.collection)}))
        with self.rejects:
            self._send()
        seconds = time.monotonic() - self.began
        removed, not_pruned = (0, None) if self.changes is None else self._prune(self.changes, prune)
        after: CollectionResponse = self.service.get("collections", self.collection)
        new = (after["documents"] or 0) - (before["documents"] or 0) + removed
        report = self._report(after, seconds, new=new, removed=removed, not_pruned=not_pruned)
        self.progress.finished(report)
        return report

    def _send(self) -> None:
        with self.service.asked() as client:
            try:
                client.write(self.collection, self._lines(), on_progress=self._answered, timeout=SECONDS_MAX)
            except winnow_client.InvalidRequest as error:
                if "rejected" not in error.body:  # those that were rejected one by one are counted
                    raise
            finally:
                self.corpus.stop()

    def _lines(self) -> Iterator[bytes]:
        """Yield what is sent. Memory holds the documents of one batch."""
        seen = SeenIds()
        for entry in check_entries(self.corpus.entries(), seen):
            self.position = entry.position
            if isinstance(entry, Reject):
                self._reject(entry)
                continue
            if self.changes is not None:
                self.changes.of(entry.document)
            self.sent += 1
            self.waiting[self.sent] = entry
            yield document_line(entry.document)
        seen.close()

    def _answered(self, written: Written) -> None:
        known = 0 if self.written is None else len(self.written.rejected)
        for each in written.rejected[known:]:
            entry = self.waiting[each["line"]]
            self._reject(Reject(place=entry.place, reason=each["reason"], position=entry.position, id=each["id"]))
        for place in [each for each in self.waiting if each <= written.documents]:
            del self.waiting[place]
        self.written = written
        self.progress.advanced(self._figures())

    def _reject(self, reject: Reject) -> None:
        self.rejects.write(reject)
        if self.changes is not None:
            self.changes.keep(reject.id, holds_more=reject.holds_more)

    def _prune(self, changes: Changes, prune: Pruning) -> tuple[int, str | None]:
        """Remove what the corpus has not shown. Returns how many documents, and why none."""
        count = changes.removed_count
        if count and self.written is None:
            raise CorpusUnreadable(f"{self.corpus.name} contains no documents; nothing was removed")
        reason = reason_to_keep(changes, self.corpus.account()) if count else None
        if reason is not None and prune is not Pruning.ANYWAY:
            return 0, reason
        removed = 0
        for document_id in changes.removed():
            with contextlib.suppress(DocumentNotFound):  # somebody else removed it
                self.service.delete("collections", self.collection, "documents", document_id)
                removed += 1
        return removed, None

    def _figures(self) -> Figures:
        done = self.written
        return Figures(
            state=State.WRITING,
            position=self.position,
            size=self.corpus.size,
            read=self.sent + self.rejects.count,
            written=0 if done is None else done.accepted - done.unchanged,
            unchanged=0 if done is None else done.unchanged,
            rejected=self.rejects.count,
            chunks=0 if done is None else done.chunks,
            tokens=0 if done is None else done.tokens,
            writing_seconds=time.monotonic() - self.began,
            writing_from=0,
        )

    def _report(
        self, after: CollectionResponse, seconds: float, *, new: int, removed: int, not_pruned: str | None
    ) -> IndexReport:
        figures, account = self._figures(), self.corpus.account()
        added = max(0, min(new, figures.written))
        return IndexReport(
            corpus=self.corpus.name,
            read=figures.read,
            added=added,
            changed=figures.written - added,
            unchanged=figures.unchanged,
            removed=removed,
            rejected=figures.rejected,
            documents=after["documents"] or 0,
            chunks=after["chunks"] or 0,
            chunks_written=figures.chunks,
            truncated=None,
            tokens=figures.tokens,
            seconds=time.monotonic() - self.began,
            documents_per_second=figures.written / seconds,
            tokens_per_second=figures.tokens / seconds,
            peak_memory_bytes=peak_memory_bytes(),
            store_version=after["store_version"] or 0,
            generation=None,
            rejects=str(self.rejects.path) if self.rejects.count else None,
            first_rejects=list(self.rejects.first),
            files=account.files,
            notes=list(account.notes),
            not_pruned=not_pruned,
            vectors=after["vectors"],
            cosine_loss=None if self.written is None else self.written.cosine_loss,
        )


def _options(required: Requirements) -> dict[str, object]:
    """The body of POST /v1/collections, as far as something is required."""
    options: dict[str, object] = {
        "chunk_tokens": required.chunk_tokens,
        "reranker": required.reranker,
        "vectors": required.vectors,
    }
    for stage, change in (("rerank", required.rerank_fields), ("embed", required.embed_fields)):
        chosen = change.of(NO_CHOICE)
        if chosen != NO_CHOICE:
            options |= {f"{stage}_fields": list(chosen.names), f"{stage}_field_tokens": chosen.tokens_max}
    return {name: value for name, value in options.items() if value is not None}
