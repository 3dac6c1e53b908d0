"""Live answers have the types that their methods promise."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from winnow_client import Client

DOCUMENTS = (
    {"id": "herons", "title": "Herons", "text": "The heron strikes at fish.", "year": 2019},
    {"id": "refunds", "text": "A refund takes fourteen days. Bring the receipt.", "year": 2021},
)


def misfits(value: Any, kind: Any, place: str = "answer") -> Iterator[str]:
    """Yield where a value is not of the type."""
    origin, inside = get_origin(kind), get_args(kind)
    if kind is Any:
        return
    if origin in {NotRequired, Required}:
        yield from misfits(value, inside[0], place)
    elif origin in {Union, UnionType}:
        tried = [list(misfits(value, each, place)) for each in inside]
        if all(tried):
            yield from min(tried, key=len)
    elif is_typeddict(kind):
        yield from _misfits_of_object(value, kind, place)
    elif origin is Literal:
        if value not in inside:
            yield f"{place}: {value!r} is none of {inside}"
    elif origin is list and isinstance(value, list):
        for number, each in enumerate(value):
            yield from misfits(each, inside[0], f"{place}[{number}]")
    elif origin is dict and isinstance(value, dict):
        for key, each in value.items():
            yield from misfits(each, inside[1], f"{place}.{key}")
    elif not (isinstance(value, int | float) if kind is float else type(value) is (NoneType if kind is None else kind)):
        yield f"{place}: {value!r} is no {kind}"


def _misfits_of_object(value: Any, kind: Any, place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place}: {value!r} is no object"
        return
    kinds = get_type_hints(kind, include_extras=True)
    yield from (f"{place}.{key}: not described" for key in value.keys() - kinds.keys())
    yield from (f"{place}.{key}: missing" for key in kind.__required_keys__ - value.keys())
    for key in value.keys() & kinds.keys():
        yield from misfits(value[key], kinds[key], f"{place}.{key}")


@pytest.fixture
def filled(winnow: Client) -> Client:
    winnow.create_collection("docs")
    winnow.write("docs", DOCUMENTS)
    winnow.publish_instruction("birds", "Prefer passages about birds.")
    return winnow


CALLS: tuple[tuple[str, Callable[[Client], Any]], ...] = (
    (
        "search",
        lambda winnow: winnow.search("refund", collection="docs", explain=True, highlight=True, rerank="always"),
    ),
    (
        "rerank",
        lambda winnow: winnow.rerank("refund", ["A heron.", "A refund."], return_documents=True, highlight=True),
    ),
    ("score", lambda winnow: winnow.score("refund", ["A heron.", "A refund."])),
    ("embed", lambda winnow: winnow.embed(["A heron."])),
    ("collections", lambda winnow: winnow.collections()),
    ("collection", lambda winnow: winnow.collection("docs")),
    ("change_collection", lambda winnow: winnow.change_collection("docs", mmr_lambda=0.5, collapse={"cosine": 0.9})),
    ("documents_page", lambda winnow: winnow.documents_page("docs")),
    ("fetch", lambda winnow: winnow.fetch("docs", "refunds")),
    ("delete_documents", lambda winnow: winnow.delete_documents("docs", {"key": "year", "type": "eq", "value": 2019})),
    ("instructions", lambda winnow: winnow.instructions()),
    ("instruction", lambda winnow: winnow.instruction("birds")),
    ("instruction", lambda winnow: winnow.instruction(winnow.instructions()["built_in"][0]["name"])),
    ("default_instruction", lambda winnow: winnow.default_instruction()),
    ("try_instructions", lambda winnow: winnow.try_instructions("refund", ["default", "birds"], collection="docs")),
    ("models", lambda winnow: winnow.models()),
    ("delete_collection", lambda winnow: winnow.delete_collection("docs")),
)


def test_answers_have_their_types(filled: Client) -> None:
    found = []
    for name, call in CALLS:
        kind = get_type_hints(getattr(Client, name), include_extras=True)["return"]
        found.extend(misfits(call(filled), kind, name))
    assert found == []


def test_a_misfit_is_found() -> None:
    """The test above can fail."""
    kind = inspect.get_annotations(Client.collection, eval_str=True)["return"]
    said = list(misfits({"name": 3, "other": 1}, kind))
    assert "answer.name: 3 is no <class 'str'>" in said
    assert "answer.other: not described" in said
    assert "answer.chunk_tokens: missing" in said
