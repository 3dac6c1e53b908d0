"""Rerankers that other libraries run: cross-encoders, and causal models with a prompt template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Self

from winnow.rerank.judgement_cache import ScoreCache
from winnow.rerank.local_scorer import LocalScorer
from winnow.rerank.prompt import Prompts
from winnow.rerank.prompted_reranker import PromptedReranker
from winnow.rerank.template_prompts import TemplatePrompts
from winnow.retrieval.concurrency.fair_limiter import Turn, equal
from winnow.retrieval.document_fields import heads_of
from winnow.retrieval.model.backend import TORCH, Backend
from winnow.retrieval.model.causal_model import AnswerTokens
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.pair_model import PairModel
from winnow.retrieval.model.prompt_template import PromptTemplate
from winnow.retrieval.records import FieldLines

PAIR_FORMAT: Final = "pair/1"  # prompt format of models that read a pair of texts
_FIELDS_SHARE: Final = 4  # fields take at most a quarter of a pair


class CrossEncoderReranker(PromptedReranker):
    """A `Reranker` over a `PairScorer`."""

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        *,
        device: str | None = None,
        dtype: str | None = None,
        backend: Backend = TORCH,
        template: PromptTemplate | None = None,
        cache: ScoreCache | None = None,
        weight_of: Callable[[str], float] = equal,
    ) -> Self:
        """Load a cross-encoder, or with a `template` a causal model. `weight_of` is a tenant's share.

        Raises `ModelUnusable`, `SettingInvalid`.
        """
        prompts: PairPrompts | TemplatePrompts
        if template is None:
            model = PairModel.load(folder, device=device, dtype=dtype, backend=backend)
            prompts = PairPrompts(model)
        else:
            prompts = TemplatePrompts.load(folder, template, tokens_max=folder.window)
            no = None if template.no is None else prompts.answer_token(template.no)
            answer = AnswerTokens(yes=prompts.answer_token(template.yes), no=no)
            backend = TORCH
            model = PairModel.load(folder, device=device, dtype=dtype, answer=answer)
        divide = 1.0 if template is None else template.divide
        return cls(
            PairScorer(model, divide=divide, weight_of=weight_of),
            prompts,
            name=folder.name,
            revision=folder.revision if backend == TORCH else f"{folder.revision} {folder.revision_of(backend)}",
            order=folder.settings.order,
            cache=cache,
            weight_of=weight_of,
        )


class PairPrompts:
    """The `BuildsPrompts` of a cross-encoder: query and passage as a pair. There is no place for an instruction."""

    format = PAIR_FORMAT
    reads_instruction = False

    def __init__(self, model: PairModel) -> None:
        self._model = model

    @property
    def tokens_max(self) -> int:
        return self._model.tokens_max

    def heads(self, documents: Sequence[FieldLines]) -> list[str]:
        return heads_of(documents, self._model.pieces, tokens_max=self.tokens_max // _FIELDS_SHARE)

    def begin(self, query: str, instruction: str) -> Callable[[Sequence[str]], Prompts]:  # noqa: ARG002  the contract's
        return partial(self._build, query)

    def _build(self, query: str, passages: Sequence[str]) -> Prompts:
        encoded = self._model.encode(query, passages)
        return Prompts(shared=(), tails=encoded.ids, truncated=encoded.truncated, segments=encoded.segments)


class PairScorer(LocalScorer):
    """Scores with a `PairModel`."""

    def __init__(self, model: PairModel, *, divide: float = 1.0, weight_of: Callable[[str], float] = equal) -> None:
        """The model's scores are divided by `divide`."""
        super().__init__(batch_tokens=model.batch_tokens, weight_of=weight_of)
        self._model = model
        self._divide = divide

    @property
    def runs_on(self) -> str:
        return self._model.runs_on

    async def _scores(self, prompts: Prompts, *, turn: Turn) -> Sequence[float]:
        whole = [(*prompts.shared, *tail) for tail in prompts.tails]
        return [score / self._divide for score in await self._model.logits(whole, prompts.segments, turn=turn)]
