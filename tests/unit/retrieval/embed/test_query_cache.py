"""A query is embedded once a tenant and a while, and its vector is the same to the bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.fakes import HashEmbedder
from winnow.retrieval.embed.embedder import DEFAULT_TASK, EmbedderIdentity, Embeddings
from winnow.retrieval.embed.query_cache import CachedQueries, QueryCache
from winnow.retrieval.errors import EmbedderUnavailable

LONG = 20  # characters; the embedder below reads no more


class WatchedEmbedder:
    """A `HashEmbedder` with a short window, which tells what it was asked, and fails where told to."""

    def __init__(self, *, name: str = "hash", dimension: int = 64) -> None:
        self._embedder = HashEmbedder(name=name, dimension=dimension)
        self.asked: list[str] = []
        self.failure: EmbedderUnavailable | None = None

    @property
    def identity(self) -> EmbedderIdentity:
        return self._embedder.identity

    async def embed_queries(self, texts: Sequence[str], task: str = DEFAULT_TASK) -> Embeddings:
        if self.failure is not None:
            raise self.failure
        self.asked += texts
        read = await self._embedder.embed_queries([task + text[:LONG] for text in texts])
        cut = tuple(place for place, text in enumerate(texts) if len(text) > LONG)
        return Embeddings(vectors=read.vectors, tokens=sum(map(len, texts)), truncated=cut)

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        return await self._embedder.embed_passages(texts)


class Clock:
    """Stands still until it is told to go on."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> QueryCache:
    return QueryCache(bytes_max=1_000_000, seconds_max=60.0, secret=b"s" * 32, clock=clock)


async def test_a_query_is_embedded_once(cache: QueryCache) -> None:
    """The second time it costs no token, and the vector is the very same."""
    watched = WatchedEmbedder()
    queries = CachedQueries(watched, cache, tenant="t")
    fresh, again = await queries.embed_queries(["退货"]), await queries.embed_queries(["退货"])
    assert watched.asked == ["退货"]
    assert (fresh.tokens, fresh.remembered, again.tokens, again.remembered) == (2, 0, 0, 1)
    np.testing.assert_array_equal(again.vectors, fresh.vectors)
    assert (again.vectors.dtype, again.vectors.shape) == (np.float32, (1, 64))


async def test_known_and_unknown_queries_come_back_in_their_order(cache: QueryCache) -> None:
    """With the marks of those that were cut at their places."""
    watched = WatchedEmbedder()
    queries = CachedQueries(watched, cache, tenant="t")
    texts = ["a" * 30, "b", "c" * 40, "d"]
    await queries.embed_queries([texts[2], texts[1]])
    mixed = await queries.embed_queries(texts)
    whole = await WatchedEmbedder().embed_queries(texts)
    np.testing.assert_array_equal(mixed.vectors, whole.vectors)
    assert (mixed.truncated, mixed.tokens, mixed.remembered) == ((0, 2), 31, 2)
    assert watched.asked == [texts[2], texts[1], texts[0], texts[3]]
    assert (await queries.embed_queries(texts)).truncated == (0, 2)


async def test_no_query_is_no_vector(cache: QueryCache) -> None:
    """As of any embedder; and it is the embedder that it stands for."""
    queries = CachedQueries(WatchedEmbedder(), cache, tenant="t")
    assert (await queries.embed_queries([])).vectors.shape == (0, 64)
    assert queries.identity == WatchedEmbedder().identity


async def test_tenants_tasks_and_models_share_nothing(cache: QueryCache) -> None:
    """Each of them makes it another question."""
    one = WatchedEmbedder()
    await CachedQueries(one, cache, tenant="t").embed_queries(["q"])
    assert (await CachedQueries(one, cache, tenant="u").embed_queries(["q"])).remembered == 0
    assert (await CachedQueries(one, cache, tenant="t").embed_queries(["q"], "another task")).remembered == 0
    for other in (WatchedEmbedder(name="other"), WatchedEmbedder(dimension=32)):
        assert (await CachedQueries(other, cache, tenant="t").embed_queries(["q"])).remembered == 0
    assert (await CachedQueries(one, cache, tenant="t").embed_queries(["q"])).remembered == 1


async def test_a_failure_is_not_remembered_and_hides_nothing_known(cache: QueryCache) -> None:
    """An embedder that is gone can still be asked what it said a moment ago."""
    watched = WatchedEmbedder()
    queries = CachedQueries(watched, cache, tenant="t")
    await queries.embed_queries(["known"])
    watched.failure = EmbedderUnavailable("gone")
    assert (await queries.embed_queries(["known"])).remembered == 1
    with pytest.raises(EmbedderUnavailable):
        await queries.embed_queries(["known", "new"])
    watched.failure = None
    assert (await queries.embed_queries(["new"])).remembered == 0


async def test_a_vector_is_forgotten_in_time_and_passages_are_never_kept(cache: QueryCache, clock: Clock) -> None:
    """Passages are embedded when they are written; nothing asks for them twice."""
    queries = CachedQueries(WatchedEmbedder(), cache, tenant="t")
    await queries.embed_passages(["q"])
    assert cache.state.entries == 0
    await queries.embed_queries(["q"])
    clock.now = 60.0
    assert (await queries.embed_queries(["q"])).remembered == 0
