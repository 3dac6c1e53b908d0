"""A share of searches is recorded beside the answers, and the report shows how they moved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.unit.api.stability.watched import QUERIES, Scripted, fill, run, services, serving
from winnow.api.assemble import Services
from winnow.api.search.records import Question
from winnow.api.stability.report import Mark, _joined
from winnow.api.stability.sampling import UNWRITTEN_MAX, SampleOutcome, Sampling
from winnow.retrieval.catalog.sql.stability_samples import SqlSamples
from winnow.retrieval.catalog.stability import Factor, Sample
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import CatalogUnavailable
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import DEFAULT_TENANT


@pytest.fixture
def parts(tmp_path: Path, tokenizer: PlainTokenizer) -> Services:
    return services(tmp_path / "data", tokenizer, Scripted(), Scripted("second", seed=1))


@pytest.fixture
def client(parts: Services) -> Iterator[TestClient]:
    with serving(parts) as client:
        fill(client, 30)
        yield client


def sample(client: TestClient, share: float, *, keep_queries: bool = False) -> None:
    body = {"share": share, "keep_queries": keep_queries}
    assert client.put("/v1/stability/sampling", json=body).json() == body
    assert client.get("/v1/stability/sampling").json() == body


def search(client: TestClient, query: str = "where is the heron", **more: Any) -> Any:
    found = client.post("/v1/search", json={"query": query, "collection": "docs", **more})
    assert found.status_code == 200, found.text
    return found.json()


def samples(client: TestClient, parts: Services) -> list[Sample]:
    """What is recorded, once nothing waits to be written."""
    portal = client.portal
    assert portal is not None
    portal.call(parts.sampling.refresh)
    since = datetime.now(UTC) - timedelta(days=1)
    return list(parts.disk.catalog.samples.samples(DEFAULT_TENANT, since=since, limit=99))


def test_nothing_is_recorded_by_default(client: TestClient, parts: Services) -> None:
    """Nor with a share of 0."""
    search(client)
    sample(client, 0.0)
    search(client)
    assert samples(client, parts) == []


def test_a_sample_holds_the_places_and_what_made_them(client: TestClient, parts: Services) -> None:
    """The first 20, in the order of the answer, with the state; the text only if it may be kept."""
    sample(client, 1.0)
    shown = search(client, top_k=30)
    (one,) = samples(client, parts)
    assert [each.chunk for each in one.places] == [
        (each["document_id"], each["chunk"]["ordinal"]) for each in shown["results"][:20]
    ]
    assert [each.relevance for each in one.places] == [each["relevance"] for each in shown["results"][:20]]
    assert one.query is None
    assert "heron" not in repr(one.query_digest)
    state = one.state
    assert (state.store_version, state.instruction, state.recall) == (shown["store_version"], "default@1", "hybrid")
    assert (state.reranker, state.index, state.candidates) == ("scripted a", "exact", 30)
    sample(client, 1.0, keep_queries=True)
    search(client)
    assert [each.query for each in samples(client, parts)] == [None, "where is the heron"]
    sample(client, 1.0)
    assert [each.query for each in samples(client, parts)] == [None, None]


def test_a_share_is_a_share(client: TestClient, parts: Services) -> None:
    """Decided for each search, by a number below the share."""
    drawn = iter([0.1, 0.3, 0.24, 0.25])
    parts.sampling._draw = lambda: next(drawn)
    sample(client, 0.25)
    for query in "abcd":
        search(client, query)
    assert len(samples(client, parts)) == 2


def test_what_waits_is_bounded(client: TestClient, parts: Services) -> None:
    """Beyond the limit samples are dropped and counted; the others are written."""
    sample(client, 1.0)
    portal = client.portal
    assert portal is not None
    question = Question(tenant=DEFAULT_TENANT, collection="docs", query="q", top_k=5)
    answer = portal.call(parts.search.answer, question, Deadline.never())
    sampling = Sampling(parts.disk.catalog.samples, parts.sampling._models)  # nothing writes for it meanwhile
    portal.call(sampling.refresh)
    for _ in range(UNWRITTEN_MAX + 2):
        portal.call(sampling.answered, question, answer)
    assert sampling.outcomes[SampleOutcome.DROPPED] == 2
    portal.call(sampling.refresh)
    assert sampling.outcomes == {SampleOutcome.DROPPED: 2, SampleOutcome.WRITTEN: UNWRITTEN_MAX}


class FailingSamples(SqlSamples):
    """The catalog cannot be written, and meanwhile as many searches are answered."""

    sampling: Sampling
    meanwhile: Sequence[Sample] = ()

    def add(self, samples: Iterable[Sample]) -> None:
        self.sampling._unwritten.extend(self.meanwhile)
        raise CatalogUnavailable("down")


def test_what_waits_is_bounded_while_the_catalog_fails(client: TestClient, parts: Services) -> None:
    """However often it fails: what exceeds the limit is dropped and counted, the oldest are kept."""
    sample(client, 1.0)
    search(client)
    (one,) = samples(client, parts)
    failing = FailingSamples(parts.disk.catalog.database)
    sampling = failing.sampling = Sampling(failing, parts.sampling._models)
    sampling._unwritten.append(one)
    failing.meanwhile = [one] * (UNWRITTEN_MAX - 10)
    portal = client.portal
    assert portal is not None
    for _ in range(3):
        portal.call(sampling.refresh)
        assert len(sampling._unwritten) <= UNWRITTEN_MAX
    assert sampling.outcomes[SampleOutcome.DROPPED] == 1 + 3 * (UNWRITTEN_MAX - 10) - len(sampling._unwritten)


def test_writes_do_not_displace_other_marks() -> None:
    """A day has one mark for its writes and one for its builds, from the first to the last of them."""
    at = datetime(2026, 11, 29, tzinfo=UTC)

    def mark(minutes: int, factor: Factor, number: int) -> Mark:
        then = at + timedelta(minutes=minutes)
        return Mark(at=then, collection="docs", factor=factor, before=f"v{number}", after=f"v{number + 1}")

    written = [mark(minute, Factor.DOCUMENTS, minute) for minute in range(300)]
    models = [mark(10, Factor.MODEL, 1), mark(20, Factor.MODEL, 2)]
    next_day = mark(24 * 60, Factor.DOCUMENTS, 300)
    joined = _joined(sorted([*written, *models, next_day], key=lambda each: each.at))
    assert joined == [replace(written[0], after="v300"), *models, next_day]


def test_the_report_tells_what_moved_and_what_changed(client: TestClient) -> None:
    """The same question before and after another reranker; another filter is another question."""
    sample(client, 1.0, keep_queries=True)
    for _ in range(2):
        search(client)
    search(client, rerank=False)
    run(client)
    assert client.patch("/v1/collections/docs", json={"reranker": "second"}).status_code == 200
    search(client)
    run(client)
    report = client.get("/v1/stability", params={"collection": "docs"}).json()
    (day,) = report["days"]
    assert (day["samples"], day["repeated"], day["moved"], day["degraded"]) == (4, 2, 1, 0.0)
    assert (day["runs"], day["runs_moved"], day["causes"]) == (2, 1, ["model"])
    assert [(each["factor"], each["before"][:10], each["after"][:8]) for each in report["marks"]] == [
        ("model", "scripted a", "second a")
    ]
    of_search = [each for each in report["movers"] if each["run"] is None]
    assert [each["query"] for each in of_search] == ["where is the heron"]
    assert of_search[0]["before"] != of_search[0]["after"]
    assert len(report["movers"]) == 1 + len(QUERIES)
    assert client.get("/v1/stability", params={"collection": "else"}).json()["days"] == []
    metrics = client.get("/metrics").text
    assert 'winnow_stability_samples_total{outcome="written"} 4.0' in metrics
