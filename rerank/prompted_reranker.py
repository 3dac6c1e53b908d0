"""Prompts in, judgements out, a ranking made of them: what is the same whoever reads the prompts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, Self

from winnow.rerank.admission import WaitingRoom
from winnow.rerank.judgement_cache import Judgement, JudgementCache, JudgingModel
from winnow.rerank.prompt import PromptBuilder, Prompts
from winnow.rerank.ranking import changes_order, mixture_under, ranking_of
from winnow.rerank.relevance import checked_logits
from winnow.rerank.reranker import Ranking
from winnow.retrieval.concurrency.fair_limiter import Turns, TurnsReport, equal
from winnow.retrieval.concurrency.tasks import together
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankTimeout
from winnow.retrieval.limits import RERANK_TOKENS_WAITING_MAX
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.model.folder import ModelFolder, Order
from winnow.retrieval.records import Candidate

_ASCII_PER_TOKEN: Final = 4
_READ_TOKENS: Final = 16_384  # tokens read at once where others want to be read too; some hundredths of a second
_GROWTH: Final = 2  # times; 3 or 4 are within 2 % of it on an H200 (bench/RESULTS.md)


class Judge(Protocol):
    """Reads prompts and says yes or no, by how much.

    Raises the `RerankError` leaves, or a bare `TimeoutError` past the deadline: the reranker says whose.
    """

    @property
    def runs_on(self) -> str: ...

    @property
    def portion_tokens(self) -> int | None:
        """None: everything in one call. Else about so many tokens in the first and twice as many in each that
        follows, several calls at once: it begins while the rest is still being tokenised.
        """
        ...

    @property
    def doubts(self) -> int:
        """Grows when what it said before may have been said by another model; it is not remembered any longer."""
        ...

    @property
    def turns(self) -> TurnsReport:
        """Of the turns that tenants take with it."""
        ...

    async def logits(self, prompts: Prompts, *, tenant: str, deadline: Deadline) -> Sequence[float]:
        """logit_yes - logit_no at the end of each prompt, in their order.

        On behalf of `tenant`, and in turn with others, so that none of them can keep it busy alone.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingReport:
    """What waits for a reranker at this moment; everything else only grows."""

    tokens: int  # of requests that are not answered yet, about
    turns: int  # that tenants were given
    wait_seconds: float  # until they had them, of all together
    refused: int  # requests, for want of room
    refused_own: int  # requests, for what the same tenant had waiting already


@dataclass(frozen=True, slots=True, kw_only=True)
class _LookedUp:
    """What is known of some passages, which are not known, and how their prompts begin."""

    known: Mapping[str, Judgement]
    missing: Sequence[str]
    keys: Sequence[bytes]  # of the missing ones; none where nothing is to be remembered
    head: Sequence[int]  # the ids of instruction and query, which the missing ones' prompts share; none without any


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """Every passage's judgement, and what that cost."""

    judgements: Mapping[str, Judgement]
    remembered: frozenset[str]  # the passages that were not judged again
    tokens: int


class PromptedReranker:
    """A `Reranker` on a `Judge`: every different passage is judged once, and with a cache not again for a while."""

    def __init__(
        self,
        judge: Judge,
        prompts: PromptBuilder,
        *,
        name: str,
        revision: str,
        order: Order | None = None,
        cache: JudgementCache | None = None,
        tokens_waiting_max: int = RERANK_TOKENS_WAITING_MAX,
        weight_of: Callable[[str], float] = equal,
    ) -> None:
        """Without an `order` it orders by relevance alone; without a cache nothing is remembered.

        `weight_of` says how large a tenant's share of the waiting room is, and of the reading.
        """
        self._judge = judge
        self._prompts = prompts
        self._name = name
        self._model = JudgingModel(name=name, revision=revision, tokens_max=prompts.tokens_max)
        self._order = order
        self._cache = cache
        self._room = WaitingRoom(tokens_waiting_max, weight_of=weight_of)
        # One after the other, the tenants in turn: tokenising takes all cores, and the first is to be sent before the
        # second is read.
        self._reading = Turns(alone=0, shared=0, weight_of=weight_of)

    @classmethod
    def over(
        cls,
        judge: Judge,
        folder: ModelFolder,
        *,
        prompts: PromptBuilder | None = None,
        cache: JudgementCache | None = None,
        tokens_waiting_max: int = RERANK_TOKENS_WAITING_MAX,
        weight_of: Callable[[str], float] = equal,
    ) -> Self:
        """With the tokenizer, window and order of this folder. Raises `ModelUnusable`.

        `prompts` are this folder's, where somebody has made them already: reading a tokenizer takes half a second.
        """
        tokens_max = QwenConfig.read(folder.path).window(folder.settings.max_tokens)
        return cls(
            judge,
            prompts or PromptBuilder.load(folder.path, tokens_max=tokens_max),
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

    def changes_order(self, instruction: str) -> bool:
        return changes_order(self._order, instruction)

    @property
    def runs_on(self) -> str:
        """For the operator: where, and in which type of numbers or by what."""
        return self._judge.runs_on

    @property
    def waiting(self) -> WaitingReport:
        """For the operator: how much waits, how long, and what was refused."""
        turns = self._judge.turns
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
        judged = await self._judged(query, list(dict.fromkeys(passages)), instruction, tenant, deadline)
        judgements = [judged.judgements[passage] for passage in passages]
        return ranking_of(
            candidates,
            [judgement.logit for judgement in judgements],
            judged_by=self._name,
            truncated=[judgement.truncated for judgement in judgements],
            tokens=judged.tokens,
            remembered=sum(passage in judged.remembered for passage in passages),
            mixture=mixture_under(self._order, instruction),
        )

    async def _judged(
        self, query: str, passages: Sequence[str], instruction: str, tenant: str, deadline: Deadline
    ) -> _Judged:
        """Different passages; only those that are not known are judged, and remembered once all of them are."""
        looked_up = await asyncio.to_thread(self._looked_up, query, passages, instruction, tenant)
        known, missing = looked_up.known, looked_up.missing
        if not missing:  # the judge is not asked: its queue and its failures are of no concern
            return _Judged(judgements=known, remembered=frozenset(known), tokens=0)

        async def portion(part: Sequence[str]) -> tuple[Prompts, list[float]]:
            prompts = await self._read(looked_up.head, part, tenant)
            said = await self._judge.logits(prompts, tenant=tenant, deadline=deadline)
            return prompts, checked_logits(said, expected=len(part))

        # Where more of the same tenant waits, the judge computes already: an early beginning gains nothing then, and
        # the rest would stand behind what the tenant's other requests have sent meanwhile.
        first = None if self._room.tokens_of(tenant) else self._judge.portion_tokens
        with self._room.admitted(tenant, sum(map(_tokens_about, missing))):
            parts = await together(portion(part) for part in _portions(missing, first))
        judged = [
            Judgement(logit=logit, truncated=was_cut)
            for prompts, logits in parts
            for logit, was_cut in zip(logits, prompts.truncated, strict=True)
        ]
        if self._cache is not None:
            self._cache.remember(looked_up.keys, judged)
        return _Judged(
            judgements={**known, **dict(zip(missing, judged, strict=True))},
            remembered=frozenset(known),
            tokens=sum(prompts.tokens for prompts, _ in parts) - (len(parts) - 1) * len(parts[0][0].shared),
        )

    def _looked_up(self, query: str, passages: Sequence[str], instruction: str, tenant: str) -> _LookedUp:
        """Reads every passage; in a thread."""
        if self._cache is None:
            head = self._prompts.head(query, instruction) if passages else ()
            return _LookedUp(known={}, missing=passages, keys=(), head=head)
        model = replace(self._model, doubts=self._judge.doubts)
        every = self._cache.keys(passages, query=query, instruction=instruction, tenant=tenant, model=model)
        found = self._cache.find(every)
        known = {
            passage: judgement for passage, judgement in zip(passages, found, strict=True) if judgement is not None
        }
        missing = [passage for passage in passages if passage not in known]
        return _LookedUp(
            known=known,
            missing=missing,
            keys=[key for key, judgement in zip(every, found, strict=True) if judgement is None],
            head=self._prompts.head(query, instruction) if missing else (),
        )

    async def _read(self, head: Sequence[int], passages: Sequence[str], tenant: str) -> Prompts:
        """Tokenised in a thread, in turn with others; in pieces where there are any."""
        piece_tokens = _READ_TOKENS if self._reading.is_shared_with(tenant) else None
        pieces = []
        for piece in _portions(passages, piece_tokens, growth=1):
            async with self._reading.turn(tenant, sum(map(_tokens_about, piece))):
                pieces.append(await asyncio.to_thread(self._prompts.after, head, piece))
        return Prompts(
            shared=pieces[0].shared,
            tails=tuple(tail for each in pieces for tail in each.tails),
            truncated=tuple(was_cut for each in pieces for was_cut in each.truncated),
        )


def _tokens_about(text: str) -> int:
    """Without tokenising, which is work that a full service should not begin: letters of English, or of Chinese."""
    return 1 + len(text) // (_ASCII_PER_TOKEN if text.isascii() else 1)


def _portions(passages: Sequence[str], tokens_first: int | None, *, growth: int = _GROWTH) -> Iterator[Sequence[str]]:
    """In their order, each about `growth` times as long as the one before; None is all at once."""
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
