"""Qwen3-Reranker, the small one of ours or a large one, in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Self

import numpy as np

from winnow.rerank.judgement_cache import JudgementCache
from winnow.rerank.prompt import NO, YES, Prompts
from winnow.rerank.prompted_reranker import PromptedReranker
from winnow.retrieval.concurrency.fair_limiter import Turns, TurnsReport, equal
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import Overloaded, RerankOverloaded
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.runtime import QwenRuntime
from winnow.retrieval.model.tokenizer import ScaffoldTokenizer
from winnow.retrieval.records import Vectors


class TorchReranker(PromptedReranker):
    """A `Reranker` on a `TorchJudge`."""

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        *,
        device: str | None = None,
        dtype: str | None = None,
        cache: JudgementCache | None = None,
        weight_of: Callable[[str], float] = equal,
    ) -> Self:
        """Into memory. `weight_of` says how large a tenant's share is.

        Raises `ModelUnusable`, `SettingInvalid`.
        """
        judge = TorchJudge.load(folder, device=device, dtype=dtype, weight_of=weight_of)
        return cls.over(judge, folder, cache=cache, weight_of=weight_of)


_PACKS_ALONE: Final = 2  # one that is computed and one that waits behind it, so that the device never idles


class TorchJudge:
    """A `Judge` on a `QwenRuntime`: the shared part is computed once, and of the head only what is asked.

    Tenants take turns pack by pack.
    """

    doubts = 0  # it stays the model that it is

    def __init__(self, runtime: QwenRuntime, *, head: Vectors, weight_of: Callable[[str], float] = equal) -> None:
        """`head` is the row of "yes" minus that of "no"."""
        self._runtime = runtime
        self._head = head
        self._turns = Turns(alone=_PACKS_ALONE * runtime.pack_tokens, shared=runtime.pack_tokens, weight_of=weight_of)

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        *,
        device: str | None = None,
        dtype: str | None = None,
        weight_of: Callable[[str], float] = equal,
    ) -> TorchJudge:
        """Into memory. Raises `ModelUnusable`, `SettingInvalid`."""
        runtime = QwenRuntime.load(folder, device=device, dtype=dtype)
        scaffold = ScaffoldTokenizer.load(folder.path)
        head = runtime.head_difference(scaffold.token_id(YES), scaffold.token_id(NO))
        return cls(runtime, head=head, weight_of=weight_of)

    @property
    def runs_on(self) -> str:
        return self._runtime.runs_on

    @property
    def portion_tokens(self) -> None:
        """It packs best what it sees whole, and computes the shared part once a call."""

    @property
    def turns(self) -> TurnsReport:
        return self._turns.report

    async def logits(self, prompts: Prompts, *, tenant: str, deadline: Deadline) -> Sequence[float]:
        """Work past the deadline is not started; cancelled, it ends with the pack that is being computed."""
        if deadline.has_passed:
            raise TimeoutError
        try:
            states = await self._runtime.last_states(
                prompts.tails, prefix=prompts.shared, turn=partial(self._turns.turn, tenant)
            )
        except Overloaded as error:
            raise RerankOverloaded(error.detail) from error
        found: list[float] = np.dot(states, self._head).tolist()
        return found
