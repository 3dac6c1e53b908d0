"""Parse --variable NAME=VALUE into values of an instruction's variables."""

from __future__ import annotations

from collections.abc import Sequence

from winnow.api.cli.client.typed_instruction import TypedInstruction, typed_values
from winnow.api.library.instructions import Instructions, NamedInstruction
from winnow.api.schemas.instruction_requests import IN_USE
from winnow.retrieval.catalog.instructions import Reference
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.tenancy import TenantName


def named_instruction(
    instructions: Instructions, tenant: TenantName, name: str, words: Sequence[str]
) -> NamedInstruction:
    """Read `NAME[@VERSION]` with its values. Raises `InvalidRequest`, `InstructionNotFound`."""
    reference = Reference.of(name)
    content = instructions.version(tenant, reference).content
    return NamedInstruction(name=reference.name, version=reference.version, variables=typed_values(content, words))


def wanted_instruction(
    instructions: Instructions, tenant: TenantName, text: str | None, name: str | None, words: Sequence[str]
) -> str | NamedInstruction | None:
    """The instruction that --instruction, --instruction-name and --variable choose; None where none is given.

    Raises `InvalidRequest`, `InstructionNotFound`.
    """
    TypedInstruction(text=text, name=name, variables=words).check()
    return text if name is None else named_instruction(instructions, tenant, name, words)


def named_instructions(
    instructions: Instructions, tenant: TenantName, names: Sequence[str], words: Sequence[str]
) -> list[NamedInstruction | None]:
    """Read several instructions, each with the values of its own variables; `IN_USE` is None.

    Raises `InvalidRequest` for a variable that none of them declares, `InstructionNotFound`.
    """
    found: list[NamedInstruction | None] = []
    unknown = {each.partition("=")[0] for each in words}
    for each in names:
        if each == IN_USE:
            found.append(None)
            continue
        declared = {variable.name for variable in instructions.version(tenant, Reference.of(each)).content.variables}
        unknown -= declared
        own = [word for word in words if word.partition("=")[0] in declared]
        found.append(named_instruction(instructions, tenant, each, own))
    if unknown:
        raise InvalidRequest(f"none of these instructions has the variable {min(unknown)[:80]!r}")
    return found
