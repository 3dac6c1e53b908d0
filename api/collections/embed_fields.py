"""Changes which fields a collection embeds: only while it has no documents, whose vectors would be of other texts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from winnow.api.formatting import counted
from winnow.retrieval.catalog.collection_facts import CollectionFacts, write_facts
from winnow.retrieval.catalog.collections import Collection, FieldsChange
from winnow.retrieval.document_fields import FieldChoice
from winnow.retrieval.errors import InvalidRequest, WinnowError
from winnow.retrieval.files.layout import CollectionFolder


@contextlib.contextmanager
def changing_embed_fields(
    folder: CollectionFolder,
    change: FieldsChange,
    *,
    writing: contextlib.AbstractContextManager[None],
    read: Callable[[], Collection],
    documents_of: Callable[[Collection], int],
) -> Iterator[None]:
    """Hold the lease, `writing`, while the block changes the catalog, and change the folder's facts likewise.

    Raises `InvalidRequest` if there are documents, `CollectionBusy` while somebody writes, and what `read` and
    `documents_of` raise.
    """
    with writing:
        collection = read()
        documents = documents_of(collection)
        wanted = change.of(collection.embed_fields)
        if documents and wanted != collection.embed_fields:
            raise InvalidRequest(other_fields_refused(collection, f"has {counted(documents, 'document')}"))
        facts = CollectionFacts.of(collection)
        write_facts(folder, replace(facts, embed_fields=wanted))
        try:
            yield
        except WinnowError:
            write_facts(folder, facts)
            raise


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
