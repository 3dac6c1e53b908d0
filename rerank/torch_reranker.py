"""Qwen3-Reranker, the small one of ours or a large one, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from rerank.judgement_cache import JudgementCache
from rerank.prompt import NO, YES, Prompts
from rerank.prompted_reranker import PromptedReranker
from retrieval.deadline import Deadline
from retrieval.errors import Overloaded, RerankOverloaded
from retrieval.model_folder import ModelFolder
from retrieval.qwen_runtime import QwenRuntime
from retrieval.records import Vectors
from retrieval.tokens import ScaffoldTokenizer


class TorchReranker(PromptedReranker):
    """A `Reranker` on a `TorchJudge`."""

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        *,
        device: str | None = None,
        dtype: str | None = None,
        embedder: str | None = None,
        cache: JudgementCache | None = None,
    ) -> Self:
        """Into memory. `embedder` names the one that finds the candidates: a declared blend is used with no other.

        Raises `ModelUnusable`, `SettingInvalid`.
        """
        return cls.over(TorchJudge.load(folder, device=device, dtype=dtype), folder, embedder=embedder, cache=cache)


class TorchJudge:
    """A `Judge` on a `QwenRuntime`: the shared part is computed once, and of the head only what is asked."""

    doubts = 0  # it stays the model that it is

    def __init__(self, runtime: QwenRuntime, *, head: Vectors) -> None:
        """`head` is the row of "yes" minus that of "no"."""
        self._runtime = runtime
        self._head = head

    @classmethod
    def load(cls, folder: ModelFolder, *, device: str | None = None, dtype: str | None = None) -> TorchJudge:
        """Into memory. Raises `ModelUnusable`, `SettingInvalid`."""
        runtime = QwenRuntime.load(folder, device=device, dtype=dtype)
        scaffold = ScaffoldTokenizer.load(folder.path)
        return cls(runtime, head=runtime.head_difference(scaffold.token_id(YES), scaffold.token_id(NO)))

    @property
    def runs_on(self) -> str:
        return self._runtime.runs_on

    @property
    def portion_tokens(self) -> None:
        """It packs best what it sees whole, and computes the shared part once a call."""

    async def logits(self, prompts: Prompts, *, tenant: str, deadline: Deadline) -> Sequence[float]:  # noqa: ARG002
        """Work past the deadline is not started; cancelled, it ends with the pack that is being computed."""
        if deadline.has_passed:
            raise TimeoutError
        try:
            states = await self._runtime.last_states(prompts.tails, prefix=prompts.shared)
        except Overloaded as error:
            raise RerankOverloaded(error.detail) from error
        found: list[float] = np.dot(states, self._head).tolist()
        return found
