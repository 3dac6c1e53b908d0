"""Checks that a vLLM server scores like the reranker in the local folder.

It asks for known pairs and known answers, in the prompts of a search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, Self

from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.prompt import NO, PREFIX, SUFFIX, YES, PromptBuilder
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.known_answers import Text, compare, mismatch
from winnow.retrieval.model.known_pairs import LONG_PAIR, PairAnswer, long_passages, missed_languages
from winnow.retrieval.model.published import Recognised, recognise
from winnow.retrieval.vllm.client import VllmClient
from winnow.retrieval.vllm.server_check import Asked, ServerCheck, pair_answers, texts_to_ask

ALIKE: Final = 1e-4  # of probability; the answers of every working model are apart by hundreds of times that
_CLASSES: Final = '"classifier_from_token":["no","yes"]'
RERANKER_HEAD: Final = (  # JSON: only the rows yes and no of the head
    f'{{"architectures":["Qwen3ForSequenceClassification"],{_CLASSES},"is_original_qwen3_reranker":true}}'
)
RERANKER_FLAGS: Final = f"--runner=pooling --hf-overrides='{RERANKER_HEAD}'"


class RerankerCheck(ServerCheck):
    """Checks the servers of one reranker."""

    unavailable = RerankUnavailable
    flags = RERANKER_FLAGS
    route = "/classify"
    other_route = "/v1/embeddings"
    broken_because = (
        "it does not run as a classifier, its head has other classes, it returns raw logits, or its weights are broken"
    )

    def __init__(self, model: Recognised, folder: ModelFolder, prompts: PromptBuilder) -> None:
        """`prompts` are those used by searches."""
        texts = {text: prompts.scaffold.ids(text) for text in (YES, NO, PREFIX + SUFFIX)}
        super().__init__(model, folder, texts=texts, tokens_max=prompts.tokens_max)
        self.prompts = prompts
        self._asked = texts_to_ask(model)
        self._inputs = [
            ids
            for query, asked in groupby(self._asked, key=itemgetter(0))
            for ids in _inputs(prompts, query, [passage for _, passage in asked])
        ]
        self._long_inputs = _inputs(prompts, LONG_PAIR.query, long_passages(prompts.tokens_max))

    @classmethod
    def load(cls, folder: ModelFolder) -> Self:
        """Prepare the check; calls no server yet. Raises `ModelUnusable`."""
        tokens_max = QwenConfig.read(folder.path).window(folder.settings.max_tokens)
        prompts = PromptBuilder.load(folder.path, tokens_max=tokens_max)
        return cls(recognise(folder, "reranker"), folder, prompts)

    async def _ask(self, client: VllmClient, salt: str, deadline: Deadline) -> Asked:
        scores = await client.classify(self._inputs, salt=salt, deadline=deadline)
        return Asked(scores=dict(zip(self._asked, scores, strict=True)))

    def _cause(self, asked: Asked, dtype: str | None) -> str | None:
        return diagnose(asked.scores, self.model, self._folder.name, dtype=dtype)

    async def _long_answer(self, client: VllmClient, salt: str, deadline: Deadline) -> PairAnswer:
        relevant, irrelevant = await client.classify(self._long_inputs, salt=salt, deadline=deadline)
        return PairAnswer(pair=LONG_PAIR, relevant=relevant, irrelevant=irrelevant)


def _inputs(prompts: PromptBuilder, query: str, passages: Sequence[str]) -> list[tuple[int, ...]]:
    built = prompts.build(query, passages, DEFAULT_INSTRUCTION)
    return [(*built.shared, *tail) for tail in built.tails]


def diagnose(scores: Mapping[Text, float], model: Recognised, name: str, *, dtype: str | None = None) -> str | None:
    """Why a server with these scores cannot be this model, started correctly; None if it can. Pure.

    `name` is that of the folder, `dtype` the number type of the server, if it tells.
    """
    answers = pair_answers(scores)
    first = next((each for each in answers if not each.is_separated), None)
    if first is not None:
        return _disorder(answers, first, name)
    if not model.is_certain:
        return None
    return mismatch(compare(model.known, scores, dtype=dtype), called="scores", model=model.name)


def _disorder(answers: Sequence[PairAnswer], first: PairAnswer, name: str) -> str:
    """Likely cause of scores that do not separate the known pairs."""
    scores = [score for each in answers for score in (each.relevant, each.irrelevant)]
    if max(scores) - min(scores) < ALIKE:
        return (
            f"every score is {scores[0]:.4f}, whatever the input. Probably its head was quantised with the rest (vLLM "
            "did that to heads with one class before its pull request 35849) or its weights were not loaded. Start it "
            f"without --quantization or with a newer vLLM, and with {RERANKER_FLAGS}"
        )
    if all(each.is_reversed for each in answers):
        return (
            f"every known pair is scored in reverse ({first.figures}): the server returns the probability of no. "
            f"Start it with {_CLASSES} in this order: {RERANKER_FLAGS}"
        )
    unread = " and ".join(missed_languages(answers))
    if unread:
        return (
            f"it does not distinguish the known pairs in {unread} ({first.figures}), but does the others. Probably it "
            f"serves another model than {name}, or one that was not trained on that language"
        )
    return (
        f"it does not distinguish the known pairs ({first.figures}): its scores are noise. Probably it serves another "
        f"model than {name}, or its head or weights are broken. Start it with {RERANKER_FLAGS}"
    )
