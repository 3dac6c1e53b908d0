"""The part that scorers of models in this process share: the deadline, and tenants' turns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from winnow.rerank.prompt import Prompts
from winnow.retrieval.concurrency.fair_limiter import FairLimiter, LimiterStats, Turn
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import Overloaded, RerankOverloaded

_BATCHES_ALONE: Final = 2  # one being computed and one waiting, so the device is never idle


class LocalScorer(ABC):
    """A `PromptScorer` over a model in memory. Tenants take turns batch by batch."""

    doubts = 0  # the model in memory cannot change
    portion_tokens = None  # batches work best on the whole request, and a shared prefix is computed once per call

    def __init__(self, *, batch_tokens: int, weight_of: Callable[[str], float]) -> None:
        self._turns = FairLimiter(alone=_BATCHES_ALONE * batch_tokens, shared=batch_tokens, weight_of=weight_of)

    @property
    @abstractmethod
    def runs_on(self) -> str: ...

    @property
    def turns(self) -> LimiterStats:
        return self._turns.report

    async def logits(self, prompts: Prompts, *, tenant: str, deadline: Deadline) -> Sequence[float]:
        """Score the prompts. Starts nothing past the deadline; on cancellation it finishes the current batch."""
        if deadline.has_passed:
            raise TimeoutError
        try:
            return await self._scores(prompts, turn=partial(self._turns.turn, tenant))
        except Overloaded as error:
            raise RerankOverloaded(error.detail) from error

    @abstractmethod
    async def _scores(self, prompts: Prompts, *, turn: Turn) -> Sequence[float]:
        """Compute the scores, and take a turn for each batch."""
