"""Hold answers against the service's OpenAPI description, which the types of clients are generated from."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator

from docs.generate.openapi import described
from winnow.api.http.problems import MEDIA_TYPE as PROBLEM

CHECKED: Final = ("application/json", PROBLEM)


def check_described(method: str, path: str, *, status: int, media: str, body: object) -> None:
    """Raise AssertionError unless the description allows this answer of a route.

    `path` is the route's own, such as `/v1/collections/{name}`. A body of another kind than JSON must only be declared.
    """
    answers = _description()["paths"][path.replace(":path", "")][method.lower()]["responses"]
    where = f"{method} {path}: {status} {media}"
    assert str(status) in answers, f"{where}: the description has no answer of this status"
    content = answers[str(status)].get("content", {})
    assert media in content, f"{where}: the description has {', '.join(content) or 'no body'}"
    if media in CHECKED:
        faults = _validator(method, path, status, media).iter_errors(body)
        assert not (found := [f"{'/'.join(map(str, each.absolute_path))}: {each.message}" for each in faults]), (
            f"{where} is not as described: {found}"
        )


@cache
def _description() -> dict[str, Any]:
    return described()


@cache
def _validator(method: str, path: str, status: int, media: str) -> Draft202012Validator:
    answer = _description()["paths"][path.replace(":path", "")][method.lower()]["responses"][str(status)]
    return Draft202012Validator({**answer["content"][media]["schema"], "components": _description()["components"]})
