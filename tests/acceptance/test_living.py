"""One data folder, two services and the command line: who sees what when, and who may write."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tests.acceptance.conftest import Command, command_in
from tests.acceptance.test_http import Service
from winnow.retrieval.files.layout import Layout
from winnow.retrieval.files.locks import writing

pytestmark = pytest.mark.acceptance

SEEN_WITHIN_SECONDS = 1.0
FOLDED_WITHIN_SECONDS = 60.0  # a process of its own has to start, at a low priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Two:
    """Services over one data folder; the first folds by itself, as soon as there are three chunks."""

    one: httpx2.Client
    other: httpx2.Client
    command: Command

    def found(self, client: httpx2.Client, collection: str) -> set[str]:
        body = {"query": "text", "collection": collection, "rerank": False, "top_k": 100}
        answer = client.post("/v1/search", json=body)
        return {each["document_id"] for each in answer.json().get("results", [])}

    def write(self, client: httpx2.Client, collection: str, *names: str) -> httpx2.Response:
        documents = [{"id": name, "text": f"text of {name}"} for name in names]
        return client.post(f"/v1/collections/{collection}/documents", json={"documents": documents})


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, models: dict[str, str]) -> Iterator[Two]:
    command = command_in(tmp_path_factory.mktemp("living") / "data", models)
    serve = ("serve", "--host", "127.0.0.1", "--port", "0")
    with contextlib.ExitStack() as ended:
        processes = [command.start(*serve, "--fold-chunks", "2"), command.start(*serve, "--fold-chunks", "0")]
        for process in processes:
            ended.callback(process.communicate)
            ended.callback(process.kill)
        clients = [
            ended.enter_context(httpx2.Client(base_url=service.url, timeout=60)) for service in map(Service, processes)
        ]
        yield Two(one=clients[0], other=clients[1], command=command)
        for process in processes:
            process.terminate()
            process.communicate(timeout=30)
            assert process.returncode == 0


def made(two: Two, name: str) -> str:
    assert two.one.post("/v1/collections", json={"name": name}).status_code == 201
    return name


def test_a_write_is_seen_by_another_service_within_a_second(two: Two) -> None:
    """At once by the one that took it; by the other one in every search that begins a second later. So is a delete."""
    docs = made(two, "fresh")
    seconds = []
    for at in range(5):
        assert two.write(two.one, docs, f"d{at}").status_code == 200
        acknowledged = time.monotonic()
        assert f"d{at}" in two.found(two.one, docs)
        while f"d{at}" not in two.found(two.other, docs):
            assert time.monotonic() - acknowledged < SEEN_WITHIN_SECONDS
            time.sleep(0.01)
        seconds.append(time.monotonic() - acknowledged)
    assert two.one.delete(f"/v1/collections/{docs}/documents/d0").status_code == 200
    time.sleep(SEEN_WITHIN_SECONDS)
    assert two.found(two.other, docs) == {"d1", "d2", "d3", "d4"}
    print(f"seen after {', '.join(f'{each:.2f}' for each in seconds)} s")


def test_two_services_that_write_take_turns_and_lose_nothing(two: Two) -> None:
    """One writer at a time, whichever process it is in."""
    docs = made(two, "turns")
    statuses: list[int] = []

    def write(client: httpx2.Client, side: str) -> None:
        statuses.extend(two.write(client, docs, f"{side}{at}").status_code for at in range(8))

    writers = [threading.Thread(target=write, args=each) for each in ((two.one, "a"), (two.other, "b"))]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert statuses == [200] * 16
    time.sleep(SEEN_WITHIN_SECONDS)
    expected = {f"{side}{at}" for side in "ab" for at in range(8)}
    assert two.found(two.one, docs) == two.found(two.other, docs) == expected


def test_a_writer_that_does_not_let_go_is_told(two: Two) -> None:
    """An index run holds the lock for longer than a request should hang; the command line is told at once."""
    docs = made(two, "busy")
    with writing(Layout(two.command.data).collection("default", docs)):
        refused = two.write(two.one, docs, "a")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "collection_busy")
        assert refused.headers["retry-after"]
        done = two.command.run("index", "-", "--collection", docs, stdin='{"id": "b", "text": "text"}\n')
        assert done.code == 1
        assert "Another process is writing to the collection: busy" in done.err
    assert two.write(two.one, docs, "a").status_code == 200


def test_an_index_lives(two: Two, tmp_path: Path) -> None:
    """Folded by a service, rolled back by a command, followed by the other service; documents are the newest always."""
    docs = made(two, "life")
    arguments = ("--collection", docs, "--json")
    assert two.command.run("generations", "list", *arguments).json["generations"] == []
    two.write(two.one, docs, "a", "b", "c")
    until = time.monotonic() + FOLDED_WITHIN_SECONDS
    while not (listed := two.one.get(f"/v1/collections/{docs}/generations").json())["generations"]:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert listed["generations"][0]["name"] == "g000001"
    two.write(two.other, docs, "d")
    folded = two.command.run("generations", "fold", *arguments)
    assert [each["name"] for each in folded.json["generations"]] == ["g000002", "g000001"]
    two.write(two.one, docs, "e")
    back = two.command.run("generations", "rollback", *arguments)
    assert (back.code, back.json["rolled_back_from"]) == (0, "g000002")
    time.sleep(SEEN_WITHIN_SECONDS)
    for client in (two.one, two.other):
        assert two.found(client, docs) == set("abcde")
        serving = client.get(f"/v1/collections/{docs}/generations").json()["serving"]
        assert (serving["generation"], serving["fallback_from"]) == ("g000001", None)
    two.write(two.one, docs, "f", "g", "h", "i")
    time.sleep(2 * SEEN_WITHIN_SECONDS)
    told = {each["name"]: each for each in two.one.get("/readyz").json()["collections"]}[docs]
    assert (told["generation"], told["rolled_back_from"], told["unfolded_chunks"]) == ("g000001", "g000002", 6)
    assert two.one.post(f"/v1/collections/{docs}/fold").json()["generation"] == "g000003"
    cleaned = two.command.run("generations", "clean", *arguments)
    assert (cleaned.code, cleaned.json["removed"]) == (0, [])
    assert two.command.run("verify", "--repair", "--json").json["ok"] is True
    metrics = two.one.get("/metrics").text
    assert "winnow_collections_fallen_back 0.0" in metrics
    assert 'winnow_folds_total{outcome="failed"} 0.0' in metrics
