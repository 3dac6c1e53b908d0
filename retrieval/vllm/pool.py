"""Several vLLM servers of one model: distributes work among them and leaves failing ones alone.

Rule 1: work is counted in tokens. A call goes to the server with the fewest in flight, and waits here, in turn, while
all are full: what waits here can be cancelled at no cost.
Rule 2: work that is too long for one request is sent in slices, all at once, so that several servers share it.
Rule 3: a slice moves to another server only if the first cannot have answered it, and within a budget: when everything
fails, retries make it worse.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import Context
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import numpy as np

from winnow.retrieval.concurrency.fair_limiter import Turn
from winnow.retrieval.concurrency.tasks import gather_or_raise
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import UnavailableError
from winnow.retrieval.records import Vectors
from winnow.retrieval.vllm.client import CallFailed, Fault, VllmClient
from winnow.retrieval.vllm.replica import Patience, Replica, ReplicaReport, Standing

SLICE_TOKENS: Final = 65_536  # tokens in one request to a single server, which fills its batches best from few requests
SHARED_SLICE_TOKENS: Final = 16_384  # the same with several servers
EMBED_SLICE_TOKENS: Final = 8_192  # vLLM's work on the inputs of one request grows with the square of their number
SLICE_INPUTS_MAX: Final = 1_024  # inputs of one request; their vectors are at most 22 MB of reply
IN_FLIGHT_TOKENS_MAX: Final = 131_072  # tokens that one server has in hand; seconds of work, so that it is never idle
_RETRIES_SAVED_MAX: Final = 10.0  # slices that may move at once
_RETRIES_PER_CALL: Final = 0.1  # earned by each slice: in the long run one in ten may move in vain

Answer = TypeVar("Answer")


def _no_wait(_: int) -> AbstractAsyncContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Error classes that a caller wants for failures of its call."""

    timeout: type[UnavailableError]
    overloaded: type[UnavailableError]
    unavailable: type[UnavailableError]
    breaker_open: type[UnavailableError]


class Proof(Protocol):
    """Checks a server with inputs whose answers are known.

    Returns if the answers are right. Raises an `UnavailableError` whose detail has the likely cause and the flags to
    start the server with, or `CallFailed`.
    """

    async def __call__(self, client: VllmClient, deadline: Deadline) -> None: ...


class VllmPool:
    """Servers of one model. Use and `close()` it in one event loop. Calls raise leaves of `failures`."""

    def __init__(
        self,
        urls: Sequence[str],
        failures: Failures,
        *,
        proof: Proof,
        patience: Patience | None = None,
        slice_tokens: int | None = None,
        in_flight_tokens_max: int = IN_FLIGHT_TOKENS_MAX,
    ) -> None:
        assert urls, "a pool has at least one server. This is a bug."
        self._patience = patience or Patience()
        self._replicas = tuple(Replica(VllmClient(url), self._patience) for url in urls)
        self._failures = failures
        self._proof = proof
        self._slice_tokens = slice_tokens or (SLICE_TOKENS if len(urls) == 1 else SHARED_SLICE_TOKENS)
        self._in_flight_tokens_max = in_flight_tokens_max
        self._doubts = 0
        self._retries_saved = _RETRIES_SAVED_MAX
        self._turn = asyncio.Lock()  # fair: first come, first served
        self._changed = asyncio.Event()
        self._proving: dict[Replica, asyncio.Task[None]] = {}
        self._watching: asyncio.Task[None] | None = None

    @property
    def runs_on(self) -> str:
        """For operators."""
        return f"vLLM at {', '.join(replica.client.url for replica in self._replicas)}"

    @property
    def size(self) -> int:
        return len(self._replicas)

    @property
    def doubts(self) -> int:
        """How often a server that had passed its check was rejected at the next one.

        When it changed is unknown, so cached results from before should be computed again.
        """
        return self._doubts

    def report(self) -> tuple[ReplicaReport, ...]:
        return tuple(replica.report for replica in self._replicas)

    async def prepare(self) -> None:
        """Check every server once, so that no caller waits for it. The results are in `report`."""
        for replica in self._replicas:
            self._begin_proving(replica)
        while any(replica.standing is Standing.UNPROVEN for replica in self._replicas):
            await self._changed.wait()

    async def close(self) -> None:
        """Stop background tasks and close all connections."""
        background = [*self._proving.values(), *([self._watching] if self._watching else [])]
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        for replica in self._replicas:
            await replica.client.close()

    async def classify(
        self,
        inputs: Sequence[Sequence[int]],
        *,
        salt: str,
        deadline: Deadline,
        slice_tokens: int | None = None,
        turn: Turn = _no_wait,
    ) -> list[float]:
        """Like `VllmClient.classify`. Each slice waits for its `turn`; `slice_tokens` makes slices shorter."""

        async def ask_part(client: VllmClient, part: Sequence[Sequence[int]]) -> list[float]:
            return await client.classify(part, salt=salt, deadline=deadline)

        parts = await self._distribute(inputs, slice_tokens or self._slice_tokens, ask_part, turn)
        return [score for part in parts for score in part]

    async def embed(self, inputs: Sequence[Sequence[int]], *, width: int, deadline: Deadline) -> Vectors:
        """Like `VllmClient.embed`. No prefixes are shared: an embedder's prompts have hardly any."""

        async def ask_part(client: VllmClient, part: Sequence[Sequence[int]]) -> Vectors:
            return await client.embed(part, width=width, salt=secrets.token_hex(16), deadline=deadline)

        parts = await self._distribute(inputs, min(self._slice_tokens, EMBED_SLICE_TOKENS), ask_part)
        return np.concatenate([np.empty((0, width), dtype=np.float32), *parts])

    async def _distribute(
        self,
        inputs: Sequence[Sequence[int]],
        slice_tokens: int,
        ask: Callable[[VllmClient, Sequence[Sequence[int]]], Awaitable[Answer]],
        turn: Turn = _no_wait,
    ) -> list[Answer]:
        """Return the slices' answers in order. The first failure cancels the others."""

        async def answer(part: Sequence[Sequence[int]]) -> Answer:
            tokens = sum(map(len, part))
            async with turn(tokens):
                return await self._call_any(tokens, lambda client: ask(client, part))

        return await gather_or_raise(answer(part) for part in _cut_slices(inputs, slice_tokens))

    async def _call_any(self, tokens: int, ask: Callable[[VllmClient], Awaitable[Answer]]) -> Answer:
        self._earn(_RETRIES_PER_CALL)
        tried: list[Replica] = []
        while True:
            replica = await self._take_replica(tokens, tried)
            try:
                answer = await self._call(replica, tokens, ask)
            except CallFailed as failed:
                tried.append(replica)
                if not self._may_move(failed, tried):
                    raise self._as_error(failed) from failed
            else:
                self._earn(len(tried))  # there was room elsewhere: that move made nothing worse
                return answer

    def _earn(self, retries: float) -> None:
        self._retries_saved = min(self._retries_saved + retries, _RETRIES_SAVED_MAX)

    def _may_move(self, failed: CallFailed, tried: Sequence[Replica]) -> bool:
        """A server that is gone or busy has computed nothing. One that was silent or broken may have."""
        if failed.fault not in {Fault.GONE, Fault.BUSY} or self._retries_saved < 1.0 or not self._available(tried):
            return False
        self._retries_saved -= 1.0
        return True

    async def _call(self, replica: Replica, tokens: int, ask: Callable[[VllmClient], Awaitable[Answer]]) -> Answer:
        """Call this server, whose account already includes the tokens."""
        began = time.monotonic()
        try:
            answer = await ask(replica.client)
        except CallFailed as failed:
            if failed.fault is Fault.SILENT:
                self._note_silence(replica, began)
            elif replica.failed(failed, since=began):
                self._begin_proving(replica)
            raise
        except asyncio.CancelledError:  # the caller's deadline passed or the caller left: the server may be the reason
            self._note_silence(replica, began)
            raise
        else:
            replica.answered(time.monotonic())
            return answer
        finally:
            replica.tokens_in_flight -= tokens
            self._announce()

    def _note_silence(self, replica: Replica, began: float) -> None:
        now = time.monotonic()
        detail = f"{replica.client.url}: no answer for {now - began:.1f} s"
        if replica.stayed_silent(since=began, now=now, detail=detail):
            self._begin_proving(replica)

    async def _take_replica(self, tokens: int, tried: Sequence[Replica]) -> Replica:
        """Choose the next server and add the tokens to its account. Waits its turn."""
        was_unproven = False
        async with self._turn:
            while True:
                proven = self._available(tried)
                if proven:
                    replica = min(proven, key=lambda each: each.tokens_in_flight)
                    if not replica.tokens_in_flight or replica.tokens_in_flight + tokens <= self._in_flight_tokens_max:
                        replica.tokens_in_flight += tokens
                        return replica
                elif any(replica.standing is Standing.UNPROVEN for replica in self._replicas):
                    was_unproven = True
                    for replica in self._replicas:
                        self._begin_proving(replica)
                else:
                    raise self._unavailable_error(was_unproven=was_unproven)
                await self._changed.wait()

    def _available(self, tried: Sequence[Replica]) -> list[Replica]:
        return [each for each in self._replicas if each.standing is Standing.PROVEN and each not in tried]

    def _unavailable_error(self, *, was_unproven: bool) -> UnavailableError:
        problems = "; ".join(replica.problem for replica in self._replicas if replica.problem)
        return (self._failures.unavailable if was_unproven else self._failures.breaker_open)(problems)

    def _as_error(self, failed: CallFailed) -> UnavailableError:
        kinds = {Fault.SILENT: self._failures.timeout, Fault.BUSY: self._failures.overloaded}
        return kinds.get(failed.fault, self._failures.unavailable)(failed.detail)

    def _announce(self) -> None:
        """Wake all that wait for room or for a check."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _begin_proving(self, replica: Replica) -> None:
        """Check the server in the background until it passes."""
        if replica.standing is not Standing.PROVEN and replica not in self._proving:
            self._announce()
            loop = asyncio.get_running_loop()
            # A request may begin this: the checks are no part of it, nor of its trace.
            self._watching = self._watching or loop.create_task(self._watch(), context=Context())
            task = loop.create_task(self._prove_until_passed(replica), context=Context())
            self._proving[replica] = task
            task.add_done_callback(lambda ended: self._end_proving(replica, ended))

    def _end_proving(self, replica: Replica, task: asyncio.Task[None]) -> None:
        """Restart the check if it crashed or the server was lost again just then; else callers would wait for ever."""
        del self._proving[replica]
        if task.cancelled():
            return
        if (bug := task.exception()) is not None:
            replica.failed_proof(f"{replica.client.url}: its check crashed: {bug!r}. This is a bug.", was_gone=False)
        self._begin_proving(replica)

    async def _watch(self) -> None:
        """Look at idle servers: one that restarts unnoticed would be taken for the one that was checked."""
        while True:
            await asyncio.sleep(self._patience.watch_seconds)
            for replica in self._replicas:
                if replica.standing is Standing.PROVEN and not replica.tokens_in_flight:
                    await self._check_alive(replica)

    async def _check_alive(self, replica: Replica) -> None:
        began = time.monotonic()
        try:
            await replica.client.ping(Deadline.after_ms(1_000.0 * self._patience.proof_seconds_short))
        except CallFailed as failed:
            if replica.was_away(failed, since=began):
                self._begin_proving(replica)

    async def _prove_until_passed(self, replica: Replica) -> None:
        if replica.standing is Standing.LEFT_ALONE:
            await asyncio.sleep(replica.pause)
        while True:
            await self._prove(replica)
            self._announce()
            if replica.standing is Standing.PROVEN:
                return
            await asyncio.sleep(replica.pause)

    async def _prove(self, replica: Replica) -> None:
        began = time.monotonic()
        try:
            await self._proof(replica.client, Deadline.after_ms(1_000.0 * replica.proof_seconds))
        except CallFailed as failed:
            replica.failed_proof(failed.detail, was_gone=failed.fault is Fault.GONE)
        except UnavailableError as refused:
            self._doubts += replica.refused(refused.detail)
        else:
            now = time.monotonic()
            replica.passed(took=now - began, now=now)


def _cut_slices(inputs: Sequence[Sequence[int]], tokens_max: int) -> Iterator[list[Sequence[int]]]:
    """Yield slices in order; an input longer than the limit is a slice by itself."""
    part: list[Sequence[int]] = []
    tokens = 0
    for ids in inputs:
        if part and (tokens + len(ids) > tokens_max or len(part) == SLICE_INPUTS_MAX):
            yield part
            part, tokens = [], 0
        part.append(ids)
        tokens += len(ids)
    if part:
        yield part
