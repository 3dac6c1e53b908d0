"""deploy/observe against a real Prometheus that reads a running service: rules, alerts, dashboard, exemplars."""

from __future__ import annotations

import json
import math
import re
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes import FailingReranker, HashEmbedder
from tests.observe.environment import FOLDER, PROJECT, found
from tests.observe.otlp_receiver import OtlpReceiver, receiving
from tests.observe.prometheus import RULES, Prometheus, configuration, scraping
from tests.observe.traced_vllm import TracedVllm, unquestioned
from tests.tiny_models import write_reranker
from tests.wire_service import Wire, head, listening
from winnow.api.assemble import wire
from winnow.api.http.app import create_app
from winnow.api.http.metric_table import METRICS
from winnow.api.http.trace_export import exporting
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.search.caches import Caches
from winnow.api.settings import Settings, trace_export
from winnow.rerank.vllm_reranker import RERANKER_FAILURES, VllmReranker
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.vllm.pool import VllmPool

PROGRAMS = found()
NEEDS_PROMETHEUS = pytest.mark.skipif(
    PROGRAMS is None, reason=f"no Prometheus on the PATH or in {FOLDER.name}: python -m tests.observe.environment"
)
OBSERVE = PROJECT / "deploy" / "observe"
DASHBOARD = json.loads((OBSERVE / "grafana" / "dashboards" / "winnow.json").read_text(encoding="utf-8"))
QUERIES = [
    (f"{panel['title']}: {target['legendFormat']}", target["expr"])
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
]
ALERTS = yaml.safe_load((RULES / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
RECORDED = yaml.safe_load((RULES / "recording.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
KEY = "secret"  # which `head` sends
WAIT_SECONDS = 60  # on a machine that is very busy


def promtool(*arguments: str) -> str:
    assert PROGRAMS is not None
    done = subprocess.run(
        [PROGRAMS["promtool"], *arguments], cwd=RULES, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@NEEDS_PROMETHEUS
def test_promtool_accepts_the_rules_and_each_alert_fires_and_stays_quiet(tmp_path: Path) -> None:
    """By the project's own unit tests of the rules, and by none once a threshold is moved."""
    assert f"{len(RECORDED)} rules found" in promtool("check", "rules", "recording.yml")
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yml")
    for name in ("recording.yml", "rules_test.yml"):
        (tmp_path / name).write_text((RULES / name).read_text(encoding="utf-8"))
    never = [each | {"expr": f"({each['expr']}) and vector(1) < 0"} for each in ALERTS]
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump({"groups": [{"name": "winnow-alerts", "rules": never}]}))
    with pytest.raises(AssertionError) as failed:
        promtool("test", "rules", str(tmp_path / "rules_test.yml"))
    named = set(re.findall(r"alertname: ?(\w+)", str(failed.value)))  # and pieces of names: promtool's lines may mix
    assert named >= {each["alert"] for each in ALERTS}


def test_each_alert_has_two_cases_and_a_runbook() -> None:
    """One in which it fires, one in which it stays quiet; and a page that says what to do."""
    cases = yaml.safe_load((RULES / "rules_test.yml").read_text(encoding="utf-8"))["tests"]
    names = [alert["alert"] for alert in ALERTS]
    assert {each["name"] for each in cases} == {f"{name} {how}" for name in names for how in ("fires", "stays quiet")}
    page = (PROJECT / "docs" / "how-to" / "alerts.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == names
    for alert in ALERTS:
        assert alert["annotations"]["runbook"] == f"docs/how-to/alerts.md#{alert['alert'].lower()}"


def test_the_dashboard_is_what_its_table_makes() -> None:
    """The file is generated; and it names only metrics that there are."""
    made = runpy.run_path(str(OBSERVE / "dashboard.py"))["text"]()
    assert (OBSERVE / "grafana" / "dashboards" / "winnow.json").read_text(encoding="utf-8") == made
    known = {metric.name for metric in METRICS} | {rule["record"] for rule in RECORDED}
    rules = [(rule.get("record", rule.get("alert")), rule["expr"]) for rule in (*RECORDED, *ALERTS)]
    for title, query in (*QUERIES, *rules):
        named = {re.sub("_(bucket|count|sum)$", "", each) for each in re.findall(r"winnow[_:][a-z0-9_:]+", query)}
        assert named <= known, f"{title} names {sorted(named - known)}"


def test_grafana_finds_what_the_dashboard_and_the_compose_file_name() -> None:
    """Data sources by their ids, services by their hosts, folders by their mounts."""
    provisioning = OBSERVE / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "winnow.yml").read_text(encoding="utf-8"))["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "winnow.yml").read_text(encoding="utf-8"))["providers"]
    composed = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))
    services = composed["services"]
    tools = {name for name, each in services.items() if each.get("profiles") == ["observe"]}
    assert tools == {"prometheus", "grafana", "jaeger"}
    assert {re.match(r"http://(\w+):", each["url"]).group(1) for each in sources} == {"prometheus", "jaeger"}  # type: ignore[union-attr]
    uids = {each["uid"] for each in sources}
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if "datasource" in panel} <= uids
    mounted = {each.split(":")[1]: each.split(":")[0] for each in services["grafana"]["volumes"]}
    assert (PROJECT / mounted[provider["options"]["path"]] / "winnow.json").is_file()
    assert (PROJECT / mounted["/etc/grafana/provisioning"] / "datasources" / "winnow.yml").is_file()
    scraped = yaml.safe_load((RULES / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"][0]
    assert scraped["static_configs"] == [{"targets": ["winnow:8000"]}]
    assert scraped["authorization"]["credentials_file"] == f"/run/secrets/{services['prometheus']['secrets'][0]}"
    assert composed["secrets"]["winnow_api_key"] == {"environment": "WINNOW_API_KEY"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A service, the Prometheus that reads it, and the collector of its traces."""

    port: int
    prometheus: Prometheus
    collector: OtlpReceiver

    def ask(self, path: str, body: dict[str, Any]) -> int:
        sent = json.dumps(body).encode()
        lines = (f"Content-Length: {len(sent)}", "Content-Type: application/json")
        connection = Wire(self.port, head("POST", path, *lines) + sent)
        try:
            return connection.answer()[0]
        finally:
            connection.close()

    def use(self, number: int) -> None:
        """A little of everything that the dashboard shows."""
        search = {"query": f"refund {number}", "collection": "docs"}
        assert self.ask("/v1/search", search) == self.ask("/v1/search", search) == 200
        assert self.ask("/v1/search", search | {"rerank": False}) == 200
        assert self.ask("/v1/search", search | {"collection": "fails"}) == 200
        assert self.ask("/v1/rerank", {"query": f"q{number}", "documents": ["a", "b"]}) == 200

    def until(self, is_true: Callable[[], bool], *, what: Callable[[], object]) -> None:
        """With traffic, and until the time is up."""
        deadline = time.monotonic() + WAIT_SECONDS
        for number in range(10**6):
            if is_true():
                return
            assert time.monotonic() < deadline, what()
            self.use(number)


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """Over fakes and a model server, with caches, a key and traces."""
    assert PROGRAMS is not None
    folder = tmp_path_factory.mktemp("observed")
    judge = find_model(str(write_reranker(folder / "judge")), kind="reranker")
    tokenizer = PlainTokenizer.load(judge.path)
    settings = Settings(data=folder / "data", api_key=KEY)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        collector = stack.enter_context(receiving())
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        provider = stack.enter_context(exporting(trace_export()))
        vllm = TracedVllm(collector)
        stack.enter_context(vllm.running())
        pool = VllmPool([vllm.url], RERANKER_FAILURES, proof=unquestioned)
        caches = Caches.of(settings)
        reranker = VllmReranker.load(judge, pool, secret=b"0" * 32, cache=caches.judgements)
        parts = wire(
            settings,
            LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu"),
            LoadedReranker(reranker=reranker, runs_on="vllm", device="cpu", pool=pool),
            also=[LoadedReranker(reranker=FailingReranker(RerankUnavailable("gone")), runs_on="no", device="cpu")],
            caches=caches,
        )
        port = stack.enter_context(listening(create_app(replace(parts, pools=(pool,)), tracer_provider=provider)))
        config = configuration(folder, port=port, key=KEY)
        prometheus = stack.enter_context(scraping(PROGRAMS["prometheus"], config))
        found = Observed(port=port, prometheus=prometheus, collector=collector)
        for name, chosen in (("docs", {}), ("fails", {"reranker": "failing"})):
            assert found.ask("/v1/collections", {"name": name, **chosen}) == 201
            documents = [{"id": str(number), "text": f"Text {number} on a refund"} for number in range(5)]
            assert found.ask(f"/v1/collections/{name}/documents", {"documents": documents}) == 200
        found.until(prometheus.is_ready, what=lambda: "Prometheus does not start")
        yield found


@NEEDS_PROMETHEUS
@pytest.mark.slow
def test_every_query_of_the_dashboard_returns_data(observed: Observed) -> None:
    """Numbers, from a service that is used; rates need two scrapes."""
    empty = dict(QUERIES)

    def all_there() -> bool:
        for title, query in list(empty.items()):
            values = observed.prometheus.values(query.replace("$__rate_interval", "5m"))
            if any(math.isfinite(value) for value in values):
                del empty[title]
        return not empty

    observed.until(all_there, what=lambda: f"no data: {sorted(empty)}")
    assert len(QUERIES) >= 24


@NEEDS_PROMETHEUS
@pytest.mark.slow
def test_every_rule_is_evaluated_and_a_healthy_service_fires_none(observed: Observed) -> None:
    """Of those that do not wait; and Prometheus is not refused."""
    rules: list[dict[str, Any]] = []

    def evaluated() -> bool:
        rules[:] = [rule for group in observed.prometheus.ask("rules")["groups"] for rule in group["rules"]]
        return {rule["health"] for rule in rules} == {"ok"}

    observed.until(evaluated, what=lambda: [rule for rule in rules if rule["health"] != "ok"])
    assert len(rules) == len(RECORDED) + len(ALERTS)
    assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []
    observed.until(lambda: observed.prometheus.values('up{job="winnow"}') == [1.0], what=lambda: "not read")


@NEEDS_PROMETHEUS
@pytest.mark.slow
def test_exemplars_lead_to_traces_that_were_received(observed: Observed) -> None:
    """From a bucket of the dashboard to the tree of one search."""

    def named() -> set[str]:
        query = 'winnow_stage_seconds_bucket{asked="search",stage="total"}'
        now = time.time()
        series = observed.prometheus.ask("query_exemplars", query=query, start=str(now - 300), end=str(now + 5))
        return {exemplar["labels"]["trace_id"] for each in series for exemplar in each["exemplars"]}

    observed.until(lambda: bool(named() & observed.collector.traces().keys()), what=lambda: "no exemplar was stored")


@pytest.mark.slow
def test_the_cost_of_logs_and_traces_can_be_measured() -> None:
    """A tiny run of what bench/RESULTS.md reports; how much it is, depends on the machine."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.stability.telemetry", "--fakes", "--rounds", "2", "--searches", "1"],
        cwd=PROJECT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["off", "logged", "recorded"]
