"""What --instruction, --instruction-name and --variable say, for a data folder and for a service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from winnow.rerank.instruction_template import parse_value
from winnow.retrieval.catalog.instructions import InstructionContent, Value
from winnow.retrieval.errors import InvalidRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedInstruction:
    """The instruction as it was typed."""

    text: str | None = None
    name: str | None = None  # NAME[@VERSION]
    variables: Sequence[str] = ()  # NAME=VALUE

    def check(self) -> None:
        """Raises `InvalidRequest` for flags that contradict each other."""
        if self.text is not None and self.name is not None:
            raise InvalidRequest("--instruction and --instruction-name cannot be used together")
        if self.name is None and self.variables:
            raise InvalidRequest("--variable needs --instruction-name: a text has no variables")


def typed_values(content: InstructionContent, words: Sequence[str]) -> dict[str, Value]:
    """Raises `InvalidRequest`. Does not check whether the values fit."""
    values: dict[str, Value] = {}
    for each in words:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise InvalidRequest(f"--variable {each[:80]!r}: write NAME=VALUE")
        if name in values:
            raise InvalidRequest(f"--variable {name[:80]!r} is given twice")
        values[name] = parse_value(content, name, value)
    return values
