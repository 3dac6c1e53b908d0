"""Changes which fields a collection embeds: only while it has no documents, whose vectors would be of other texts.

Among several hosts, one may be paused anywhere, and another then write documents or replace the collection. So:

    store    fenced before its documents are counted, so that no earlier writer's arrive later
    row      changed in a transaction that holds the lease's row, so no other host has taken over
    facts    written from the row, which is read after their move has begun. A host that changes the row afterwards, or
             replaces the collection, begins a later move: a late one changes nothing
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from winnow.api.formatting import counted
from winnow.retrieval.catalog.collection_facts import CollectionFacts
from winnow.retrieval.catalog.collections import Collection, FieldsChange
from winnow.retrieval.document_fields import FieldChoice
from winnow.retrieval.errors import CollectionBusy, InvalidRequest
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.lease import WriterLease
from winnow.retrieval.generation.pointer import moving
from winnow.retrieval.store.lance_store import LanceStore

_TRIES_MAX: Final = 8  # each failed one means that another host has just moved the pointer


@contextlib.contextmanager
def changing_embed_fields(
    folder: CollectionFolder,
    change: FieldsChange,
    *,
    lease: WriterLease,
    wait_seconds: float,
    read: Callable[[], Collection],
    store_of: Callable[[Collection], LanceStore],
) -> Iterator[int | None]:
    """Hold the lease while the block changes the catalog's row under this token; then write the folder's facts.

    Raises `InvalidRequest` if there are documents, `CollectionBusy` while somebody writes, `WriterSuperseded`,
    `WriteFailed`, and what `read` and `store_of` raise.
    """
    with lease.writing(folder, wait_seconds=wait_seconds):
        collection = read()
        store = store_of(collection)
        store.delete(())  # which fences the store, and commits nothing
        documents = store.snapshot().counts()[0]
        if documents and change.of(collection.embed_fields) != collection.embed_fields:
            raise InvalidRequest(other_fields_refused(collection, f"has {counted(documents, 'document')}"))
        _write_facts(folder, collection, lease, read)  # as they are: what cannot be written fails before the change
        yield lease.token()
        _write_facts(folder, collection, lease, read)


def _write_facts(
    folder: CollectionFolder, collection: Collection, lease: WriterLease, read: Callable[[], Collection]
) -> None:
    """Write the facts of the collection's row as it is now; raise `CollectionBusy` if the collection was replaced."""
    for left in reversed(range(_TRIES_MAX)):
        try:
            with moving(folder, lease) as move:
                if (row := read()).created_at == collection.created_at:
                    move.write(folder.facts, CollectionFacts.of(row).written())
                    return
        except CollectionBusy:
            if not left:
                raise
    raise CollectionBusy(f"{collection.name} has just been replaced")


class _Embedded(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def embed_fields(self) -> FieldChoice: ...


def other_fields_refused(collection: _Embedded, state: str) -> str:
    """Say why other fields cannot be embedded, and what to do."""
    return (
        f"{collection.name} {state}, embedded with {fields_said(collection.embed_fields)}. Create another collection "
        "with other embed_fields and index the corpus into it; only an empty collection can be changed (`winnow "
        "collections set-embed-fields`)"
    )


def fields_said(fields: FieldChoice) -> str:
    if not fields.names:
        return "no fields"
    return f"the fields {', '.join(fields.names)} in at most {fields.tokens_max} tokens"
