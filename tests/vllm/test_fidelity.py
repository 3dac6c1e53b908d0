"""Scores over vLLM are those of the model card's recipe; beside them, what the same server's own /v1/rerank says."""

from __future__ import annotations

import numpy as np
import pytest

from bench.fidelity import (
    APART_MAX,
    TOKENS_MAX,
    Pair,
    fidelity_of,
    pairs_of,
    reference_of,
    served_scores,
    stock_scores,
)
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Vectors

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def pairs(reranker: ModelFolder, request: pytest.FixtureRequest) -> list[Pair]:
    return pairs_of(PlainTokenizer.load(reranker.path), request.config.getoption("pairs"))


@pytest.fixture(scope="module")
def exact(reranker: ModelFolder, pairs: list[Pair]) -> Vectors:
    """What transformers says in float32."""
    return reference_of(reranker, pairs, dtype="float32")


def test_the_pairs_are_what_they_are_said_to_be(reranker: ModelFolder, pairs: list[Pair]) -> None:
    """Of 1 to 3,000 tokens, in both languages and across them."""
    tokenizer = PlainTokenizer.load(reranker.path)
    lengths = [len(ids) for ids in tokenizer.ids_batch([pair.document for pair in pairs])]
    assert min(lengths) == 1
    assert max(lengths) == pytest.approx(TOKENS_MAX, rel=0.01)  # a cut may join two tokens, or part one
    kinds = [(pair.query.isascii(), pair.document.isascii()) for pair in pairs]
    counts = [kinds.count((query, document)) for query in (True, False) for document in (True, False)]
    assert min(counts) >= len(pairs) // 20


async def test_scores_in_float32_are_the_model_cards(
    reranker: ModelFolder, judge_url: str, pairs: list[Pair], exact: Vectors
) -> None:
    """Of every pair, and in the same order; vLLM's own way, with a right template, is shown beside it."""
    ours = fidelity_of(await served_scores(reranker, pairs, judge_url), exact)
    stock = fidelity_of(stock_scores(pairs, judge_url), exact)
    print(f"float32, ids to /classify: {ours}\nfloat32, vLLM's own /v1/rerank: {stock}")
    assert exact.std() > 0.1, "scores that are all alike would prove nothing"
    assert ours.apart.max() < APART_MAX
    assert ours.swapped == 0
    assert ours.tau >= stock.tau - 1e-3


async def test_scores_in_bfloat16_are_as_true_as_the_model_cards(
    reranker: ModelFolder, rounding_url: str, pairs: list[Pair], exact: Vectors
) -> None:
    """Rounding moves this small model more than a large one, in transformers too: its own float32 is the measure.

    Nearly all scores are the recipe's in bfloat16 within the bound. Both ways round, each in an order of its own that
    depends on the processor, so the largest distance between them is that of one from float32, times the square root
    of two: independent errors add by their squares. The same bound is for the last hundredth, one or two pairs of 150,
    whose size is as much a matter of chance.
    """
    rounded = reference_of(reranker, pairs, dtype="bfloat16")
    scores, stock = await served_scores(reranker, pairs, rounding_url), stock_scores(pairs, rounding_url)
    ours, theirs = fidelity_of(scores, rounded), fidelity_of(stock, rounded)
    ours_true, card_true = fidelity_of(scores, exact), fidelity_of(rounded, exact)
    within = (ours.apart < APART_MAX).mean()
    print(
        f"bfloat16, ids to /classify: {ours}; {within:.1%} within {APART_MAX}",
        f"bfloat16, vLLM's own /v1/rerank: {theirs}",
        f"against float32, ids to /classify: {ours_true}",
        f"against float32, transformers in bfloat16: {card_true}",
        sep="\n",
    )
    assert within >= 0.9
    assert ours.apart.max() < 2**0.5 * card_true.apart.max()
    assert ours.tau > card_true.tau
    assert ours.tau >= theirs.tau - 1e-3
    for share, bound in ((0.5, 1.25), (0.9, 1.25), (0.99, 2**0.5), (1.0, 2**0.5)):
        assert np.quantile(ours_true.apart, share) <= bound * np.quantile(card_true.apart, share)
