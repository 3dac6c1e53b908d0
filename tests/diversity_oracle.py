"""Near-duplicates and MMR by the book: plain loops over pairs, without numpy."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence


def shingles_of(text: str) -> set[tuple[str, ...]]:
    """Runs of three words; Han characters and kana are words of their own. Knows the scripts of its tests only."""
    words: list[str] = []
    run = ""
    for char in unicodedata.normalize("NFKC", text).casefold() + " ":
        alone = "\u3040" <= char <= "\u30ff" or "\u4e00" <= char <= "\u9fff"
        if char.isalnum() and not alone:
            run += char
            continue
        words += [run] if run else []
        words += [char] if alone and char.isalnum() else []
        run = ""
    if not words:
        return {("".join(text.split()),)}
    if len(words) < 3:
        return {tuple(words)}
    return {tuple(words[start : start + 3]) for start in range(len(words) - 2)}


def jaccard(one: str, other: str) -> float:
    first, second = shingles_of(one), shingles_of(other)
    return len(first & second) / len(first | second)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = math.sqrt(sum(x * x for x in one)) * math.sqrt(sum(x * x for x in other))
    return sum(x * y for x, y in zip(one, other, strict=True)) / lengths if lengths else 0.0


def keepers(count: int, is_near: Callable[[int, int], bool]) -> list[int]:
    """For each place, in order, the place that stands for it."""
    kept: list[int] = []
    found = []
    for place in range(count):
        above = [each for each in kept if is_near(each, place)]
        found.append(above[0] if above else place)
        if not above:
            kept.append(place)
    return found


def mmr(relevances: Sequence[float], similar: Callable[[int, int], float], weight: float) -> list[int]:
    """The greedy order of Carbonell and Goldstein (1998)."""
    left, chosen = list(range(len(relevances))), []
    while left:
        best = max(left, key=lambda each: (mmr_value(each, relevances, similar, chosen, weight), -each))
        chosen.append(best)
        left.remove(best)
    return chosen


def mmr_value(
    place: int,
    relevances: Sequence[float],
    similar: Callable[[int, int], float],
    chosen: Sequence[int],
    weight: float,
) -> float:
    redundancy = max((similar(place, each) for each in chosen), default=0.0)
    return weight * relevances[place] - (1.0 - weight) * redundancy
