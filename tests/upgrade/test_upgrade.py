"""A data folder that commit 7a4fec8 wrote opens, answers as it did then, and takes writes. make.py made it."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.conftest import Command, command_in
from tests.acceptance.test_http import Service

HERE = Path(__file__).resolve().parent
ANSWERS: list[dict[str, Any]] = json.loads((HERE / "answers.json").read_text(encoding="utf-8"))
APART_MAX = 1e-3  # between two machines; the same one answers to the last digit
KEY = "a key that is long enough for a service"  # a folder with several tenants asks for one
NAMES = {"-c": "collection", "--recall": "recall", "--filter": "filter", "--instruction-name": "instruction"}

pytestmark = [pytest.mark.acceptance]


@pytest.fixture
def winnow(tmp_path: Path) -> Command:
    """Over the folder of that commit."""
    with tarfile.open(HERE / "data.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return command_in(tmp_path / "data", {})


def body_of(arguments: Sequence[str]) -> dict[str, Any]:
    """The body that asks over HTTP what the command line asked."""
    _, query, *flags = arguments
    body: dict[str, Any] = {"query": query}
    while flags:
        flag = flags.pop(0)
        if flag == "--always-rerank":
            body["rerank"] = "always"
        else:
            value = flags.pop(0)
            body[NAMES[flag]] = {"--filter": json.loads, "--instruction-name": lambda name: {"name": name}}.get(
                flag, str
            )(value)
    return body


def require_same(found: list[dict[str, Any]], recorded: list[dict[str, Any]]) -> None:
    for name in ("document_id", "text"):
        assert [each[name] for each in found] == [each[name] for each in recorded]
    for now, then in zip(found, recorded, strict=True):
        for name in ("score", "similarity", "relevance"):
            assert now[name] == (None if then[name] is None else pytest.approx(then[name], abs=APART_MAX))


def test_an_older_data_folder_is_whole_answers_as_before_and_takes_writes(winnow: Command):
    """By every tenant, in both languages, with filter and instruction; and all of it is sound afterwards."""
    own = [each for each in ANSWERS if "--tenant" not in each["arguments"]]
    others = [each for each in ANSWERS if "--tenant" in each["arguments"]]
    assert len(own) == 6
    service = Service(process := winnow.start("serve", "--port", "0", WINNOW_API_KEY=KEY))
    try:
        with httpx2.Client(base_url=service.url, timeout=60, headers={"Authorization": f"Bearer {KEY}"}) as client:
            for each in own:
                answer = client.post("/v1/search", json=body_of(each["arguments"]))
                assert answer.status_code == 200, answer.text
                require_same(answer.json()["results"], each["results"])
            new = {"id": "laws-7", "text": "Whoever returns goods bought online bears the cost of sending them back."}
            assert client.post("/v1/collections/laws/documents", json={"documents": [new]}).status_code == 200
            assert client.delete("/v1/collections/laws/documents/laws-5").status_code == 200
            body = {"query": "the cost of sending goods back", "collection": "laws"}
            found = [each["document_id"] for each in client.post("/v1/search", json=body).json()["results"]]
            assert found[0] == "laws-7"
            assert "laws-5" not in found
            assert client.post("/v1/collections/laws/fold").status_code == 200
            assert client.post("/v1/search", json=body).json()["results"][0]["document_id"] == "laws-7"
    finally:
        process.terminate()
        process.communicate(timeout=60)
    for each in others:
        done = winnow.run(*each["arguments"], "--json")
        assert done.code == 0, done.err
        require_same(done.json["results"], each["results"])
    verified = winnow.run("verify")
    assert verified.code == 0, verified.out + verified.err
