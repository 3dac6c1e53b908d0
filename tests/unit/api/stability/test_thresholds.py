"""Thresholds: a run beyond one is counted, logged and audited, once; whatever triggered it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from tests.unit.api.stability.watched import Scripted, fill, run, services, serving
from winnow.api.assemble import Services
from winnow.api.cli.main import app
from winnow.api.http.log_format import JsonFormatter, LineFormatter
from winnow.api.schemas.alerts.thresholds import FIELDS
from winnow.retrieval.catalog.stability import GuardedMeasure
from winnow.retrieval.catalog.stability_alerts import SIDES
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import DEFAULT_TENANT

PATH = "/v1/stability/thresholds"
UNSET = dict.fromkeys(FIELDS.values()) | {"collection": None, "queries_min": 1}


@pytest.fixture
def parts(tmp_path: Path, tokenizer: PlainTokenizer) -> Services:
    return services(tmp_path / "data", tokenizer, Scripted(), Scripted("second", seed=1))


@pytest.fixture
def client(parts: Services) -> Iterator[TestClient]:
    with serving(parts) as client:
        fill(client)
        run(client)
        yield client


def put(client: TestClient, **limits: Any) -> Any:
    answer = client.put(PATH, json=limits)
    assert answer.status_code == 200, answer.text
    return answer.json()["thresholds"]


def audited(client: TestClient) -> list[Any]:
    entries = client.get("/v1/audit").json()["entries"]
    return [each for each in reversed(entries) if each["action"] == "stability.breach"]


def counted(client: TestClient) -> dict[str, float]:
    rows = [line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines()]
    wanted = "winnow_stability_breaches_total{measure="
    return {row[0].removeprefix(wanted).strip('"}'): float(row[1]) for row in rows if row[0].startswith(wanted)}


def test_a_run_beyond_a_threshold_is_counted_logged_and_audited(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """With what moved, by how much, since which run, and why. A measure within its limit raises nothing."""
    put(client, rbo_min=0.99, overlap_at_10_min=0.0, score_shift_max=0.1, degraded_max=0.0)
    assert run(client)["breaches"] == []
    assert client.patch("/v1/collections/docs", json={"reranker": "second"}).status_code == 200
    with caplog.at_level(logging.WARNING, logger="winnow.api.stability.replay"):
        found = run(client)
    measures = found["measures"]
    assert found["breaches"] == [
        {"measure": "rbo", "value": measures["rbo"], "limit": 0.99, "side": "min"},
        {"measure": "score_shift", "value": measures["score_shift_max"], "limit": 0.1, "side": "max"},
    ]
    assert client.get(f"/v1/stability/runs/{found['number']}").json()["run"] == found
    entries = audited(client)
    assert [(each["after"]["measure"], each["after"]["value"]) for each in entries] == [
        (each["measure"], each["value"]) for each in found["breaches"]
    ]
    assert entries[0]["after"] | {"measure": None, "value": None, "limit": None} == {
        "run": found["number"], "baseline": 1, "collection": "docs", "trigger": "request", "causes": ["model"],
        "measure": None, "value": None, "limit": None,
    }  # fmt: skip
    assert {name: count for name, count in counted(client).items() if count} == {"rbo": 1, "score_shift": 1}
    assert set(counted(client)) == {each.value for each in GuardedMeasure}
    assert len(caplog.records) == 2
    logged = json.loads(JsonFormatter().format(caplog.records[0]))
    assert logged["facts"] == {"tenant": "default", "golden_set": "everyday", **entries[0]["after"]}
    assert "golden_set=everyday" in LineFormatter("%(message)s").format(caplog.records[0])


async def test_every_trigger_is_compared(client: TestClient, parts: Services) -> None:
    """Also one that is no request; a run that becomes the baseline was accepted, and raises nothing."""
    put(client, rbo_min=1.0)
    client.patch("/v1/collections/docs", json={"reranker": "second"})
    found = await parts.replays.run(DEFAULT_TENANT, "everyday", trigger="schedule")
    assert [each.measure for each in found.breaches] == [GuardedMeasure.RBO]
    assert [each["after"]["trigger"] for each in audited(client)] == ["schedule"]
    accepted = await parts.replays.run(DEFAULT_TENANT, "everyday", rebase=True)
    assert (accepted.breaches, accepted.measures is not None, len(audited(client))) == ((), True, 1)


def test_thresholds_of_a_collection_hold_in_place_of_the_tenants(client: TestClient) -> None:
    """They are set, replaced and removed as one; reading shows all."""
    assert put(client, rbo_min=0.5, queries_min=3) == [{**UNSET, "rbo_min": 0.5, "queries_min": 3}]
    docs = {**UNSET, "collection": "docs", "tau_b_min": -1.0}
    assert put(client, collection="docs", tau_b_min=-1)[1] == docs
    assert put(client, top1_change_rate_max=0) == [{**UNSET, "top1_change_rate_max": 0.0}, docs]
    assert client.get(PATH).json()["thresholds"][1] == docs
    client.patch("/v1/collections/docs", json={"reranker": "second"})
    assert run(client)["breaches"] == []
    assert client.delete(PATH, params={"collection": "docs"}).json()["thresholds"][0]["top1_change_rate_max"] == 0.0
    assert [each["measure"] for each in run(client)["breaches"]] == ["top1_change_rate"]
    assert client.delete(PATH).json() == client.delete(PATH).json() == {"thresholds": []}
    assert run(client)["breaches"] == []


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 422, "set at least one of"),
        ({"queries_min": 5}, 422, "set at least one of"),
        ({"rbo_min": 1.5}, 422, "'rbo_min'"),
        ({"rbo_min": True}, 422, "without quotes"),
        ({"rbo": 0.5}, 422, "'rbo' is unknown"),
        ({"rbo_min": 0.5, "queries_min": 0}, 422, "'queries_min'"),
        ({"rbo_min": 0.5, "collection": "none"}, 404, "none"),
    ],
)
def test_what_is_no_threshold_is_refused(client: TestClient, body: Any, status: int, message: str) -> None:
    """With the field at fault; nothing is set."""
    answer = client.put(PATH, json=body)
    assert answer.status_code == status
    assert message in answer.json()["detail"]
    assert client.get(PATH).json() == {"thresholds": []}


def test_the_fields_say_on_which_side_a_value_should_stay() -> None:
    """Their names end in the side that is compared."""
    assert {measure: name.rpartition("_")[2] for measure, name in FIELDS.items()} == SIDES


def test_the_command_line_sets_what_a_request_reads(client: TestClient, tmp_path: Path) -> None:
    """The same fields and the same refusals."""
    data = ["--data", str(tmp_path / "data"), "--json"]
    runner = CliRunner()

    def asked(*arguments: str) -> Any:
        done = runner.invoke(app, ["stability", "thresholds", *arguments, *data], catch_exceptions=False)
        return json.loads(done.stdout)

    said = asked("set", "--rbo-min", "0.9", "--collection", "docs", "--queries-min", "20")
    assert said == asked("show") == client.get(PATH).json()
    assert said["thresholds"] == [{**UNSET, "collection": "docs", "rbo_min": 0.9, "queries_min": 20}]
    assert asked("remove", "--collection", "docs") == {"thresholds": []}
