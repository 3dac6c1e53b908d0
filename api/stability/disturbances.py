"""Ways to ask the same thing in other letters. Pure, but for the dictionaries of Chinese scripts.

Each takes a query and a source of chance, and returns it disturbed, or None where it cannot apply.
"""

from __future__ import annotations

import functools
import random
import re
import unicodedata
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

_SPACES: Final = re.compile(r"\s+")
_WORD: Final = re.compile(r"[^\W\d_]{4,}", re.ASCII)
_FULL_WIDTH: Final = 0xFEE0  # from an ASCII character to its full-width form
_IDEOGRAPHIC_SPACE: Final = "\u3000"
_CHINESE_MIN: Final = 4  # characters; one less of fewer may be another word


class Disturbance(StrEnum):
    """A kind of disturbance. The first three disturb the candidates, the others the query."""

    CANDIDATE_ORDER = "candidate-order"
    BATCHES = "batch-composition"
    NEAR_DUPLICATE = "near-duplicate"
    WHITE_SPACE = "white-space"
    LETTER_CASE = "letter-case"
    WIDTH = "character-width"
    SCRIPT = "chinese-script"
    PUNCTUATION = "punctuation"
    TYPO = "typo"
    PARAPHRASE = "paraphrase"


OF_CANDIDATES: Final = (Disturbance.CANDIDATE_ORDER, Disturbance.BATCHES, Disturbance.NEAR_DUPLICATE)


def white_space(query: str, _: random.Random) -> str:
    """Double the spaces between words, and add some around."""
    return f" {_SPACES.sub('  ', query.strip())} "


def letter_case(query: str, _: random.Random) -> str | None:
    """Capitals, or small letters if it is in capitals."""
    return _other(query, query.upper(), query.lower())


def width(query: str, _: random.Random) -> str | None:
    """Full-width letters, digits and marks, or half-width ones if it has full-width ones."""
    narrow = "".join(unicodedata.normalize("NFKC", each) if _is_wide(each) else each for each in query)
    wide = "".join(_widened(each) for each in query)
    return _other(query, narrow, wide)


def script(query: str, _: random.Random) -> str | None:
    """Traditional Chinese, or simplified if it is in traditional."""
    return _other(query, _converter("t2s").convert(query), _converter("s2t").convert(query))


def punctuation(query: str, _: random.Random) -> str:
    """Without the mark at its end, or with a question mark if it has none."""
    bare = query.rstrip()
    if bare and unicodedata.category(bare[-1]).startswith("P") and bare[:-1].strip():
        return bare[:-1]
    return bare + ("？" if _has_chinese(bare) else "?")


def typo(query: str, chance: random.Random) -> str | None:
    """Two neighbouring letters of a longer word swapped; in Chinese, a character left out."""
    words = [found for found in _WORD.finditer(query) if len(set(found[0][1:-1])) > 1]
    if words:
        word = chance.choice(words)
        places = [at for at in range(word.start() + 1, word.end() - 2) if query[at] != query[at + 1]]
        at = chance.choice(places)
        return f"{query[:at]}{query[at + 1]}{query[at]}{query[at + 2 :]}"
    chinese = [at for at, each in enumerate(query) if _has_chinese(each)]
    if len(chinese) < _CHINESE_MIN:
        return None
    at = chance.choice(chinese)
    return query[:at] + query[at + 1 :]


OF_QUERY: Final[Mapping[Disturbance, Callable[[str, random.Random], str | None]]] = {
    Disturbance.WHITE_SPACE: white_space,
    Disturbance.LETTER_CASE: letter_case,
    Disturbance.WIDTH: width,
    Disturbance.SCRIPT: script,
    Disturbance.PUNCTUATION: punctuation,
    Disturbance.TYPO: typo,
}


def _other(query: str, *forms: str) -> str | None:
    """The first form that differs from the query."""
    return next((form for form in forms if form != query), None)


def _is_wide(character: str) -> bool:
    return character == _IDEOGRAPHIC_SPACE or 0xFF01 <= ord(character) <= 0xFF5E


def _widened(character: str) -> str:
    if character == " ":
        return _IDEOGRAPHIC_SPACE
    return chr(ord(character) + _FULL_WIDTH) if "!" <= character <= "~" else character


def _has_chinese(text: str) -> bool:
    return any("\u4e00" <= each <= "\u9fff" for each in text)


@functools.cache
def _converter(name: str) -> Any:
    """OpenCC's own implementation in Python, which converts by words, not by characters."""
    import opencc

    return opencc.OpenCC(name)
