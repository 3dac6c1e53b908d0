"""What crosses from one folder to the next: documents, chunks, candidates.

Rule 1: frozen, keyword-only, slotted. Rule 2: no dict of strings crosses a seam; `metadata` is the caller's own and
is carried as it came (what of it can be filtered by, retrieval/filters/attributes.py alone says). Rule 3: similarity
(stage one) and relevance (stage two) are different quantities and never share a field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, Union

if TYPE_CHECKING:  # `winnow --help` imports this module and must not wait for numpy
    import numpy as np
    from numpy.typing import NDArray

JsonValue: TypeAlias = Union[bool, int, float, str, list["JsonValue"], dict[str, "JsonValue"], None]  # noqa: UP007  it names itself
Metadata: TypeAlias = Mapping[str, JsonValue]
Vectors: TypeAlias = "NDArray[np.float32]"  # (n, dimension), unit length, finite
ChunkNumbers: TypeAlias = "NDArray[np.int64]"  # (n,); -1 never names a chunk


def passage_of(title: str, text: str) -> str:
    """The one string that both stages read: the embedder embeds it, the reranker judges it."""
    return f"{title}\n{text}" if title else text


def is_text(value: str) -> bool:
    """Half of a surrogate pair is a character to Python, but not to UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One record of a corpus, as its owner wrote it."""

    id: str  # the owner's, unique within a collection
    text: str
    title: str = ""
    url: str | None = None
    metadata: Metadata = field(default_factory=dict)

    @property
    def content_hash(self) -> str:
        """SHA-256 of everything a reader could see; equal hashes mean that nothing needs to be done again."""
        canonical = json.dumps(
            [self.id, self.title, self.text, self.url, self.metadata],
            ensure_ascii=False,
            sort_keys=True,
            separators=(",", ":"),
        )
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A piece of a document's text, in characters (code points), half-open.

    The spans of one document tile it: the first starts at 0, each starts where the one before ends, the last ends at
    the text's length. A document is therefore its chunks' texts joined in order.
    """

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a document, as stored and as searched."""

    number: int  # ours, counted up per collection, never used again, not even after a delete
    document_id: str
    ordinal: int  # 0 for the document's first chunk
    start: int
    end: int
    title: str
    text: str
    url: str | None
    metadata: Metadata

    @property
    def passage(self) -> str:
        """What both stages read of this chunk."""
        return passage_of(self.title, self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A chunk without what each chunk repeats of its document: enough to read on around it."""

    number: int
    document_id: str
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedDocument:
    """A document on its way into the store: where it is cut, and one vector for each piece."""

    document: Document
    spans: tuple[Span, ...]
    vectors: Vectors  # (len(spans), dimension)

    def __post_init__(self) -> None:
        assert len(self.spans) == len(self.vectors), "one vector for each span. This is a bug."
        assert self.spans, "a document has a piece, if an empty one. This is a bug."
        assert self.spans[0].start == 0, "spans begin with the text. This is a bug."
        assert self.spans[-1].end == len(self.document.text), "spans end with the text. This is a bug."


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A chunk that recall proposes for judgement."""

    chunk: Chunk
    recall_rank: int  # 1 is recall's first: the nearest, the best match of words, or the best of both
    similarity: float | None  # cosine in [-1, 1]; None where no first stage ran (POST /v1/rerank)
    lexical_score: float | None = None  # BM25, no similarity; None where the chunk was not found by its words
    recall_score: float | None = None  # what recall ordered by where that was not the similarity: BM25, or the fusion
    # what recall ordered by, in standard deviations (retrieval/search/fusion.py); comparable within one query only.
    # None where no first stage ran
    standing: float | None = None


class RecallMode(StrEnum):
    """How recall chooses and orders its candidates."""

    DENSE = "dense"  # the nearest vectors
    HYBRID = "hybrid"  # the nearest vectors and the best matches of words, in one order (retrieval/search/fusion.py)
    LEXICAL = "lexical"  # the best matches of words, by BM25


def candidates_of(texts: Sequence[str]) -> list[Candidate]:
    """Texts as candidates in the order they were given, with no similarity; a chunk's number is its text's place."""
    return [
        Candidate(
            chunk=Chunk(
                number=place,
                document_id=str(place),
                ordinal=0,
                start=0,
                end=len(text),
                title="",
                text=text,
                url=None,
                metadata={},
            ),
            recall_rank=place + 1,
            similarity=None,
        )
        for place, text in enumerate(texts)
    ]
