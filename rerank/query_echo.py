"""Detects passages that hold little but the query: written to be found, they repeat what will be asked. Pure.

A passage echoes the query if both hold:

1. It repeats the query, in pieces of at least two thirds of it, more than once (one and a half times its length), or
   such pieces make up half of the passage. One repetition is no echo: an FAQ page has its question as a heading.
2. The rest of the passage has at most half of the query's words: an answer that repeats its question also talks about
   the same things.

Words are those of lexical search (retrieval/lexical/words.py); condition 2 ignores stop words.

This finds copies, not lies: a passage that claims relevance in its own words is not found.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from winnow.rerank.reranker import Ranking
from winnow.retrieval.lexical.words import analyse, analyse_query

WORDS_MIN: Final = 3  # per query; any passage on the topic repeats a shorter one
CHARACTERS_MIN: Final = 6  # the same for scripts counted in characters: about three words
PIECE_SHARE: Final = 2 / 3  # share of the query's words in one piece that counts as a copy
COPIES_MIN: Final = 1.5  # times the query's length; below it, copies must be most of the passage
COPIED_SHARE: Final = 0.5  # of the passage's words
SUPPORT_MAX: Final = 0.5  # share of the query's words found in the rest of the passage; above it the passage is no echo


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
    kept = _mark_uncopied(words, asked)
    copied = len(words) - sum(kept)
    if copied == 0 or (copied < COPIES_MIN * len(asked) and copied < COPIED_SHARE * len(words)):
        return False
    wanted = frozenset(word for word in analyse_query(query).split() if not _CHARACTER.fullmatch(word))
    return len(wanted & _remaining_words(words, kept)) <= SUPPORT_MAX * len(wanted)


def _in_order(text: str) -> list[str]:
    """Words, and single characters where a script has no spaces; not their pairs, since copies are found by order."""
    return [word for word in analyse(text).split() if not _PAIR.fullmatch(word)]


def _mark_uncopied(words: Sequence[str], asked: Sequence[str]) -> list[bool]:
    """Mark each word that lies in no copied piece of at least `PIECE_SHARE` of the query."""
    least = CHARACTERS_MIN if any(map(_CHARACTER.fullmatch, asked)) else WORDS_MIN
    size = max(min(least, len(asked)), math.ceil(PIECE_SHARE * len(asked)))
    pieces = frozenset(_pieces(asked, size))
    kept = [True] * len(words)
    for start, piece in enumerate(_pieces(words, size)):
        if piece in pieces:
            kept[start : start + size] = [False] * size
    return kept


def _remaining_words(words: Sequence[str], kept: Sequence[bool]) -> frozenset[str]:
    """The remaining words, and the pairs of adjacent remaining words."""
    rest = [word if stays else "" for word, stays in zip(words, kept, strict=True)]
    pairs = (one + other for one, other in pairwise(rest) if one and other)
    return frozenset([*rest, *pairs])


def _pieces(words: Sequence[str], size: int) -> Iterable[tuple[str, ...]]:
    return (tuple(words[start : start + size]) for start in range(len(words) - size + 1))


def demote_echoes(query: str, ranking: Ranking) -> Ranking:
    """Move echoes of the query behind all other candidates and mark them; scores stay as they are."""
    marked = [
        replace(each, demoted=True) if is_echo(query, each.candidate.chunk.passage) else each for each in ranking.ranked
    ]
    order = sorted(marked, key=lambda each: each.demoted)  # stable
    return replace(ranking, ranked=tuple(replace(each, rank=rank) for rank, each in enumerate(order, start=1)))
