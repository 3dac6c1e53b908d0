"""Does a passage hold little but the query? Some are written to be found: they repeat what will be asked. Pure.

A passage echoes the query where two things come together:

1. It repeats the query, in pieces of at least two thirds of it, more than once (one and a half times its length), or
   such pieces are half of the passage. Once is no echo: a page of questions and answers has its question as a heading.
2. The rest of the passage has at most half of the query's words: an answer that repeats its question speaks of the
   same things.

Words are those of lexical search (retrieval/lexical/words.py); in 2 without those that only connect others.

It finds copies, not lies: a passage that claims to be relevant in words of its own is not found.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from winnow.rerank.reranker import Ranking
from winnow.retrieval.lexical.words import analysed, analysed_query

WORDS_MIN: Final = 3  # of a query; shorter ones are repeated by any passage about them
CHARACTERS_MIN: Final = 6  # the same where characters are counted: about three words
PIECE_SHARE: Final = 2 / 3  # of the query's words in one piece that count as a copy
COPIES_MIN: Final = 1.5  # times the query's length; what repeats less is an echo only where it is most of the passage
COPIED_SHARE: Final = 0.5  # of the passage's words
SUPPORT_MAX: Final = 0.5  # of the query's words in the rest of the passage; where there are more it is no echo


_UNSPACED: Final = (
    "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"  # Thai, kana, Han, Hangul: written without blanks
)
_PAIR: Final = re.compile(f"[{_UNSPACED}]{{2}}")
_CHARACTER: Final = re.compile(f"[{_UNSPACED}]")


def is_echo(query: str, passage: str) -> bool:
    """Whether the passage repeats the query and says little else about it."""
    asked, words = _in_order(query), _in_order(passage)
    if len(asked) < WORDS_MIN:
        return False
    kept = _uncopied(words, asked)
    copied = len(words) - sum(kept)
    if copied == 0 or (copied < COPIES_MIN * len(asked) and copied < COPIED_SHARE * len(words)):
        return False
    wanted = frozenset(word for word in analysed_query(query).split() if not _CHARACTER.fullmatch(word))
    return len(wanted & _said(words, kept)) <= SUPPORT_MAX * len(wanted)


def _in_order(text: str) -> list[str]:
    """Words, and characters where there are no blanks, but not the pairs of these: copies are found by their order."""
    return [word for word in analysed(text).split() if not _PAIR.fullmatch(word)]


def _uncopied(words: Sequence[str], asked: Sequence[str]) -> list[bool]:
    """Of each word, whether it lies in no piece of the query of at least `PIECE_SHARE` of its length."""
    least = CHARACTERS_MIN if any(map(_CHARACTER.fullmatch, asked)) else WORDS_MIN
    size = max(min(least, len(asked)), math.ceil(PIECE_SHARE * len(asked)))
    pieces = frozenset(_pieces(asked, size))
    kept = [True] * len(words)
    for start, piece in enumerate(_pieces(words, size)):
        if piece in pieces:
            kept[start : start + size] = [False] * size
    return kept


def _said(words: Sequence[str], kept: Sequence[bool]) -> frozenset[str]:
    """The words that are kept, and the pairs of neighbours that both are."""
    rest = [word if stays else "" for word, stays in zip(words, kept, strict=True)]
    pairs = (one + other for one, other in pairwise(rest) if one and other)
    return frozenset([*rest, *pairs])


def _pieces(words: Sequence[str], size: int) -> Iterable[tuple[str, ...]]:
    return (tuple(words[start : start + size]) for start in range(len(words) - size + 1))


def demote_echoes(query: str, ranking: Ranking) -> Ranking:
    """The same ranking with the echoes of the query behind all others, marked; scores stay what they are."""
    marked = [
        replace(each, demoted=True) if is_echo(query, each.candidate.chunk.passage) else each for each in ranking.ranked
    ]
    order = sorted(marked, key=lambda each: each.demoted)  # stable
    return replace(ranking, ranked=tuple(replace(each, rank=rank) for rank, each in enumerate(order, start=1)))
