"""Checks that a vLLM server scores like the reranker in the local folder, before its first score is used.

A server that was started with the wrong flags answers every request with status 200 and a number in [0, 1]. The check
therefore first reads what the server says about itself, then has it score known pairs (retrieval/model/known_pairs.py)
in the exact prompts of a search. A refusal says what was seen, the likely cause, and the flags to start the server
with.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final, Self

from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.prompt import NO, PREFIX, SUFFIX, YES, PromptBuilder
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.known_pairs import (
    LONG_PAIR,
    LONG_PROOF_SECONDS,
    PAIRS,
    PairAnswer,
    long_passages,
    other_answers,
    refuse_other_pairs,
    unread_languages,
)
from winnow.retrieval.vllm.client import CallFailed, Fault, ServerFacts, VllmClient
from winnow.retrieval.vllm.identity import (
    another_model,
    another_tokenizer,
    may_split_wrongly,
    split_seen,
    splits_wrongly,
    too_short,
    without_route,
)

DEPARTURE_MAX: Final = 0.05  # of probability; bfloat16 moves our model's answers by 0.01, another model by more
ALIKE: Final = 1e-4  # of probability; the answers of every working model are apart by hundreds of times that
_CLASSES: Final = '"classifier_from_token":["no","yes"]'
RERANKER_HEAD: Final = (  # JSON: only the rows yes and no of the head
    f'{{"architectures":["Qwen3ForSequenceClassification"],{_CLASSES},"is_original_qwen3_reranker":true}}'
)
RERANKER_FLAGS: Final = f"--runner=pooling --hf-overrides='{RERANKER_HEAD}'"


class RerankerCheck:
    """A `Proof` of one reranker's servers."""

    def __init__(self, folder: ModelFolder, prompts: PromptBuilder) -> None:
        """`prompts` are those used by searches."""
        self.prompts = prompts
        self._folder = folder
        self._asked = [
            (*prompt.shared, *tail)
            for pair in PAIRS
            for prompt in (prompts.build(pair.query, (pair.relevant, pair.irrelevant), DEFAULT_INSTRUCTION),)
            for tail in prompt.tails
        ]
        long = prompts.build(LONG_PAIR.query, long_passages(prompts.tokens_max), DEFAULT_INSTRUCTION)
        self._long = [(*long.shared, *tail) for tail in long.tails]
        self._scaffold = {text: prompts.scaffold.ids(text) for text in (YES, NO, PREFIX + SUFFIX)}

    @classmethod
    def load(cls, folder: ModelFolder) -> Self:
        """Prepare the check; calls no server yet. Raises `ModelUnusable`."""
        refuse_other_pairs(folder)
        tokens_max = QwenConfig.read(folder.path).window(folder.settings.max_tokens)
        return cls(folder, PromptBuilder.load(folder.path, tokens_max=tokens_max))

    async def __call__(self, client: VllmClient, deadline: Deadline) -> None:
        """Check one server. Raises `RerankUnavailable` with the cause, or `CallFailed`."""
        facts = await client.facts(deadline)
        cause = (
            self._check_facts(facts)
            or await self._check_tokenizer(client, deadline)
            or cause_of(await self._answers(client, deadline), self._folder)
            or await self._check_long_inputs(client, facts, deadline)
        )
        if cause is not None:
            raise RerankUnavailable(f"the server {client.url} was rejected: {cause}")

    def _check_facts(self, facts: ServerFacts) -> str | None:
        return (
            without_route(facts, wanted="/classify", instead="/v1/embeddings", flags=RERANKER_FLAGS, general="/pooling")
            or another_model(facts, self._folder)
            or too_short(facts, self._folder, tokens_max=self.prompts.tokens_max)
            or splits_wrongly(facts)
        )

    async def _check_long_inputs(self, client: VllmClient, facts: ServerFacts, deadline: Deadline) -> str | None:
        """Once per start, and only if this vLLM may split inputs into several steps and does that wrongly."""
        if not may_split_wrongly(facts) or deadline.remaining_seconds < LONG_PROOF_SECONDS:
            return None
        relevant, irrelevant = await client.classify(self._long, salt=secrets.token_hex(16), deadline=deadline)
        answer = PairAnswer(pair=LONG_PAIR, relevant=relevant, irrelevant=irrelevant)
        return None if answer.is_separated else split_seen(facts, answer.figures)

    async def _check_tokenizer(self, client: VllmClient, deadline: Deadline) -> str | None:
        """Compare token ids: the server builds its head from what its own tokenizer calls yes and no."""
        for text, ours in self._scaffold.items():
            found = another_tokenizer(text, await client.tokens_of(text, deadline), ours, self._folder)
            if found:
                return found
        return None

    async def _answers(self, client: VllmClient, deadline: Deadline) -> list[PairAnswer]:
        """Score the known pairs with a random salt, so that the server computes and does not use its cache."""
        try:
            scores = await client.classify(self._asked, salt=secrets.token_hex(16), deadline=deadline)
        except CallFailed as failed:
            if failed.fault is not Fault.BROKEN:
                raise
            raise RerankUnavailable(
                f"{failed.detail}; the server was rejected. Probably it does not run as a classifier, its head has "
                f"other classes, it returns raw logits, or its weights are broken. Start it with {RERANKER_FLAGS}"
            ) from failed
        return [
            PairAnswer(pair=pair, relevant=relevant, irrelevant=irrelevant)
            for pair, relevant, irrelevant in zip(PAIRS, scores[::2], scores[1::2], strict=True)
        ]


def cause_of(answers: Sequence[PairAnswer], folder: ModelFolder) -> str | None:
    """Why a server with these answers cannot be this model, started correctly; None if it can. Pure."""
    first = next((each for each in answers if not each.is_separated), None)
    if first is None:
        reference = folder.settings.known_answers
        return other_answers(answers, reference, apart_max=DEPARTURE_MAX, called="scores", model=folder.name)
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
    unread = " and ".join(unread_languages(answers))
    if unread:
        return (
            f"it does not distinguish the known pairs in {unread} ({first.figures}), but does the others. Probably it "
            f"serves another model than {folder.name}, or one that was not trained on that language"
        )
    return (
        f"it does not distinguish the known pairs ({first.figures}): its scores are noise. Probably it serves another "
        f"model than {folder.name}, or its head or weights are broken. Start it with {RERANKER_FLAGS}"
    )
