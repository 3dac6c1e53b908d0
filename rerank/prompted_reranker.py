"""Prompts in, judgements out, a ranking made of them: what is the same whoever reads the prompts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, Self

from rerank.judgement import checked_logits
from rerank.prompt import PromptBuilder, Prompts
from rerank.ranking import ranking_of
from rerank.reranker import Ranking
from retrieval.deadline import Deadline
from retrieval.errors import RerankOverloaded, RerankTimeout
from retrieval.limits import RERANK_TOKENS_WAITING_MAX
from retrieval.model_folder import Blend, ModelFolder
from retrieval.qwen_config import QwenConfig
from retrieval.records import Candidate


class Judge(Protocol):
    """Reads prompts and says yes or no, by how much. Raises the `RerankError` leaves."""

    @property
    def runs_on(self) -> str: ...

    async def logits(self, prompts: Prompts, *, tenant: str, deadline: Deadline) -> Sequence[float]:
        """logit_yes - logit_no at the end of each prompt, in their order; on behalf of `tenant`."""
        ...


class PromptedReranker:
    """A `Reranker` on a `Judge`: every different passage is judged once."""

    def __init__(
        self,
        judge: Judge,
        prompts: PromptBuilder,
        *,
        name: str,
        blend: Blend | None = None,
        tokens_waiting_max: int = RERANK_TOKENS_WAITING_MAX,
    ) -> None:
        """`blend` must be of the embedder that finds the candidates."""
        self._judge = judge
        self._prompts = prompts
        self._name = name
        self._blend = blend
        self._tokens_waiting_max = tokens_waiting_max
        self._tokens_waiting = 0

    @classmethod
    def over(
        cls,
        judge: Judge,
        folder: ModelFolder,
        *,
        embedder: str | None,
        tokens_waiting_max: int = RERANK_TOKENS_WAITING_MAX,
    ) -> Self:
        """With the tokenizer, window and blend of this folder. Raises `ModelUnusable`.

        `embedder` names the one that finds the candidates: a declared blend is used with no other.
        """
        blend = folder.settings.blend
        tokens_max = min(folder.settings.max_tokens, QwenConfig.read(folder.path).positions_max)
        return cls(
            judge,
            PromptBuilder.load(folder.path, tokens_max=tokens_max),
            name=folder.name,
            blend=blend if blend is not None and blend.embedder == embedder else None,
            tokens_waiting_max=tokens_waiting_max,
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def runs_on(self) -> str:
        """For the operator: where, and in which type of numbers or by what."""
        return self._judge.runs_on

    async def rank(
        self,
        query: str,
        candidates: Sequence[Candidate],
        *,
        instruction: str,
        tenant: str,
        deadline: Deadline,
        top_k: int | None = None,  # noqa: ARG002  every candidate is judged
    ) -> Ranking:
        """Within the deadline, or `RerankTimeout`; past it at most what the judge has in hand is finished."""
        limit = None if math.isinf(deadline.at) else deadline.remaining_seconds
        try:
            async with asyncio.timeout(limit):
                return await self._rank(query, candidates, instruction, tenant, deadline)
        except TimeoutError as error:
            raise RerankTimeout(f"{len(candidates)} candidates for {self._name} on {self.runs_on}") from error

    async def _rank(
        self, query: str, candidates: Sequence[Candidate], instruction: str, tenant: str, deadline: Deadline
    ) -> Ranking:
        passages = [candidate.chunk.passage for candidate in candidates]
        different = list(dict.fromkeys(passages))
        prompts = await asyncio.to_thread(self._prompts.build, query, different, instruction)
        with self._admitted(prompts):
            judged = await self._judge.logits(prompts, tenant=tenant, deadline=deadline)
            logits = checked_logits(judged, expected=len(different))
        place = {passage: position for position, passage in enumerate(different)}
        return ranking_of(
            candidates,
            [logits[place[passage]] for passage in passages],
            judged_by=self._name,
            truncated=[prompts.truncated[place[passage]] for passage in passages],
            tokens=prompts.tokens if different else 0,
            blend=self._blend,
        )

    @contextmanager
    def _admitted(self, prompts: Prompts) -> Iterator[None]:
        """Counts tokens, not requests. A request that finds nothing waiting is never refused."""
        if self._tokens_waiting and self._tokens_waiting + prompts.tokens > self._tokens_waiting_max:
            raise RerankOverloaded(f"{self._tokens_waiting} tokens are waiting; {self._tokens_waiting_max} may")
        self._tokens_waiting += prompts.tokens
        try:
            yield
        finally:
            self._tokens_waiting -= prompts.tokens
