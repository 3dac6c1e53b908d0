"""Cuts documents into chunks that fit the models and read as a whole.

A cut falls at the end of a paragraph, else of a sentence (English or Chinese), else of a word, else between two tokens.
The chunks of a document have similar lengths, so none is a stray last line. They tile the text (see `Span`): nothing is
lost, and nothing is repeated but the title, which every chunk carries and which counts.

A document with structural parts is cut at their ends first, so no chunk has text of two parts. A part that is too long
is cut by its kind:

    prose    as above
    rows     between lines, each of which is a row
    code     at blank lines, else between lines

A line that alone is too long for a chunk is cut as prose, and shares no chunk with other lines.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, pairwise, takewhile
from typing import Final, Protocol

from winnow.retrieval.lexical.sentences import SENTENCE_END
from winnow.retrieval.records import Part, PartKind, Span, passage_head

CHUNK_TOKENS_MIN: Final = 16  # tokens; a shorter chunk is not a passage, and one emoji may not fit after the title

# Each pattern can match a run at its first position only, so a megabyte of "!" costs one pass.
_PARAGRAPH_END: Final = re.compile(r"\n[^\S\n]*+\n\s*+")
_WORD_END: Final = re.compile(r"[，、：]++\s*+|\s++")
_LINE_END: Final = re.compile(r"\n(?:[^\S\n]*+\n)*+(?:[^\S\n]++\Z)?+")  # with the blank lines below
_BLANK_LINES: Final = re.compile(r"\n(?:[^\S\n]*+\n)++(?:[^\S\n]++\Z)?+")
_BOUNDARIES: Final = (_PARAGRAPH_END, SENTENCE_END, _WORD_END)  # best first

_EDGE_TOKENS: Final = 2  # tokens; a piece on its own may have this many more than within its text, at its two ends
_VIRAMA_CLASS: Final = 9  # joins two consonants of an Indic script
_ZERO_WIDTH_JOINER: Final = "\u200d"
_GRAPHEME_CHARACTERS_MAX: Final = 32  # characters that a cut moves back to keep a grapheme whole; longer is not text


class Tokenizer(Protocol):
    """The part of a model's tokenizer that chunking needs (`retrieval.model.tokenizer.PlainTokenizer`)."""

    def ids(self, text: str) -> list[int]: ...

    def ids_batch(self, texts: Sequence[str]) -> list[list[int]]: ...

    def offsets(self, text: str) -> list[tuple[int, int]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncut:
    """A text to cut, and what its chunks have before it."""

    text: str
    fields: str = ""  # lines before the title, with their line ends (retrieval/document_fields.py)
    title: str = ""
    parts: tuple[Part, ...] = ()

    def head(self, section: Sequence[str] = (), header: str = "") -> str:
        return self.fields + passage_head(self.title, section, header)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A part of a text that may still be too long."""

    owner: int  # index of its text in the caller's list
    head: str  # what the models read before it
    head_once_cut: str  # the same for what it is cut into: with the header of a table
    kind: PartKind
    text: str
    start: int
    budget: int | None = None  # tokens that its parts may have; None for a whole text
    passage_max: int  # tokens, head included

    @property
    def span(self) -> Span:
        return Span(start=self.start, end=self.start + len(self.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A span, and what was tokenised to see that it fits: the tokens are those of this text and of no other."""

    span: Span
    text: str  # with the head that it was counted with
    ids: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunker:
    """Cuts texts into passages of at most `tokens_max` tokens.

    The limit counts what the models read: title with headings, header, line ends and text. It holds unless what stands
    before the text alone takes more than three quarters of it. Then the text still gets the last quarter, and the
    embedder reports the truncation.
    """

    tokenizer: Tokenizer
    tokens_max: int

    def __post_init__(self) -> None:
        assert self.tokens_max >= CHUNK_TOKENS_MIN, "the settings check this. This is a bug."

    def spans(self, text: str, title: str = "", parts: tuple[Part, ...] = ()) -> tuple[Span, ...]:
        """Cut one text; an empty text is one empty chunk."""
        return self.spans_of([Uncut(text=text, title=title, parts=parts)])[0]

    def spans_of(self, texts: Sequence[Uncut]) -> list[tuple[Span, ...]]:
        """Cut each text, like `counted`."""
        return [tuple(each.span for each in found) for found in self.counted(texts)]

    def counted(self, texts: Sequence[Uncut]) -> list[tuple[Counted, ...]]:
        """Cut each text until every chunk fits. All texts are tokenised together, on all cores."""
        found: list[list[Counted]] = [[] for _ in texts]
        waiting = [piece for owner, text in enumerate(texts) for piece in self._pieces(owner, text)]
        while waiting:
            read = [piece.head + piece.text for piece in waiting]
            parts: list[_Piece] = []
            for piece, text, ids in zip(waiting, read, self.tokenizer.ids_batch(read), strict=True):
                smaller = self._parts(piece, len(ids)) if len(ids) > piece.passage_max else []
                parts.extend(smaller)
                if not smaller:
                    found[piece.owner].append(Counted(span=piece.span, text=text, ids=ids))
            waiting = parts
        return [tuple(sorted(chunks, key=lambda chunk: chunk.span.start)) for chunks in found]

    def _pieces(self, owner: int, uncut: Uncut) -> Iterator[_Piece]:
        """Yield the structural parts of a text, or all of it."""
        for part in uncut.parts or (Part(start=0, end=len(uncut.text)),):
            yield _Piece(
                owner=owner,
                head=uncut.head(part.section),
                head_once_cut=uncut.head(part.section, part.header),
                kind=part.kind,
                text=uncut.text[part.start : part.end],
                start=part.start,
                passage_max=self.tokens_max,
            )

    def _parts(self, piece: _Piece, passage_tokens: int) -> list[_Piece]:
        """Cut a piece that is too long; returns nothing if it cannot be cut."""
        offsets = self.tokenizer.offsets(piece.text)
        if len(piece.text) < 2 or len(offsets) < 2:
            return []
        budget, passage_max = piece.budget, piece.passage_max
        if budget is None:
            head_tokens = len(self.tokenizer.ids(piece.head_once_cut)) if piece.head_once_cut else 0
            text_tokens = max(self.tokens_max - head_tokens, self.tokens_max // 4)
            budget, passage_max = text_tokens - _EDGE_TOKENS, head_tokens + text_tokens
            if passage_tokens <= passage_max and piece.head == piece.head_once_cut:
                return []  # only the title is too long
        token_starts = list(accumulate((_behind_blanks(piece.text, first, last) for first, last in offsets), max))
        tiles = _prose_tiles if piece.kind is PartKind.PROSE else _LINE_TILES[piece.kind]
        return [
            replace(
                piece,
                head=piece.head_once_cut,
                text=piece.text[tile.start : tile.end],
                start=piece.start + tile.start,
                budget=budget,
                passage_max=passage_max,
            )
            for tile in tiles(piece.text, token_starts, budget)
        ]


def _behind_blanks(text: str, first: int, last: int) -> int:
    """Start of a token's word: tokens include the space before them, cuts fall after it."""
    token = text[first:last]
    blanks = len(token) - len(token.lstrip())
    return first + blanks if blanks < len(token) else first


def _prose_tiles(text: str, token_starts: Sequence[int], budget: int) -> Iterator[Span]:
    """Yield tiles of similar size; at most `budget` tokens begin in each."""
    budget = min(budget, (len(token_starts) + 1) // 2)  # at least two, or cutting would not help
    boundaries = [[match.end() for match in pattern.finditer(text)] for pattern in _BOUNDARIES]
    start, token = 0, 0
    while (remaining := len(token_starts) - token) > budget:
        tiles = -(-remaining // budget)
        wanted = -(-remaining // tiles)
        cut = _best_cut(
            boundaries,
            earliest=token_starts[token + wanted // 2],
            target=token_starts[token + wanted],
            latest=token_starts[token + budget],
        )
        cut = max(_outside_grapheme(text, cut, after=start), start + 1)
        if cut >= len(text):
            break
        yield Span(start=start, end=cut)
        start, token = cut, bisect_left(token_starts, cut)
    yield Span(start=start, end=len(text))


def _line_tiles(
    text: str, token_starts: Sequence[int], budget: int, *, kinds: Sequence[re.Pattern[str]]
) -> Iterator[Span]:
    """Yield tiles of whole lines. A line of more than `budget` tokens is cut as prose, apart from the others."""
    blank = len(text) - len(text.lstrip())
    *better, ends = [[end for end in _ends(text, kind) if blank < end < len(text)] for kind in kinds]
    if not ends:
        yield from _prose_tiles(text, token_starts, budget)
        return
    run = 0  # start of the lines that are not too long and not yielded yet
    for start, end in pairwise([0, *ends, len(text)]):
        first, last = bisect_left(token_starts, start), bisect_left(token_starts, end)
        if last - first <= budget:
            continue
        yield from _run_tiles(run, start, token_starts, budget, [*better, ends])
        line_starts = [each - start for each in token_starts[first:last]]
        for tile in _prose_tiles(text[start:end], line_starts, budget):
            yield Span(start=start + tile.start, end=start + tile.end)
        run = end
    yield from _run_tiles(run, len(text), token_starts, budget, [*better, ends])


def _run_tiles(
    start: int, stop: int, token_starts: Sequence[int], budget: int, boundaries: Sequence[Sequence[int]]
) -> Iterator[Span]:
    """Yield tiles of similar size from `start` to `stop`, of lines that each fit the budget."""
    token, last = bisect_left(token_starts, start), bisect_left(token_starts, stop)
    at_least = 2 if last - token == len(token_starts) else 1  # of the whole text two, or cutting would not help
    while (tiles := max(-(-(last - token) // budget), at_least)) > 1:
        at_least = 1
        wanted = -(-(last - token) // tiles)
        latest = token_starts[min(token + budget, last - 1)]
        cut = _best_cut(
            boundaries,
            earliest=token_starts[token + wanted // 2],
            target=token_starts[token + wanted],
            latest=latest,
            otherwise=_line_cut(boundaries[-1], start, latest, stop),
        )
        if cut >= stop:
            break
        yield Span(start=start, end=cut)
        start, token = cut, bisect_left(token_starts, cut)
    if start < stop:
        yield Span(start=start, end=stop)


def _line_cut(ends: Sequence[int], start: int, latest: int, stop: int) -> int:
    """The last line end in reach, else the first one: one line always fits."""
    place = bisect_right(ends, latest)
    if place and ends[place - 1] > start:
        return ends[place - 1]
    return ends[place] if place < len(ends) else stop


def _ends(text: str, kind: re.Pattern[str]) -> Iterator[int]:
    return (match.end() for match in kind.finditer(text))


_LINE_TILES: Final = {
    PartKind.ROWS: partial(_line_tiles, kinds=[_LINE_END]),
    PartKind.CODE: partial(_line_tiles, kinds=[_BLANK_LINES, _LINE_END]),
}


def _best_cut(
    boundaries: Sequence[Sequence[int]], *, earliest: int, target: int, latest: int, otherwise: int | None = None
) -> int:
    """The boundary of the best kind nearest to the target; if none is in reach, `otherwise` or the target."""
    for positions in boundaries:
        reachable = positions[bisect_left(positions, earliest + 1) : bisect_left(positions, latest + 1)]
        if reachable:
            return min(reachable, key=lambda position: abs(position - target))
    return target if otherwise is None else otherwise


def _outside_grapheme(text: str, cut: int, *, after: int) -> int:
    """The cut, or the start of the grapheme that it would split."""
    floor = max(after + 1, cut - _GRAPHEME_CHARACTERS_MAX)
    moved = cut
    while moved > floor and _is_inside_grapheme(text, moved):
        moved -= 1
    return moved if moved > floor else cut


def _is_inside_grapheme(text: str, cut: int) -> bool:
    """Whether readers see both sides as one character: accents, conjuncts, emoji sequences, flags, CRLF."""
    if not 0 < cut < len(text):
        return False
    left, right = text[cut - 1], text[cut]
    return (
        unicodedata.category(right).startswith("M")
        or unicodedata.combining(left) == _VIRAMA_CLASS
        or _ZERO_WIDTH_JOINER in (left, right)
        or "\U0001f3fb" <= right <= "\U0001f3ff"  # skin tones
        or (_is_flag_half(right) and _flag_halves_before(text, cut) % 2 == 1)
        or (left == "\r" and right == "\n")
    )


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flag_halves_before(text: str, cut: int) -> int:
    return sum(1 for _ in takewhile(_is_flag_half, reversed(text[max(0, cut - 2 * _GRAPHEME_CHARACTERS_MAX) : cut])))
