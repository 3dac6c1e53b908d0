"""The worked examples of the page, with the default models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from winnow.api.assemble import assemble
from winnow.api.http.app import create_app
from winnow.api.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = (PROJECT / "api" / "http" / "page" / "static" / "examples.js").read_text(encoding="utf-8")
EXAMPLES = json.loads(SCRIPT.split("export const EXAMPLES = ", 1)[1].rstrip().removesuffix(";"))
CASES = [
    pytest.param(example[language], id=example[language]["title"]) for example in EXAMPLES for language in ("en", "zh")
]

pytestmark = pytest.mark.skipif(
    not (PROJECT / "data" / "models" / "winnow-rerank").is_dir(), reason="the checkout has no default models"
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(data=tmp_path_factory.mktemp("examples"), device="cpu")
    with TestClient(create_app(assemble(settings)), base_url="http://localhost") as client:
        yield client


def order(client: TestClient, example: dict[str, Any], instruction: str | None) -> list[int]:
    body = {"query": example["query"], "documents": example["documents"]}
    answer = client.post("/v1/rerank", json=body | ({} if instruction is None else {"instruction": instruction}))
    assert answer.status_code == 200, answer.text
    return [result["index"] for result in answer.json()["results"]]


@pytest.mark.parametrize("example", CASES)
def test_an_example_shows_what_its_instruction_does(client: TestClient, example: dict[str, Any]) -> None:
    """Another document leads than without an instruction, and it stood in another place as it was given."""
    previewed = client.post("/v1/instructions/preview", json={"instruction": example["instruction"]})
    assert previewed.status_code == 200, previewed.text
    instructed = order(client, example, previewed.json()["text"])
    assert instructed[0] != order(client, example, None)[0]
    assert instructed[0] != 0
