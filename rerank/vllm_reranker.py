"""Qwen3-Reranker, on a vLLM server.

The server is started as a classifier of one label (docker-compose.yml shows the flags) and is sent the same ids that
the model in this process would read. Its own prompt, template and truncation are never asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

from rerank.judgement import logit_of
from rerank.judgement_cache import JudgementCache
from rerank.prompt import Prompts
from rerank.prompted_reranker import PromptedReranker
from retrieval.deadline import Deadline
from retrieval.errors import RerankOverloaded, RerankTimeout, RerankUnavailable
from retrieval.model_folder import ModelFolder
from retrieval.vllm_client import Failures, VllmClient

RERANKER_FAILURES: Final = Failures(timeout=RerankTimeout, overloaded=RerankOverloaded, unavailable=RerankUnavailable)


class VllmReranker(PromptedReranker):
    """A `Reranker` on a `VllmClient` with `RERANKER_FAILURES`."""

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        client: VllmClient,
        *,
        embedder: str | None = None,
        cache: JudgementCache | None = None,
    ) -> Self:
        """Asks the server nothing yet; `embedder` as for `TorchReranker`. Raises `ModelUnusable`."""
        return cls.over(_ServedJudge(client), folder, embedder=embedder, cache=cache)


class _ServedJudge:
    """The server computes the part that its prompts share once, if its prefix cache is on, as it is by default."""

    def __init__(self, client: VllmClient) -> None:
        self.runs_on = f"vLLM at {client.url}"
        self._client = client

    async def logits(self, prompts: Prompts, *, tenant: str, deadline: Deadline) -> Sequence[float]:  # noqa: ARG002
        probabilities = await self._client.classify([prompts.shared + tail for tail in prompts.tails], deadline)
        return [logit_of(probability) for probability in probabilities]
