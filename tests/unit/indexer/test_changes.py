"""Changes: by content hash, and nothing is gone that was merely unreadable."""

from __future__ import annotations

import pytest

from winnow.indexer.changes import Change, Changes
from winnow.indexer.id_tables import KnownDocuments
from winnow.retrieval.records import Document

BEFORE = Document(id="a", text="text", title="title", url="https://example.org", metadata={"year": 2020})


def changes() -> Changes:
    return Changes(KnownDocuments({"a": BEFORE.content_hash, "b": "hash of b", "c": "hash of c"}))


def test_unknown_id_is_added():
    """An id that the collection does not hold is new."""
    assert changes().of(Document(id="z", text="text")) is Change.ADDED


def test_same_content_is_unchanged():
    """The order of metadata is not content."""
    assert changes().of(BEFORE) is Change.UNCHANGED


@pytest.mark.parametrize(
    "after",
    [
        Document(id="a", text="other", title="title", url="https://example.org", metadata={"year": 2020}),
        Document(id="a", text="text", title="other", url="https://example.org", metadata={"year": 2020}),
        Document(id="a", text="text", title="title", url=None, metadata={"year": 2020}),
        Document(id="a", text="text", title="title", url="https://example.org", metadata={"year": 2021}),
    ],
    ids=["text", "title", "url", "metadata"],
)
def test_any_other_content_is_changed(after: Document):
    """Everything that an answer shows counts."""
    assert changes().of(after) is Change.CHANGED


def test_removed_is_what_was_never_shown():
    """Gone are the ids that the corpus neither gave nor had refused."""
    compared = changes()
    compared.of(BEFORE)
    compared.keep("c")
    assert list(compared.removed()) == ["b"]
