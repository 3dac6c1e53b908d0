"""Can this process answer, and if not, what is the likely cause?

Models in this process are asked their known pairs once, at start. Model servers come and go: their pools prove them,
again and again, and what they find is told as it is when somebody asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from winnow.api.assemble import Services
from winnow.api.diagnostics.probe import Probed, likely_cause, probe_embedder, probe_reranker
from winnow.api.schemas.generations import fold_response
from winnow.api.tenancy.access import Principal
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.errors import CollectionNotReady, RerankUnavailable, WinnowError
from winnow.retrieval.generation.pointer import rolled_back
from winnow.retrieval.tenancy import DEFAULT_TENANT, TenantName
from winnow.retrieval.vllm.replica import ReplicaReport, Standing

SERVERS_SECONDS_MAX: Final = 10.0  # the service answers from then on, without those that have not been proven
DISK_SECONDS: Final = 5.0  # seconds for which what was found on the disk is believed, at least
DISK_SHARE: Final = 0.001  # of the time, for each collection; a look takes some ms
LOOK_SECONDS: Final = 0.5  # seconds between two looks at who is ready

log = logging.getLogger(__name__)


class Spawned(Protocol):
    """Model servers that run beside this process, which started them."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps them from answering, each in a sentence."""

    def said(self, *, names_shown: bool) -> list[dict[str, Any]]:
        """What /readyz tells about them; their addresses only to who may know them."""

    def running(self, served: Callable[[], Awaitable[None]]) -> AbstractAsyncContextManager[None]:
        """Starts them, and ends them; `served` is called whenever all of them have come to answer."""


class Readiness:
    """Asks at start, and tells whoever wants to know. `spawned` servers may have problems of their own."""

    def __init__(self, parts: Services, spawned: Spawned | None = None) -> None:
        self._parts = parts
        self._spawned = spawned
        self._probed: tuple[Probed, ...] = ()
        self._problems: list[str] = ["the models have not been asked yet"]  # of the models in this process
        self._looked_at: dict[tuple[str, str], tuple[float, str | None]] = {}  # until when that is believed, and what

    @property
    def is_ready(self) -> bool:
        return not self.problems

    @property
    def problems(self) -> tuple[str, ...]:
        """While spawned servers cannot answer, that is the cause of everything else."""
        served = (_problem_of(pool.report()) for pool in self._parts.pools)
        folder = self._parts.disk.problem()
        return (self._spawned.problems if self._spawned else ()) or (
            *((folder,) if folder else ()),
            *self._problems,
            *(problem for problem in served if problem),
        )

    async def prepare(self) -> None:
        """Probes the models and opens every collection. Servers that take their time are not waited for."""
        problems: list[str] = []
        probed: list[Probed] = []
        for asked in self._asked():
            try:
                answers = await asked
            except WinnowError as error:
                problems.append(error.message)
                continue
            probed += answers
            if cause := likely_cause(answers):
                problems.append(cause)
        self._probed, self._problems = tuple(probed), problems
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SERVERS_SECONDS_MAX):
                await asyncio.gather(*(pool.prepare() for pool in self._parts.pools))
        for problem in self.problems:
            log.error("not ready: %s", problem)
        for collection in await asyncio.to_thread(self._of_all_tenants):
            if collection["problem"]:
                log.error("collection %s: %s", collection["name"], collection["problem"])

    def _of_all_tenants(self) -> list[dict[str, Any]]:
        """Opens them, so that nobody who asks first waits for it; blocks."""
        return [self._collection(each) | {"name": each.shown} for each in self._parts.disk.collections()]

    async def awaited(self) -> None:
        """Until it is ready, however often servers are proven in vain before."""
        while not self.is_ready:  # noqa: ASYNC110  (pools and supervisors tell nobody when that changes)
            await asyncio.sleep(LOOK_SECONDS)

    def _asked(self) -> Iterator[Coroutine[Any, Any, tuple[Probed, ...]]]:
        parts = self._parts
        if parts.embedding.pool is None:
            yield probe_embedder(parts.embedding.embedder)
        for judging in (parts.judging, *parts.also):
            if judging.pool is None:
                yield probe_reranker(judging.reranker)

    async def report(self, caller: Principal | None) -> dict[str, Any]:
        """The body of /readyz. One broken collection does not keep the others from being searched.

        Collections are named to their tenant, addresses to an operator; a load balancer without a key needs neither.
        """
        embedding = self._parts.embedding
        names_shown = caller is not None and caller.is_operator
        problems, collections = list(self.problems), None
        damaged: tuple[str, ...] = ()
        try:
            damaged = await asyncio.to_thread(self._damaged_collections)
            collections = await asyncio.to_thread(self.collections, caller.tenant) if caller else None
        except WinnowError as error:  # of the catalog
            problems.append(error.message)
        return {
            "status": "not ready" if problems else "ready",
            "problems": [*problems, *damaged] if names_shown else None,  # they name addresses and tenants
            "models": {
                "embedder": embedding.embedder.identity.name,
                "reranker": self._parts.judging.reranker.name,
                "rerankers": list(self._parts.rerankers.names),
                "device": embedding.device,
                "probes": [
                    {
                        "model": each.model,
                        "language": each.language,
                        "query": each.query,
                        "relevant": round(each.relevant, 4),
                        "irrelevant": round(each.irrelevant, 4),
                        "separated": each.is_separated,
                    }
                    for each in self._probed
                ],
                "servers": [
                    {
                        "url": each.url if names_shown else None,
                        "standing": each.standing.value,
                        "problem": each.problem if names_shown else None,
                        "tokens_in_flight": each.tokens_in_flight,
                    }
                    for pool in self._parts.pools
                    for each in pool.report()
                ],
            },
            "spawned": self._spawned.said(names_shown=names_shown) if self._spawned else [],
            "collections": collections,
        }

    def _damaged_collections(self) -> tuple[str, ...]:
        """Of all tenants, each in a sentence; the service is ready all the same, for the others. Blocks."""
        found = [(each.shown, self._damage_of(each)) for each in self._parts.disk.collections()]
        return tuple(f"collection {name}: {problem}" for name, problem in found if problem)

    def _damage_of(self, collection: Collection) -> str | None:
        """Looks at the disk seldom enough to cost next to nothing, however often and by whom /readyz is asked."""
        key, now = (collection.tenant, collection.name), time.monotonic()
        until, problem = self._looked_at.get(key, (-math.inf, None))
        if now >= until:
            problem = self._parts.disk.problem_of(collection)
            took = time.monotonic() - now
            self._looked_at[key] = (now + max(DISK_SECONDS, took / DISK_SHARE), problem)
        return problem

    def collections(self, tenant: TenantName = DEFAULT_TENANT) -> list[dict[str, Any]]:
        """Which of a tenant's are open, and what keeps the others closed; blocks."""
        return [self._collection(each) for each in self._parts.disk.catalog.collections(tenant)]

    def _collection(self, collection: Collection) -> dict[str, Any]:
        damage = self._damage_of(collection)
        unjudged = self._without_reranker(collection)
        said = {
            "name": collection.name,
            "open": False,
            "generation": None,
            "rolled_back_from": None,
            "store_version": None,
            "unfolded_chunks": None,
            "fold": None,
            "index_device": None,
            "problem": damage or unjudged,
        }
        try:
            opened = self._parts.collections.get(collection.tenant, collection.name)
            view = opened.searchable.view()
        except CollectionNotReady:
            return said | {"open": True}
        except WinnowError as error:
            return said | {"problem": error.message}
        rollback = rolled_back(opened.folder)
        return said | {
            "open": True,
            "generation": view.generation,
            "rolled_back_from": rollback.newest if rollback else None,
            "store_version": view.store_version,
            "unfolded_chunks": view.unfolded,
            "fold": fold_response(self._parts.folding.standing(opened)),
            "index_device": view.seat.device,
            "problem": damage or view.fallback_from or view.seat.fault or unjudged,
        }

    def _without_reranker(self, collection: Collection) -> str | None:
        """Its searches are answered all the same, in recall's order."""
        try:
            self._parts.rerankers.of_collection(collection.reranker)
        except RerankUnavailable as error:
            return error.message
        return None


def _problem_of(servers: Sequence[ReplicaReport]) -> str | None:
    """What keeps a model that servers run from answering; None while one of them answers."""
    if any(each.standing is Standing.PROVEN for each in servers):
        return None
    return "; ".join(each.problem or f"{each.url} has not been proven yet" for each in servers)
