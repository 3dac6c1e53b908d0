"""The table of metrics: every metric, named and documented once (docs/reference/metrics.md)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """The type of a metric."""

    COUNTER = "counter"  # only increases
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One row of the table of metrics."""

    name: str  # unit and _total last, by Prometheus' convention
    kind: Kind
    said: str
    labels: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """`name{label, label}`, as in the documentation."""
        return f"{self.name}{{{', '.join(self.labels)}}}" if self.labels else self.name


REQUESTS: Final = Metric(
    name="winnow_requests_total",
    kind=Kind.COUNTER,
    labels=("route", "status"),
    said="Answered requests. route is the path's pattern, or none if there was no route or no capacity.",
)
STAGE_SECONDS: Final = Metric(
    name="winnow_stage_seconds",
    kind=Kind.HISTOGRAM,
    labels=("asked", "stage"),
    said="Seconds per answer. asked: search or rerank; stage: rewrite (of a conversation), embed, recall, fetch, "
    "rerank, total.",
)
DEGRADED: Final = Metric(
    name="winnow_degraded_total",
    kind=Kind.COUNTER,
    labels=("reason",),
    said="Searches answered in recall's order because reranking failed. reason: as in the answer.",
)
RERANK_SKIPPED: Final = Metric(
    name="winnow_rerank_skipped_total",
    kind=Kind.COUNTER,
    labels=("reason",),
    said="Searches for which reranking was skipped without a failure. reason: as in the answer.",
)
RERANK_TOKENS: Final = Metric(
    name="winnow_rerank_tokens_total", kind=Kind.COUNTER, said="Tokens computed by the reranker for answers."
)
JUDGEMENTS: Final = Metric(
    name="winnow_judgements_total",
    kind=Kind.COUNTER,
    labels=("source",),
    said="Relevance scores in answers. source: computed or remembered (from the cache).",
)
QUERY_VECTORS: Final = Metric(
    name="winnow_query_vectors_total",
    kind=Kind.COUNTER,
    labels=("source",),
    said="Query vectors of searches. source: computed or remembered (from the cache).",
)
REWRITES: Final = Metric(
    name="winnow_rewrites_total",
    kind=Kind.COUNTER,
    labels=("outcome",),
    said="Searches with a conversation. outcome: applied (a chat model wrote the query), or the reason in the answer.",
)
REWRITE_TOKENS: Final = Metric(
    name="winnow_rewrite_tokens_total",
    kind=Kind.COUNTER,
    said="Tokens that the chat model read and wrote for conversations, as its server counts them.",
)
REWRITER_OPEN: Final = Metric(
    name="winnow_rewriter_left_alone",
    kind=Kind.GAUGE,
    said="1 while the chat model for conversations is not asked because it failed; absent if there is none.",
)
CACHE_BYTES: Final = Metric(
    name="winnow_cache_bytes",
    kind=Kind.GAUGE,
    labels=("cache",),
    said="Memory used by a cache. cache: judgements (relevance scores), queries (their vectors), texts (of chunks), or "
    "searches (answered ones, for feedback).",
)
CACHE_ENTRIES: Final = Metric(
    name="winnow_cache_entries", kind=Kind.GAUGE, labels=("cache",), said="Entries in a cache."
)
CACHE_EVICTIONS: Final = Metric(
    name="winnow_cache_evictions_total",
    kind=Kind.COUNTER,
    labels=("cache",),
    said="Entries evicted from a cache because it was full, before they expired.",
)
RESIDENT_BYTES: Final = Metric(
    name="winnow_resident_bytes",
    kind=Kind.GAUGE,
    said="Memory of this process in RAM, with the files that it has mapped; absent on systems other than Linux.",
)
INDEX_BYTES: Final = Metric(
    name="winnow_index_bytes",
    kind=Kind.GAUGE,
    labels=("part",),
    said="Memory of the indexes of all open collections. part: vectors (in full), or codes (of approximate indexes, "
    "and those that an exact one compares first).",
)
MODEL_BYTES: Final = Metric(
    name="winnow_model_bytes",
    kind=Kind.GAUGE,
    labels=("model", "part"),
    said="Memory of a Qwen3 model in this process. part: weights, or table (computed for tokens that occurred, so that "
    "passages are embedded sooner; it stops growing when every token of the vocabulary has occurred).",
)
ALLOCATOR_BYTES: Final = Metric(
    name="winnow_allocator_bytes",
    kind=Kind.GAUGE,
    labels=("state",),
    said="Memory of the C library's allocator, which caches, tables and products share. state: used, or free (kept, to "
    "be used again); absent without glibc.",
)
SERVER_PROVEN: Final = Metric(
    name="winnow_server_proven",
    kind=Kind.GAUGE,
    labels=("model", "url"),
    said="1 while a model server is in use, 0 while it is paused or has not passed its check.",
)
SERVER_TOKENS: Final = Metric(
    name="winnow_server_tokens_in_flight",
    kind=Kind.GAUGE,
    labels=("model", "url"),
    said="Tokens in progress on a model server.",
)
UNFOLDED: Final = Metric(
    name="winnow_unfolded_chunks",
    kind=Kind.GAUGE,
    said="Chunks of all open collections written or removed since their indexes were built.",
)
FALLEN_BACK: Final = Metric(
    name="winnow_collections_fallen_back",
    kind=Kind.GAUGE,
    said="Open collections served by a fallback because their current generation is damaged; /readyz names them.",
)
FOLDING: Final = Metric(name="winnow_folding", kind=Kind.GAUGE, said="1 while a generation is being built.")
FOLDS: Final = Metric(
    name="winnow_folds_total",
    kind=Kind.COUNTER,
    labels=("outcome",),
    said="Generations that this process started to build. outcome: folded, failed, or elsewhere (by another process).",
)
FOLD_SECONDS: Final = Metric(
    name="winnow_fold_seconds_total", kind=Kind.COUNTER, said="Seconds spent building generations."
)
RERANK_WAITING: Final = Metric(
    name="winnow_rerank_waiting_tokens",
    kind=Kind.GAUGE,
    labels=("model",),
    said="Approximate tokens of unfinished requests at a reranker, for all tenants.",
)
RERANK_TURNS: Final = Metric(
    name="winnow_rerank_turns_total",
    kind=Kind.COUNTER,
    labels=("model",),
    said="Turns granted to tenants at a reranker, one per batch.",
)
RERANK_TURN_SECONDS: Final = Metric(
    name="winnow_rerank_turn_wait_seconds_total",
    kind=Kind.COUNTER,
    labels=("model",),
    said="Total seconds waited for those turns.",
)
REFUSED: Final = Metric(
    name="winnow_refused_total",
    kind=Kind.COUNTER,
    labels=("limit",),
    said="Refused requests. limit: the name of a tenant's limit, rerank_tokens_waiting if the queue was full for "
    "all, or rerank_tokens_waiting_of_tenant if the same tenant had too much waiting.",
)
SHADOWS: Final = Metric(
    name="winnow_shadows_total",
    kind=Kind.COUNTER,
    labels=("outcome",),
    said="Searches selected for a shadow. outcome: judged (reranked again), failed, or dropped if too many waited "
    "or the shadow had ended.",
)
SHADOWS_WAITING: Final = Metric(
    name="winnow_shadows_waiting", kind=Kind.GAUGE, said="Answered searches that wait to be reranked by a shadow."
)
SHADOW_TOKENS: Final = Metric(
    name="winnow_shadow_tokens_total", kind=Kind.COUNTER, said="Tokens computed by the reranker for shadows."
)
SAMPLES: Final = Metric(
    name="winnow_stability_samples_total",
    kind=Kind.COUNTER,
    labels=("outcome",),
    said="Searches selected to be recorded. outcome: written, or dropped if too many waited or they may not be kept.",
)
BREACHES: Final = Metric(
    name="winnow_stability_breaches_total",
    kind=Kind.COUNTER,
    labels=("measure",),
    said="Thresholds breached by runs of golden sets in this process. measure: top1_change_rate, overlap_at_10, rbo, "
    "tau_b, score_shift or degraded.",
)
REPLAYS: Final = Metric(
    name="winnow_stability_replays_total",
    kind=Kind.COUNTER,
    labels=("trigger", "outcome"),
    said="Replays of golden sets. trigger: request, command, schedule, model, instruction, publication, or runtime. "
    "outcome: stable (nothing moved), moved, failed, or abandoned (interrupted, or taken over by another process).",
)
REPLAY_AGE: Final = Metric(
    name="winnow_stability_last_run_age_seconds",
    kind=Kind.GAUGE,
    said="Seconds since the newest run of any golden set; absent before the first.",
)
REPLAY_OVERDUE: Final = Metric(
    name="winnow_stability_overdue_seconds",
    kind=Kind.GAUGE,
    said="Seconds for which the oldest scheduled replay has been due.",
)
REPLAY_LEASE: Final = Metric(
    name="winnow_stability_lease",
    kind=Kind.GAUGE,
    said="1 while this process is the one that replays golden sets.",
)
WEBHOOKS: Final = Metric(
    name="winnow_webhook_deliveries_total",
    kind=Kind.COUNTER,
    labels=("outcome",),
    said="Attempts of this process to deliver webhooks. outcome: delivered, retried (failed, and repeated later), or "
    "undelivered (given up).",
)
WEBHOOKS_WAITING: Final = Metric(
    name="winnow_webhooks_waiting", kind=Kind.GAUGE, said="Deliveries in the catalog that wait for an attempt."
)
METRICS: Final = (
    REQUESTS, STAGE_SECONDS, DEGRADED, RERANK_SKIPPED, RERANK_TOKENS, JUDGEMENTS, QUERY_VECTORS, CACHE_BYTES,
    CACHE_ENTRIES, CACHE_EVICTIONS, RESIDENT_BYTES, INDEX_BYTES, MODEL_BYTES, ALLOCATOR_BYTES,
    SERVER_PROVEN, SERVER_TOKENS, UNFOLDED, FALLEN_BACK, FOLDING, FOLDS, FOLD_SECONDS,
    RERANK_WAITING, RERANK_TURNS, RERANK_TURN_SECONDS, REFUSED, SHADOWS, SHADOWS_WAITING, SHADOW_TOKENS, SAMPLES,
    BREACHES, WEBHOOKS, WEBHOOKS_WAITING, REWRITES, REWRITE_TOKENS, REWRITER_OPEN,
    REPLAYS, REPLAY_AGE, REPLAY_OVERDUE, REPLAY_LEASE,
)  # fmt: skip
