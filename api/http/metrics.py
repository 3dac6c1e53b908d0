"""The metrics of GET /metrics.

Nothing is global: an app has its own registry. Labels have few values and never a caller's text. Events are counted
here; values that other parts know (a cache, a server) are read on demand: `Telemetry.watch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Self

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from winnow.api.accounting import RerankFigures
from winnow.api.assemble import Services
from winnow.api.http.histograms import StageHistograms
from winnow.api.http.metric_table import (
    ALLOCATOR_BYTES,
    BREACHES,
    CACHE_BYTES,
    CACHE_ENTRIES,
    CACHE_EVICTIONS,
    DEGRADED,
    FALLEN_BACK,
    FOLD_SECONDS,
    FOLDING,
    FOLDS,
    INDEX_BYTES,
    JUDGEMENTS,
    MODEL_BYTES,
    QUERY_VECTORS,
    REFUSED,
    REPLAY_AGE,
    REPLAY_LEASE,
    REPLAY_OVERDUE,
    REPLAYS,
    REQUESTS,
    RERANK_SKIPPED,
    RERANK_TOKENS,
    RERANK_TURN_SECONDS,
    RERANK_TURNS,
    RERANK_WAITING,
    RESIDENT_BYTES,
    REWRITE_TOKENS,
    REWRITER_OPEN,
    REWRITES,
    SAMPLES,
    SERVER_PROVEN,
    SERVER_TOKENS,
    SHADOW_TOKENS,
    SHADOWS,
    SHADOWS_WAITING,
    STAGE_SECONDS,
    UNFOLDED,
    WEBHOOKS,
    WEBHOOKS_WAITING,
    Kind,
    Metric,
)
from winnow.api.search.records import Answer, DegradeReason, RerankSkipped
from winnow.api.search.shadowing import Shadowing
from winnow.api.stability.replay import Replays
from winnow.api.stability.webhooks import Deliveries
from winnow.rerank.prompted_reranker import PromptedReranker, WaitingReport
from winnow.retrieval import tracing
from winnow.retrieval.bounded_cache import CacheState
from winnow.retrieval.chat.rewriting import ChatRewriter, RewriteReason
from winnow.retrieval.index.memory import allocator_bytes, resident_bytes
from winnow.retrieval.search.reader import Searcher
from winnow.retrieval.vllm.replica import ReplicaReport, Standing

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text"
OPENMETRICS_CONTENT_TYPE: Final = f"{OPENMETRICS}; version=1.0.0; charset=utf-8"
UNROUTED: Final = "none"  # refused before routing, or no such route

Reading = tuple[tuple[str, ...], float]  # the values of a metric's labels, in order, and the number


class Telemetry:
    """Counts what one app does."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._counter(REQUESTS)
        self._stages = StageHistograms(STAGE_SECONDS.name, STAGE_SECONDS.said)
        self._registry.register(self._stages)
        self._degraded = self._counter(DEGRADED, DegradeReason)
        self._skipped = self._counter(RERANK_SKIPPED, RerankSkipped)
        self._rewrites = self._counter(REWRITES, ("applied", *RewriteReason))
        self._rewrite_tokens = self._counter(REWRITE_TOKENS)
        query_vectors = self._counter(QUERY_VECTORS, ("computed", "remembered"))
        self._computed, self._remembered = query_vectors.labels("computed"), query_vectors.labels("remembered")
        self._by_answer: dict[tuple[str, int], Counter] = {}  # of routes and statuses, of which there are few

    @classmethod
    def over(cls, parts: Services) -> Self:
        """Create telemetry that watches all parts with numbers of their own."""
        telemetry = cls()
        caches = {
            "judgements": parts.caches.judgements,
            "queries": parts.caches.queries,
            "texts": parts.caches.rows,
            "searches": parts.feedback.searches,
        }

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
        telemetry.watch_memory(parts)
        telemetry.watch_queues(parts)
        telemetry.watch_shadows(parts.shadowing)
        outcomes = parts.sampling.outcomes
        telemetry.watch(SAMPLES, lambda: [((outcome.value,), count) for outcome, count in outcomes.items()])
        telemetry.watch_alerts(parts.replays, parts.deliveries)
        telemetry.watch_replays(parts)
        telemetry.watch_costs(parts.accounting.figures)
        telemetry.watch_rewriter(parts.conversations.rewriter)
        return telemetry

    def watch_queues(self, parts: Services) -> None:
        """Watch the rerankers' queues and refusals. Never by tenant: there may be any number of tenants."""
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
        """Watch the shadow queue."""
        figures = shadowing.figures
        self.watch(SHADOWS, lambda: [((outcome.value,), count) for outcome, count in figures.outcomes.items()])
        self.watch(SHADOWS_WAITING, lambda: [((), float(shadowing.waiting))])
        self.watch(SHADOW_TOKENS, lambda: [((), float(figures.tokens))])

    def watch_replays(self, parts: Services) -> None:
        """Watch replays of golden sets."""
        outcomes, scheduled = parts.replays.outcomes, parts.scheduled

        def age() -> list[Reading]:
            seconds = scheduled.age_seconds
            return [] if seconds is None else [((), seconds)]

        self.watch(REPLAYS, lambda: [((*map(str, key),), float(count)) for key, count in outcomes.items()])
        self.watch(REPLAY_AGE, age)
        self.watch(REPLAY_OVERDUE, lambda: [((), scheduled.overdue_seconds)])
        self.watch(REPLAY_LEASE, lambda: [((), float(scheduled.is_holder))])

    def watch_alerts(self, replays: Replays, deliveries: Deliveries) -> None:
        """Watch breached thresholds, and the webhooks that tell of them."""
        breaches, outcomes = replays.breaches, deliveries.outcomes
        self.watch(BREACHES, lambda: [((measure.value,), count) for measure, count in breaches.items()])
        self.watch(WEBHOOKS, lambda: [((outcome.value,), count) for outcome, count in outcomes.items()])
        self.watch(WEBHOOKS_WAITING, lambda: [((), float(deliveries.waiting))])

    def watch_costs(self, figures: RerankFigures) -> None:
        """Watch what is charged to tenants, of all tenants together."""
        self.watch(RERANK_TOKENS, lambda: [((), float(figures.tokens))])
        self.watch(
            JUDGEMENTS, lambda: [(("computed",), float(figures.computed)), (("remembered",), float(figures.remembered))]
        )

    def watch_rewriter(self, rewriter: ChatRewriter | None) -> None:
        """Watch whether the chat model is asked."""
        self.watch(REWRITER_OPEN, lambda: [] if rewriter is None else [((), float(rewriter.problem is not None))])

    def watch_indexes(self, parts: Services) -> None:
        """Watch what indexes take, how far they are behind, and their builds."""

        def of_views(number: Callable[[Searcher], int]) -> Callable[[], list[Reading]]:
            def read() -> list[Reading]:
                views = (each.searchable.newest for each in parts.collections.opened())
                return [((), float(sum(number(view) for view in views if view is not None)))]

            return read

        folding = parts.folding

        def memory() -> list[Reading]:
            views = (each.searchable.newest for each in parts.collections.opened())
            found = [view.memory for view in views if view is not None]
            vectors, codes = sum(each.vectors for each in found), sum(each.codes for each in found)
            return [(("vectors",), float(vectors)), (("codes",), float(codes))]

        self.watch(INDEX_BYTES, memory)
        self.watch(UNFOLDED, of_views(lambda view: view.unfolded))
        self.watch(FALLEN_BACK, of_views(lambda view: view.fallback_from is not None))
        self.watch(FOLDING, lambda: [((), float(folding.is_building))])
        self.watch(FOLDS, lambda: [((outcome.value,), count) for outcome, count in folding.figures.outcomes.items()])
        self.watch(FOLD_SECONDS, lambda: [((), folding.figures.seconds)])

    def watch_memory(self, parts: Services) -> None:
        """Watch the process, its allocator and its models."""
        models = [(parts.embedding.embedder.identity.name, parts.embedding.memory)]
        models += [(each.reranker.name, each.memory) for each in (parts.judging, *parts.also)]

        def resident() -> list[Reading]:
            found = resident_bytes()
            return [] if found is None else [((), float(found))]

        def allocated() -> list[Reading]:
            found = allocator_bytes()
            return [] if found is None else [(("used",), float(found.used)), (("free",), float(found.free))]

        def of_models() -> list[Reading]:
            found = [(name, look()) for name, look in models if look is not None]
            weights: list[Reading] = [((name, "weights"), float(each.weights)) for name, each in found]
            return [*weights, *(((name, "table"), float(each.table)) for name, each in found)]

        self.watch(RESIDENT_BYTES, resident)
        self.watch(ALLOCATOR_BYTES, allocated)
        self.watch(MODEL_BYTES, of_models)

    def watch(self, metric: Metric, read: Callable[[], Iterable[Reading]]) -> None:
        """Read this gauge or counter with `read` whenever metrics are read, on the event loop."""
        assert metric.kind is not Kind.HISTOGRAM, "a histogram cannot be read on demand. This is a bug."
        self._registry.register(_Watched(metric, read))

    def requested(self, route: str, status: int) -> None:
        counter = self._by_answer.get((route, status))
        if counter is None:  # `labels` takes longer than counting
            counter = self._by_answer[route, status] = self._requests.labels(route, str(status))
        counter.inc()

    def searched(self, answer: Answer) -> None:
        recalled, exemplar = answer.recalled, tracing.exemplar()
        milliseconds = {
            "rewrite": None if answer.rewriting is None else answer.rewriting.ms,
            "embed": recalled.timings.embed_ms,
            "recall": recalled.timings.recall_ms,
            "fetch": recalled.timings.fetch_ms,
            "rerank": answer.rerank_ms,
            "total": answer.total_ms,
        }
        for stage, taken in milliseconds.items():
            if taken is not None:
                self._stages.observe("search", stage, taken / 1000.0, exemplar)
        self._remembered.inc(recalled.queries_remembered)
        self._computed.inc(recalled.queries - recalled.queries_remembered)
        if answer.rewriting is not None:
            self._rewrites.labels(answer.rewriting.reason or "applied").inc()
            self._rewrite_tokens.inc(answer.rewriting.tokens)
        if answer.degraded is not None:
            self._degraded.labels(answer.degraded.reason.value).inc()
        if answer.rerank_skipped is not None:
            self._skipped.labels(answer.rerank_skipped.value).inc()

    def reranked(self, *, seconds: float) -> None:
        """Count a rerank request: its only stage is reranking."""
        exemplar = tracing.exemplar()
        for stage in ("rerank", "total"):
            self._stages.observe("rerank", stage, seconds, exemplar)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(_Documented(self._registry))

    def openmetrics(self) -> bytes:
        """Return all metrics in the format of OpenMetrics, which also has exemplars."""
        return bytes(generate_openmetrics(_Documented(self._registry)))  # type: ignore[no-untyped-call]

    def _counter(self, metric: Metric, values: Iterable[str] = ()) -> Counter:
        """Create a counter that shows 0 for known values of its label: a rate needs a number to start from."""
        counter = Counter(metric.name, metric.said, metric.labels, registry=self._registry)
        for value in values:
            counter.labels(value)
        return counter


class _Watched:
    """A Prometheus collector that reads its value on demand."""

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
    """Leaves out creation times, which the library adds and the text format does not use."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Family]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
