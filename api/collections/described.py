"""What a collection is said to be: its row of the catalog, its size, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.vector_format import VectorFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A collection and its size."""

    collection: Collection
    documents: int | None  # None, like all that follows, if it cannot be read
    chunks: int | None
    attributes: Mapping[str, str] | None  # for filters, with types; None: known only after reading everything
    store_version: int | None
    word_rules: (
        int | None
    )  # version of the rules for splitting words: that of retrieval/lexical/words.py, or an older one
    vectors: VectorFormat | None
    problem: str | None = None  # what prevents reading or writing it
