"""What an evaluation measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from winnow.api.cli.client.typed_instruction import TypedInstruction
from winnow.api.cli.evaluation.cases import Source
from winnow.api.cli.evaluation.named_settings import TypedSetting
from winnow.api.cli.instructions.variables import named_instructions, wanted_instruction
from winnow.api.library.instructions import Instructions, NamedInstruction
from winnow.retrieval.catalog.collections import KEEP_FIELDS, FieldsChange
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.tenancy import TenantName


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenInstructions:
    """The instructions of an evaluation."""

    default: str | NamedInstruction | None = None  # None: what a search of the collection uses
    named: Mapping[str, NamedInstruction] = field(default_factory=dict)  # those that settings name, as they name them


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure."""

    source: Source
    tenant: TenantName
    collection: str  # of this tenant
    is_collection_named: bool  # typed, so that another embedder than its own is refused
    metrics: tuple[str, ...]
    settings: tuple[TypedSetting, ...]
    is_typed: bool  # by --setting, not by the product of the other flags
    instructions: ChosenInstructions = ChosenInstructions()
    fields: FieldsChange = KEEP_FIELDS  # that the reranker reads instead of the collection's
    typed: TypedInstruction | None = None  # of a service, which has the library; None: a data folder is asked


def read_instructions(
    library: Instructions,
    tenant: TenantName,
    settings: Sequence[TypedSetting],
    text: str | None,
    name: str | None,
    *,
    variables: Sequence[str],
) -> ChosenInstructions:
    """Read what --instruction, --instruction-name and settings choose; each gets the values of its own variables.

    Raises `InvalidRequest`, `InstructionNotFound`.
    """
    references = [each.reference for each in settings if each.reference is not None]
    if not references:
        return ChosenInstructions(default=wanted_instruction(library, tenant, text, name, variables))
    if text is not None and name is not None:
        raise InvalidRequest("--instruction and --instruction-name cannot be used together")
    names = list(dict.fromkeys([*([name] if name else []), *references]))
    found = named_instructions(library, tenant, names, variables)
    named = {each: wanted for each, wanted in zip(names, found, strict=True) if wanted is not None}
    return ChosenInstructions(default=named.get(name) if name else text, named=named)
