"""How the chunker cut texts before documents had parts: the oracle for documents without any."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from winnow.indexer import chunking
from winnow.indexer.chunking import Tokenizer

_PATTERNS = (chunking._PARAGRAPH_END, chunking.SENTENCE_END, chunking._WORD_END)


def ends_before(text: str, title: str, *, tokenizer: Tokenizer, tokens_max: int) -> list[int]:
    """The ends of all chunks."""
    head = f"{title}\n" if title else ""
    count = len(tokenizer.ids(head + text))
    if count <= tokens_max:
        return [len(text)]
    head_tokens = len(tokenizer.ids(head)) if head else 0
    text_tokens = max(tokens_max - head_tokens, tokens_max // 4)
    most = head_tokens + text_tokens
    if count <= most:
        return [len(text)]
    return _Cutting(most=most, head=head, tokenizer=tokenizer).ends(text, 0, text_tokens - 2)


@dataclass(frozen=True, kw_only=True)
class _Cutting:
    most: int
    head: str
    tokenizer: Tokenizer

    def ends(self, text: str, start: int, budget: int) -> list[int]:
        offsets = self.tokenizer.offsets(text)
        if len(self.tokenizer.ids(self.head + text)) <= self.most or len(text) < 2 or len(offsets) < 2:
            return [start + len(text)]
        budget = min(budget, (len(offsets) + 1) // 2)
        starts = list(accumulate((_word_start(text, first, last) for first, last in offsets), max))
        found: list[int] = []
        at = 0
        for end in _ends(text, starts, budget):
            found += self.ends(text[at:end], start + at, budget)
            at = end
        return found


def _ends(text: str, starts: Sequence[int], budget: int) -> list[int]:
    places = [[match.end() for match in pattern.finditer(text)] for pattern in _PATTERNS]
    found, start, token = [], 0, 0
    while (left := len(starts) - token) > budget:
        wanted = -(-left // -(-left // budget))
        earliest, target, latest = (starts[token + each] for each in (wanted // 2, wanted, budget))
        reachable = [[place for place in kind if earliest < place <= latest] for kind in places]
        best = next((kind for kind in reachable if kind), [target])
        cut = min(best, key=lambda place: abs(place - target))
        cut = max(chunking._outside_grapheme(text, cut, after=start), start + 1)
        if cut >= len(text):
            break
        found.append(cut)
        start, token = cut, bisect_left(starts, cut)
    return [*found, len(text)]


def _word_start(text: str, first: int, last: int) -> int:
    token = text[first:last]
    return first + len(token) - len(token.lstrip()) if token.strip() else first
