"""Can this process answer, and if not, what is the likely cause?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from api.assemble import Parts
from api.probe import Probed, likely_cause, probe_embedder, probe_reranker
from retrieval.catalog import DEFAULT_TENANT, Collection
from retrieval.errors import CollectionNotReady, WinnowError

log = logging.getLogger(__name__)


class Spawned(Protocol):
    """Model servers that run beside this process, which started them."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps them from answering, each in a sentence."""

    def said(self) -> list[dict[str, Any]]:
        """What /readyz tells about them."""

    def running(self, served: Callable[[], Awaitable[None]]) -> AbstractAsyncContextManager[None]:
        """Starts them, and ends them; `served` is called whenever all of them have come to answer."""


class Readiness:
    """Asks once at start, and tells whoever wants to know. `spawned` servers may have problems of their own."""

    def __init__(self, parts: Parts, spawned: Spawned | None = None) -> None:
        self._parts = parts
        self._spawned = spawned
        self._probed: tuple[Probed, ...] = ()
        self._problems: list[str] = ["the models have not been asked yet"]

    @property
    def is_ready(self) -> bool:
        return not self.problems

    @property
    def problems(self) -> tuple[str, ...]:
        """While spawned servers cannot answer, that is the cause of everything else."""
        return (self._spawned.problems if self._spawned else ()) or tuple(self._problems)

    async def prepare(self) -> None:
        """Probes the models and opens every collection."""
        problems: list[str] = []
        probed: list[Probed] = []
        for asked in (probe_embedder(self._parts.embedding.embedder), probe_reranker(self._parts.reranker)):
            try:
                answers = await asked
            except WinnowError as error:
                problems.append(error.message)
                continue
            probed += answers
            if cause := likely_cause(answers):
                problems.append(cause)
        self._probed, self._problems = tuple(probed), problems
        for problem in problems:
            log.error("not ready: %s", problem)
        for collection in await asyncio.to_thread(self.collections):
            if collection["problem"]:
                log.error("collection %s: %s", collection["name"], collection["problem"])

    async def report(self, *, names_shown: bool) -> dict[str, Any]:
        """The body of /readyz. One broken collection does not keep the others from being searched."""
        embedding = self._parts.embedding
        return {
            "status": "ready" if self.is_ready else "not ready",
            "problems": list(self.problems),
            "models": {
                "embedder": embedding.embedder.identity.name,
                "reranker": self._parts.reranker.name,
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
            },
            "spawned": self._spawned.said() if self._spawned else [],
            "collections": await asyncio.to_thread(self.collections) if names_shown else None,
        }

    def collections(self) -> list[dict[str, Any]]:
        """Which are open, and what keeps the others closed; blocks."""
        return [self._collection(each) for each in self._parts.disk.catalog.collections(DEFAULT_TENANT)]

    def _collection(self, collection: Collection) -> dict[str, Any]:
        said = {"name": collection.name, "open": False, "generation": None, "store_version": None, "problem": None}
        try:
            view = self._parts.collections.get(collection.tenant, collection.name).searchable.view()
        except CollectionNotReady:
            return said | {"open": True}
        except WinnowError as error:
            return said | {"problem": error.message}
        return said | {
            "open": True,
            "generation": view.generation,
            "store_version": view.store_version,
            "problem": view.fallback_from,
        }
