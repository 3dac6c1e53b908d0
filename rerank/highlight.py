"""Highlights: the sentences of a passage that carry its relevance.

The reranker judges each sentence alone, under the same instruction. Rule 1: no more than
`tokens_max` tokens are computed for it; passages that do not fit get no highlights. Rule 2: a reranker that fails or is
late costs highlights, never the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from winnow.rerank.reranker import Ranking, Reranker
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankError
from winnow.retrieval.lexical.sentences import split_sentences
from winnow.retrieval.limits import HIGHLIGHT_TOKENS_MAX
from winnow.retrieval.records import Candidate, Chunk, Span

# No tokenizer makes more tokens than a text has bytes, so a wave that fits by its bytes fits by its tokens. What it
# really took is known afterwards, and leaves room for more waves.
_PROMPT_TOKENS: Final = 160  # of a wave: the scaffold before the first sentence
_SENTENCE_TOKENS: Final = 24  # of a sentence: the scaffold after it


@dataclass(frozen=True, slots=True, kw_only=True)
class HighlightWish:
    """Which sentences are highlighted: those that pass both limits, the best ones if there are too many."""

    relevance_min: float = 0.1
    share_min: float = 0.6  # of the relevance of the passage's best sentence
    spans_max: int | None = 3  # of a passage; None: no limit


DEFAULT_WISH: Final = HighlightWish()


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlight:
    """A sentence of a passage: characters (code points) of its text, half-open."""

    start: int
    end: int
    relevance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlights:
    """The highlights of the passages that were judged, and why others were not."""

    spans: Mapping[int, tuple[Highlight, ...]]  # by chunk number, in the order of the text
    left_out: int = 0  # passages
    failure: RerankError | None = None  # why some are left out; None: they exceed the limit of tokens
    rankings: tuple[Ranking, ...] = ()  # of sentences: what was computed

    @property
    def tokens(self) -> int:
        """Tokens that the reranker computed."""
        return sum(each.tokens for each in self.rankings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Passage:
    """A passage and its sentences."""

    chunk: Chunk
    sentences: Sequence[Span]
    tokens_max: int  # more it cannot take

    @property
    def candidates(self) -> Iterator[Candidate]:
        """One for each sentence, to be numbered."""
        for span in self.sentences:
            text = self.chunk.text[span.start : span.end]
            yield Candidate(chunk=replace(self.chunk, title="", part=None, text=text), recall_rank=1, similarity=None)


async def highlight(
    reranker: Reranker,
    query: str,
    chunks: Sequence[Chunk],
    *,
    wish: HighlightWish = DEFAULT_WISH,
    instruction: str,
    tenant: str,
    deadline: Deadline,
    tokens_max: int = HIGHLIGHT_TOKENS_MAX,
) -> Highlights:
    """Find the highlights of passages, of the first ones where the limit does not allow all."""
    # A cross-encoder, which reads no instruction, reads the query before each sentence; the others read it once.
    repeated = _SENTENCE_TOKENS + (0 if reranker.reads_instruction else _bytes(query))
    waiting, too_long = await asyncio.to_thread(_split, chunks, tokens_max, repeated)
    spans: dict[int, tuple[Highlight, ...]] = {}
    rankings: list[Ranking] = []
    failure: RerankError | None = None
    room = tokens_max
    shared = _PROMPT_TOKENS + _bytes(query) + _bytes(instruction)
    while waiting and failure is None:
        wave, waiting_now = _fitting(waiting, room - shared)
        if not wave:
            break
        if not any(each.sentences for each in wave):
            spans |= {each.chunk.number: () for each in wave}
            waiting = waiting_now
            continue
        try:
            ranking = await reranker.rank(
                query, _sentences(wave), instruction=instruction, tenant=tenant, deadline=deadline
            )
        except RerankError as error:
            failure = error
        else:
            waiting = waiting_now
            rankings.append(ranking)
            room -= ranking.tokens
            spans |= _chosen(wave, ranking, wish)
    left_out = len(waiting) + too_long
    return Highlights(spans=spans, left_out=left_out, failure=failure, rankings=tuple(rankings))


def _split(chunks: Sequence[Chunk], tokens_max: int, repeated: int) -> tuple[list[_Passage], int]:
    """Split passages into sentences, and count those that are too long anyway. Takes a second of 16 MB."""
    fitting = [chunk for chunk in chunks if len(chunk.text) <= tokens_max]
    return [_passage(chunk, repeated) for chunk in fitting], len(chunks) - len(fitting)


def _passage(chunk: Chunk, repeated: int) -> _Passage:
    sentences = split_sentences(chunk.text)
    tokens = _bytes(chunk.text) + repeated * len(sentences)
    return _Passage(chunk=chunk, sentences=sentences, tokens_max=tokens)


def _fitting(waiting: Sequence[_Passage], room: int) -> tuple[list[_Passage], list[_Passage]]:
    """Return the passages that certainly fit, first ones first, and the others."""
    wave: list[_Passage] = []
    others: list[_Passage] = []
    for each in waiting:
        if each.tokens_max <= room:
            wave.append(each)
            room -= each.tokens_max
        else:
            others.append(each)
    return wave, others


def _sentences(wave: Sequence[_Passage]) -> list[Candidate]:
    """Return all sentences of a wave; the chunk number of each is its place among them."""
    return [
        replace(each, chunk=replace(each.chunk, number=place), recall_rank=place + 1)
        for place, each in enumerate(each for passage in wave for each in passage.candidates)
    ]


def _chosen(wave: Sequence[_Passage], ranking: Ranking, wish: HighlightWish) -> dict[int, tuple[Highlight, ...]]:
    relevances = {each.candidate.chunk.number: each.relevance or 0.0 for each in ranking.ranked}
    found: dict[int, tuple[Highlight, ...]] = {}
    place = 0
    for passage in wave:
        judged = [
            Highlight(start=span.start, end=span.end, relevance=relevances[place + offset])
            for offset, span in enumerate(passage.sentences)
        ]
        place += len(judged)
        found[passage.chunk.number] = _best(judged, wish)
    return found


def _best(judged: Sequence[Highlight], wish: HighlightWish) -> tuple[Highlight, ...]:
    least = max([wish.relevance_min, *(wish.share_min * each.relevance for each in judged)])
    passing = sorted((each for each in judged if each.relevance >= least), key=lambda each: -each.relevance)
    return tuple(sorted(passing[: wish.spans_max], key=lambda each: each.start))


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
