"""Who changed what, when, and how was it before? The contract of the audit log.

Rule 1: an entry is written in the transaction of the change that it tells of: there is neither without the other.
Rule 2: entries are only added; the database itself refuses to change or to remove one.
Rule 3: no secret, no query, no text is ever in it: `before` and `after` name properties, and a key only its prefix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from winnow.retrieval.records import JsonValue
from winnow.retrieval.tenancy import Actor, TenantName


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One administrative action."""

    number: int  # counts up; with gaps where a change failed
    at: datetime  # UTC
    actor: Actor
    action: str  # `key.create`, `tenant.disable`, `instruction.publish`: noun, then verb
    tenant: TenantName  # whose key, collection, grant, instruction it is
    subject: str  # the key's id, the collection's name, ...
    before: Mapping[str, JsonValue] | None  # None where there was nothing
    after: Mapping[str, JsonValue] | None  # None where nothing is left


class AuditLog(Protocol):
    """Tells what has been done. There is no way to write here: whoever changes something writes its entry."""

    def entries(self, *, tenant: TenantName | None, limit: int, before: int | None = None) -> Sequence[AuditEntry]:
        """Newest first, of this tenant or of all; those with a number below `before`."""
        ...
