"""What can be read at GET /metrics? Every metric, named and documented once (docs/reference/metrics.md).

Nothing is global: an app has its own registry. Labels take few values and never what a caller wrote. What is counted is
counted here; what somebody else knows (a cache, a server) is asked when the metrics are read: `Telemetry.watch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from winnow.api.assemble import Services
from winnow.api.search.records import Answer
from winnow.api.search.shadowing import Shadowing
from winnow.rerank.prompted_reranker import PromptedReranker, WaitingReport
from winnow.rerank.reranker import Ranking
from winnow.retrieval.bounded_cache import CacheState
from winnow.retrieval.search.reader import Searcher
from winnow.retrieval.vllm.replica import ReplicaReport, Standing

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
UNROUTED: Final = "none"  # refused before a route was found, or there is none
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)

Reading = tuple[tuple[str, ...], float]  # the values of a metric's labels, in their order, and the number


class Kind(StrEnum):
    """What may be done with a metric's numbers."""

    COUNTER = "counter"  # only grows
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One row of the table."""

    name: str  # unit and _total last, as Prometheus has it
    kind: Kind
    said: str
    labels: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """`name{label, label}`, as the documentation has it."""
        return f"{self.name}{{{', '.join(self.labels)}}}" if self.labels else self.name


REQUESTS: Final = Metric(
    name="winnow_requests_total",
    kind=Kind.COUNTER,
    labels=("route", "status"),
    said="Requests answered. route is the path's pattern, or none where there was no route or no room.",
)
STAGE_SECONDS: Final = Metric(
    name="winnow_stage_seconds",
    kind=Kind.HISTOGRAM,
    labels=("asked", "stage"),
    said="Seconds of an answer. asked: search or rerank; stage: embed, recall, fetch, rerank, total.",
)
DEGRADED: Final = Metric(
    name="winnow_degraded_total",
    kind=Kind.COUNTER,
    labels=("reason",),
    said="Searches answered in recall's order because the reranker did not. reason: as in the answer.",
)
RERANK_SKIPPED: Final = Metric(
    name="winnow_rerank_skipped_total",
    kind=Kind.COUNTER,
    labels=("reason",),
    said="Searches for which the reranker was not run although nothing failed. reason: as in the answer.",
)
RERANK_TOKENS: Final = Metric(
    name="winnow_rerank_tokens_total", kind=Kind.COUNTER, said="Tokens that the reranker computed for answers."
)
JUDGEMENTS: Final = Metric(
    name="winnow_judgements_total",
    kind=Kind.COUNTER,
    labels=("source",),
    said="Judgements in answers. source: computed or remembered.",
)
QUERY_VECTORS: Final = Metric(
    name="winnow_query_vectors_total",
    kind=Kind.COUNTER,
    labels=("source",),
    said="Query vectors of searches. source: computed or remembered.",
)
CACHE_BYTES: Final = Metric(
    name="winnow_cache_bytes",
    kind=Kind.GAUGE,
    labels=("cache",),
    said="Memory that a cache takes. cache: judgements or queries.",
)
CACHE_ENTRIES: Final = Metric(
    name="winnow_cache_entries", kind=Kind.GAUGE, labels=("cache",), said="Entries of a cache."
)
CACHE_EVICTIONS: Final = Metric(
    name="winnow_cache_evictions_total",
    kind=Kind.COUNTER,
    labels=("cache",),
    said="Entries that a cache dropped for want of room, before they were too old.",
)
SERVER_PROVEN: Final = Metric(
    name="winnow_server_proven",
    kind=Kind.GAUGE,
    labels=("model", "url"),
    said="1 while a model server is asked, 0 while it is left alone or has not answered its known pairs yet.",
)
SERVER_TOKENS: Final = Metric(
    name="winnow_server_tokens_in_flight",
    kind=Kind.GAUGE,
    labels=("model", "url"),
    said="Tokens that a model server has in hand.",
)
UNFOLDED: Final = Metric(
    name="winnow_unfolded_chunks",
    kind=Kind.GAUGE,
    said="Chunks of all open collections that were written or removed since their indexes were built.",
)
FALLEN_BACK: Final = Metric(
    name="winnow_collections_fallen_back",
    kind=Kind.GAUGE,
    said="Open collections that are not served by the generation that should serve, because it is damaged; /readyz "
    "names them.",
)
FOLDING: Final = Metric(name="winnow_folding", kind=Kind.GAUGE, said="1 while a generation is being built.")
FOLDS: Final = Metric(
    name="winnow_folds_total",
    kind=Kind.COUNTER,
    labels=("outcome",),
    said="Generations that this process set out to build. outcome: folded, failed, or elsewhere where another did.",
)
FOLD_SECONDS: Final = Metric(
    name="winnow_fold_seconds_total", kind=Kind.COUNTER, said="Seconds that generations were being built."
)
RERANK_WAITING: Final = Metric(
    name="winnow_rerank_waiting_tokens",
    kind=Kind.GAUGE,
    labels=("model",),
    said="Tokens, about, of requests that a reranker has not finished, of all tenants.",
)
RERANK_TURNS: Final = Metric(
    name="winnow_rerank_turns_total",
    kind=Kind.COUNTER,
    labels=("model",),
    said="Turns that tenants were given at a reranker, one for each pack or slice.",
)
RERANK_TURN_SECONDS: Final = Metric(
    name="winnow_rerank_turn_wait_seconds_total",
    kind=Kind.COUNTER,
    labels=("model",),
    said="Seconds that those turns were waited for, all together.",
)
REFUSED: Final = Metric(
    name="winnow_refused_total",
    kind=Kind.COUNTER,
    labels=("limit",),
    said="What was refused. limit: the name of a tenant's limit, rerank_tokens_waiting where there was no room for "
    "anybody, or rerank_tokens_waiting_of_tenant where the same tenant had too much waiting.",
)
SHADOWS: Final = Metric(
    name="winnow_shadows_total",
    kind=Kind.COUNTER,
    labels=("outcome",),
    said="Searches chosen to be judged under a shadow, too. outcome: judged, failed, or dropped where too many waited "
    "or the shadow had ended.",
)
SHADOWS_WAITING: Final = Metric(
    name="winnow_shadows_waiting", kind=Kind.GAUGE, said="Answered searches that wait to be judged under a shadow."
)
SHADOW_TOKENS: Final = Metric(
    name="winnow_shadow_tokens_total", kind=Kind.COUNTER, said="Tokens that the reranker computed for shadows."
)
METRICS: Final = (
    REQUESTS, STAGE_SECONDS, DEGRADED, RERANK_SKIPPED, RERANK_TOKENS, JUDGEMENTS, QUERY_VECTORS, CACHE_BYTES,
    CACHE_ENTRIES, CACHE_EVICTIONS, SERVER_PROVEN, SERVER_TOKENS, UNFOLDED, FALLEN_BACK, FOLDING, FOLDS, FOLD_SECONDS,
    RERANK_WAITING, RERANK_TURNS, RERANK_TURN_SECONDS, REFUSED, SHADOWS, SHADOWS_WAITING, SHADOW_TOKENS,
)  # fmt: skip


class Telemetry:
    """Counts what one app does."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._counter(REQUESTS)
        self._seconds = Histogram(
            STAGE_SECONDS.name, STAGE_SECONDS.said, STAGE_SECONDS.labels, registry=self._registry, buckets=SECONDS
        )
        self._degraded = self._counter(DEGRADED)
        self._skipped = self._counter(RERANK_SKIPPED)
        self._rerank_tokens = self._counter(RERANK_TOKENS)
        self._judgements = self._counter(JUDGEMENTS)
        self._query_vectors = self._counter(QUERY_VECTORS)

    @classmethod
    def over(cls, parts: Services) -> Self:
        """Watching everything in the parts that knows numbers of its own."""
        telemetry = cls()
        caches = {"judgements": parts.caches.judgements, "queries": parts.caches.queries}

        def of_each(number: Callable[[CacheState], int]) -> Callable[[], list[Reading]]:
            return lambda: [((name,), number(cache.state)) for name, cache in caches.items() if cache is not None]

        telemetry.watch(CACHE_BYTES, of_each(lambda state: state.bytes))
        telemetry.watch(CACHE_ENTRIES, of_each(lambda state: state.entries))
        telemetry.watch(CACHE_EVICTIONS, of_each(lambda state: state.evictions))
        pools = [(parts.embedding.embedder.identity.name, parts.embedding.pool)]
        pools += [(each.reranker.name, each.pool) for each in (parts.judging, *parts.also)]

        def of_servers(number: Callable[[ReplicaReport], float]) -> Callable[[], list[Reading]]:
            return lambda: [
                ((model, each.url), number(each)) for model, pool in pools if pool is not None for each in pool.report()
            ]

        telemetry.watch(SERVER_PROVEN, of_servers(lambda each: float(each.standing is Standing.PROVEN)))
        telemetry.watch(SERVER_TOKENS, of_servers(lambda each: float(each.tokens_in_flight)))
        telemetry.watch_indexes(parts)
        telemetry.watch_queues(parts)
        telemetry.watch_shadows(parts.shadowing)
        return telemetry

    def watch_queues(self, parts: Services) -> None:
        """What waits for the rerankers, and what was refused. Never by tenant: there may be any number of them."""
        queues = [each.reranker for each in (parts.judging, *parts.also) if isinstance(each.reranker, PromptedReranker)]

        def of_queues(number: Callable[[WaitingReport], float]) -> Callable[[], list[Reading]]:
            return lambda: [((each.name,), number(each.waiting)) for each in queues]

        def refused() -> list[Reading]:
            reports = [each.waiting for each in queues]
            return [
                *(((limit.value,), float(count)) for limit, count in parts.quotas.refused.items()),
                (("rerank_tokens_waiting",), float(sum(each.refused for each in reports))),
                (("rerank_tokens_waiting_of_tenant",), float(sum(each.refused_own for each in reports))),
            ]

        self.watch(RERANK_WAITING, of_queues(lambda report: report.tokens))
        self.watch(RERANK_TURNS, of_queues(lambda report: report.turns))
        self.watch(RERANK_TURN_SECONDS, of_queues(lambda report: report.wait_seconds))
        self.watch(REFUSED, refused)

    def watch_shadows(self, shadowing: Shadowing) -> None:
        """What is judged when everybody has been answered."""
        figures = shadowing.figures
        self.watch(SHADOWS, lambda: [((outcome.value,), count) for outcome, count in figures.outcomes.items()])
        self.watch(SHADOWS_WAITING, lambda: [((), float(shadowing.waiting))])
        self.watch(SHADOW_TOKENS, lambda: [((), float(figures.tokens))])

    def watch_indexes(self, parts: Services) -> None:
        """How far they are behind, and what is done about it."""

        def of_views(number: Callable[[Searcher], int]) -> Callable[[], list[Reading]]:
            def read() -> list[Reading]:
                views = (each.searchable.newest for each in parts.collections.opened())
                return [((), float(sum(number(view) for view in views if view is not None)))]

            return read

        folding = parts.folding
        self.watch(UNFOLDED, of_views(lambda view: view.unfolded))
        self.watch(FALLEN_BACK, of_views(lambda view: view.fallback_from is not None))
        self.watch(FOLDING, lambda: [((), float(folding.is_building))])
        self.watch(FOLDS, lambda: [((outcome.value,), count) for outcome, count in folding.figures.outcomes.items()])
        self.watch(FOLD_SECONDS, lambda: [((), folding.figures.seconds)])

    def watch(self, metric: Metric, read: Callable[[], Iterable[Reading]]) -> None:
        """From now on `read` is asked for this gauge or counter whenever the metrics are, on the event loop."""
        assert metric.kind is not Kind.HISTOGRAM, "a distribution cannot be read at a moment. This is a bug."
        self._registry.register(_Watched(metric, read))

    def requested(self, route: str, status: int) -> None:
        self._requests.labels(route, str(status)).inc()

    def searched(self, answer: Answer) -> None:
        recalled = answer.recalled
        milliseconds = {
            "embed": recalled.timings.embed_ms,
            "recall": recalled.timings.recall_ms,
            "fetch": recalled.timings.fetch_ms,
            "rerank": answer.rerank_ms,
            "total": answer.total_ms,
        }
        for stage, taken in milliseconds.items():
            if taken is not None:
                self._seconds.labels("search", stage).observe(taken / 1000.0)
        self._query_vectors.labels("remembered" if recalled.query_remembered else "computed").inc()
        if answer.degraded is not None:
            self._degraded.labels(answer.degraded.reason.value).inc()
        if answer.rerank_skipped is not None:
            self._skipped.labels(answer.rerank_skipped.value).inc()
        self._judged(answer.ranking)

    def reranked(self, ranking: Ranking, *, seconds: float) -> None:
        """Loose documents: judging them is all there is to do."""
        for stage in ("rerank", "total"):
            self._seconds.labels("rerank", stage).observe(seconds)
        self._judged(ranking)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(_Documented(self._registry))

    def _judged(self, ranking: Ranking) -> None:
        self._rerank_tokens.inc(ranking.tokens)
        self._judgements.labels("computed").inc(ranking.judged - ranking.remembered)
        self._judgements.labels("remembered").inc(ranking.remembered)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.said, metric.labels, registry=self._registry)


class _Watched:
    """Asks somebody else whenever the metrics are read. A collector, as the library has it."""

    def __init__(self, metric: Metric, read: Callable[[], Iterable[Reading]]) -> None:
        self._metric = metric
        self._read = read

    def collect(self) -> Iterator[Family]:
        kind = CounterMetricFamily if self._metric.kind is Kind.COUNTER else GaugeMetricFamily
        family = kind(self._metric.name, self._metric.said, labels=self._metric.labels)
        for labels, number in self._read():
            family.add_metric(labels, number)
        yield family


class _Documented:
    """Leaves out the times of creation that the library adds to its own metrics and this text format has no use for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Family]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


class CountedRequests:
    """ASGI middleware, the outermost of ours: counts what the gate refused as well."""

    def __init__(self, app: ASGIApp, *, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # what becomes of a request that ends without an answer of ours

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            self._telemetry.requested(getattr(scope.get("route"), "path", UNROUTED), status)
