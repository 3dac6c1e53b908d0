"""The passage of a prompt's preview: a stored chunk, or a text and fields of the request, as a search would read it."""

from __future__ import annotations

from dataclasses import dataclass

from winnow.api.collections.data_folder import DataFolder
from winnow.api.search.first_stage import find_collection
from winnow.api.search.preview import PreviewedPassage
from winnow.retrieval.document_fields import FieldChoice, check_fields
from winnow.retrieval.errors import DocumentNotFound, InvalidRequest
from winnow.retrieval.limits import FIELD_TOKENS_DEFAULT
from winnow.retrieval.records import Metadata
from winnow.retrieval.tenancy import TenantName


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedPassage:
    """A chunk of a collection, or a text, whose fields are chosen and bounded as the collection's searches do."""

    collection: str
    document_id: str | None  # None: the text
    chunk: int  # which of its chunks
    text: str | None
    fields: Metadata  # attributes of the text


def given_passage(text: str, fields: Metadata) -> PreviewedPassage:
    """Return a text with all of these fields, in their order. Raises `InvalidRequest`."""
    return _with_fields(text, fields, check_fields(tuple(fields), FIELD_TOKENS_DEFAULT))


def find_passage(
    disk: DataFolder, tenant: TenantName, wanted: WantedPassage, *, sample: str
) -> tuple[PreviewedPassage, str | None]:
    """Return the passage, or the sample if none is named, and the collection's reranker. Blocks.

    Raises `CollectionNotFound`, `DocumentNotFound`, `InvalidRequest`, and what opening a store raises.
    """
    collection = find_collection(disk.catalog.collections, wanted.collection, asker=tenant)
    if wanted.document_id is None:
        text = sample if wanted.text is None else wanted.text
        return _with_fields(text, wanted.fields, collection.rerank_fields), collection.reranker
    if wanted.text is not None or wanted.fields:
        raise InvalidRequest("give either a document's id, or its text and fields")
    chunks = disk.store(collection).snapshot().chunks_of(wanted.document_id)
    if wanted.chunk >= len(chunks):
        raise DocumentNotFound(f"{wanted.document_id}, chunk {wanted.chunk}; its last chunk is {len(chunks) - 1}")
    chunk = chunks[wanted.chunk]
    return PreviewedPassage(text=chunk.passage, fields=collection.rerank_fields.lines_of(chunk)), collection.reranker


def _with_fields(text: str, fields: Metadata, choice: FieldChoice) -> PreviewedPassage:
    return PreviewedPassage(text=text, fields=choice.lines(id=None, title="", url=None, metadata=fields))
