"""GET /metrics: what it counts, and who may read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import CountingJudge, FailingReranker, HashEmbedder, PrefersWord
from tests.tiny_models import write_embedder, write_reranker
from winnow.api.assemble import Services, wire
from winnow.api.http.app import create_app
from winnow.api.http.histograms import BUCKETS
from winnow.api.http.metric_table import CACHE_BYTES, METRICS, Kind, Metric
from winnow.api.http.metrics import Telemetry
from winnow.api.http.request_limits import Gate
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.search.caches import NO_CACHES, Caches
from winnow.api.search.records import DegradeReason
from winnow.api.settings import Settings
from winnow.rerank.prompt import PromptBuilder
from winnow.rerank.prompted_reranker import PromptedReranker
from winnow.rerank.reranker import Reranker
from winnow.rerank.torch_reranker import TorchReranker
from winnow.rerank.vllm_reranker import RERANKER_FAILURES
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.generation.history import fold
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.model.memory import ModelMemory
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import DEFAULT_TENANT
from winnow.retrieval.vllm.client import VllmClient
from winnow.retrieval.vllm.pool import VllmPool

SEARCH = {"query": "refund", "collection": "docs"}
STAGES = BUCKETS.keys() - {"rewrite"}  # of a search without a conversation


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return write_embedder(folder / "embedder"), write_reranker(folder / "reranker")


def parts_over(
    folder: Path, models: tuple[Path, Path], reranker: Reranker, *, caches: Caches = NO_CACHES, key: str | None = None
) -> Services:
    embedding = LoadedEmbedder(
        embedder=HashEmbedder(), tokenizer=PlainTokenizer.load(models[0]), runs_on="hash", device="cpu"
    )
    judging = LoadedReranker(reranker=reranker, runs_on="words", device="cpu")
    return wire(replace(Settings(data=folder), api_key=key), embedding, judging, caches=caches)


def serving(parts: Services) -> TestClient:
    return CheckingClient(create_app(parts), base_url="http://localhost")


def remembering(folder: Path, models: tuple[Path, Path], settings: Settings) -> Services:
    caches = Caches.of(settings)
    prompts = PromptBuilder.load(models[1], tokens_max=500)
    reranker = PromptedReranker(CountingJudge(), prompts, name="tiny", revision="1", cache=caches.judgements)
    return parts_over(folder, models, reranker, caches=caches)


@pytest.fixture
def client(tmp_path: Path, models: tuple[Path, Path]) -> Iterator[TestClient]:
    with serving(remembering(tmp_path, models, Settings())) as client:
        fill(client)
        yield client


def fill(client: TestClient) -> None:
    assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
    documents = [{"id": str(number), "text": f"Text {number} about a refund"} for number in range(3)]
    assert client.post("/v1/collections/docs/documents", json={"documents": documents}).status_code == 200


def read(client: TestClient) -> dict[str, float]:
    """Every sample, as `name{label=value}`; buckets left out."""
    answered = client.get("/metrics")
    assert answered.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        sample.name + "".join(f"{{{name}={value}}}" for name, value in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(answered.text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def test_every_metric_is_on_the_documentations_page(client: TestClient) -> None:
    """A reader of /docs need not look for the reference."""
    page = client.get("/docs").text
    assert [metric.name for metric in METRICS if metric.shown not in page] == []


def test_what_is_sent_is_what_is_listed(client: TestClient) -> None:
    """No metric of the library's own, none missing; each of the kind that the table says."""
    client.post("/v1/search", json=SEARCH)
    text = client.get("/metrics").text
    assert dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)) == {
        metric.name: metric.kind.value for metric in METRICS
    }


def test_openmetrics_is_answered_where_it_is_asked_for(client: TestClient) -> None:
    """With the same numbers; Prometheus asks for it when it stores exemplars."""
    client.post("/v1/search", json=SEARCH)
    accept = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    answered = client.get("/metrics", headers={"accept": accept})
    assert answered.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(answered.text)}
    assert {name.removesuffix("_total") for name in (each.name for each in METRICS)} == families.keys()
    stages = [each for each in families["winnow_stage_seconds"].samples if each.name.endswith("_count")]
    assert {each.labels["stage"]: each.value for each in stages} == dict.fromkeys(STAGES, 1)
    assert "trace_id" not in answered.text  # no request is traced here


def test_a_traced_measurement_names_its_trace(tmp_path: Path, models: tuple[Path, Path]) -> None:
    """So that a slow search on a dashboard leads to where its time went; one that is not recorded leads nowhere."""
    provider = SdkTracerProvider(sampler=ParentBased(ALWAYS_OFF))
    app = create_app(parts_over(tmp_path, models, PrefersWord("refund")), tracer_provider=provider)
    with CheckingClient(app, base_url="http://localhost") as client:
        fill(client)
        traced = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
        for headers in (traced, {}):
            client.post("/v1/search", json=SEARCH, headers=headers)
            client.post("/v1/rerank", json={"query": "q", "documents": ["a"]}, headers=headers)
        text = client.get("/metrics", headers={"accept": "application/openmetrics-text"}).text
    found = [
        (sample.labels["asked"], sample.labels["stage"], sample.exemplar.labels["trace_id"])
        for family in openmetrics.text_string_to_metric_families(text)
        for sample in family.samples
        if sample.exemplar
    ]
    searches = [("search", stage, "ab" * 16) for stage in STAGES]
    assert sorted(found) == sorted([*searches, ("rerank", "rerank", "ab" * 16), ("rerank", "total", "ab" * 16)])


def test_counters_of_known_reasons_begin_at_zero(tmp_path: Path, models: tuple[Path, Path]) -> None:
    """A rate over a counter that appears with its first event misses that event."""
    with serving(parts_over(tmp_path, models, PrefersWord("refund"))) as client:
        found = read(client)
    assert {each: found[f"winnow_degraded_total{{reason={each}}}"] for each in DegradeReason} == dict.fromkeys(
        DegradeReason, 0
    )


def test_buckets_tell_neighbouring_durations_apart() -> None:
    """A quantile is read from within one bucket: where durations are likely, a bound is at most 2.5 times the next."""
    likely = {"embed": (0.001, 0.1), "recall": (0.001, 0.1), "fetch": (0.001, 0.1)} | dict.fromkeys(
        ("rewrite", "rerank", "total"), (0.02, 5.0)
    )
    for stage, bounds in BUCKETS.items():
        low, high = likely[stage]
        steps = [after / before for before, after in pairwise(bounds) if low <= before < high]
        assert bounds[0] < low
        assert high < bounds[-1]
        assert max(steps) <= 2.5


def test_a_second_search_is_remembered_and_says_so(client: TestClient) -> None:
    """In the answer's usage, in the metrics, and nowhere else: the results are the same."""
    fresh, again = (client.post("/v1/search", json=SEARCH).json() for _ in range(2))
    assert again["results"] == fresh["results"]
    names = ("candidates", "judged", "remembered", "query_remembered")
    assert [fresh["usage"][name] for name in names] == [3, 3, 0, False]
    assert [again["usage"][name] for name in names] == [3, 3, 3, True]
    assert (again["usage"]["total_tokens"], fresh["usage"]["embed_tokens"] > 0) == (0, True)
    found = read(client)
    assert found["winnow_judgements_total{source=computed}"] == found["winnow_judgements_total{source=remembered}"] == 3
    assert found["winnow_query_vectors_total{source=remembered}"] == 1
    assert found["winnow_rerank_tokens_total"] == fresh["usage"]["rerank_tokens"]
    assert found["winnow_cache_entries{cache=queries}"] == 1
    assert found["winnow_cache_bytes{cache=judgements}"] > 0
    assert found["winnow_cache_evictions_total{cache=judgements}"] == 0
    for stage in ("embed", "recall", "fetch", "rerank", "total"):
        assert found[f"winnow_stage_seconds_count{{asked=search}}{{stage={stage}}}"] == 2


def test_memory_is_told_by_part(tmp_path: Path, models: tuple[Path, Path]) -> None:
    """Vectors that no index has, then those of an index, then its codes; and what the system says of the process."""
    parts = remembering(tmp_path, models, Settings())
    with serving(parts) as client:
        fill(client)
        client.post("/v1/search", json=SEARCH)
        one = 4 * parts.embedding.embedder.identity.dimension
        assert read(client)["winnow_index_bytes{part=vectors}"] == 3 * one
        opened = parts.collections.get(DEFAULT_TENANT, "docs")
        fold(opened.folder, opened.store.snapshot(), opened.collection.embedder)
        index = opened.searchable.refresh().opened
        assert index is not None
        found = read(client)
        assert found["winnow_index_bytes{part=vectors}"] == 3 * one
        assert found["winnow_index_bytes{part=codes}"] == 0
        said = Path("/proc/self/status").read_text("ascii")
        (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", said)
        assert found["winnow_resident_bytes"] == pytest.approx(1024 * int(kilobytes), rel=0.1)


def test_memory_of_models_and_of_the_allocator_is_told(tmp_path: Path, models: tuple[Path, Path]) -> None:
    """As the model says, at the moment of the reading; of models elsewhere nothing."""
    parts = remembering(tmp_path, models, Settings())
    tables = iter((5, 9, 9))
    embedding = replace(parts.embedding, memory=lambda: ModelMemory(weights=70, table=next(tables)))
    with serving(replace(parts, embedding=embedding)) as client:
        name = embedding.embedder.identity.name
        first, second = read(client), read(client)
        assert [each[f"winnow_model_bytes{{model={name}}}{{part=table}}"] for each in (first, second)] == [5, 9]
        assert {each: value for each, value in first.items() if "part=weights" in each} == {
            f"winnow_model_bytes{{model={name}}}{{part=weights}}": 70
        }
        block = bytearray(50_000_000)
        grown = read(client)["winnow_allocator_bytes{state=used}"] - second["winnow_allocator_bytes{state=used}"]
        assert grown == pytest.approx(len(block), rel=0.2)


def test_loose_documents_are_remembered_too(client: TestClient) -> None:
    """Where the clients of others do not look."""
    body = {"query": "q", "documents": ["a", "b", "a"]}
    said = [client.post("/v1/rerank", json=body).json() for _ in range(2)]
    read_all = said[0]["usage"]["total_tokens"]
    assert [each["meta"]["winnow"] for each in said] == [
        {"judged": 3, "remembered": 0, "tokens_computed": read_all, "instruction_applied": True},
        {"judged": 3, "remembered": 3, "tokens_computed": 0, "instruction_applied": True},
    ]
    assert read_all > 0
    assert (said[0]["results"], said[1]["usage"]["total_tokens"]) == (said[1]["results"], read_all)
    assert read(client)["winnow_stage_seconds_count{asked=rerank}{stage=total}"] == 2


def test_turns_at_the_reranker_are_counted_and_nobody_waits_when_all_is_done(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    """By the reranker's name; and by no tenant's."""
    reranker = TorchReranker.load(find_model(str(models[1]), kind="reranker"), device="cpu")
    with serving(parts_over(tmp_path, models, reranker)) as client:
        fill(client)
        before = read(client)
        assert client.post("/v1/search", json=SEARCH).json()["degraded"] is None
        after = read(client)
    name = reranker.name
    assert (
        after[f"winnow_rerank_turns_total{{model={name}}}"] == before[f"winnow_rerank_turns_total{{model={name}}}"] + 1
    )
    assert after[f"winnow_rerank_turn_wait_seconds_total{{model={name}}}"] >= 0
    assert after[f"winnow_rerank_waiting_tokens{{model={name}}}"] == 0
    refusals = {key: value for key, value in after.items() if key.startswith("winnow_refused_total")}
    assert len(refusals) == 7
    assert set(refusals.values()) == {0}


def test_zero_megabytes_are_no_cache(tmp_path: Path, models: tuple[Path, Path]) -> None:
    """Off is off: nothing is remembered, and only what feedback may name shows in the metrics."""
    with serving(
        remembering(tmp_path, models, Settings(judgement_cache_mb=0, query_cache_mb=0, text_cache_mb=0))
    ) as client:
        fill(client)
        said = [client.post("/v1/search", json=SEARCH).json()["usage"] for _ in range(2)]
        assert said[0] == said[1]
        assert (said[1]["remembered"], said[1]["query_remembered"]) == (0, False)
        shown = {name: held for name, held in read(client).items() if name.startswith(CACHE_BYTES.name)}
        assert list(shown) == [f"{CACHE_BYTES.name}{{cache=searches}}"]
        assert shown.popitem()[1] > 0


def test_requests_are_counted_by_route_and_status(client: TestClient) -> None:
    """By the pattern of a path, never by what a caller wrote into it."""
    for name in ("docs", "none", "none-either"):
        client.get(f"/v1/collections/{name}")
    client.get("/nothing/here")
    client.put("/v1/search", json={})
    client.post("/v1/search", json={})
    found = read(client)
    assert found["winnow_requests_total{route=/v1/collections/{name}}{status=200}"] == 1
    assert found["winnow_requests_total{route=/v1/collections/{name}}{status=404}"] == 2
    assert found["winnow_requests_total{route=none}{status=404}"] == 1
    assert found["winnow_requests_total{route=/v1/search}{status=405}"] == 1
    assert found["winnow_requests_total{route=/v1/search}{status=422}"] == 1


def test_degraded_answers_are_counted_by_their_reason(tmp_path: Path, models: tuple[Path, Path]) -> None:
    """They are HTTP 200: only here does an operator see them."""
    with serving(parts_over(tmp_path, models, FailingReranker(RerankUnavailable("gone")))) as client:
        fill(client)
        client.post("/v1/search", json=SEARCH)
        client.post("/v1/search", json=SEARCH | {"on_rerank_failure": "error"})
        found = read(client)
    assert found[f"winnow_degraded_total{{reason={DegradeReason.UNAVAILABLE}}}"] == 1
    assert found["winnow_requests_total{route=/v1/search}{status=503}"] == 1
    assert found["winnow_judgements_total{source=computed}"] == 0


def test_metrics_need_the_key_where_there_is_one(tmp_path: Path, models: tuple[Path, Path]) -> None:
    """How much a service is used is its owner's affair; without a key it answers this machine only."""
    with serving(parts_over(tmp_path, models, PrefersWord("a"), key="secret")) as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"authorization": "Bearer secret"}).status_code == 200
        read_by_a_stranger = client.get("/metrics", headers={"authorization": "Bearer other"})
        assert "winnow_" not in read_by_a_stranger.text


def test_without_a_key_metrics_stay_on_this_machine(client: TestClient) -> None:
    """As everything else does."""
    assert client.get("/metrics", headers={"host": "evil.example.org"}).status_code == 403


def test_a_full_service_still_shows_its_metrics_and_what_it_refused(tmp_path: Path, models: tuple[Path, Path]) -> None:
    """That is when somebody looks."""
    app = create_app(parts_over(tmp_path, models, PrefersWord("a")))
    app.state.gate = Gate(in_flight_max=0)
    with CheckingClient(app, base_url="http://localhost") as client:
        assert client.get("/v1/collections").status_code == 503
        assert read(client)["winnow_requests_total{route=/v1/collections}{status=503}"] == 1


def test_two_apps_share_no_numbers(tmp_path: Path, models: tuple[Path, Path], client: TestClient) -> None:
    """Nothing is global."""
    client.post("/v1/search", json=SEARCH)
    with serving(parts_over(tmp_path / "other", models, PrefersWord("a"))) as other:
        assert not [name for name in read(other) if "/v1/search" in name]


def test_what_others_know_is_asked_when_the_metrics_are_read() -> None:
    """The seam for servers: a row of the table, and somebody to ask."""
    waiting = {"http://one": 3.0, "http://two": 0.0}
    metric = Metric(name="winnow_example_tokens", kind=Kind.GAUGE, labels=("server",), said="An example.")
    telemetry = Telemetry()
    telemetry.watch(metric, lambda: [((url,), tokens) for url, tokens in waiting.items()])
    waiting["http://two"] = 5.0
    text = telemetry.text().decode()
    assert 'winnow_example_tokens{server="http://one"} 3.0' in text
    assert 'winnow_example_tokens{server="http://two"} 5.0' in text


def test_servers_are_shown_by_model_and_address(tmp_path: Path, models: tuple[Path, Path]) -> None:
    """Whether each is asked, and what it has in hand, as it is when somebody reads."""

    async def refused(_client: VllmClient, _deadline: Deadline) -> None:
        raise RerankUnavailable("not yet")

    parts = parts_over(tmp_path, models, PrefersWord("refund"))
    pool = VllmPool(["http://127.0.0.1:1", "http://127.0.0.1:2"], RERANKER_FAILURES, proof=refused)
    text = Telemetry.over(replace(parts, judging=replace(parts.judging, pool=pool))).text().decode()
    for port in (1, 2):
        labels = f'{{model="prefers-word",url="http://127.0.0.1:{port}"}}'
        assert f"winnow_server_proven{labels} 0.0" in text
        assert f"winnow_server_tokens_in_flight{labels} 0.0" in text
