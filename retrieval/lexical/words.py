"""Splits texts and queries into words for lexical search, by the same rules. Pure.

    every word counts      no stop words, no maximum length: WHO, can, der, a digest and a path are found; only a query
                           drops the words that connect its other words
    one form               folds compatibility forms (full and half width, CO₂, ligatures), case and invisible
                           characters; traditional characters become simplified ones
    names of code          C++, C# and .NET are words of their own; setValue also counts as set and value
    without spaces         Chinese, Japanese, Korean, Thai and the like: each character, and each pair of neighbours

The store keeps what `analyse` returns and Lance splits it at blanks, so only this module decides what a word is. Lance
then removes English endings and accents, by settings that are stored with its index.
Rule: a change here needs a new number of `WORD_RULES`; collections are analysed again at their next fold.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from winnow.retrieval.lexical.traditional import SIMPLIFIED

WORD_RULES: Final = 2
WORD_RULES_BEFORE: Final = (
    1  # Lance's own splitting of titles and texts, without stop words and words over 40 characters
)

_CAMEL_CHARACTERS_MAX: Final = 64  # characters; longer words of mixed case are encoded data, not names

IGNORABLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SUPERSCRIPTS: Final = "\u2070\u00b9\u00b2\u00b3\u2074-\u2079"
_RAISED: Final = re.compile(rf"(?<![^\s{_SUPERSCRIPTS}])([^\s{_SUPERSCRIPTS}]+)([{_SUPERSCRIPTS}]+)")
WITHOUT_SPACES: Final = (  # Thai, Lao, Myanmar, Khmer, kana, bopomofo, Hangul, Han
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3021-\u3029\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U0001aff0-\U0001b16f\U00020000-\U000323af"
)
_WORD: Final = re.compile(
    rf"([{WITHOUT_SPACES}]+)"
    rf"|((?<![^ ])\.(?=[^\W\d]))?([^ .+#{WITHOUT_SPACES}]+)(\+\+|#(?![^\W\d]))?"
)
_CAPITALS: Final = re.compile(r"\b[A-Z]{2,}\b")
_CONNECTING_WORDS: Final = (  # without those that are also names or nouns: can, it, will, who, us
    "an and any are as at be been being but by could did do does doing for from had has have having how if in "
    "into is its me my not of on or our should so such than that the their them then there these they this "
    "those to was we were what when where which while whom whose why with would you your"
)
_CONNECTING: Final = frozenset(_CONNECTING_WORDS.split())
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")


class _Before(dict[int, str]):
    """What a character becomes before compatibility forms are folded; computed once per character."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if IGNORABLE.fullmatch(char):
            becomes = ""
        elif char in "™℠" or unicodedata.category(char) in {"Sk", "Cs"}:  # folding would join them to the word
            becomes = " "
        else:
            becomes = char
        self[code] = becomes
        return becomes


class _After(dict[int, str]):
    """What a character becomes afterwards: part of a word, a word, or a gap; computed once per character."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if char in ".+#":
            becomes = char
        elif IGNORABLE.fullmatch(char):
            becomes = ""
        elif category == "Nd":
            becomes = str(unicodedata.digit(char))
        elif category[0] in "LNM":
            becomes = SIMPLIFIED.get(code, char)
        else:
            becomes = f" {char} " if category == "So" else " "
        self[code] = becomes
        return becomes


_before: Final = _Before()
_after: Final = _After()


def words_of(text: str) -> Iterator[str]:
    """Yield the words in the order of the text, with repetitions."""
    for run, dot, name, sign in _WORD.findall(_plain(text)):
        if run:
            yield from run
            yield from map("".join, pairwise(run))
            continue
        word = _fold(name)
        if sign:
            yield word + sign
        if dot:
            yield "." + word
        if not sign or len(word) > 1:  # C++ is not C, but count++ counts
            yield word
        if word != name and not name[1:].islower() and len(name) <= _CAMEL_CHARACTERS_MAX:
            parts = _CAMEL.split(name)
            yield from map(_fold, parts if len(parts) > 1 else ())


def analyse(text: str) -> str:
    """Return the words separated by blanks; no word contains one."""
    return " ".join(words_of(text))


def analyse_query(query: str) -> str:
    """Return the words of a query, each once: repetition does not count.

    Words that only connect an English question are dropped if there are others, because in a small collection, or in
    one of another language, BM25 takes them for rare. Capitalised ones stay, and so do all if there are no others.
    """
    words = dict.fromkeys(words_of(query))
    named = set() if query.isupper() else {word.lower() for word in _CAPITALS.findall(query)}
    telling = [word for word in words if word not in _CONNECTING or word in named]
    return " ".join(telling or words)


def _plain(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_before))
        text = _RAISED.sub(r"\1\2 \1", text)  # cell¹ is cell with a note, m² is m2: both are kept
        text = unicodedata.normalize("NFKC", text)
    return text.translate(_after)


def _fold(word: str) -> str:
    if word.isascii():
        return word.lower()
    return unicodedata.normalize("NFKC", word.casefold()).replace("i\u0307", "i")  # the result for İ
