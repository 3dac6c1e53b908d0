"""Qwen3-Reranker, on one or several vLLM servers.

A server is started as a classifier of one label (`winnow vllm-command` prints the flags) and is sent the same ids that
the model in this process would read. Its own prompt, template and truncation are never asked.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Self

from winnow.rerank.judgement_cache import JudgementCache
from winnow.rerank.prompt import PromptBuilder, Prompts
from winnow.rerank.prompted_reranker import PromptedReranker
from winnow.rerank.relevance import logit_of
from winnow.retrieval.concurrency.fair_limiter import Turns, TurnsReport, equal
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
    """A `Reranker` on a `VllmPool` with `RERANKER_FAILURES`."""

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        pool: VllmPool,
        *,
        secret: bytes,
        prompts: PromptBuilder | None = None,
        cache: JudgementCache | None = None,
        weight_of: Callable[[str], float] = equal,
    ) -> Self:
        """Asks the servers nothing yet; `weight_of` as for `TorchReranker`, `prompts` as for `over`.

        Raises `ModelUnusable`.

        With `secret` the tenants' names are made into salts that nobody else can make.
        """
        return cls.over(
            _ServedJudge(pool, secret, weight_of),
            folder,
            prompts=prompts,
            cache=cache,
            tokens_waiting_max=RERANK_TOKENS_WAITING_PER_SERVER_MAX * pool.size,
            weight_of=weight_of,
        )


FIRST_PORTION_TOKENS: Final = 4_096  # about; what a GPU computes while the rest is read here and parsed there

SHARED_SLICE_TOKENS: Final = 8_192  # of one request where tenants take turns, at most; one step of vLLM
SHARED_SLICES: Final = 2  # in flight on each server: one that is computed, one behind it
SHARED_SLICE_TOKENS_MIN: Final = 1_024  # what a slow server still computes at full speed
SHARED_SECONDS: Final = 0.15  # for which there is work in flight; as long as this another tenant may wait for its turn


class _ServedJudge:
    """The servers compute the part that prompts share once, if their prefix cache is on, as it is by default.

    What one tenant's prompts left in that cache is of use to no other: the time that an answer takes would tell what
    others had asked.

    Tenants take turns slice by slice. While one is alone as much is sent as the pool takes; while others are present,
    shorter slices and fewer: what a server has in hand it computes in its own order. How short follows its pace.
    """

    def __init__(self, pool: VllmPool, secret: bytes, weight_of: Callable[[str], float]) -> None:
        self.runs_on = pool.runs_on
        self.portion_tokens = FIRST_PORTION_TOKENS
        self._pool = pool
        self._secret = secret
        self._turns = Turns(
            alone=IN_FLIGHT_TOKENS_MAX * pool.size,
            shared=SHARED_SLICES * SHARED_SLICE_TOKENS * pool.size,
            least=SHARED_SLICES * SHARED_SLICE_TOKENS_MIN * pool.size,
            seconds=SHARED_SECONDS,
            weight_of=weight_of,
        )

    @property
    def turns(self) -> TurnsReport:
        return self._turns.report

    @property
    def doubts(self) -> int:
        return self._pool.doubts

    @property
    def _slice_tokens(self) -> int:
        """Of one request where tenants take turns."""
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
