"""Cache of query vectors per tenant.

A query is embedded for every page of an answer, every instruction that is tried and every collection that is searched;
its vector is always the same.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from winnow.retrieval.bounded_cache import BoundedCache, CacheState, CommonKey
from winnow.retrieval.embed.embedder import DEFAULT_TASK, Embedder, EmbedderIdentity, Embeddings
from winnow.retrieval.records import Vectors

_TRUNCATED: Final = struct.Struct("<?")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryVector:
    """The vector of one query."""

    vector: Vectors  # (dimension,)
    truncated: bool  # the model read only the beginning


class QueryCache:
    """Caches query vectors of all tenants of this process. Thread-safe.

    Two requests that ask the same at the same moment both compute.
    """

    def __init__(
        self, *, bytes_max: int, seconds_max: float, secret: bytes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`secret` is random, 16 to 64 bytes, and never leaves the process."""
        self._secret = secret
        self._held = BoundedCache(bytes_max=bytes_max, seconds_max=seconds_max, clock=clock)

    @property
    def state(self) -> CacheState:
        return self._held.state

    def keys(self, queries: Sequence[str], *, task: str, tenant: str, identity: EmbedderIdentity) -> list[bytes]:
        """Return one key per query."""
        model = (identity.name, identity.revision, str(identity.dimension), identity.prompt_format)
        common = CommonKey(self._secret, tenant, *model, task)
        return [common.of(query) for query in queries]

    def find(self, keys: Sequence[bytes]) -> list[QueryVector | None]:
        """Return the cached vector for each key, or None."""
        return [None if packed is None else _unpack(packed) for packed in self._held.find(keys)]

    def remember(self, keys: Sequence[bytes], vectors: Sequence[QueryVector]) -> None:
        self._held.put(keys, [_pack(each) for each in vectors])


class CachedQueries:
    """An `Embedder` that reuses cached query vectors of the same tenant."""

    def __init__(self, embedder: Embedder, cache: QueryCache, *, tenant: str) -> None:
        self._embedder = embedder
        self._cache = cache
        self._tenant = tenant

    @property
    def identity(self) -> EmbedderIdentity:
        return self._embedder.identity

    async def embed_queries(self, texts: Sequence[str], task: str = DEFAULT_TASK) -> Embeddings:
        """Embed queries. `tokens` covers those that were computed; `remembered` counts the others."""
        keys = self._cache.keys(texts, task=task, tenant=self._tenant, identity=self.identity)
        found = self._cache.find(keys)
        missing = [place for place, known in enumerate(found) if known is None]
        if len(missing) == len(texts):
            fresh = await self._embedder.embed_queries(texts, task)
            self._cache.remember(keys, _each(fresh))
            return fresh
        tokens = 0
        if missing:
            fresh = await self._embedder.embed_queries([texts[place] for place in missing], task)
            self._cache.remember([keys[place] for place in missing], _each(fresh))
            tokens = fresh.tokens
            for place, computed in zip(missing, _each(fresh), strict=True):
                found[place] = computed
        every = [each for each in found if each is not None]
        return Embeddings(
            vectors=np.stack([each.vector for each in every]),
            tokens=tokens,
            truncated=tuple(place for place, each in enumerate(every) if each.truncated),
            remembered=len(texts) - len(missing),
        )

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        """Embed passages, uncached: they are embedded once, when they are written."""
        return await self._embedder.embed_passages(texts)


def _each(embeddings: Embeddings) -> list[QueryVector]:
    cut = frozenset(embeddings.truncated)
    return [QueryVector(vector=vector, truncated=place in cut) for place, vector in enumerate(embeddings.vectors)]


def _pack(each: QueryVector) -> bytes:
    return _TRUNCATED.pack(each.truncated) + np.asarray(each.vector, dtype="<f4").tobytes()


def _unpack(packed: bytes) -> QueryVector:
    (truncated,) = _TRUNCATED.unpack_from(packed)
    vector = np.frombuffer(packed, dtype="<f4", offset=_TRUNCATED.size).astype(np.float32)
    return QueryVector(vector=vector, truncated=truncated)
