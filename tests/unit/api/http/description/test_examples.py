"""Every operation has an example, a service answers it, and both fit their schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from docs.generate.openapi import described
from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.openapi.story import ADDRESS, STORY, told
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.http.app import create_app
from winnow.api.http.description.examples import examples
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.webhook.allowed import parse_rules

whole = cache(described)


def operations(document: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def shown(part: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """Every example of this part of the document: where, its schema, the example."""
    if isinstance(part, dict):
        if "example" in part and "schema" in part:
            yield path, part["schema"], part["example"]
        for name, inner in part.items():
            if name != "example":
                yield from shown(inner, f"{path}/{name}")
    elif isinstance(part, list):
        for place, inner in enumerate(part):
            yield from shown(inner, f"{path}/{place}")


def check(schema: Mapping[str, Any], value: Any) -> None:
    jsonschema.Draft202012Validator({**schema, "components": whole()["components"]}).validate(value)


@pytest.mark.parametrize(("operation", "said"), operations(whole()), ids=[name for name, _ in operations(whole())])
def test_an_operation_has_examples_that_fit_their_schemas(operation: str, said: Mapping[str, Any]) -> None:
    """Of its parameters in the path, of its body in each format, and of its answer."""
    found = dict.fromkeys(where for where, _, _ in shown(said))
    for _, schema, example in shown(said):
        check(schema, example)
    needed = [f"/parameters/{place}" for place, each in enumerate(said.get("parameters", ())) if each.get("required")]
    needed += [f"/requestBody/content/{media}" for media in said.get("requestBody", {}).get("content", {})]
    recorded = examples()[operation]
    needed.append(f"/responses/{recorded['status']}/content/{recorded['media']}")
    assert set(needed) <= set(found), f"{operation}: add a step to tests/openapi/story.py, record it"


def test_a_service_answers_the_story(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """As was recorded: the same statuses, and keys that the recorded answers have."""
    rules = parse_rules(ADDRESS.split("/")[2])
    parts = parts_over(tmp_path, tokenizer, PrefersWord("undo"), api_key="secret", webhook_hosts=rules)
    headers = {"authorization": "Bearer secret"}
    with CheckingClient(create_app(parts), base_url="http://localhost", headers=headers) as client:
        for each in told(client):
            recorded = examples()[each.operation]
            assert str(each.answer.status_code) == recorded["status"] or each.step.path == "/readyz", each.operation
            if each.operation == "POST /mcp" or recorded["media"] != "application/json":
                continue
            answer = json.loads(each.answer.text)
            assert type(answer) is type(recorded["answer"])
            if isinstance(answer, dict):
                assert set(answer) == set(recorded["answer"]), each.operation


def test_the_story_has_no_operation_that_is_not_described() -> None:
    assert {f"{each.method} {each.path}" for each in STORY} == {name for name, _ in operations(whole())}
    assert set(examples()) == {name for name, _ in operations(whole())}


def test_the_description_names_its_tags_its_address_and_how_to_authenticate() -> None:
    document = whole()
    used = {tag for _, operation in operations(document) for tag in operation["tags"]}
    assert used == {each["name"] for each in document["tags"]}
    assert document["servers"] == [{"url": "/", "description": "The server of this description."}]
    for name, operation in operations(document):
        for requirement in operation["security"]:
            assert set(requirement) <= set(document["components"]["securitySchemes"]), name
        refusals = [status for status in operation["responses"] if status in {"401", "500"}]
        assert all("application/problem+json" in operation["responses"][each]["content"] for each in refusals), name


def test_no_secret_of_the_recording_is_shown() -> None:
    text = json.dumps(examples())
    assert text.count("wk_") == text.count("wk_0123456789ab_EXAMPLE") > 0
    assert text.count("whsec_") == text.count("whsec_EXAMPLE") > 0
