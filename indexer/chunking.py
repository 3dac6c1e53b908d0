"""Cuts documents into chunks that fit the models and read as a whole.

A cut falls at the end of a paragraph, else of a sentence (English or Chinese), else of a word, else between two tokens.
The chunks of a document have similar lengths, so none is a stray last line. They tile the text (see `Span`): nothing is
lost, and nothing is repeated but the title, which every chunk carries and which counts.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile
from typing import Final, Protocol

from winnow.retrieval.lexical.sentences import SENTENCE_END
from winnow.retrieval.records import Span, passage_of

CHUNK_TOKENS_MIN: Final = 16  # tokens; a shorter chunk is not a passage, and one emoji may not fit after the title

# Each pattern can match a run at its first position only, so a megabyte of "!" costs one pass.
_PARAGRAPH_END: Final = re.compile(r"\n[^\S\n]*+\n\s*+")
_WORD_END: Final = re.compile(r"[，、：]++\s*+|\s++")
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
class _Piece:
    """A part of a text that may still be too long."""

    owner: int  # index of its text in the caller's list
    title: str
    text: str
    start: int
    budget: int | None = None  # tokens that its parts may have; None for a whole text
    passage_max: int  # tokens, title included

    @property
    def span(self) -> Span:
        return Span(start=self.start, end=self.start + len(self.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunker:
    """Cuts texts into passages of at most `tokens_max` tokens.

    The limit counts what the models read: title, line end and text. It holds unless the title alone takes more than
    three quarters of it. Then the text still gets the last quarter, and the embedder reports the truncation.
    """

    tokenizer: Tokenizer
    tokens_max: int

    def __post_init__(self) -> None:
        assert self.tokens_max >= CHUNK_TOKENS_MIN, "the settings check this. This is a bug."

    def spans(self, text: str, title: str = "") -> tuple[Span, ...]:
        """Cut one text; an empty text is one empty chunk."""
        return self.spans_of([(title, text)])[0]

    def spans_of(self, texts: Sequence[tuple[str, str]]) -> list[tuple[Span, ...]]:
        """Cut each (title, text) until every chunk fits. All texts are tokenised together, on all cores."""
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
        """Cut a piece that is too long; returns nothing if it cannot be cut."""
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
        budget = min(budget, (len(offsets) + 1) // 2)  # at least two parts, or cutting would not help
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
    """Start of a token's word: tokens include the space before them, cuts fall after it."""
    token = text[first:last]
    blanks = len(token) - len(token.lstrip())
    return first + blanks if blanks < len(token) else first


def _tiles(text: str, token_starts: Sequence[int], budget: int) -> Iterator[Span]:
    """Yield tiles of similar size; at most `budget` tokens begin in each."""
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
    """The boundary of the best kind nearest to the target, or the target if none is in reach."""
    for positions in boundaries:
        reachable = positions[bisect_left(positions, earliest + 1) : bisect_left(positions, latest + 1)]
        if reachable:
            return min(reachable, key=lambda position: abs(position - target))
    return target


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
