"""Differences between two versions of an instruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import unified_diff
from typing import Any

from winnow.api.library.content import variable_fields
from winnow.api.library.yaml_file import written_content
from winnow.retrieval.catalog.instructions import InstructionContent, InstructionVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A field that differs, with values as in JSON."""

    field: str
    before: Any
    after: Any


def changes(before: InstructionContent, after: InstructionContent) -> Sequence[Change]:
    """Return the fields that differ, in the order of the fields."""
    return [
        Change(field=each.name, before=_said(was), after=_said(now))
        for each in fields(InstructionContent)
        if (was := getattr(before, each.name)) != (now := getattr(after, each.name))
    ]


def unified(before: InstructionVersion, after: InstructionVersion) -> str:
    """Return the differences for people: both versions as YAML, compared like `diff -u`; empty if they are equal."""
    was, now = (written_content(each.content).splitlines(keepends=True) for each in (before, after))
    return "".join(unified_diff(was, now, fromfile=before.reference, tofile=after.reference))


def _said(value: Any) -> Any:
    if isinstance(value, tuple):
        return [each if isinstance(each, str) else variable_fields(each) for each in value]
    return value
