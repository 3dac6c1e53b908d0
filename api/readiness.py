"""Can this process answer, and if not, what is the likely cause?"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from api.assemble import Parts
from api.probe import Probed, likely_cause, probe_embedder, probe_reranker
from retrieval.catalog import DEFAULT_TENANT, Collection
from retrieval.errors import CollectionNotReady, RerankUnavailable, WinnowError

log = logging.getLogger(__name__)


class Readiness:
    """Asks once at start, and tells whoever wants to know."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._probed: tuple[Probed, ...] = ()
        self._problems: list[str] = ["the models have not been asked yet"]

    @property
    def is_ready(self) -> bool:
        return not self._problems

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(self._problems)

    async def prepare(self) -> None:
        """Probes the models and opens every collection."""
        problems: list[str] = []
        probed: list[Probed] = []
        rerankers = [probe_reranker(each) for each in self._parts.rerankers.all]
        for asked in (probe_embedder(self._parts.embedding.embedder), *rerankers):
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
            "problems": list(self._problems),
            "models": {
                "embedder": embedding.embedder.identity.name,
                "reranker": self._parts.reranker.name,
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
            },
            "collections": await asyncio.to_thread(self.collections) if names_shown else None,
        }

    def collections(self) -> list[dict[str, Any]]:
        """Which are open, and what keeps the others closed; blocks."""
        return [self._collection(each) for each in self._parts.disk.catalog.collections(DEFAULT_TENANT)]

    def _collection(self, collection: Collection) -> dict[str, Any]:
        said = {
            "name": collection.name,
            "open": False,
            "generation": None,
            "store_version": None,
            "problem": self._without_reranker(collection),
        }
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
            "problem": view.fallback_from or said["problem"],
        }

    def _without_reranker(self, collection: Collection) -> str | None:
        """Its searches are answered all the same, in recall's order."""
        try:
            self._parts.rerankers.of_collection(collection.reranker)
        except RerankUnavailable as error:
            return error.message
        return None
