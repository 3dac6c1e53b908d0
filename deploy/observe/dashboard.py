"""Writes the dashboard for Grafana, from the table of panels below.

    python deploy/observe/dashboard.py     # writes grafana/dashboards/winnow.json beside this file

The table is what is edited; a test compares it with the file, and asks a real Prometheus every query.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parent / "grafana" / "dashboards" / "winnow.json"
DATASOURCE: Final = {"type": "prometheus", "uid": "winnow-prometheus"}
COLUMNS: Final = 24  # of Grafana's grid
PANELS_PER_ROW: Final = 3
HEIGHT: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One graph: its queries by legend."""

    title: str
    help: str
    unit: str
    queries: Mapping[str, str]
    has_exemplars: bool = False  # dots that lead to traces


def _quantile(share: str, by: str, where: str) -> str:
    return (
        f"histogram_quantile({share}, sum by ({by}) (rate(winnow_stage_seconds_bucket{{{where}}}[$__rate_interval])))"
    )


def _rate(metric: str, by: str = "", where: str = "") -> str:
    selected = f"rate({metric}{{{where}}}[$__rate_interval])" if where else f"rate({metric}[$__rate_interval])"
    return f"sum by ({by}) ({selected})" if by else f"sum({selected})"


_SEARCH: Final = 'asked="search",stage="total"'
_OF_RERANKER: Final = 'limit=~"rerank_tokens_waiting.*"'
_OF_TENANT: Final = 'limit!~"rerank_tokens_waiting.*"'

ROWS: Final[Mapping[str, tuple[Panel, ...]]] = {
    "Traffic": (
        Panel(
            title="Requests by route",
            help="Answered requests per second.",
            unit="reqps",
            queries={"{{route}}": _rate("winnow_requests_total", "route")},
        ),
        Panel(
            title="Requests by status",
            help="499: the caller left. 503: no capacity, or a model server is missing.",
            unit="reqps",
            queries={"{{status}}": _rate("winnow_requests_total", "status")},
        ),
        Panel(
            title="Share of failed requests",
            help="Status 500 and above. Alert: WinnowErrors.",
            unit="percentunit",
            queries={"failed": "winnow:requests_failed:ratio5m"},
        ),
    ),
    "Latency": (
        Panel(
            title="Duration of a search",
            help="From the body's arrival to the answer. Dots are single searches, with a link to their trace.",
            unit="s",
            queries={
                "median": _quantile("0.5", "le", _SEARCH),
                "95 %": _quantile("0.95", "le", _SEARCH),
                "99 %": _quantile("0.99", "le", _SEARCH),
            },
            has_exemplars=True,
        ),
        Panel(
            title="95 % of each stage",
            help="Of searches. embed: the query; recall: the index; fetch: texts; rerank: the reranker and its queue.",
            unit="s",
            queries={"{{stage}}": _quantile("0.95", "le, stage", 'asked="search"')},
            has_exemplars=True,
        ),
        Panel(
            title="Duration of a rerank request",
            help="POST /v1/rerank and /v2/rerank.",
            unit="s",
            queries={
                "median": _quantile("0.5", "le", 'asked="rerank",stage="total"'),
                "95 %": _quantile("0.95", "le", 'asked="rerank",stage="total"'),
            },
        ),
    ),
    "Queue and turns": (
        Panel(
            title="Tokens waiting at a reranker",
            help="Of unfinished requests, estimated, for all tenants.",
            unit="short",
            queries={"{{model}}": "winnow_rerank_waiting_tokens"},
        ),
        Panel(
            title="Wait for a turn",
            help="Mean seconds between asking for a turn at the reranker and getting it. Alert: WinnowWaitsForTurns.",
            unit="s",
            queries={"{{model}}": "winnow:rerank_turn_wait_seconds:mean5m"},
        ),
        Panel(
            title="Turns and tokens",
            help="Batches granted, and tokens computed, per second.",
            unit="ops",
            queries={
                "turns of {{model}}": _rate("winnow_rerank_turns_total", "model"),
                "tokens": _rate("winnow_rerank_tokens_total"),
            },
        ),
    ),
    "Caches": (
        Panel(
            title="Share answered from a cache",
            help="Relevance scores and query vectors that were not computed again.",
            unit="percentunit",
            queries={
                "relevance scores": "winnow:judgements_remembered:ratio5m",
                "query vectors": "winnow:query_vectors_remembered:ratio5m",
            },
        ),
        Panel(title="Memory", help="Of each cache.", unit="bytes", queries={"{{cache}}": "winnow_cache_bytes"}),
        Panel(
            title="Evictions",
            help="Entries evicted because the cache was full. Many: the cache is too small for this traffic.",
            unit="ops",
            queries={"{{cache}}": _rate("winnow_cache_evictions_total", "cache")},
        ),
    ),
    "Degraded answers": (
        Panel(
            title="Degraded by reason",
            help="Searches answered in recall's order because reranking failed. Alert: WinnowDegraded.",
            unit="reqps",
            queries={"{{reason}}": _rate("winnow_degraded_total", "reason")},
        ),
        Panel(
            title="Share of degraded searches",
            help="Of all searches.",
            unit="percentunit",
            queries={"degraded": "winnow:degraded:ratio5m"},
        ),
        Panel(
            title="Not reranked by reason",
            help="Without a failure: not requested, no weight, or no candidates.",
            unit="reqps",
            queries={"{{reason}}": _rate("winnow_rerank_skipped_total", "reason")},
        ),
    ),
    "Freshness": (
        Panel(
            title="Unindexed changes",
            help="Chunks written or removed since the indexes were built; found by comparing one by one.",
            unit="short",
            queries={"chunks": "winnow_unfolded_chunks", "building": "winnow_folding"},
        ),
        Panel(
            title="Builds by outcome",
            help="Generations in the last hour. Alert: WinnowFoldsFail.",
            unit="short",
            queries={"{{outcome}}": "sum by (outcome) (increase(winnow_folds_total[1h]))"},
        ),
        Panel(
            title="Collections on an older index",
            help="Their newest generation is damaged. Alert: WinnowCollectionFallenBack.",
            unit="short",
            queries={"collections": "winnow_collections_fallen_back"},
        ),
    ),
    "Replicas": (
        Panel(
            title="Services that answer",
            help="Prometheus reaches them. Alert: WinnowDown.",
            unit="short",
            queries={"{{instance}}": 'up{job="winnow"}'},
        ),
        Panel(
            title="Model servers in use",
            help="1: the server passed its check. Alert: WinnowModelServerDown. Empty without vLLM servers.",
            unit="short",
            queries={"{{model}} at {{url}}": "winnow_server_proven"},
        ),
        Panel(
            title="Tokens in flight",
            help="On each model server.",
            unit="short",
            queries={"{{model}} at {{url}}": "winnow_server_tokens_in_flight"},
        ),
    ),
    "Tenants": (
        Panel(
            title="Refused by a tenant's limits",
            help="No metric names a tenant; `winnow usage` has figures by tenant and day. Alert: WinnowTenantLimited.",
            unit="reqps",
            queries={"{{limit}}": _rate("winnow_refused_total", "limit", _OF_TENANT)},
        ),
        Panel(
            title="Refused by the reranker's queue",
            help="Full for all, or too much of one tenant. Alert: WinnowQueueFull.",
            unit="reqps",
            queries={"{{limit}}": _rate("winnow_refused_total", "limit", _OF_RERANKER)},
        ),
        Panel(
            title="Shadows",
            help="Answered searches that wait to be reranked by a shadow, and those done per second.",
            unit="short",
            queries={
                "waiting": "winnow_shadows_waiting",
                "{{outcome}}": _rate("winnow_shadows_total", "outcome"),
            },
        ),
    ),
    "Stability": (
        Panel(
            title="Samples",
            help="Searches recorded to notice when rankings move. `winnow stability report` shows what moved.",
            unit="reqps",
            queries={"{{outcome}}": _rate("winnow_stability_samples_total", "outcome")},
        ),
        Panel(
            title="Breached thresholds",
            help="By runs of golden sets in the last hour. `winnow audit` names run and cause. Alert: "
            "WinnowRankingsMoved.",
            unit="short",
            queries={"{{measure}}": "sum by (measure) (increase(winnow_stability_breaches_total[1h]))"},
        ),
        Panel(
            title="Webhooks",
            help="Attempts in the last hour, and deliveries that wait. Alert: WinnowWebhooksUndelivered.",
            unit="short",
            queries={
                "{{outcome}}": "sum by (outcome) (increase(winnow_webhook_deliveries_total[1h]))",
                "waiting": "max(winnow_webhooks_waiting)",
            },
        ),
    ),
}


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana reads it."""
    return {
        "uid": "winnow",
        "title": "winnow",
        "tags": ["winnow"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top, width = 0, 0, COLUMNS // PANELS_PER_ROW
    for title, panels in ROWS.items():
        number += 1
        grid = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": grid, "panels": []}
        for place, panel in enumerate(panels):
            number += 1
            grid = {"h": HEIGHT, "w": width, "x": place * width, "y": top + 1}
            yield _graph(panel, number, grid)
        top += 1 + HEIGHT


def _graph(panel: Panel, number: int, grid: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.help,
        "datasource": DATASOURCE,
        "gridPos": grid,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": DATASOURCE,
                "expr": query,
                "legendFormat": legend,
                "exemplar": panel.has_exemplars,
            }
            for place, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
