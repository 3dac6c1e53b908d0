"""Records passed between packages: documents, chunks, candidates.

Rule 1: frozen, keyword-only, slotted. Rule 2: no dict of strings crosses a seam; `metadata` is the caller's and passed
on unchanged (only retrieval/filters/attributes.py decides what of it can be filtered). Rule 3: similarity (stage one)
and relevance (stage two) are different quantities and never share a field.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self, TypeAlias, Union

if TYPE_CHECKING:  # `winnow --help` imports this module and must not wait for numpy
    import numpy as np
    from numpy.typing import NDArray

JsonValue: TypeAlias = Union[bool, int, float, str, list["JsonValue"], dict[str, "JsonValue"], None]  # noqa: UP007  it names itself
Metadata: TypeAlias = Mapping[str, JsonValue]
Vectors: TypeAlias = "NDArray[np.float32]"  # (n, dimension), unit length, finite
ChunkNumbers: TypeAlias = "NDArray[np.int64]"  # (n,); -1 never names a chunk


BREADCRUMB_CHARACTERS_MAX: Final = 240  # characters; five headings of ten words fit, and leave room for the text
HEADER_CHARACTERS_MAX: Final = 400  # characters; thirty column names fit, and leave room for rows
BREADCRUMB_JOINT: Final = " > "
_CUT: Final = "…"  # stands for what a bound leaves out


def passage_of(title: str, text: str, *, section: Sequence[str] = (), header: str = "") -> str:
    """Return the text that both stages read: the embedder embeds it, the reranker scores it.

    `title > section` is its first line, then come the header and the text. Lines that are empty are left out.
    """
    return f"{passage_head(title, section, header)}{text}"


def passage_head(title: str, section: Sequence[str] = (), header: str = "") -> str:
    """Return what a passage has before its text, with the line ends."""
    line = BREADCRUMB_JOINT.join(filter(None, (title, breadcrumb(section)))) if section else title
    shown = clipped(header, HEADER_CHARACTERS_MAX)
    return (f"{line}\n" if line else "") + (f"{shown}\n" if shown else "")


def breadcrumb(section: Sequence[str]) -> str:
    """Return the headings on one line, outermost first.

    If they are longer than the bound, the outermost give way to an ellipsis until the rest fits. An innermost heading
    that alone is too long loses its end.
    """
    headings = [heading for heading in (" ".join(each.split()) for each in section) if heading]
    line = BREADCRUMB_JOINT.join(headings)
    dropped = 0
    while len(line) > BREADCRUMB_CHARACTERS_MAX and dropped < len(headings) - 1:
        dropped += 1
        line = BREADCRUMB_JOINT.join([_CUT, *headings[dropped:]])
    return clipped(line, BREADCRUMB_CHARACTERS_MAX)


def clipped(text: str, characters_max: int) -> str:
    """Return the text, or its beginning with an ellipsis."""
    return text if len(text) <= characters_max else text[: characters_max - len(_CUT)].rstrip() + _CUT


def is_text(value: str) -> bool:
    """Whether the text can be encoded as UTF-8; half of a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where in its file a passage stands, for a citation. Numbers count from 1; None: the format has no such place."""

    page: int | None = None  # PDF
    slide: int | None = None
    sheet: str | None = None  # name of a worksheet
    row: int | None = None  # of a sheet or table: the first one
    row_end: int | None = None  # the last one
    cell: int | None = None  # notebook
    line: int | None = None  # text and source code: the first one
    line_end: int | None = None  # the last one
    symbol: str | None = None  # source code: dotted name of the function or class; XML, JSON: path of the element
    anchor: str | None = None  # HTML: id of the nearest element above; EPUB: file within the book, with its anchor


NOWHERE: Final = Location()


class PartKind(StrEnum):
    """What a part consists of, which decides where it may be cut."""

    PROSE = "prose"  # at paragraphs, sentences, words
    ROWS = "rows"  # one row a line: between rows
    CODE = "code"  # at blank lines, then between lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A structural part of a document's text: a section, page, slide, table, function. No chunk crosses its ends.

    The parts of a document tile its text, as `Span`s do. `start` and `end` are in characters (code points), half-open.
    """

    start: int
    end: int
    kind: PartKind = PartKind.PROSE
    section: tuple[str, ...] = ()  # headings above, outermost first, without the document's title
    header: str = ""  # read before every chunk of this part but the first: the column names of a table
    location: Location = NOWHERE  # of its first character


def header_above(part: Part | None, start: int) -> str:
    """Return the column names that a piece of the part, from `start` on, repeats: its first piece begins with them."""
    return part.header if part and start > part.start else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One record of a corpus, as its owner wrote it."""

    id: str  # the owner's, unique within a collection
    text: str
    title: str = ""
    url: str | None = None
    metadata: Metadata = field(default_factory=dict)
    parts: tuple[Part, ...] = ()  # empty: the text has no known structure

    @property
    def content_hash(self) -> str:
        """SHA-256 of everything a reader can see; equal hashes mean that nothing needs to be redone."""
        structure = [[asdict(part) for part in self.parts]] if self.parts else []  # none: the hash of earlier versions
        canonical = json.dumps(
            [self.id, self.title, self.text, self.url, self.metadata, *structure],
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

    number: int  # assigned by winnow, ascending per collection, never reused, not even after a delete
    document_id: str
    ordinal: int  # 0 for the document's first chunk
    start: int
    end: int
    title: str
    text: str
    url: str | None
    metadata: Metadata
    part: Part | None = None  # None: the document's structure is not known
    location: Location = NOWHERE  # its part's, narrowed to its own lines or rows

    @property
    def section(self) -> tuple[str, ...]:
        """The headings above it, outermost first."""
        return self.part.section if self.part else ()

    @property
    def header(self) -> str:
        """Column names of its table, unless its own text begins with them."""
        return header_above(self.part, self.start)

    @property
    def passage(self) -> str:
        """The text of this chunk that both stages read."""
        return passage_of(self.title, self.text, section=self.section, header=self.header)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A chunk without the fields that every chunk repeats: enough to show the text around another chunk."""

    number: int
    document_id: str
    start: int
    end: int
    text: str
    part: Part | None = None
    location: Location = NOWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedDocument:
    """A document on its way into the store: its spans, and one vector per span."""

    document: Document
    spans: tuple[Span, ...]
    vectors: Vectors  # (len(spans), dimension)

    def __post_init__(self) -> None:
        assert len(self.spans) == len(self.vectors), "one vector for each span. This is a bug."
        assert self.spans, "a document has at least one span. This is a bug."
        assert self.spans[0].start == 0, "spans begin with the text. This is a bug."
        assert self.spans[-1].end == len(self.document.text), "spans end with the text. This is a bug."


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldLines:
    """Fields of a document, as lines to write before its text (retrieval/document_fields.py)."""

    lines: tuple[str, ...] = ()  # `name: value`, in the chosen order
    tokens_max: int = 0  # that they may take together


NO_FIELDS: Final = FieldLines()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A chunk that recall proposes for reranking."""

    chunk: Chunk
    recall_rank: int  # 1 is recall's first: the nearest, the best match of words, or the best of both
    similarity: float | None  # cosine in [-1, 1]; None without recall (POST /v1/rerank)
    lexical_score: float | None = None  # BM25, not a similarity; None if lexical search did not find it
    recall_score: float | None = None  # recall's score, unless that is the similarity: BM25 or the fused score
    # recall's score in standard deviations (retrieval/search/fusion.py), comparable within one query only; None without
    # recall
    standing: float | None = None
    fields: FieldLines = NO_FIELDS  # what the reranker reads before title and text
    found_by: tuple[int | None, ...] = ()  # its place in the list of each of several queries; None: not in it

    def with_fields(self, fields: FieldLines) -> Self:
        return replace(self, fields=fields)


class RecallMode(StrEnum):
    """How recall chooses and orders its candidates."""

    DENSE = "dense"  # the nearest vectors
    HYBRID = "hybrid"  # the nearest vectors and the best matches of words, in one order (retrieval/search/fusion.py)
    LEXICAL = "lexical"  # the best matches of words, by BM25


@dataclass(frozen=True, slots=True, kw_only=True)
class Collapse:
    """From which similarity on two passages are near-identical; one measure is enough. None: it is not used."""

    cosine: float | None = None  # of their stored vectors, in (0, 1]
    shingles: float | None = None  # Jaccard similarity (retrieval/lexical/shingles.py), in (0, 1]

    @property
    def is_on(self) -> bool:
        return self.cosine is not None or self.shingles is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversity:
    """What is left out of a ranking, and how the rest is ordered."""

    collapse: Collapse = Collapse()
    mmr_lambda: float | None = None  # in [0, 1]; None: the order stays

    @property
    def is_on(self) -> bool:
        return self.collapse.is_on or self.mmr_lambda is not None

    @property
    def needs_vectors(self) -> bool:
        return self.collapse.cosine is not None or self.mmr_lambda is not None


AS_RANKED: Final = Diversity()


def candidates_of(texts: Sequence[str], fields: Sequence[FieldLines] | None = None) -> list[Candidate]:
    """Turn texts into candidates in the given order, without similarity; a chunk's number is its text's position.

    `fields` has one entry for each text.
    """
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
            fields=lines,
        )
        for place, (text, lines) in enumerate(zip(texts, fields or [NO_FIELDS] * len(texts), strict=True))
    ]
