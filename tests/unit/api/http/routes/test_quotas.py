"""Limits and usage over HTTP and by the commands: what is refused and how, and what was counted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from tests.answers import DescribedClient
from tests.fakes import HashEmbedder, PrefersWord
from winnow.api.assemble import wire
from winnow.api.cli.main import app
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.settings import Settings
from winnow.api.tenancy.quotas import REFRESH_SECONDS
from winnow.retrieval.catalog.quotas import LIMIT_MAX, Limit, TenantLimits
from winnow.retrieval.catalog.sql.quotas import SqlLimitBook
from winnow.retrieval.errors import InvalidRequest, TenantNotFound
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import DEFAULT_TENANT

DOCUMENTS = [{"id": str(number), "title": "Birds", "text": f"The heron 鹭 stands {number}."} for number in range(3)]
SEARCH = {"query": "heron", "collection": "docs"}


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    with serving(tmp_path, tokenizer) as client:
        assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
        yield client


def serving(folder: Path, tokenizer: PlainTokenizer, **settings: Any) -> TestClient:
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=PrefersWord("heron"), runs_on="words", device="cpu")
    parts = wire(replace(Settings(data=folder), **settings), embedding, judging)
    return DescribedClient(create_app(parts), base_url="http://localhost")


def limit(client: TestClient, **limits: int) -> None:
    """At once: as if the second had passed after which limits are read again."""
    parts = client.app.state.parts
    SqlLimitBook(parts.disk.catalog.database).set_limits(DEFAULT_TENANT, TenantLimits(**limits))
    parts.quotas._read_at -= 2 * REFRESH_SECONDS


def add(client: TestClient, documents: list[dict[str, Any]]) -> Any:
    return client.post("/v1/collections/docs/documents", json={"documents": documents})


def run(folder: Path, *words: str) -> Any:
    done = CliRunner().invoke(app, [*words, "--data", str(folder), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_too_many_requests_are_told_by_which_limit_and_until_when(client: TestClient) -> None:
    """On every route that is a tenant's; the process's own routes are nobody's."""
    limit(client, requests_per_minute=2)
    assert [client.get("/v1/collections").status_code for _ in range(2)] == [200, 200]
    for refused in (client.get("/v1/collections"), client.post("/v1/search", json=SEARCH), client.get("/v1/usage")):
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota_exceeded")
        assert refused.json()["limit"] == refused.headers["X-Winnow-Limit"] == "requests_per_minute"
        assert 1 <= int(refused.headers["Retry-After"]) <= 30
    assert 429 not in {client.get(path).status_code for path in ("/healthz", "/readyz", "/metrics")}
    assert 'winnow_refused_total{limit="requests_per_minute"} 3.0' in client.get("/metrics").text
    limit(client)
    assert client.get("/v1/collections").status_code == 200


def test_without_tokens_nothing_is_judged_but_recall_goes_on(client: TestClient) -> None:
    """The first search overdraws: three passages are 30 tokens to this reranker."""
    assert add(client, DOCUMENTS).status_code == 200
    limit(client, rerank_tokens_per_minute=20)
    assert client.post("/v1/search", json=SEARCH).status_code == 200
    refused = client.post("/v1/search", json=SEARCH)
    assert (refused.status_code, refused.json()["limit"]) == (429, "rerank_tokens_per_minute")
    assert 25 < int(refused.headers["Retry-After"]) <= 33
    assert client.post("/v1/rerank", json={"query": "q", "documents": ["a"]}).status_code == 429
    assert client.post("/v1/search", json={**SEARCH, "rerank": False}).status_code == 200


def test_documents_beyond_the_limit_are_refused_before_any_is_written(client: TestClient) -> None:
    """What replaces a document needs no room; what is removed makes some."""
    limit(client, documents=4)
    assert add(client, DOCUMENTS).status_code == 200
    refused = add(client, [{"id": "new", "text": "a"}, {"id": "newer", "text": "b"}])
    assert (refused.status_code, refused.json()["limit"]) == (403, "documents")
    assert "5 documents would exceed the limit of 4" in refused.json()["detail"]
    assert client.get("/v1/collections/docs").json()["documents"] == 3
    assert add(client, [{"id": "new", "text": "a"}, {"id": "0", "text": "other"}]).status_code == 200
    assert add(client, [{"id": "new", "text": "changed"}]).status_code == 200
    assert add(client, [{"id": "newer", "text": "b"}]).status_code == 403
    assert client.delete("/v1/collections/docs/documents/1").status_code == 200
    assert add(client, [{"id": "newer", "text": "b"}]).status_code == 200


def test_bytes_are_those_that_lie_on_the_disk(client: TestClient, tmp_path: Path) -> None:
    """And those of the text that is to come."""
    assert add(client, DOCUMENTS).status_code == 200
    folder = tmp_path / "collections" / DEFAULT_TENANT
    stored = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    limit(client, bytes=stored + 100)
    refused = add(client, [{"id": "long", "text": "x" * 101}])
    assert (refused.status_code, refused.json()["limit"]) == (403, "bytes")
    assert f"{stored + 101} bytes" in refused.json()["detail"]
    assert add(client, [{"id": "short", "text": "x" * 99}]).status_code == 200


def test_what_is_started_with_holds_for_everybody(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """Unless a tenant has a limit of its own, or none at all."""
    with serving(tmp_path, tokenizer, limit_requests_per_minute=1) as client:
        assert [client.get("/v1/collections").status_code for _ in range(2)] == [200, 429]
        limit(client, requests_per_minute=0)
        assert {client.get("/v1/collections").status_code for _ in range(5)} == {200}


def test_usage_is_counted_and_told(client: TestClient) -> None:
    """As JSON and as CSV."""
    add(client, DOCUMENTS)
    add(client, DOCUMENTS)
    client.post("/v1/search", json=SEARCH)
    client.post("/v1/search", json={**SEARCH, "rerank": False})
    client.post("/v1/rerank", json={"query": "q", "documents": ["a", "b"]})
    day = datetime.now(UTC).date().isoformat()
    written = sum(len((each["title"] + each["text"]).encode()) for each in DOCUMENTS)
    expected = {
        "tenant": DEFAULT_TENANT,
        "day": day,
        "requests": 7,  # the making of the collection and this very request included
        "searches": 2,
        "rerank_documents": 5,
        "rerank_remembered": 0,
        "rerank_tokens": 50,
        "documents_written": 3,
        "bytes_written": written,
    }
    told = client.get("/v1/usage").json()["usage"]
    embedded = told[0].pop("embedded_tokens")
    assert told == [expected]
    assert embedded > written / 3
    lines = client.get("/v1/usage", params={"from": day, "to": day, "format": "csv"}).text.splitlines()
    assert lines[0].startswith("tenant,day,requests,searches,")
    assert lines[1].startswith(f"default,{day},8,2,5,0,50,")
    assert len(lines) == 2
    assert client.get("/v1/usage", params={"to": "2020-01-01"}).status_code == 422


def test_what_a_service_counted_is_there_when_it_has_stopped(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """Of one after the other, added up; the command reads it."""
    for _ in range(2):
        with serving(tmp_path, tokenizer) as client:
            client.get("/v1/collections")
    (row,) = run(tmp_path, "usage")["usage"]
    assert (row["tenant"], row["requests"], row["searches"]) == (DEFAULT_TENANT, 2, 0)
    assert run(tmp_path, "usage", "--tenant", "another")["usage"] == []


def test_limits_are_set_and_shown_by_commands(tmp_path: Path, client: TestClient) -> None:
    """What is not named stays; `none` takes a limit away and `default` leaves it to the service."""
    run(tmp_path, "tenants", "create", "acme")
    run(tmp_path, "limits", "set", "acme", "--documents", "10", "--requests-per-minute", "5", "--weight", "2.5")
    changed = run(tmp_path, "limits", "set", "acme", "--requests-per-minute", "none", "--weight", "default")
    assert changed["tenants"]["acme"] == {
        "requests_per_minute": 0,
        "rerank_tokens_per_minute": None,
        "concurrent_requests": None,
        "documents": 10,
        "bytes": None,
        "weight": None,
    }
    assert run(tmp_path, "limits", "show")["tenants"] == changed["tenants"]
    assert run(tmp_path, "limits", "set", "acme", "--documents", "default", "--requests-per-minute", "default")
    assert run(tmp_path, "limits", "show")["tenants"] == {}
    for wrong in (["--documents", "0"], ["--bytes", "many"], ["--weight", "much"], ["--weight", "0"]):
        with pytest.raises(InvalidRequest, match=wrong[0].removeprefix("--")):
            run(tmp_path, "limits", "set", "acme", *wrong)
    with pytest.raises(InvalidRequest, match="2026-02-30"):
        run(tmp_path, "usage", "--from", "2026-02-30")


def test_tables_and_comma_separated_values_are_for_eyes_and_programs(tmp_path: Path, client: TestClient) -> None:
    """The same figures without --json."""
    client.get("/v1/usage")
    csv = CliRunner().invoke(app, ["usage", "--csv", "--data", str(tmp_path)], catch_exceptions=False).stdout
    assert csv.splitlines()[1].startswith(f"default,{datetime.now(UTC).date().isoformat()},2,0,")
    run(tmp_path, "tenants", "create", "acme")
    run(tmp_path, "limits", "set", "acme", "--documents", "1500", "--bytes", "none")
    shown = CliRunner().invoke(app, ["limits", "show", "--data", str(tmp_path)], catch_exceptions=False).stdout
    assert [line.split("\t") for line in shown.splitlines()[1:]] == [
        ["(default)", *["none"] * 5, "1"],
        ["acme", "default", "default", "default", "1,500", "none", "default"],
    ]


def test_an_operator_sets_limits_over_http_and_the_tenant_reads_them(client: TestClient, tmp_path: Path) -> None:
    """As `winnow limits` says them; all at once, from the next second on, and in the audit log."""
    nothing = dict.fromkeys([*Limit, "weight"])
    made = client.post("/v1/tenants", json={"name": "acme"})
    of_acme = {"authorization": f"Bearer {made.json()['key']['key']}"}
    operator = {"authorization": f"Bearer {run(tmp_path, 'keys', 'bootstrap')['key']}"}
    deadline = time.monotonic() + 10  # of a machine that is very busy
    while client.get("/v1/collections").status_code != 401:  # that there was no key is remembered for a second
        assert time.monotonic() < deadline
    wished = {"requests_per_minute": 1, "documents": 0, "weight": 2.5}
    changed = client.put("/v1/tenants/acme/limits", json=wished, headers=operator)
    assert (changed.status_code, changed.json()["own"]) == (200, nothing | wished)
    assert changed.json()["holds"] == dict.fromkeys(Limit, 0) | wished
    by_process = ("requests_per_minute", "rerank_tokens_per_minute", "concurrent_requests")
    assert changed.json()["counted_by"] == dict.fromkeys(Limit, "all") | dict.fromkeys(by_process, "process")
    for path, headers in (("/v1/limits", of_acme), ("/v1/tenants/acme/limits", operator)):
        assert client.get(path, headers=headers).json() == changed.json()
    assert run(tmp_path, "limits", "show", "acme")["tenants"] == {"acme": nothing | wished}
    assert client.get("/v1/limits", headers=operator).json()["own"] == nothing
    client.app.state.parts.quotas._read_at -= 2 * REFRESH_SECONDS
    statuses = [client.get("/v1/collections", headers=of_acme).status_code for _ in range(2)]
    assert statuses == [200, 429]
    assert client.get("/v1/limits", headers=of_acme).status_code == 200
    assert client.put("/v1/tenants/acme/limits", json={"bytes": 9}, headers=operator).json()["own"] == nothing | {
        "bytes": 9
    }
    told = client.get("/v1/audit?limit=1", headers=operator).json()["entries"][0]
    assert (told["action"], told["actor"]) == ("tenant.limits", f"key:{operator['authorization'].split('_')[1]}")
    assert (told["before"], told["after"]) == (nothing | wished, nothing | {"bytes": 9})


@pytest.mark.parametrize(
    "wrong", [{"documents": -1}, {"documents": "5"}, {"documents": True}, {"bytes": LIMIT_MAX + 1}, {"weight": 0},
              {"tenant": "acme"}, {"concurrent": 1}]
)  # fmt: skip
def test_limits_that_mean_nothing_are_refused_by_name(client: TestClient, wrong: dict[str, Any]) -> None:
    refused = client.put("/v1/tenants/default/limits", json=wrong)
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, next(iter(wrong)))
    assert set(client.get("/v1/limits").json()["own"].values()) == {None}


def test_limits_of_nobody_are_not_there(client: TestClient, tmp_path: Path) -> None:
    """A misspelt name would limit nobody, without a word."""
    for asked in (client.get("/v1/tenants/acne/limits"), client.put("/v1/tenants/acne/limits", json={})):
        assert (asked.status_code, asked.json()["error"]["code"]) == (404, "tenant_not_found")
    with pytest.raises(TenantNotFound, match="winnow tenants create acne"):
        run(tmp_path, "limits", "set", "acne", "--documents", "5")
