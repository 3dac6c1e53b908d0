"""The audit log: who changed what, when, and what was there before.

Rule 1: an entry is written in the same transaction as its change, so neither exists without the other.
Rule 2: entries are only added; the database itself refuses to change or remove one.
Rule 3: no entry contains a secret, a query or a text: `before` and `after` name properties, and of a key only its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from winnow.retrieval.records import JsonValue
from winnow.retrieval.tenancy import Actor, TenantName


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One administrative action."""

    number: int  # ascending; with gaps where a change failed
    at: datetime  # UTC
    actor: Actor
    action: str  # `key.create`, `tenant.disable`, `instruction.publish`: noun, then verb
    tenant: TenantName  # the owner of the key, collection, grant or instruction
    subject: str  # the key's id, the collection's name, ...
    before: Mapping[str, JsonValue] | None  # None if there was nothing
    after: Mapping[str, JsonValue] | None  # None if nothing is left
