"""Pairs of passages that share words, and a phrase that only one of them has: for "not about X" and "about X".

A question about what they share finds both; the instruction decides between them.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pool

from tokenizers import Tokenizer

from training.gpu import grammar, wordings

Text = tuple[str, str, str, str, str]  # source, language, kind, text, title
_ENGLISH = re.compile(r"[A-Za-z][A-Za-z-]{3,}")
_HAN = re.compile(r"^[\u4e00-\u9fff]{2,6}$")
RARE = (3, 400)  # passages of a source that have a shared word
PHRASE_WORDS = {1: 5, 2: 5, 3: 4, 4: 2, 6: 1, 9: 1}  # how many words name a topic, and how often
TITLE_SHARE, TWO_SHARE, MARKED_SHARE = 0.2, 0.12, 0.15  # named by the passage's title; by two phrases; in quotes
_AND = {"en": [" and ", " or ", ", ", " as well as ", " and also "], "zh": ["和", "、", "以及", "或者", "与"]}
_MARKS = ['"{}"', "'{}'", "“{}”", "「{}」", "《{}》", "[{}]", "*{}*", "<{}>"]
FRAMED_SHARE = 0.08  # of the pairs: instructions of wordings.py


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    first: int
    second: int
    query: str
    wants_first: str  # instructions
    wants_second: str


_TOKENIZER: list[Tokenizer] = []


def _start(path: str) -> None:
    _TOKENIZER.append(Tokenizer.from_file(path))


def words(text: Text) -> list[str]:
    """Words in order: English by letters, Chinese as the tokenizer's pieces of two or more letters."""
    shown = f"{text[4]} {text[3]}"[:700]
    if text[1] == "en":
        return _ENGLISH.findall(shown)
    encoded = _TOKENIZER[0].encode(shown, add_special_tokens=False)
    return [shown[a:b] for a, b in encoded.offsets if _HAN.match(shown[a:b])]


def phrase(own: Sequence[str], other: set[str], counts: dict[str, int], text: Text, rng: random.Random) -> str | None:
    """Consecutive words around a rare one that the other passage lacks."""
    places = [i for i, word in enumerate(own) if word.lower() not in other and 2 <= counts[word.lower()] <= 600]
    if not places:
        return None
    place = min(rng.sample(places, min(3, len(places))), key=lambda i: counts[own[i].lower()])
    shown = f"{text[4]} {text[3]}"[:700]
    for length in range(rng.choices(list(PHRASE_WORDS), list(PHRASE_WORDS.values()))[0], 0, -1):
        joined = (" " if text[1] == "en" else "").join(own[place : place + length])
        if joined in shown:
            return joined
    return None


def topic(own: Sequence[str], other: set[str], counts: dict[str, int], text: Text, rng: random.Random) -> str | None:
    """What an instruction calls the passage: a phrase of it, two, or its title, sometimes in quotes."""
    said = phrase(own, other, counts, text, rng)
    title = text[4].strip()
    tells = 2 <= len(title) <= 70 and any(word in title and word.lower() not in other for word in own)
    if tells and rng.random() < TITLE_SHARE:
        said = title
    elif said is not None and rng.random() < TWO_SHARE:
        more = phrase(own, other, counts, text, rng)
        if more is not None and more not in said and said not in more:
            said = rng.choice(_AND[text[1]]).join((said, more))
    if said is not None and rng.random() < MARKED_SHARE:
        return rng.choice(_MARKS).format(said)
    return said


def instructed(one: str, two: str, rng: random.Random, *, held: bool) -> tuple[str, str]:
    """Instructions: the first prefers the passage with `one`, the second the one with `two`."""
    if held:
        frames = wordings.HELD_OUT["not"]
        return rng.choice(frames).format(two), rng.choice(frames).format(one)
    if rng.random() < FRAMED_SHARE:
        return rng.choice(wordings.NOT_ABOUT).format(two), rng.choice(wordings.NOT_ABOUT).format(one)
    way = rng.random()
    if way < 0.5:
        return grammar.about(two, rng, wanted=False), grammar.about(one, rng, wanted=False)
    if way < 0.62:
        return grammar.about(one, rng, wanted=True), grammar.about(two, rng, wanted=True)
    if way < 0.82:
        return grammar.about(one, rng, wanted=True), grammar.about(one, rng, wanted=False)
    return grammar.about(two, rng, wanted=False), grammar.about(two, rng, wanted=True)


def find(texts: Sequence[Text], rows: Sequence[int], tokenizer: str, *, count: int, processes: int, held: bool,
         seed: int) -> list[Excluded]:  # fmt: skip
    """About `count` pairs among the given rows."""
    rng = random.Random(seed)
    with Pool(processes, _start, (tokenizer,)) as pool:
        said = dict(zip(rows, pool.map(words, [texts[row] for row in rows], chunksize=500), strict=True))
    having: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    lowered = {row: {word.lower() for word in own} for row, own in said.items()}
    for row, own in lowered.items():
        for word in own:
            having[texts[row][0], texts[row][1], word].append(row)
            counts[word] += 1
    shared = [(key, found) for key, found in having.items() if RARE[0] <= len(found) <= RARE[1]]
    made: list[Excluded] = []
    for _ in range(count * 4):
        if len(made) >= count or not shared:
            break
        (_, language, word), found = rng.choice(shared)
        first, second = rng.sample(found, 2)
        own, other = said[first], said[second]
        ours, theirs = lowered[first], lowered[second]
        one = topic(own, theirs, counts, texts[first], rng)
        two = topic(other, ours, counts, texts[second], rng)
        if one is None or two is None or word in one.lower() or word in two.lower():
            continue
        both = sorted((w for w in ours & theirs if w != word), key=lambda w: counts[w])[: rng.randint(0, 3)]
        told = [word, *both]
        rng.shuffle(told)
        query = (" " if language == "en" else rng.choice(["", " "])).join(told)
        wants_first, wants_second = instructed(one, two, rng, held=held)
        made.append(Excluded(first=first, second=second, query=query, wants_first=wants_first,
                             wants_second=wants_second))  # fmt: skip
    return made
