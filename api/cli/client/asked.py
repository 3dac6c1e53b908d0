"""Searches and reranks at a service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from winnow.api.cli.client.instructions import instruction_version
from winnow.api.cli.client.service import Service
from winnow.api.cli.client.typed_instruction import TypedInstruction, typed_values
from winnow.api.settings import Settings
from winnow.retrieval.catalog.instructions import InstructionContent, Reference, Value, Variable, VariableType
from winnow.retrieval.errors import InvalidRequest

if TYPE_CHECKING:
    from winnow.api.schemas.compat.rerank import RerankResponse
    from winnow.api.schemas.search_response import SearchResponse


def ask_search(settings: Settings, fields: Mapping[str, Any], instruction: TypedInstruction) -> SearchResponse:
    """POST /v1/search, without the fields that nothing was typed for."""
    service = Service.of(settings)
    body = {name: value for name, value in fields.items() if value is not None}
    if (chosen := instruction_field(service, instruction)) is not None:
        body["instruction"] = chosen
    return search_at(service, body)


def search_at(service: Service, body: dict[str, Any]) -> SearchResponse:
    """POST /v1/search."""
    with service.asked() as client:
        return cast("SearchResponse", client.search(**body))


def ask_rerank(settings: Settings, fields: Mapping[str, Any], reranker: str | None) -> RerankResponse:
    """POST /v1/rerank. Raises `InvalidRequest` if the service has no such reranker."""
    service = Service.of(settings)
    body = {name: value for name, value in fields.items() if value is not None}
    with service.asked() as client:
        answer = cast("RerankResponse", client.rerank(**body | ({"model": reranker} if reranker else {})))
    if reranker is not None and answer["model"] != reranker:
        raise InvalidRequest(f"{service.url} has no reranker {reranker[:80]!r}; its default is {answer['model']}")
    return answer


def instruction_field(service: Service, typed: TypedInstruction) -> str | dict[str, object] | None:
    """The instruction as a request body has it; values have the types that the service declares.

    Raises `InvalidRequest`, `InstructionNotFound`.
    """
    typed.check()
    if typed.name is None:
        return typed.text
    reference = Reference.of(typed.name)
    values = _values(service, reference, typed.variables) if typed.variables else {}
    return {"name": reference.name, "version": reference.version, "variables": values}


def _values(service: Service, reference: Reference, words: Sequence[str]) -> dict[str, Value]:
    """Return the values of variables, numbers as numbers. Raises `InstructionNotFound`."""
    declared = instruction_version(service, reference)["variables"]
    variables = (Variable(name=each["name"], type=VariableType(each["type"])) for each in declared)
    return typed_values(InstructionContent(text="", variables=tuple(variables)), words)
