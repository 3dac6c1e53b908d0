"""Measures the files of a store, by what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from winnow.retrieval.store.checksums import is_of_words
from winnow.retrieval.store.lance_snapshot import LanceSnapshot
from winnow.retrieval.store.places.place import StorePlace
from winnow.retrieval.store.rows import WORDS_COLUMN
from winnow.retrieval.store.vector_column import VECTOR_COLUMN


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUse:
    """Bytes of a store's files."""

    documents: int  # texts, metadata, ids, and the files that describe the version
    vectors: int
    words: int  # full-text index, and the words that it was made from
    replaced: int  # what the newest version does not use; removed once no reader can need it


def measure_store(snapshot: LanceSnapshot, place: StorePlace) -> StoreUse:
    """Measure the files of the newest version and of all others. Reads their sizes only. Raises `StoreCorrupt`."""
    current = set(snapshot.files())
    ids = place.read(lambda: {field.name(): field.id() for field in snapshot.dataset.lance_schema.fields()})
    stats: Any = place.read(snapshot.dataset.stats.data_stats)  # its stubs say that `fields` is one of them
    columns: dict[int, int] = {each.id: each.bytes_on_disk for each in stats.fields}
    vectors, words = columns[ids[VECTOR_COLUMN]], columns.get(ids.get(WORDS_COLUMN, -1), 0)
    used = index = replaced = 0
    for name, size in place.sizes().items():
        if name in current and is_of_words(name):
            index += size
        elif name in current or "/" not in name:
            used += size
        else:
            replaced += size
    return StoreUse(documents=used - vectors - words, vectors=vectors, words=index + words, replaced=replaced)
