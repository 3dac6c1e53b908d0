"""Detects passages that repeat the query, and those that hold little else. Pure.

A passage **repeats** the query if its text has copies of it that are together one and a half times its length. A copy
is a run of the query's words with two thirds of the different ones, in any order and with single other words between;
for scripts counted in characters, it is a piece of two thirds of the query. Title and headings may have the query once
more. A query of one to three words recurs in any text about it and never counts.
The score of such a passage is limited (rerank/ranking.py): logs, minutes and pages of questions repeat honestly, so the
reranker decides.

A passage **echoes** the query if both hold. It ranks last if `demote_query_echo` asks for that:

1. It repeats the query, in pieces of at least two thirds of it, more than once (one and a half times its length), or
   such pieces make up half of the passage. One repetition is no echo: an FAQ page has its question as a heading.
2. The rest of the passage has at most half of the query's words: an answer that repeats its question also talks about
   the same things.

Words are those of lexical search (retrieval/lexical/words.py); condition 2 ignores stop words.

This finds copies, not lies: a passage that claims relevance in its own words is not found, nor is one that has the
query once.
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
from winnow.retrieval.records import Chunk

WORDS_MIN: Final = 3  # per query; any passage on the topic repeats a shorter one
CHARACTERS_MIN: Final = 6  # the same for scripts counted in characters: about three words
OTHERS_MAX: Final = 1  # words between two of the query's that do not end a run
NAME_WORDS: Final = 3  # queries of up to so many are names, which a text about them repeats
NAME_CHARACTERS: Final = 6  # likewise
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


def repeats_query(query: str, chunk: Chunk) -> bool:
    """Whether the chunk has the query more than once, beside once in its title or headings."""
    asked = _in_order(query)
    by_character = any(map(_CHARACTER.fullmatch, asked))
    if len(asked) <= (NAME_CHARACTERS if by_character else NAME_WORDS):
        return False
    count = _count_copied if by_character else _count_in_runs
    heads = sum(count(_in_order(head), asked) for head in {chunk.title, *chunk.section})
    return max(0, heads - len(asked)) + count(_in_order(chunk.text), asked) >= COPIES_MIN * len(asked)


def _count_copied(words: Sequence[str], asked: Sequence[str]) -> int:
    """Count the words in pieces of the query. Characters recur too often to count them in any order."""
    return len(words) - sum(_mark_uncopied(words, asked))


def _count_in_runs(words: Sequence[str], asked: Sequence[str]) -> int:
    """Count the query's words in runs that have at least `PIECE_SHARE` of the different ones.

    A single other word does not end a run.
    """
    wanted = frozenset(asked)
    count = others = 0
    run: list[str] = []
    for word in [*words, *[""] * (OTHERS_MAX + 1)]:
        if word in wanted:
            run.append(word)
            others = 0
            continue
        others += 1
        if others > OTHERS_MAX:
            count += len(run) if len(set(run)) >= PIECE_SHARE * len(wanted) else 0
            run = []
    return count


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
