"""Qwen3-Reranker, on one or several vLLM servers.

A server is started as a classifier of one label (`winnow vllm-command` prints the flags) and is sent the same ids that
the model in this process would read. Its own prompt, template and truncation are never asked.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final, Self

from rerank.judgement import logit_of
from rerank.judgement_cache import JudgementCache
from rerank.prompt import PromptBuilder, Prompts
from rerank.prompted_reranker import PromptedReranker
from retrieval.deadline import Deadline
from retrieval.errors import RerankBreakerOpen, RerankOverloaded, RerankTimeout, RerankUnavailable
from retrieval.limits import RERANK_TOKENS_WAITING_PER_SERVER_MAX
from retrieval.model_folder import ModelFolder
from retrieval.vllm_pool import Failures, VllmPool

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
        embedder: str | None = None,
        prompts: PromptBuilder | None = None,
        cache: JudgementCache | None = None,
    ) -> Self:
        """Asks the servers nothing yet; `embedder` as for `TorchReranker`, `prompts` as for `over`.

        Raises `ModelUnusable`.

        With `secret` the tenants' names are made into salts that nobody else can make.
        """
        return cls.over(
            _ServedJudge(pool, secret),
            folder,
            embedder=embedder,
            prompts=prompts,
            cache=cache,
            tokens_waiting_max=RERANK_TOKENS_WAITING_PER_SERVER_MAX * pool.size,
        )


FIRST_PORTION_TOKENS: Final = 16_384  # about; less than that a GPU computes less well, and reads nearly as soon


class _ServedJudge:
    """The servers compute the part that prompts share once, if their prefix cache is on, as it is by default.

    What one tenant's prompts left in that cache is of use to no other: the time that an answer takes would tell what
    others had asked.
    """

    def __init__(self, pool: VllmPool, secret: bytes) -> None:
        self.runs_on = pool.runs_on
        self.portion_tokens = FIRST_PORTION_TOKENS
        self._pool = pool
        self._secret = secret

    @property
    def doubts(self) -> int:
        return self._pool.doubts

    async def logits(self, prompts: Prompts, *, tenant: str, deadline: Deadline) -> Sequence[float]:
        whole = [prompts.shared + tail for tail in prompts.tails]
        salt = hmac.new(self._secret, tenant.encode(), hashlib.sha256).hexdigest()
        probabilities = await self._pool.classify(whole, salt=salt, deadline=deadline)
        return [logit_of(probability) for probability in probabilities]
