"""Readiness: whether this process can answer and, if not, the likely cause.

Models in this process are probed once, at start. Model servers come and go: their pools check them repeatedly, and
their state is reported as it is when requested.
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
from winnow.api.schemas.health import ReadyCollectionResponse, ReadyResponse, SpawnedServerResponse
from winnow.api.tenancy.access import Principal
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.errors import CollectionNotReady, RerankUnavailable, WinnowError
from winnow.retrieval.generation.pointer import rolled_back
from winnow.retrieval.model.known_pairs import missed_languages
from winnow.retrieval.tenancy import DEFAULT_TENANT, TenantName
from winnow.retrieval.vllm.replica import ReplicaReport, Standing

SERVERS_SECONDS_MAX: Final = 10.0  # afterwards the service starts without the servers that have not passed their check
DISK_SECONDS: Final = 5.0  # minimum seconds for which a result of reading the disk is cached
DISK_SHARE: Final = 0.001  # of the time, per collection; a check takes some ms
STOPPING: Final = "the service is stopping"
LOOK_SECONDS: Final = 0.5  # seconds between two checks of readiness

log = logging.getLogger(__name__)


class Spawned(Protocol):
    """Model servers that this process started."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps them from answering, one sentence each."""

    def said(self, *, names_shown: bool) -> list[dict[str, Any]]:
        """Return their part of /readyz; addresses only if `names_shown`."""

    def running(self, served: Callable[[], Awaitable[None]]) -> AbstractAsyncContextManager[None]:
        """Start the servers, and stop them at the end; `served` is called whenever all of them answer."""


class Readiness:
    """Probes at start, and reports readiness. `spawned` servers may have problems of their own."""

    def __init__(self, parts: Services, spawned: Spawned | None = None) -> None:
        self._parts = parts
        self._spawned = spawned
        self._probed: tuple[Probed, ...] = ()
        self._problems: list[str] = ["the models have not been probed yet"]  # of the models in this process
        self._is_stopping = False
        self._looked_at: dict[tuple[str, str], tuple[float, str | None]] = {}  # cached until when, and the result

    @property
    def is_ready(self) -> bool:
        return not self.problems

    def stop(self) -> None:
        """Be ready no more, so that balancers send new requests elsewhere."""
        self._is_stopping = True

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems; while spawned servers cannot answer, only theirs, which cause all others."""
        served = (_problem_of(pool.report()) for pool in self._parts.pools)
        folder = self._parts.disk.problem()
        return (self._spawned.problems if self._spawned else ()) or (
            *((STOPPING,) if self._is_stopping else ()),
            *((folder,) if folder else ()),
            *self._problems,
            *(problem for problem in served if problem),
        )

    @property
    def is_served(self) -> bool:
        """Whether no model server is missing."""
        spawned = self._spawned.problems if self._spawned else ()
        return not spawned and all(_problem_of(pool.report()) is None for pool in self._parts.pools)

    async def prepare(self) -> None:
        """Probe the models and open every collection. Does not wait long for slow servers."""
        collections, _ = await asyncio.gather(asyncio.to_thread(self._of_all_tenants), self._probe())
        for problem in self.problems:
            log.error("not ready: %s", problem)
        for collection in collections:
            if collection["problem"]:
                log.error("collection %s: %s", collection["name"], collection["problem"])

    async def _probe(self) -> None:
        problems: list[str] = []
        probed: list[Probed] = []
        for asked in self._asked():
            try:
                answers = await asked
            except WinnowError as error:
                problems.append(error.message)
                continue
            probed += answers
            cause = likely_cause(answers)
            if cause and missed_languages(answers):  # such as an English model: right for a corpus in English
                log.warning("%s", cause)
            elif cause:
                problems.append(cause)
        self._probed, self._problems = tuple(probed), problems
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SERVERS_SECONDS_MAX):
                await asyncio.gather(*(pool.prepare() for pool in self._parts.pools))

    def _of_all_tenants(self) -> list[ReadyCollectionResponse]:
        """Open all collections, so that no first request waits for it. Blocks."""
        return [{**self._collection(each), "name": each.shown} for each in self._parts.disk.collections()]

    async def awaited(self) -> None:
        """Wait until ready, however often servers fail before."""
        while not self.is_ready:  # noqa: ASYNC110  (pools and supervisors do not signal changes)
            await asyncio.sleep(LOOK_SECONDS)

    def _asked(self) -> Iterator[Coroutine[Any, Any, tuple[Probed, ...]]]:
        parts = self._parts
        if parts.embedding.pool is None:
            yield probe_embedder(parts.embedding.embedder)
        for judging in (parts.judging, *parts.also):
            if judging.pool is None:
                yield probe_reranker(judging.reranker)

    async def report(self, caller: Principal | None) -> ReadyResponse:
        """Return the body of /readyz. A broken collection does not make the service unready for others.

        Collections are named only to their tenant, addresses only to operators; load balancers without a key need
        neither.
        """
        embedding = self._parts.embedding
        names_shown = caller is not None and caller.is_operator
        problems, collections = list(self.problems), None
        damaged: tuple[str, ...] = ()
        try:
            damaged = await asyncio.to_thread(self._damaged_collections)
            collections = await asyncio.to_thread(self.collections, caller.tenant) if caller else None
        except WinnowError as error:  # from the catalog
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
                        "standing": each.standing,
                        "problem": each.problem if names_shown else None,
                        "tokens_in_flight": each.tokens_in_flight,
                    }
                    for pool in self._parts.pools
                    for each in pool.report()
                ],
            },
            "spawned": self._spawned_servers(names_shown=names_shown),
            "collections": collections,
        }

    def _spawned_servers(self, *, names_shown: bool) -> list[SpawnedServerResponse]:
        return [
            {
                "role": each["role"],
                "state": each["state"],
                "seconds": each["seconds"],
                "starts": each["starts"],
                "note": each["note"],
                "url": each["url"],
            }
            for each in (self._spawned.said(names_shown=names_shown) if self._spawned else ())
        ]

    def _damaged_collections(self) -> tuple[str, ...]:
        """Return damaged collections of all tenants, one sentence each; the service stays ready for others. Blocks."""
        found = [(each.shown, self._damage_of(each)) for each in self._parts.disk.collections()]
        return tuple(f"collection {name}: {problem}" for name, problem in found if problem)

    def _damage_of(self, collection: Collection) -> str | None:
        """Check the disk rarely enough to cost next to nothing, however often /readyz is requested."""
        key, now = (collection.tenant, collection.name), time.monotonic()
        until, problem = self._looked_at.get(key, (-math.inf, None))
        if now >= until:
            problem = self._parts.disk.problem_of(collection)
            took = time.monotonic() - now
            self._looked_at[key] = (now + max(DISK_SECONDS, took / DISK_SHARE), problem)
        return problem

    def collections(self, tenant: TenantName = DEFAULT_TENANT) -> list[ReadyCollectionResponse]:
        """Return a tenant's collections, and what keeps them from being opened. Blocks."""
        return [self._collection(each) for each in self._parts.disk.catalog.collections.of_tenant(tenant)]

    def _collection(self, collection: Collection) -> ReadyCollectionResponse:
        damage = self._damage_of(collection)
        unjudged = self._without_reranker(collection)
        said: ReadyCollectionResponse = {
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
            return {**said, "open": True}
        except WinnowError as error:
            return {**said, "problem": error.message}
        rollback = rolled_back(opened.folder)
        return {
            **said,
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
        """Return why there is no reranker; searches are still answered, in recall's order."""
        try:
            self._parts.rerankers.of_collection(collection.reranker)
        except RerankUnavailable as error:
            return error.message
        return None


def _problem_of(servers: Sequence[ReplicaReport]) -> str | None:
    """Return what keeps a model on servers from answering; None while one of them answers."""
    if any(each.standing is Standing.PROVEN for each in servers):
        return None
    return "; ".join(each.problem or f"{each.url} has not passed its check yet" for each in servers)
