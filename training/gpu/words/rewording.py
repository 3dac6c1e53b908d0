"""Says an instruction in other words of the same meaning, or as carelessly as people type, so that few are seen twice.

synonyms.json has groups of words, in two languages, any of which may stand for another of its group.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

_GROUPS: dict[str, list[list[str]]] = json.loads(Path(__file__).with_name("synonyms.json").read_text(encoding="utf-8"))
_OTHERS = {word: group for groups in _GROUPS.values() for group in groups for word in group}
_LONGEST_FIRST = {end: sorted((word for group in groups for word in group), key=len, reverse=True)
                  for end, groups in _GROUPS.items()}  # fmt: skip
_KNOWN = re.compile(
    rf"\b(?:{'|'.join(map(re.escape, _LONGEST_FIRST['en']))})\b|{'|'.join(_LONGEST_FIRST['zh'])}", re.IGNORECASE
)
_WORD = re.compile(r"(?<![{\w'])[A-Za-z]{2,}(?![}\w'])")
_STOPS = re.compile(r"[,;:.!?。，；！？、]+(?=\s|$|[\u4e00-\u9fff])")
EXCHANGED_SHARE = 0.3  # of the words that have another
# Without one of these an instruction may say the opposite.
_KEPT = {"not", "no", "never", "none", "without", "than", "before", "after", "above", "below", "over", "under",
         "instead", "rather", "except", "unless", "only", "first", "last", "behind", "ahead", "less", "more", "fewer",
         "cannot", "nothing", "neither", "nor", "until", "former", "latter", "from", "away", "top", "bottom",
         "but"}  # fmt: skip


def reworded(text: str, rng: random.Random) -> str:
    """The same with some words exchanged for others of their group."""

    def other(found: re.Match[str]) -> str:
        said = found[0]
        group = _OTHERS.get(said) or _OTHERS.get(said.lower())
        if group is None or rng.random() >= EXCHANGED_SHARE:
            return said
        chosen = rng.choice(group)
        return chosen[:1].upper() + chosen[1:] if said[:1].isupper() and chosen[:1].islower() else chosen

    return _KNOWN.sub(other, text)


def careless(text: str, rng: random.Random) -> str:
    """The same with one or two slips: a word left out or misspelt, no marks, no capitals."""
    for _ in range(rng.randint(1, 2)):
        way = rng.random()
        if way < 0.25:
            text = _STOPS.sub(lambda found: " " if ord(found[0][0]) > 127 else "", text).strip()
        elif way < 0.4 and "{" not in text:
            text = text.lower()
        else:
            words = [found for found in _WORD.finditer(text) if found[0].lower() not in _KEPT]
            if words:
                found = rng.choice(words)
                text = text[: found.start()] + _slip(found[0], rng) + text[found.end() :]
    return re.sub(r" {2,}", " ", text).strip()


def _slip(word: str, rng: random.Random) -> str:
    """Nothing, or the word with a letter missing, doubled or exchanged for the next."""
    if rng.random() < 0.4 or len(word) < 5:
        return "" if rng.random() < 0.7 else word
    place = rng.randint(1, len(word) - 2)
    return rng.choice([
        word[:place] + word[place + 1 :],
        word[: place + 1] + word[place:],
        word[:place] + word[place + 1] + word[place] + word[place + 2 :],
    ])  # fmt: skip
