"""An `InstructionLibrary` in memory: the contract in as few words as it has, beside which the one on SQL is held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from winnow.retrieval.catalog.instructions import (
    Act,
    InstructionContent,
    InstructionVersion,
    Reference,
    State,
    state_after,
)
from winnow.retrieval.errors import InstructionConflict, InstructionNotFound
from winnow.retrieval.tenancy import COMMAND_LINE, Actor, TenantName


class MemoryLibrary:
    """Implements `InstructionLibrary`, in whose database there are no collections."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str, int], InstructionVersion] = {}
        self._defaults: dict[str, str] = {}

    def write_draft(
        self, tenant: TenantName, name: str, content: InstructionContent, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        draft = self._draft(tenant, name)
        number = self._next(tenant, name) if draft is None else draft.version
        return self._put(
            InstructionVersion(
                tenant=tenant, name=name, version=number, state=State.DRAFT, content=content, created_at=_now()
            )
        )

    def delete_draft(
        self, tenant: TenantName, name: str, version: int | None = None, *, by: Actor = COMMAND_LINE
    ) -> None:
        found = self._that_draft(tenant, name, version)
        state_after(found.state, Act.DELETE, named=found.reference)
        del self._held[tenant, name, found.version]

    def publish_draft(
        self, tenant: TenantName, name: str, version: int | None = None, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        found = self._that_draft(tenant, name, version)
        state_after(found.state, Act.PUBLISH, named=found.reference)
        return self._checked(found, replace(found, state=State.PUBLISHED, published_at=_now()))

    def publish(
        self, tenant: TenantName, name: str, content: InstructionContent, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        if self._draft(tenant, name):
            raise InstructionConflict(f"{name} has a draft; publish or delete it")
        published = [each for each in self.versions(tenant, name) if each.state is State.PUBLISHED]
        if published and published[-1].content == content:
            return published[-1]
        now = _now()
        return self._checked(
            None,
            InstructionVersion(
                tenant=tenant,
                name=name,
                version=self._next(tenant, name),
                state=State.PUBLISHED,
                content=content,
                created_at=now,
                published_at=now,
            ),
        )

    def retire(self, tenant: TenantName, name: str, version: int, *, by: Actor = COMMAND_LINE) -> InstructionVersion:
        found = self.version(tenant, name, version)
        state_after(found.state, Act.RETIRE, named=found.reference)
        return self._checked(found, replace(found, state=State.RETIRED, retired_at=_now()))

    def version(self, tenant: TenantName, name: str, version: int | None = None) -> InstructionVersion:
        for each in reversed(self.versions(tenant, name)):
            if each.version == version or (version is None and each.state is State.PUBLISHED):
                return each
        raise InstructionNotFound(name if version is None else f"{name}, version {version}")

    def versions(self, tenant: TenantName, name: str | None = None) -> Sequence[InstructionVersion]:
        return [self._held[key] for key in sorted(self._held) if key[0] == tenant and (name is None or key[1] == name)]

    def bring_in(
        self, tenant: TenantName, versions: Sequence[InstructionVersion], *, by: Actor = COMMAND_LINE
    ) -> Sequence[InstructionVersion]:
        before, new = dict(self._held), []
        for each in sorted(versions, key=lambda each: each.version):
            here = self._held.get((tenant, each.name, each.version))
            if here is not None and here.content == each.content:
                continue
            if here is not None or each.version < self._next(tenant, each.name) or self._draft(tenant, each.name):
                self._held = before
                raise InstructionConflict(f"{each.reference} says something else here, or comes too late")
            new.append(self._put(each))
        try:
            for each in new:
                self._check_defaults(tenant, each.name)
        except InstructionConflict:
            self._held = before
            raise
        return sorted(new, key=lambda each: (each.name, each.version))

    def default(self, tenant: TenantName) -> str | None:
        return self._defaults.get(tenant)

    def set_default(self, tenant: TenantName, reference: str | None, *, by: Actor = COMMAND_LINE) -> None:
        if reference is None:
            self._defaults.pop(tenant, None)
            return
        wanted = Reference.of(reference)
        if not wanted.is_built_in:
            found = self.version(tenant, wanted.name, wanted.version)
            if found.state is not State.PUBLISHED:
                raise InstructionConflict(f"{found.reference} is {found.state}")
            if found.content.asks_for:
                raise InstructionConflict(f"{found.reference} asks for {found.content.asks_for}")
        self._defaults[tenant] = reference

    def _put(self, version: InstructionVersion) -> InstructionVersion:
        self._held[version.tenant, version.name, version.version] = version
        return version

    def _checked(self, before: InstructionVersion | None, after: InstructionVersion) -> InstructionVersion:
        """Taken back where a default could not be served any more."""
        self._put(after)
        try:
            self._check_defaults(after.tenant, after.name)
        except InstructionConflict:
            del self._held[after.tenant, after.name, after.version]
            if before is not None:
                self._put(before)
            raise
        return after

    def _check_defaults(self, tenant: TenantName, name: str) -> None:
        if self._defaults.get(tenant) != name:
            return
        published = [each for each in self.versions(tenant, name) if each.state is State.PUBLISHED]
        if not published or published[-1].content.asks_for:
            raise InstructionConflict(f"{name} is the tenant's default")

    def _next(self, tenant: TenantName, name: str) -> int:
        return max((each.version for each in self.versions(tenant, name)), default=0) + 1

    def _draft(self, tenant: TenantName, name: str) -> InstructionVersion | None:
        return next((each for each in self.versions(tenant, name) if each.state is State.DRAFT), None)

    def _that_draft(self, tenant: TenantName, name: str, version: int | None) -> InstructionVersion:
        found = self._draft(tenant, name) if version is None else self.version(tenant, name, version)
        if found is None:
            raise InstructionNotFound(f"{name} has no draft")
        return found


def _now() -> datetime:
    return datetime.now(UTC)
