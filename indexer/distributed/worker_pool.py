"""Gives windows to workers, any of which may be lost.

Rule 1: a window is embedded by one worker in one call, so its vectors are the local engine's to the bit.
Rule 2: the earliest window goes first, and to the worker that has least to do. So a window that is sent again, for
which all later commits wait, overtakes those that wait for their first turn.
Rule 3: a worker holds at most two windows: it computes one, and the next is there already.
Rule 4: each place of a lost worker is filled again as soon as there is room. The run fails only if there was no worker
for a while, if no worker can load the model, or if one window loses worker after worker.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from winnow.indexer.distributed.workers import (
    EngineReport,
    LoadedModel,
    Worker,
    WorkerCount,
    WorkerLost,
    require_model,
    require_version,
)
from winnow.retrieval.embed.embedder import DEFAULT_TASK, EmbedderIdentity, Embeddings, Passage
from winnow.retrieval.errors import EmbedderUnavailable

WINDOWS_PER_WORKER: Final = 2  # windows; with one, a worker is idle while its answer travels
WINDOWS_HELD_PER_WORKER: Final = 3  # windows between reading and commit: two at the worker, one to be committed
LOSSES_MAX: Final = 4  # workers that one window may lose; it probably kills them, by its memory
STARTS_MAX: Final = 3  # starts per place that may fail in a row while there is no worker
PATIENCE_SECONDS: Final = 120.0  # without a worker; a node of a cloud is back after that, or is not coming
RESTART_SECONDS: Final = 1.0  # pause after a worker was lost while it started


@dataclass(slots=True, kw_only=True, eq=False)
class _Place:
    """A worker that has loaded the model."""

    worker: Worker
    loaded: LoadedModel
    load: int = 0  # windows that it holds
    windows: int = 0  # that it has computed
    lost: asyncio.Event = field(default_factory=asyncio.Event)


class WorkerPool:
    """An `Embedder` over workers; each call for passages is a window. Use it in an `async with` block."""

    def __init__(
        self,
        start: Callable[[], Awaitable[Worker]],
        *,
        identity: EmbedderIdentity,
        version: str,
        wanted: int,
        tokenizer: object = None,
        needs: str = "",
        tell: Callable[[str], None] = lambda _: None,
        patience_seconds: float = PATIENCE_SECONDS,
        restart_seconds: float = RESTART_SECONDS,
    ) -> None:
        """`start` starts one worker, as soon as there is room for it. Model and version must be equal at all workers.

        `tokenizer` is the model's, for passages that this process has tokenised: workers need not do so again. `needs`
        tells operators what a worker occupies. `tell` receives sentences about workers that come and go.
        """
        assert wanted > 0, "a run without workers cannot end. This is a bug."
        self._start = start
        self._identity = identity
        self._version = version
        self._wanted = wanted
        self._tokenizer = tokenizer
        self._needs = needs
        self._tell = tell
        self._patience_seconds = patience_seconds
        self._restart_seconds = restart_seconds
        self._places: list[_Place] = []  # in order of arrival
        self._lost: list[_Place] = []
        self._waiting: list[tuple[int, asyncio.Future[_Place]]] = []  # a heap by the window's number
        self._numbered = 0  # windows so far
        self._sent_again = 0
        self._loading = 0  # workers that load their model
        self._failed_starts = 0  # in a row
        self._last_reason = ""
        self._failure: BaseException | None = None
        self._arrived = asyncio.Event()  # of the first worker, or of the failure
        self._deadline: asyncio.TimerHandle | None = None
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def identity(self) -> EmbedderIdentity:
        return self._identity

    @property
    def windows_max(self) -> int:
        """Windows that the run may hold between reading and commit."""
        return WINDOWS_HELD_PER_WORKER * self._wanted

    async def __aenter__(self) -> Self:
        """Wait for the first worker. Raises what the pool fails with."""
        self._await_worker()
        self._keepers = [asyncio.create_task(self._keep()) for _ in range(self._wanted)]
        for keeper in self._keepers:
            keeper.add_done_callback(self._keeper_ended)
        try:
            await self._arrived.wait()
            self._require_working()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop all workers."""
        if self._deadline is not None:
            self._deadline.cancel()
        for keeper in self._keepers:
            keeper.cancel()
        if self._keepers:
            await asyncio.wait(self._keepers)
        for place in self._places:
            place.worker.stop()

    async def embed_queries(self, texts: Sequence[str], task: str = DEFAULT_TASK) -> Embeddings:
        raise NotImplementedError("workers embed passages only. This is a bug.")

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        return await self.embed_tokenised([Passage(text=text) for text in texts])

    @property
    def tokenizer(self) -> object:
        return self._tokenizer

    async def embed_tokenised(self, passages: Sequence[Passage]) -> Embeddings:
        """Embed one window; windows are numbered in the order of these calls."""
        number = self._numbered
        self._numbered += 1
        reason = ""
        for attempt in range(LOSSES_MAX):
            place = await self._turn(number)
            self._sent_again += attempt > 0
            try:
                found = await place.worker.embed(passages)
            except WorkerLost as lost:
                reason = lost.reason
                self._lose(place, lost)
            else:
                place.windows += 1
                return found
            finally:
                self._leave(place)
        raise EmbedderUnavailable(
            f"window {number + 1} of this run lost {LOSSES_MAX} workers, one after the other. The last one: {reason}"
        )

    def describe(self) -> str:
        """The state of the workers, for a line of progress."""
        alive = len(self._places)
        some = f"{alive} of {self._wanted} workers" if alive < self._wanted else f"{alive} worker{'s' * (alive > 1)}"
        windows = f"{self._sent_again} window{'s' * (self._sent_again > 1)} sent again"
        return f"{some} · {windows}" if self._sent_again else some

    def report(self, name: str, address: str | None) -> EngineReport:
        workers = [
            WorkerCount(
                name=each.worker.name, runs_on=each.loaded.runs_on, windows=each.windows, lost=each.lost.is_set()
            )
            for each in (*self._lost, *self._places)
        ]
        return EngineReport(name=name, address=address, windows_sent_again=self._sent_again, workers=workers)

    async def _turn(self, number: int) -> _Place:
        """Wait for a worker that has room, and occupy it until `_leave`."""
        self._require_working()
        turn: asyncio.Future[_Place] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (number, turn))
        self._assign()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave(turn.result())  # it was this window's turn in the very moment
            raise

    def _assign(self) -> None:
        while self._waiting and self._places:
            place = min(self._places, key=lambda each: each.load)
            if place.load >= WINDOWS_PER_WORKER:
                return
            _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                place.load += 1
                turn.set_result(place)

    def _leave(self, place: _Place) -> None:
        place.load -= 1
        self._assign()

    async def _keep(self) -> None:
        """Keep one place occupied. Ends by an error that no other worker would avoid."""
        while True:
            try:
                place = await self._load(await self._start())
            except WorkerLost as lost:
                self._start_failed(lost)
                await asyncio.sleep(self._restart_seconds)
                continue
            self._join(place)
            await place.lost.wait()

    async def _load(self, worker: Worker) -> _Place:
        self._loading += 1
        self._found_worker()  # loading takes as long as it takes
        try:
            require_version(worker, self._version)
            loaded = await worker.load()
            require_model(worker, loaded, self._identity)
        except BaseException:
            worker.stop()
            raise
        finally:
            self._loading -= 1
        return _Place(worker=worker, loaded=loaded)

    def _join(self, place: _Place) -> None:
        self._places.append(place)
        self._failed_starts = 0
        self._found_worker()
        self._arrived.set()
        self._assign()

    def _lose(self, place: _Place, lost: WorkerLost) -> None:
        """Remove the worker; each of its windows calls this."""
        if place.lost.is_set():
            return
        place.lost.set()
        self._places.remove(place)
        self._lost.append(place)
        self._last_reason = lost.reason
        place.worker.stop()
        self._tell(f"Lost worker {place.worker.name}: {lost.reason}. Its windows are sent to another one.")
        self._await_worker()

    def _start_failed(self, lost: WorkerLost) -> None:
        self._failed_starts += 1
        self._last_reason = lost.reason
        self._await_worker()
        if not self._places and self._failed_starts >= STARTS_MAX * self._wanted:
            self._fail(EmbedderUnavailable(f"no worker can start: {lost.reason}"))

    def _await_worker(self) -> None:
        """If there is no worker, fail after a while."""
        if not self._places and not self._loading and self._deadline is None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._patience_seconds, self._give_up)

    def _found_worker(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        needs = f"; each one needs {self._needs}" if self._needs else ""
        reason = f". The last one was lost: {self._last_reason}" if self._last_reason else ""
        seconds = f"{self._patience_seconds:.0f} s"
        self._fail(EmbedderUnavailable(f"the cluster had room for no worker within {seconds}{needs}{reason}"))

    def _keeper_ended(self, keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled() and (error := keeper.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Let every window that waits, and every later one, raise this. The first failure counts."""
        if self._failure is not None:
            return
        self._failure = error
        self._arrived.set()
        for _, turn in self._waiting:
            if not turn.done():
                turn.set_exception(error)
        self._waiting.clear()

    def _require_working(self) -> None:
        if self._failure is not None:
            raise self._failure
