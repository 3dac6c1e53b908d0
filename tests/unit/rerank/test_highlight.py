"""Highlights are sentences of the very passage, within the bound of tokens, whatever the reranker does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import FailingReranker, PrefersWord
from winnow.rerank.highlight import DEFAULT_WISH, Highlights, HighlightWish, highlight
from winnow.rerank.reranker import Ranking, Reranker
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankOverloaded
from winnow.retrieval.lexical.sentences import split_sentences
from winnow.retrieval.records import Candidate, Chunk, candidates_of

EVERYTHING = HighlightWish(relevance_min=0.0, share_min=0.0, spans_max=None)
PASSAGES = st.lists(
    st.text(st.sampled_from("ab heron鹭。！. \n退货𠀀😀"), max_size=80) | st.text(max_size=40), min_size=1, max_size=6
)


class Bytes(PrefersWord):
    """Computes a token for each byte: as many as a tokenizer can make."""

    def __init__(self, word: str = "heron") -> None:
        super().__init__(word)
        self.read: list[str] = []

    def ranking(self, query: str, candidates: Sequence[Candidate], instruction: str) -> Ranking:
        passages = [each.chunk.passage for each in candidates]
        self.read += passages
        tokens = (
            100
            + len((query + instruction).encode())
            + sum(20 + len(each.encode("utf-8", "surrogatepass")) for each in passages)
        )
        return replace(super().ranking(query, candidates, instruction), tokens=tokens)


def chunks_of(texts: Sequence[str]) -> list[Chunk]:
    """With numbers as a store gives them, and titles."""
    return [
        replace(each.chunk, number=100 + 7 * place, title="A title") for place, each in enumerate(candidates_of(texts))
    ]


def found(
    reranker: Reranker, texts: Sequence[str], *, wish: HighlightWish = DEFAULT_WISH, tokens_max: int = 16_384
) -> Highlights:
    return asyncio.run(
        highlight(
            reranker, "query", chunks_of(texts), wish=wish, instruction="i", tenant="t", deadline=Deadline.never(),
            tokens_max=tokens_max,
        )
    )  # fmt: skip


@settings(deadline=None)
@given(PASSAGES, st.sampled_from([EVERYTHING, DEFAULT_WISH]), st.integers(100, 900))
def test_highlights_slice_the_very_text_within_the_bound(texts: list[str], wish: HighlightWish, bound: int) -> None:
    """Each is a sentence of its passage, in order; with no limits all are there; what is judged fits the bound."""
    reranker = Bytes()
    highlights = found(reranker, texts, wish=wish, tokens_max=bound)
    assert highlights.tokens <= bound
    assert len(highlights.spans) + highlights.left_out == len(texts)
    for chunk in chunks_of(texts):
        spans = highlights.spans.get(chunk.number)
        if spans is None:
            continue
        sentences = [(each.start, each.end) for each in split_sentences(chunk.text)]
        chosen = [(each.start, each.end) for each in spans]
        assert chosen == [each for each in sentences if each in chosen]
        assert chosen == sentences or wish is not EVERYTHING
        assert len(chosen) <= (wish.spans_max or len(sentences))
        for each in spans:
            assert chunk.text[each.start : each.end] in reranker.read
            assert each.relevance == (0.9 if "heron" in chunk.text[each.start : each.end] else 0.1)


def test_the_first_passages_are_judged_first_and_what_was_saved_is_used() -> None:
    """Tokens are fewer than bytes, so later waves take more; a passage too long for the bound leaves room."""

    class Cheap(Bytes):
        def ranking(self, query: str, candidates: Sequence[Candidate], instruction: str) -> Ranking:
            ranking = super().ranking(query, candidates, instruction)
            return replace(ranking, tokens=ranking.tokens // 4)

    texts = ["The heron fishes. " * 10 for _ in range(8)]
    dear, cheap = (found(each, texts, tokens_max=2_000) for each in (Bytes(), Cheap()))
    assert list(dear.spans) == [100 + 7 * place for place in range(len(dear.spans))]
    assert 0 < len(dear.spans) < len(cheap.spans)
    assert len(cheap.rankings) > 1
    assert max(dear.tokens, cheap.tokens) <= 2_000
    beside = found(Bytes(), ["x" * 5_000, "A heron."], tokens_max=2_000)
    assert (list(beside.spans), beside.left_out, beside.failure) == ([107], 1, None)


def test_the_best_sentences_are_chosen() -> None:
    """Those with the word; no sentence where none passes the limit."""
    one, other = "Shops open. A heron fishes. Parking is free.", "消费者有权退货。停车免费。"
    highlights = found(PrefersWord("heron"), [one])
    assert [one[each.start : each.end] for each in highlights.spans[100]] == ["A heron fishes."]
    highlights = found(PrefersWord("退货"), [other])
    assert [other[each.start : each.end] for each in highlights.spans[100]] == ["消费者有权退货。"]
    strict = HighlightWish(relevance_min=0.2)
    assert found(PrefersWord("heron"), [other], wish=strict).spans == {100: ()}
    many = " ".join(f"Heron {number} is a heron." for number in range(9))
    spans = found(PrefersWord("heron"), [many]).spans[100]
    assert [many[each.start : each.end] for each in spans] == [f"Heron {number} is a heron." for number in range(3)]


def test_a_reranker_that_fails_costs_only_the_highlights() -> None:
    failure = RerankOverloaded("busy")
    highlights = found(FailingReranker(failure), ["A heron.", "A fish."])
    assert (highlights.spans, highlights.left_out, highlights.failure) == ({}, 2, failure)


def test_what_has_no_sentence_is_not_sent() -> None:
    """Nor is the reranker asked for nothing."""
    reranker = Bytes()
    assert found(reranker, ["...", ""]).spans == {100: (), 107: ()}
    assert reranker.read == []


@pytest.mark.parametrize("query", ["q" * 500])
def test_a_reranker_that_repeats_the_query_is_bounded_too(query: str) -> None:
    """A cross-encoder reads the query before each sentence."""

    class Pairs(PrefersWord):
        def ranking(self, query: str, candidates: Sequence[Candidate], instruction: str) -> Ranking:
            tokens = sum(len(query) + len(each.chunk.passage.encode()) + 4 for each in candidates)
            return replace(super().ranking(query, candidates, instruction), tokens=tokens)

    chunks = chunks_of(["A heron. A fish. A net."] * 20)
    highlights = asyncio.run(
        highlight(
            Pairs("heron", reads_instruction=False), query, chunks, instruction="i", tenant="t",
            deadline=Deadline.never(), tokens_max=16_384,
        )
    )  # fmt: skip
    assert 0 < len(highlights.spans) < 20
    assert highlights.tokens <= 16_384
