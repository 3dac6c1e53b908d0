"""The service as a process: started, asked, stopped."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.acceptance.conftest import Command
from tests.answers import check_answer
from winnow.api.schemas.search_response import SearchResponse

pytestmark = pytest.mark.acceptance

STOPPED_WITHIN_SECONDS = 30  # alone it takes one; beside other work, taking the process apart takes its time too


class Service:
    """A running `winnow serve`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"Listening\s+(http://\S+)", line):
                self.url = found[1]
                return
        raise AssertionError(f"it ended with {process.wait()} before it listened")

    def stop(self, number: signal.Signals) -> tuple[int, float]:
        """Its exit code, and how many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode, time.monotonic() - began


@pytest.fixture
def service(indexed: Command) -> Iterator[Service]:
    process = indexed.start("serve", "--host", "127.0.0.1", "--port", "0", "--data", str(indexed.data))
    yield Service(process)
    if process.poll() is None:
        process.kill()
        process.communicate()


def test_the_service_answers_and_stops_when_asked(service: Service, models: dict[str, str]) -> None:
    """Search over HTTP in the documented shape; SIGINT ends it in good order within seconds."""
    with httpx2.Client(base_url=service.url, timeout=60) as client:
        assert client.get("/healthz").json()["status"] == "alive"
        ready = client.get("/readyz")
        assert ready.status_code == (503 if models else 200), ready.text
        assert [(each["name"], each["open"]) for each in ready.json()["collections"]] == [("four", True)]
        found = client.post("/v1/search", json={"query": "return goods", "collection": "four", "top_k": 2})
        assert found.status_code == 200, found.text
        check_answer(SearchResponse, found.json())
        assert len(found.json()["results"]) == 2
    code, seconds = service.stop(signal.SIGINT)
    assert code == 0
    assert seconds < STOPPED_WITHIN_SECONDS


def test_a_write_of_another_process_is_found_within_a_second(
    service: Service, indexed: Command, tmp_path: Path
) -> None:
    """`winnow index` beside a running service: no restart, no call."""
    extra = tmp_path / "extra.jsonl"
    extra.write_text('{"id": "new", "text": "zebra crossing"}\n', encoding="utf-8")
    assert indexed.run("index", str(extra), "--collection", "beside").code == 0
    with httpx2.Client(base_url=service.url, timeout=60) as client:
        body = {"query": "zebra", "collection": "beside", "rerank": False}
        assert client.post("/v1/search", json=body).json()["results"][0]["document_id"] == "new"
        extra.write_text('{"id": "newer", "text": "okapi crossing"}\n', encoding="utf-8")
        assert indexed.run("index", str(extra), "--collection", "beside").code == 0
        time.sleep(1.1)
        found = client.post("/v1/search", json=body).json()["results"]
        assert {each["document_id"] for each in found} == {"new", "newer"}
    assert indexed.run("collections", "delete", "beside", "--yes").code == 0
    code, seconds = service.stop(signal.SIGTERM)
    assert code == 0
    assert seconds < STOPPED_WITHIN_SECONDS


def test_a_port_that_is_taken_is_told_at_once(service: Service, indexed: Command) -> None:
    """Before any model is loaded."""
    port = service.url.rpartition(":")[2]
    done = indexed.run("serve", "--port", port)
    assert done.code == 2
    assert f"The port is in use by another program: 127.0.0.1:{port}. Stop that program" in done.err
