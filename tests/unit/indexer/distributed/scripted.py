"""Workers that do as a script says. They embed like the local engine, so their vectors can be compared with its."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tests.unit.indexer.test_pipeline import CompanyEmbedder
from winnow.indexer.distributed.worker_pool import WorkerPool
from winnow.indexer.distributed.workers import LoadedModel, WorkerLost
from winnow.retrieval.embed.embedder import EmbedderIdentity, Embeddings, Passage
from winnow.retrieval.errors import WinnowError

VERSION = "1.2.3"
IDENTITY = CompanyEmbedder().identity


@dataclass(kw_only=True)
class ScriptedCluster:
    """Starts workers while there is room. `script` is asked before each window, by its number among all calls."""

    room: int = 1_000  # workers that may still be started
    script: Callable[[int, Sequence[str]], str] = lambda _, __: "embed"  # or "lose", or "hang"
    refuses: WinnowError | None = None  # what every worker raises for every window
    lost_at_start: int = 0  # so many workers are lost while they load
    version: str = VERSION
    identity: EmbedderIdentity = IDENTITY
    workers: list[ScriptedWorker] = field(default_factory=list)
    calls: int = 0
    begun: list[tuple[str, ...]] = field(default_factory=list)
    received: list[Passage] = field(default_factory=list)  # in the order of the calls
    more_room: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> ScriptedWorker:
        while self.room <= 0:
            self.more_room.clear()
            await self.more_room.wait()
        self.room -= 1
        worker = ScriptedWorker(cluster=self, name=f"w{len(self.workers)}", version=self.version)
        self.workers.append(worker)
        return worker

    def add_room(self, count: int) -> None:
        self.room += count
        self.more_room.set()

    def pool(self, wanted: int, *, tokenizer: object = None, **limits: float) -> WorkerPool:
        return WorkerPool(
            self.start,
            tokenizer=tokenizer,
            identity=IDENTITY,
            version=VERSION,
            wanted=wanted,
            needs="1 CPU",
            patience_seconds=limits.get("patience_seconds", 20.0),
            restart_seconds=0.0,
        )


@dataclass(kw_only=True, eq=False)
class ScriptedWorker:
    """Implements `Worker`. Computes one window at a time, like an actor."""

    cluster: ScriptedCluster
    name: str
    version: str
    held: int = 0
    most_held: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def load(self) -> LoadedModel:
        await asyncio.sleep(0)
        if self.cluster.lost_at_start:
            self.cluster.lost_at_start -= 1
            raise WorkerLost("it fell while it rose")
        return LoadedModel(identity=self.cluster.identity, runs_on="script")

    async def embed(self, passages: Sequence[Passage]) -> Embeddings:
        self.held += 1
        self.most_held = max(self.most_held, self.held)
        try:
            async with self.turn:
                self.cluster.received += passages
                return await self._embed([passage.text for passage in passages])
        finally:
            self.held -= 1

    async def _embed(self, passages: Sequence[str]) -> Embeddings:
        if self.gone.is_set():
            raise WorkerLost("it is gone")
        number, self.cluster.calls = self.cluster.calls, self.cluster.calls + 1
        self.cluster.begun.append(tuple(passages))
        what = self.cluster.script(number, passages)
        if self.cluster.refuses is not None:
            raise self.cluster.refuses
        if what == "lose":
            self.gone.set()
            raise WorkerLost("its node was killed")
        if what == "hang":
            await self.gone.wait()
            raise WorkerLost("it is gone")
        for _ in range(number * 7 % 5):  # windows take different times
            await asyncio.sleep(0)
        return await CompanyEmbedder().embed_passages(passages)

    def stop(self) -> None:
        self.stopped = True
        self.gone.set()


def other_dimension() -> EmbedderIdentity:
    return replace(IDENTITY, dimension=IDENTITY.dimension + 1)
