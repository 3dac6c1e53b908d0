"""Qwen3-Reranker on one or several vLLM servers.

A server runs as a classifier with one label (`winnow vllm-command` prints the flags) and receives the same ids that the
in-process model would read. Its own prompt, template and truncation are not used.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Self

from winnow.rerank.judgement_cache import ScoreCache
from winnow.rerank.prompt import PromptBuilder, Prompts
from winnow.rerank.prompted_reranker import PromptedReranker
from winnow.rerank.relevance import logit_of
from winnow.retrieval.concurrency.fair_limiter import FairLimiter, LimiterStats, equal
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankBreakerOpen, RerankOverloaded, RerankTimeout, RerankUnavailable
from winnow.retrieval.limits import RERANK_TOKENS_WAITING_PER_SERVER_MAX
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.vllm.pool import IN_FLIGHT_TOKENS_MAX, Failures, VllmPool

RERANKER_FAILURES: Final = Failures(
    timeout=RerankTimeout,
    overloaded=RerankOverloaded,
    unavailable=RerankUnavailable,
    breaker_open=RerankBreakerOpen,
)


class VllmReranker(PromptedReranker):
    """A `Reranker` over a `VllmPool` with `RERANKER_FAILURES`."""

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        pool: VllmPool,
        *,
        secret: bytes,
        prompts: PromptBuilder | None = None,
        cache: ScoreCache | None = None,
        weight_of: Callable[[str], float] = equal,
    ) -> Self:
        """Create the reranker; calls no server yet. `weight_of` as for `TorchReranker`, `prompts` as for `over`.

        `secret` turns tenant names into cache salts that cannot be guessed. Raises `ModelUnusable`.
        """
        return cls.over(
            _VllmScorer(pool, secret, weight_of),
            folder,
            prompts=prompts,
            cache=cache,
            tokens_waiting_max=RERANK_TOKENS_WAITING_PER_SERVER_MAX * pool.size,
            weight_of=weight_of,
        )


FIRST_PORTION_TOKENS: Final = 4_096  # approximate; a GPU computes this while the rest is tokenised and parsed

SHARED_SLICE_TOKENS: Final = 8_192  # per request while tenants take turns, at most; one step of vLLM
SHARED_SLICES: Final = 2  # in flight on each server: one being computed, one waiting
SHARED_SLICE_TOKENS_MIN: Final = 1_024  # a slow server still computes this at full speed
SHARED_SECONDS: Final = 0.15  # of work in flight; another tenant may wait this long for its turn


class _VllmScorer:
    """Scores prompts on vLLM, which computes their shared prefix once if its prefix cache is on (the default).

    Each tenant has its own cache salt: with a common cache, response times would reveal what other tenants asked.

    Tenants take turns slice by slice. A single tenant may send as much as the pool takes. With several, slices are
    shorter and fewer, since a server computes what it has in its own order; their size follows the server's pace.
    """

    def __init__(self, pool: VllmPool, secret: bytes, weight_of: Callable[[str], float]) -> None:
        self.runs_on = pool.runs_on
        self.portion_tokens = FIRST_PORTION_TOKENS
        self._pool = pool
        self._secret = secret
        self._turns = FairLimiter(
            alone=IN_FLIGHT_TOKENS_MAX * pool.size,
            shared=SHARED_SLICES * SHARED_SLICE_TOKENS * pool.size,
            least=SHARED_SLICES * SHARED_SLICE_TOKENS_MIN * pool.size,
            seconds=SHARED_SECONDS,
            weight_of=weight_of,
        )

    @property
    def turns(self) -> LimiterStats:
        return self._turns.report

    @property
    def doubts(self) -> int:
        return self._pool.doubts

    @property
    def _slice_tokens(self) -> int:
        """Tokens in one slice while tenants take turns."""
        return self._turns.shared_tokens // (SHARED_SLICES * self._pool.size)

    async def logits(self, prompts: Prompts, *, tenant: str, deadline: Deadline) -> Sequence[float]:
        whole = [prompts.shared + tail for tail in prompts.tails]
        salt = hmac.new(self._secret, tenant.encode(), hashlib.sha256).hexdigest()
        probabilities = await self._pool.classify(
            whole,
            salt=salt,
            deadline=deadline,
            slice_tokens=self._slice_tokens if self._turns.is_shared_with(tenant) else None,
            turn=partial(self._turns.turn, tenant),
        )
        return [logit_of(probability) for probability in probabilities]
