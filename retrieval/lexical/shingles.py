"""Compares texts by their shingles: runs of three consecutive words. Pure.

    normalised    compatibility forms (NFKC: full and half width, ligatures), case and invisible characters are folded;
                  white space and punctuation only separate words
    words         letters and digits between separators; where a script has no spaces (Chinese, Japanese, Thai and the
                  like) each character is a word, so that one rule fits all languages
    shingle       three consecutive words; a shorter text is one shingle, a text without words is its characters
    similarity    Jaccard: shared shingles / all shingles of both; repetitions count once

Every pair is compared exactly: shingles are numbered, not hashed. Shingles that few texts share are counted pair by
pair, the others by a matrix product, so the cost is bounded whatever the texts are.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from typing import Final

import numpy as np
from numpy.typing import NDArray

from winnow.retrieval.lexical.words import IGNORABLE, WITHOUT_SPACES
from winnow.retrieval.limits import SHINGLED_CHARACTERS_MAX

WORDS_PER_SHINGLE: Final = 3  # words; with fewer, texts of one topic share many, with more, one changed word costs many

_WORD: Final = re.compile(rf"[{WITHOUT_SPACES}]|[^\W_{WITHOUT_SPACES}]+")
_FEW: Final = 64  # texts; up to here a shingle is counted pair by pair, beyond it a matrix product is faster
_PAIRS_PER_STEP: Final = 2_000_000  # pairs counted at once; 16 MB
_COLUMNS_PER_STEP: Final = 4_096  # shingles multiplied at once; 16 MB for 1,000 texts
_NUMBER_MAX: Final = 2**62  # of shingles before they are numbered from 0
_NO_WORD: Final = 0  # fills a shingle of fewer words


def words_for_shingles(text: str) -> list[str]:
    """Return the words of the normalised text, at least one."""
    text = text[:SHINGLED_CHARACTERS_MAX]
    if not text.isascii():
        text = unicodedata.normalize("NFKC", IGNORABLE.sub("", text))[:SHINGLED_CHARACTERS_MAX]
    text = text.casefold()
    return _WORD.findall(text) or ["".join(text.split())]


def shingle_similarities(texts: Sequence[str]) -> NDArray[np.float64]:
    """Return the Jaccard similarity of every pair of texts, as a symmetric matrix."""
    size = len(texts)
    shingles, owners = _unique_shingles(texts)
    sizes = np.bincount(owners, minlength=size)
    shared = _count_shared(shingles, owners, size)
    np.fill_diagonal(shared, sizes)
    similarities: NDArray[np.float64] = shared / (sizes[:, None] + sizes[None, :] - shared)
    return similarities


def _unique_shingles(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (shingle, text) pairs, each once, in the order of the shingles."""
    numbers: defaultdict[str, int] = defaultdict(count(_NO_WORD + 1).__next__)
    found: list[int] = []
    lengths = []
    for text in texts:
        words = words_for_shingles(text)
        found.extend(map(numbers.__getitem__, words))
        found.extend([_NO_WORD] * (WORDS_PER_SHINGLE - len(words)))
        lengths.append(max(len(words), WORDS_PER_SHINGLE))
    ids, ends = np.array(found, dtype=np.int64), np.cumsum(lengths)
    starts_inside = np.ones(len(ids), dtype=np.bool_)  # a shingle begins here, and ends in the same text
    for before in range(1, WORDS_PER_SHINGLE):
        starts_inside[ends - before] = False
    (first,) = np.nonzero(starts_inside)
    shingles, numbered = ids[first], len(numbers) + 1  # below `numbered`
    for place in range(1, WORDS_PER_SHINGLE):
        if numbered * (len(numbers) + 1) * len(texts) > _NUMBER_MAX:
            shingles, numbered = np.unique(shingles, return_inverse=True)[1], len(shingles)
        shingles = shingles * (len(numbers) + 1) + ids[first + place]
        numbered *= len(numbers) + 1
    owners = np.repeat(np.arange(len(texts)), np.asarray(lengths) - WORDS_PER_SHINGLE + 1)
    pairs = np.sort(shingles * len(texts) + owners)
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]
    return pairs // len(texts), pairs % len(texts)


def _count_shared(shingles: NDArray[np.int64], owners: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Count the shingles that each pair of texts shares."""
    starts = np.flatnonzero(np.diff(shingles, prepend=-1))
    spread = np.diff(starts, append=len(shingles))  # in how many texts each shingle occurs
    shared = np.zeros(size * size, dtype=np.int64)
    for texts in np.unique(spread[(spread > 1) & (spread <= _FEW)]).tolist():
        holders = owners[starts[spread == texts][:, None] + np.arange(texts)]
        step = max(1, _PAIRS_PER_STEP // texts**2)
        for start in range(0, len(holders), step):
            part = holders[start : start + step]
            shared += np.bincount((part[:, :, None] * size + part[:, None, :]).ravel(), minlength=size * size)
    counts = shared.reshape(size, size).astype(np.float64)
    common = np.repeat(spread > _FEW, spread)
    columns, holders = np.cumsum(np.diff(shingles[common], prepend=-1) > 0) - 1, owners[common]
    for start in range(0, int((spread > _FEW).sum()), _COLUMNS_PER_STEP):
        inside = slice(*np.searchsorted(columns, (start, start + _COLUMNS_PER_STEP)))
        holds = np.zeros((size, int(columns[inside][-1]) + 1 - start), dtype=np.float32)
        holds[holders[inside], columns[inside] - start] = 1.0
        counts += holds @ holds.T
    return counts
