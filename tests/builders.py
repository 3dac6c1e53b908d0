"""Small things that many tests need, built from a few words."""

from __future__ import annotations

import zlib
from itertools import pairwise

import numpy as np

from winnow.retrieval.records import Document, EmbeddedDocument, Span, Vectors

DIMENSION = 8


def unit_vectors(count: int, *, dimension: int = DIMENSION, seed: int = 0) -> Vectors:
    """Random directions, the same for the same seed."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def embedded(document: Document, *, pieces: int = 1, dimension: int = DIMENSION) -> EmbeddedDocument:
    """The document in `pieces` spans of about equal length, with vectors that depend on its content only."""
    cuts = np.linspace(0, len(document.text), pieces + 1).astype(int).tolist()
    return EmbeddedDocument(
        document=document,
        spans=tuple(Span(start=start, end=end) for start, end in pairwise(cuts)),
        vectors=unit_vectors(pieces, dimension=dimension, seed=zlib.crc32(document.content_hash.encode())),
    )


def written(document_id: str, text: str, *, pieces: int = 1) -> EmbeddedDocument:
    """A document of nothing but an id and a text, ready for the store."""
    return embedded(Document(id=document_id, text=text), pieces=pieces)
