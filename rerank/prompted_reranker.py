"""A reranker that builds prompts, has them scored, and makes a ranking, whatever model scores them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol, Self

from winnow.rerank.admission import AdmissionControl
from winnow.rerank.judgement_cache import PassageScore, ScoreCache, ScoringModel
from winnow.rerank.prompt import BuildsPrompts, PromptBuilder, Prompts
from winnow.rerank.ranking import changes_order, make_ranking, mixture_for
from winnow.rerank.relevance import check_logits
from winnow.rerank.reranker import Ranking
from winnow.retrieval.concurrency.fair_limiter import FairLimiter, LimiterStats, equal
from winnow.retrieval.concurrency.tasks import gather_or_raise
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankTimeout
from winnow.retrieval.limits import RERANK_TOKENS_WAITING_MAX
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import ModelFolder, Order
from winnow.retrieval.records import Candidate
from winnow.retrieval.tracing import INPUT_TOKENS, MODEL, step

_ASCII_PER_TOKEN: Final = 4
_TOKENISED_AT_ONCE: Final = (
    16_384  # tokenised at once while other tenants wait to be tokenised; some hundredths of a second
)
_HEADS_AT_ONCE: Final = 64  # passages; past the deadline the fields of no more are counted
_GROWTH: Final = 2  # factor; 3 and 4 are within 2 % of it on an H200 (bench/RESULTS.md)


class PromptScorer(Protocol):
    """Scores prompts with a model.

    Raises the `RerankError` leaves, or a bare `TimeoutError` past the deadline, which the reranker then describes.
    """

    @property
    def runs_on(self) -> str: ...

    @property
    def portion_tokens(self) -> int | None:
        """Approximate size of the first portion; each later portion is twice as large and several run at once.

        With portions, scoring begins while the rest is still being tokenised. None: everything in one call.
        """
        ...

    @property
    def doubts(self) -> int:
        """Grows whenever earlier scores may have come from another model; cached scores are then dropped."""
        ...

    @property
    def turns(self) -> LimiterStats:
        """Statistics of how tenants share the model."""
        ...

    async def logits(self, prompts: Prompts, *, tenant: str, deadline: Deadline) -> Sequence[float]:
        """Return logit_yes - logit_no at the end of each prompt, in their order.

        Tenants take turns, so none of them can keep the model busy alone.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingReport:
    """What waits for a reranker now, and counters."""

    tokens: int  # of unanswered requests, estimated
    turns: int  # given to tenants
    wait_seconds: float  # before those turns, summed
    refused: int  # requests: no room
    refused_own: int  # requests: the same tenant had too much waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lookup:
    """Cached scores, the passages that have none, and the head of their prompts."""

    known: Mapping[str, PassageScore]
    missing: Sequence[str]
    keys: Sequence[bytes]  # of the missing passages; empty without a cache
    build: Callable[[Sequence[str]], Prompts] | None  # of the missing passages; None if there are none


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    """Every passage's score, and what that cost."""

    scores: Mapping[str, PassageScore]
    remembered: frozenset[str]  # passages whose score came from the cache
    tokens: int


class PromptedReranker:
    """A `Reranker` over a `PromptScorer`: scores each distinct passage once, and caches scores if given a cache."""

    def __init__(
        self,
        scorer: PromptScorer,
        prompts: BuildsPrompts,
        *,
        name: str,
        revision: str,
        order: Order | None = None,
        cache: ScoreCache | None = None,
        tokens_waiting_max: int = RERANK_TOKENS_WAITING_MAX,
        weight_of: Callable[[str], float] = equal,
    ) -> None:
        """Without an `order` the ranking is by relevance alone; without a `cache` nothing is reused.

        `weight_of` is a tenant's weight in the waiting room and in tokenisation.
        """
        self._scorer = scorer
        self._prompts = prompts
        self._name = name
        self._model = ScoringModel(
            name=name, revision=revision, tokens_max=prompts.tokens_max, prompt_format=prompts.format
        )
        self._order = order
        self._cache = cache
        self._room = AdmissionControl(tokens_waiting_max, weight_of=weight_of)
        # One request at a time, tenants in turn: tokenising takes all cores, and the first request should be sent
        # before the second is tokenised.
        self._tokenising = FairLimiter(alone=0, shared=0, weight_of=weight_of)

    @classmethod
    def over(
        cls,
        scorer: PromptScorer,
        folder: ModelFolder,
        *,
        prompts: BuildsPrompts | None = None,
        cache: ScoreCache | None = None,
        tokens_waiting_max: int = RERANK_TOKENS_WAITING_MAX,
        weight_of: Callable[[str], float] = equal,
    ) -> Self:
        """Create a reranker with the window and order of this folder. Raises `ModelUnusable`.

        Without `prompts` they are Qwen3-Reranker's. Pass a builder that exists already: loading a tokenizer takes half
        a second.
        """
        return cls(
            scorer,
            prompts or PromptBuilder.load(folder.path, tokens_max=window_of(folder)),
            name=folder.name,
            revision=folder.revision,
            order=folder.settings.order,
            cache=cache,
            tokens_waiting_max=tokens_waiting_max,
            weight_of=weight_of,
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def revision(self) -> str:
        return f"{self._model.revision} {self._model.prompt_format} {self._model.tokens_max}"

    @property
    def reads_instruction(self) -> bool:
        return self._prompts.reads_instruction

    def changes_order(self, instruction: str) -> bool:
        return changes_order(self._order, instruction)

    @property
    def runs_on(self) -> str:
        """For operators: device and number format, or the servers."""
        return self._scorer.runs_on

    @property
    def waiting(self) -> WaitingReport:
        """For operators: queue length, waiting time and refusals."""
        turns = self._scorer.turns
        return WaitingReport(
            tokens=self._room.tokens,
            turns=turns.turns,
            wait_seconds=turns.wait_seconds,
            refused=self._room.refused,
            refused_own=self._room.refused_own,
        )

    async def rank(
        self,
        query: str,
        candidates: Sequence[Candidate],
        *,
        instruction: str,
        tenant: str,
        deadline: Deadline,
        top_k: int | None = None,  # noqa: ARG002  every candidate is reranked
    ) -> Ranking:
        """Rank within the deadline or raise `RerankTimeout`. Past the deadline only work in progress is finished."""
        limit = None if math.isinf(deadline.at) else deadline.remaining_seconds
        try:
            async with asyncio.timeout(limit):
                return await self._rank(query, candidates, instruction, tenant, deadline)
        except TimeoutError as error:
            raise RerankTimeout(f"{len(candidates)} candidates for {self._name} on {self.runs_on}") from error

    async def _rank(
        self, query: str, candidates: Sequence[Candidate], instruction: str, tenant: str, deadline: Deadline
    ) -> Ranking:
        heads = await self._heads(candidates)
        passages = [head + each.chunk.passage for head, each in zip(heads, candidates, strict=True)]
        scored = await self._score(query, list(dict.fromkeys(passages)), instruction, tenant, deadline)
        scores = [scored.scores[passage] for passage in passages]
        mixture = mixture_for(self._order, instruction)
        ranked = partial(
            make_ranking,
            candidates,
            [score.logit for score in scores],
            judged_by=self._name,
            query=query,
            truncated=[score.truncated for score in scores],
            fields=heads,
            tokens=scored.tokens,
            tokens_read=_tokens_read(scored.scores.values()),
            remembered=sum(passage in scored.remembered for passage in passages),
            instruction_applied=self.reads_instruction,
            mixture=mixture,
        )
        return ranked() if mixture is None else await asyncio.to_thread(ranked)  # it may read long texts

    async def _heads(self, candidates: Sequence[Candidate]) -> Sequence[str]:
        """Return what stands before each candidate's title and text: a part of the passage, so of the cache's key."""
        if not any(each.fields.lines for each in candidates):
            return [""] * len(candidates)
        heads: list[str] = []
        for start in range(0, len(candidates), _HEADS_AT_ONCE):
            fields = [each.fields for each in candidates[start : start + _HEADS_AT_ONCE]]
            heads += await asyncio.to_thread(self._prompts.heads, fields)
        return heads

    async def _score(
        self, query: str, passages: Sequence[str], instruction: str, tenant: str, deadline: Deadline
    ) -> _Scored:
        """Score distinct passages: only those not in the cache, which are stored once all of them are scored."""
        lookup = await asyncio.to_thread(self._look_up, query, passages, instruction, tenant)
        known, missing, build = lookup.known, lookup.missing, lookup.build
        if build is None:  # the scorer is not called, so its queue and its failures do not matter
            return _Scored(scores=known, remembered=frozenset(known), tokens=0)

        async def portion(part: Sequence[str]) -> tuple[Prompts, list[float]]:
            prompts = await self._tokenise(build, part, tenant)
            with step("score") as scoring:
                scoring.note({MODEL: self._name, INPUT_TOKENS: prompts.tokens})
                logits = await self._scorer.logits(prompts, tenant=tenant, deadline=deadline)
            return prompts, check_logits(logits, expected=len(part))

        # While more of the same tenant waits, the model is busy anyway: an early start gains nothing, and the rest
        # would queue behind what the tenant's other requests have sent in the meantime.
        first = None if self._room.tokens_of(tenant) else self._scorer.portion_tokens
        with self._room.admitted(tenant, sum(map(_tokens_about, missing))):
            parts = await gather_or_raise(portion(part) for part in _portions(missing, first))
        fresh = [
            PassageScore(logit=logit, truncated=was_cut, tokens=len(tail), shared_tokens=len(prompts.shared))
            for prompts, logits in parts
            for logit, was_cut, tail in zip(logits, prompts.truncated, prompts.tails, strict=True)
        ]
        if self._cache is not None:
            self._cache.remember(lookup.keys, fresh)
        return _Scored(
            scores={**known, **dict(zip(missing, fresh, strict=True))},
            remembered=frozenset(known),
            tokens=sum(prompts.tokens for prompts, _ in parts) - (len(parts) - 1) * len(parts[0][0].shared),
        )

    def _look_up(self, query: str, passages: Sequence[str], instruction: str, tenant: str) -> _Lookup:
        """Look passages up in the cache. Reads every passage: call it in a thread."""
        if self._cache is None:
            build = self._prompts.begin(query, instruction) if passages else None
            return _Lookup(known={}, missing=passages, keys=(), build=build)
        model = replace(self._model, doubts=self._scorer.doubts)
        every = self._cache.keys(passages, query=query, instruction=instruction, tenant=tenant, model=model)
        found = self._cache.find(every)
        known = {passage: score for passage, score in zip(passages, found, strict=True) if score is not None}
        missing = [passage for passage in passages if passage not in known]
        return _Lookup(
            known=known,
            missing=missing,
            keys=[key for key, score in zip(every, found, strict=True) if score is None],
            build=self._prompts.begin(query, instruction) if missing else None,
        )

    async def _tokenise(
        self, build: Callable[[Sequence[str]], Prompts], passages: Sequence[str], tenant: str
    ) -> Prompts:
        """Tokenise in a thread, taking turns with other tenants; in pieces while others wait."""
        piece_tokens = _TOKENISED_AT_ONCE if self._tokenising.is_shared_with(tenant) else None
        pieces = []
        for piece in _portions(passages, piece_tokens, growth=1):
            async with self._tokenising.turn(tenant, sum(map(_tokens_about, piece))):
                with step("tokenise"):
                    pieces.append(await asyncio.to_thread(build, piece))
        return Prompts.joined(pieces)


def _tokens_read(scores: Collection[PassageScore]) -> int:
    """Tokens of all prompts, with the part that they share counted once."""
    return max((score.shared_tokens for score in scores), default=0) + sum(score.tokens for score in scores)


def window_of(folder: ModelFolder) -> int:
    """Longest prompt of a Qwen3 model in tokens. Raises `ModelUnusable`."""
    return QwenConfig.read(folder.path).window(folder.settings.max_tokens)


def _tokens_about(text: str) -> int:
    """Estimate tokens without tokenising, which an overloaded service should not start: English letters, or Chinese."""
    return 1 + len(text) // (_ASCII_PER_TOKEN if text.isascii() else 1)


def _portions(passages: Sequence[str], tokens_first: int | None, *, growth: int = _GROWTH) -> Iterator[Sequence[str]]:
    """Yield slices in order, each about `growth` times as large as the one before. None: one slice."""
    if tokens_first is None:
        yield passages
        return
    begin, tokens, tokens_wanted = 0, 0, tokens_first
    for end, passage in enumerate(passages, start=1):
        tokens += _tokens_about(passage)
        if tokens >= tokens_wanted:
            yield passages[begin:end]
            begin, tokens, tokens_wanted = end, 0, growth * tokens_wanted
    if begin < len(passages):
        yield passages[begin:]
