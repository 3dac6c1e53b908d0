"""BM25, written down once more and without any index: what the full-text search is compared with.

Title and text are one field. Words are runs of letters and digits, whatever their case; a Chinese character is a word.
There is no stemming here, so that tests compare with words that have no endings.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

from winnow.retrieval.records import Chunk

K1: Final = 1.2
B: Final = 0.75
_WORD: Final = re.compile(r"[\u4e00-\u9fff]|[^\W_\u4e00-\u9fff]+")


def words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def bm25(query: str, chunks: Mapping[int, Chunk]) -> dict[int, float]:
    """The score of each chunk that holds a word of the query, by number; a word that is asked for twice counts once."""
    fields = {number: Counter(words(chunk.passage)) for number, chunk in chunks.items()}
    usual = sum(field.total() for field in fields.values()) / max(1, len(fields))
    scores: dict[int, float] = {}
    for word in dict.fromkeys(words(query)):
        holding = sum(word in field for field in fields.values())
        rarity = math.log(1.0 + (len(fields) - holding + 0.5) / (holding + 0.5))
        for number, field in fields.items():
            if field[word]:
                length = K1 * (1.0 - B + B * field.total() / usual)
                gain = rarity * field[word] * (K1 + 1.0) / (field[word] + length)
                scores[number] = scores.get(number, 0.0) + gain
    return scores
