"""Checks that a vLLM server gives what the model in the local folder would give, before its first answer is used.

A server that was started with the wrong flags, or with another model, answers every request with status 200 and numbers
of the right shape. The check therefore first reads what the server says about itself, then asks it for known pairs
(retrieval/model/known_pairs.py) and for the answers that its model is known to give
(retrieval/model/known_answers.py). A refusal says what was seen, the likely cause, and the flags to start it with.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import UnavailableError
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.known_answers import Text
from winnow.retrieval.model.known_pairs import LONG_PROOF_SECONDS, PAIRS, PairAnswer
from winnow.retrieval.model.published import Recognised
from winnow.retrieval.vllm.client import CallFailed, Fault, ServerFacts, VllmClient
from winnow.retrieval.vllm.identity import (
    describe_split_fault,
    may_split_wrongly,
    missing_route,
    model_mismatch,
    short_window,
    split_fault,
    tokenizer_mismatch,
)

Texts = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A server's answers."""

    scores: dict[Text, float]  # of the known pairs and of the known answers
    without_end: float | None = None  # of an embedder: cosine of a long text with its end mark and without


def texts_to_ask(model: Recognised) -> list[Text]:
    """The known pairs and the known answers, each once."""
    pairs = [(pair.query, passage) for pair in PAIRS for passage in (pair.relevant, pair.irrelevant)]
    return list(dict.fromkeys([*pairs, *(each.text for each in model.known.answers)]))


def pair_answers(scores: Mapping[Text, float]) -> list[PairAnswer]:
    """The answers to the known pairs among these."""
    return [
        PairAnswer(
            pair=pair, relevant=scores[pair.query, pair.relevant], irrelevant=scores[pair.query, pair.irrelevant]
        )
        for pair in PAIRS
    ]


class ServerCheck(ABC):
    """Common part of the checks of both kinds of model; implements `Proof` (retrieval/vllm/pool.py)."""

    unavailable: type[UnavailableError]  # raised when a server is rejected
    flags: str  # for starting such a server
    route: str  # route that identifies such a server; not the one that is called, which other kinds of model have, too
    other_route: str  # route of the other kind of server
    broken_because: str  # likely causes of an invalid answer

    def __init__(self, model: Recognised, folder: ModelFolder, *, texts: Texts, tokens_max: int) -> None:
        """`texts` with their token ids; `tokens_max` is the longest input that will be sent."""
        self.model = model
        self._folder = folder
        self._texts = texts
        self._tokens_max = tokens_max

    async def __call__(self, client: VllmClient, deadline: Deadline) -> None:
        """Check one server. Raises `unavailable` with the cause, or `CallFailed`."""
        facts = await client.facts(deadline)
        cause = (
            self._check_facts(facts)
            or await self._check_tokenizer(client, deadline)
            or await self._check_answers(client, facts, deadline)
            or await self._check_long_inputs(client, facts, deadline)
        )
        if cause is not None:
            raise self.unavailable(f"the server {client.url} was rejected: {cause}")

    async def scores(self, client: VllmClient, deadline: Deadline) -> dict[Text, float]:
        """Ask for the known pairs and known answers, whatever the server may be. Raises `CallFailed`."""
        return (await self._ask(client, secrets.token_hex(16), deadline)).scores

    @abstractmethod
    async def _ask(self, client: VllmClient, salt: str, deadline: Deadline) -> Asked:
        """Ask for the known pairs and the known answers."""

    @abstractmethod
    def _cause(self, asked: Asked, dtype: str | None) -> str | None:
        """Why a server with these answers cannot be this model, started correctly; None if it can."""

    @abstractmethod
    async def _long_answer(self, client: VllmClient, salt: str, deadline: Deadline) -> PairAnswer:
        """Ask for the pair that is as long as the model's window."""

    def _check_facts(self, facts: ServerFacts) -> str | None:
        return (
            missing_route(facts, wanted=self.route, instead=self.other_route, flags=self.flags, general="/pooling")
            or model_mismatch(facts, self._folder)
            or short_window(facts, self._folder, tokens_max=self._tokens_max)
            or split_fault(facts)
        )

    async def _check_tokenizer(self, client: VllmClient, deadline: Deadline) -> str | None:
        """Compare token ids: a server with another tokenizer has another model, or builds another head."""
        for text, ours in self._texts.items():
            found = tokenizer_mismatch(text, await client.tokenise(text, deadline), ours, self._folder)
            if found:
                return found
        return None

    async def _check_answers(self, client: VllmClient, facts: ServerFacts, deadline: Deadline) -> str | None:
        """With a random salt, so that the server computes and does not use its cache."""
        try:
            return self._cause(await self._ask(client, secrets.token_hex(16), deadline), facts.dtype)
        except CallFailed as failed:
            if failed.fault is not Fault.BROKEN:
                raise
            because = self.broken_because.format(model=self._folder.name)
            raise self.unavailable(
                f"the server {client.url} was rejected: {failed.detail}. Probably {because}. Start it with {self.flags}"
            ) from failed

    async def _check_long_inputs(self, client: VllmClient, facts: ServerFacts, deadline: Deadline) -> str | None:
        """Once per start, and only if this vLLM may split inputs into several steps and does that wrongly."""
        if not may_split_wrongly(facts) or deadline.remaining_seconds < LONG_PROOF_SECONDS:
            return None
        answer = await self._long_answer(client, secrets.token_hex(16), deadline)
        return None if answer.is_separated else describe_split_fault(facts, answer.figures)
