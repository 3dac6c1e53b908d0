"""Where is a document cut, so that every piece fits the models and reads as a whole?

A cut falls on the end of a paragraph, else of a sentence (English or Chinese), else of a word, else between two
tokens; the pieces of a document are about equally long, so that none is a stray last line. The pieces tile the text
(see `Span`): nothing is lost, nothing is repeated but the title, which every piece carries and which is counted.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile
from typing import Final, Protocol

from winnow.retrieval.records import Span, passage_of

CHUNK_TOKENS_MIN: Final = 16  # tokens; below it a chunk is not a passage, and one emoji may not fit beside a title

# Each pattern starts its match at one place of a run only, so that a megabyte of "!" costs one pass.
_PARAGRAPH_END: Final = re.compile(r"\n[^\S\n]*+\n\s*+")
_SENTENCE_END: Final = re.compile(
    r"""[。！？；…]++[”’」』）】》"')\]]*+\s*+|(?<![.!?])[.!?]++["')\]”’]*+\s++|\n\s*+""",
)
_WORD_END: Final = re.compile(r"[，、：]++\s*+|\s++")
_BOUNDARIES: Final = (_PARAGRAPH_END, _SENTENCE_END, _WORD_END)  # best first

_EDGE_TOKENS: Final = 2  # tokens; what a piece alone may have more than it had within its text, at its two ends
_VIRAMA_CLASS: Final = 9  # joins two consonants of an Indic script
_ZERO_WIDTH_JOINER: Final = "\u200d"
_GRAPHEME_CHARACTERS_MAX: Final = 32  # characters; how far a cut moves back to spare one; longer ones are not text


class Tokenizer(Protocol):
    """What chunking asks of a model's tokenizer (`retrieval.model.tokenizer.PlainTokenizer`)."""

    def ids(self, text: str) -> list[int]: ...

    def ids_batch(self, texts: Sequence[str]) -> list[list[int]]: ...

    def offsets(self, text: str) -> list[tuple[int, int]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A part of a text that may still be too long."""

    owner: int  # position of its text in the caller's list
    title: str
    text: str
    start: int
    budget: int | None = None  # tokens that its parts may have; None for a whole text
    passage_max: int  # tokens, with the title

    @property
    def span(self) -> Span:
        return Span(start=self.start, end=self.start + len(self.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunker:
    """Cuts texts into passages of at most `tokens_max` tokens.

    The bound counts what the models read: title, line end and text. It holds unless the title alone takes more than
    three quarters of it: then the text still gets the last quarter, and the embedder reports what it cut.
    """

    tokenizer: Tokenizer
    tokens_max: int

    def __post_init__(self) -> None:
        assert self.tokens_max >= CHUNK_TOKENS_MIN, "the settings check this. This is a bug."

    def spans(self, text: str, title: str = "") -> tuple[Span, ...]:
        """The pieces in order; an empty text is one empty piece."""
        return self.spans_of([(title, text)])[0]

    def spans_of(self, texts: Sequence[tuple[str, str]]) -> list[tuple[Span, ...]]:
        """The pieces of each (title, text): counted together, on all cores, and cut again until every one fits."""
        found: list[list[Span]] = [[] for _ in texts]
        waiting = [
            _Piece(owner=owner, title=title, text=text, start=0, passage_max=self.tokens_max)
            for owner, (title, text) in enumerate(texts)
        ]
        while waiting:
            counted = self.tokenizer.ids_batch([passage_of(piece.title, piece.text) for piece in waiting])
            parts: list[_Piece] = []
            for piece, ids in zip(waiting, counted, strict=True):
                smaller = self._parts(piece, len(ids)) if len(ids) > piece.passage_max else []
                parts.extend(smaller)
                if not smaller:
                    found[piece.owner].append(piece.span)
            waiting = parts
        return [tuple(sorted(spans, key=lambda span: span.start)) for spans in found]

    def _parts(self, piece: _Piece, passage_tokens: int) -> list[_Piece]:
        """What a piece that is too long is cut into; nothing where it cannot be cut."""
        offsets = self.tokenizer.offsets(piece.text)
        if len(piece.text) < 2 or len(offsets) < 2:
            return []
        budget, passage_max = piece.budget, piece.passage_max
        if budget is None:
            title_tokens = len(self.tokenizer.ids(f"{piece.title}\n")) if piece.title else 0
            text_tokens = max(self.tokens_max - title_tokens, self.tokens_max // 4)
            budget, passage_max = text_tokens - _EDGE_TOKENS, title_tokens + text_tokens
            if passage_tokens <= passage_max:
                return []  # only the title is too long
        budget = min(budget, (len(offsets) + 1) // 2)  # at least two parts, or nothing would be won
        token_starts = list(accumulate((_behind_blanks(piece.text, first, last) for first, last in offsets), max))
        return [
            replace(
                piece,
                text=piece.text[tile.start : tile.end],
                start=piece.start + tile.start,
                budget=budget,
                passage_max=passage_max,
            )
            for tile in _tiles(piece.text, token_starts, budget)
        ]


def _behind_blanks(text: str, first: int, last: int) -> int:
    """Where a token's word begins: tokens carry the blank before them, cuts fall behind it."""
    token = text[first:last]
    blanks = len(token) - len(token.lstrip())
    return first + blanks if blanks < len(token) else first


def _tiles(text: str, token_starts: Sequence[int], budget: int) -> Iterator[Span]:
    """Tiles of about equal size, none with more than `budget` of these tokens beginning in it."""
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


def _best_cut(boundaries: Sequence[Sequence[int]], *, earliest: int, target: int, latest: int) -> int:
    """The boundary of the best kind nearest to the target; the target itself where there is none in reach."""
    for positions in boundaries:
        reachable = positions[bisect_left(positions, earliest + 1) : bisect_left(positions, latest + 1)]
        if reachable:
            return min(reachable, key=lambda position: abs(position - target))
    return target


def _outside_grapheme(text: str, cut: int, *, after: int) -> int:
    """The same place, or the beginning of the character sequence that it would tear apart."""
    floor = max(after + 1, cut - _GRAPHEME_CHARACTERS_MAX)
    moved = cut
    while moved > floor and _is_inside_grapheme(text, moved):
        moved -= 1
    return moved if moved > floor else cut


def _is_inside_grapheme(text: str, cut: int) -> bool:
    """Whether a reader sees the two sides as one: accents, conjuncts, emoji sequences, flags, CRLF."""
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
