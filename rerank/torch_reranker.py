"""Qwen3-Reranker in this process, the bundled small model or a large one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from winnow.rerank.judgement_cache import ScoreCache
from winnow.rerank.local_scorer import LocalScorer
from winnow.rerank.prompt import NO, YES, Prompts
from winnow.rerank.prompted_reranker import PromptedReranker, window_of
from winnow.rerank.template_prompts import TemplatePrompts
from winnow.retrieval.concurrency.fair_limiter import Turn, equal
from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.memory import ModelMemory
from winnow.retrieval.model.prompt_template import PromptTemplate
from winnow.retrieval.model.runtime import QwenRuntime
from winnow.retrieval.model.tokenizer import token_ids
from winnow.retrieval.records import Vectors


class TorchReranker(PromptedReranker):
    """A `Reranker` over a `TorchScorer`."""

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        *,
        device: str | None = None,
        dtype: str | None = None,
        template: PromptTemplate | None = None,
        cache: ScoreCache | None = None,
        weight_of: Callable[[str], float] = equal,
    ) -> Self:
        """Load the model; without a `template` it is asked like Qwen3-Reranker. `weight_of` is a tenant's share.

        Raises `ModelUnusable`, `SettingInvalid`.
        """
        prompts = None if template is None else TemplatePrompts.load(folder, template, tokens_max=window_of(folder))
        scorer = TorchScorer.load(folder, device=device, dtype=dtype, template=template, weight_of=weight_of)
        return cls.over(scorer, folder, prompts=prompts, cache=cache, weight_of=weight_of)

    def memory(self) -> ModelMemory:
        scorer = self._scorer
        assert isinstance(scorer, TorchScorer), "it was loaded. This is a bug."
        return scorer.memory


def _head(runtime: QwenRuntime, folder: ModelFolder, template: PromptTemplate | None) -> Vectors:
    """The row whose product with a state is the score.

    A sequence classifier of one label has it; of two labels it is the second's row minus the first's.
    """
    divide = 1.0 if template is None else template.divide
    if folder.architecture.endswith("ForSequenceClassification"):
        if folder.labels not in {1, 2}:
            raise ModelUnusable(f"{folder.path}: it has {folder.labels} labels; a reranker has one, or two")
        last, first = folder.labels - 1, 0 if folder.labels == 2 else None
        return runtime.class_difference(last, first) / np.float32(divide)
    yes, no = (YES, NO) if template is None else (template.yes, template.no)
    first, *other = token_ids(folder.path, *([yes] if no is None else [yes, no]))
    found = runtime.head_difference(first, other[0] if other else None)
    return found / np.float32(divide)


class TorchScorer(LocalScorer):
    """Scores with a `QwenRuntime`: computes the shared prefix once, and only the needed rows of the head."""

    def __init__(self, runtime: QwenRuntime, *, head: Vectors, weight_of: Callable[[str], float] = equal) -> None:
        """`head` is the row whose product with a state is the score: the row of "yes" minus the row of "no"."""
        super().__init__(batch_tokens=runtime.pack_tokens, weight_of=weight_of)
        self._runtime = runtime
        self._head = head

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        *,
        device: str | None = None,
        dtype: str | None = None,
        template: PromptTemplate | None = None,
        weight_of: Callable[[str], float] = equal,
    ) -> TorchScorer:
        """Load the model. Raises `ModelUnusable`, `SettingInvalid`."""
        runtime = QwenRuntime.load(folder, device=device, dtype=dtype)
        return cls(runtime, head=_head(runtime, folder, template), weight_of=weight_of)

    @property
    def runs_on(self) -> str:
        return self._runtime.runs_on

    @property
    def memory(self) -> ModelMemory:
        return self._runtime.memory

    async def _scores(self, prompts: Prompts, *, turn: Turn) -> Sequence[float]:
        states = await self._runtime.last_states(prompts.tails, prefix=prompts.shared, turn=turn)
        found: list[float] = np.dot(states, self._head).tolist()
        return found
