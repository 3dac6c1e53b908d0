"""Chooses the instruction of a search, and checks what is written to the library.

Order: the request's own, else that of the caller's key, else the collection's, else the tenant's, else the model
card's. Stored instructions and those that come with winnow (`builtin/...`) are looked up alike; only the former can be
written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cached_property
from typing import Final

from winnow.rerank.instruction import DEFAULT_INSTRUCTION, check_instruction
from winnow.rerank.instruction_template import check_content, render
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.instructions import (
    BUILT_IN_PREFIX,
    RESERVED_NAMES,
    InstructionContent,
    InstructionLibrary,
    InstructionVersion,
    Reference,
    State,
    Value,
)
from winnow.retrieval.embed.embedder import DEFAULT_TASK
from winnow.retrieval.errors import InstructionConflict, InstructionNotFound, InvalidRequest, VariableRefused
from winnow.retrieval.limits import COLLECTION_NAME_PATTERN
from winnow.retrieval.tenancy import COMMAND_LINE, Actor, TenantName


class InstructionSource(StrEnum):
    """The origin of the instruction that ranked an answer."""

    REQUEST = "request"
    KEY = "key"  # the default of the caller's key
    COLLECTION = "collection"
    TENANT = "tenant"
    BUILT_IN = "built-in"  # the model card's


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedInstruction:
    """An instruction of the library, by name."""

    name: str
    version: int | None = None  # None is the newest published one
    variables: Mapping[str, Value] = field(default_factory=dict)

    @property
    def reference(self) -> Reference:
        return Reference(name=self.name, version=self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedInstruction:
    """The exact text given to the reranker, and its origin."""

    text: str
    source: InstructionSource
    name: str | None = None
    version: int | None = None
    state: State | None = None  # None for a text in the request
    embedding_task: str = DEFAULT_TASK  # task for embedding the query
    rendered_on: date | None = None  # what `{today}` stands for; None for a text in the request

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def said(self) -> str:
        """For people: `legal@2`, or that it was a text."""
        return f"{self.name}@{self.version}" if self.name else "your instruction"


BUILT_IN: Final = AppliedInstruction(
    text=DEFAULT_INSTRUCTION,
    source=InstructionSource.BUILT_IN,
    name="default",
    version=1,
    state=State.PUBLISHED,
)


def applied_text(text: str) -> AppliedInstruction:
    """Apply a text of the request: no template, no name. Raises `InvalidRequest`, `LimitExceeded`."""
    return AppliedInstruction(text=check_instruction(text), source=InstructionSource.REQUEST)


def instruction_of(written: str | None) -> str | NamedInstruction | None:
    """A text has a blank; what has none is NAME or NAME@VERSION of the library."""
    if written is None or not written.strip():
        return None
    if any(character.isspace() for character in written.strip()) or not written.isascii():
        return written
    reference = Reference.of(written.strip())
    return NamedInstruction(name=reference.name, version=reference.version)


def utc_today() -> date:
    """Return the date in UTC."""
    return datetime.now(UTC).date()


def applied_version(
    version: InstructionVersion, values: Mapping[str, Value], source: InstructionSource, *, today: date
) -> AppliedInstruction:
    """Fill in the variables of a version. Raises `VariableRefused`."""
    made = render(version.content, values, today=today)
    return AppliedInstruction(
        text=made.text,
        source=source,
        name=version.name,
        version=version.version,
        state=version.state,
        embedding_task=made.embedding_task or DEFAULT_TASK,
        rendered_on=today,
    )


def applied_content(content: InstructionContent, values: Mapping[str, Value], *, today: date) -> AppliedInstruction:
    """Apply content that is not stored. Raises `VariableRefused`."""
    made = render(content, values, today=today)
    return AppliedInstruction(
        text=made.text,
        source=InstructionSource.REQUEST,
        embedding_task=made.embedding_task or DEFAULT_TASK,
        rendered_on=today,
    )


class Instructions:
    """The library as a deployment uses it. Every method blocks, and raises what `InstructionLibrary` raises."""

    def __init__(
        self,
        library: InstructionLibrary,
        *,
        built_in: Callable[[], Sequence[InstructionVersion]] = tuple,
        today: Callable[[], date] = utc_today,
    ) -> None:
        """`built_in` is called when the first is wanted. `today` is the clock of the variable `{today}`."""
        self._library = library
        self._today = today
        self._read_built_in = built_in

    @cached_property
    def built_in(self) -> tuple[InstructionVersion, ...]:
        return tuple(self._read_built_in())

    def applied(
        self,
        tenant: TenantName,
        wanted: str | NamedInstruction | None,
        collection: Collection,
        *,
        of_key: str | None = None,
    ) -> AppliedInstruction:
        """Return the instruction for a search of this collection. `of_key` is the default of the caller's key.

        A default not meant for the collection is skipped; a request that names such an instruction, or a draft, is
        refused. Also raises `VariableRefused`, `InvalidRequest`, `LimitExceeded`.
        """
        if isinstance(wanted, str):
            return applied_text(wanted)
        if wanted is not None:
            return self._named(tenant, wanted, seen=_seen_by(tenant, collection))
        if (chosen := self.of_key(tenant, of_key, seen=_seen_by(tenant, collection))) is not None:
            return chosen
        for source, owner, name in (
            (
                InstructionSource.COLLECTION,
                collection.tenant,
                collection.instruction,
            ),  # the owner's, for every tenant that searches it
            (InstructionSource.TENANT, tenant, self._library.default(tenant)),
        ):
            if name is not None:
                version = self.version(owner, Reference.of(name))
                if version.content.applies_to(_seen_by(owner, collection)):
                    return applied_version(version, {}, source, today=self._today())
        return BUILT_IN

    def of_key(self, tenant: TenantName, written: str | None, *, seen: str | None) -> AppliedInstruction | None:
        """Return the default of a key; None if there is none, or it is meant for other collections than `seen`.

        `seen` None: the texts are in no collection.
        """
        wanted = instruction_of(written)
        if wanted is None:
            return None
        if isinstance(wanted, str):
            return replace(applied_text(wanted), source=InstructionSource.KEY)
        version = self.version(tenant, wanted.reference)
        is_meant = not version.content.collections if seen is None else version.content.applies_to(seen)
        return applied_version(version, {}, InstructionSource.KEY, today=self._today()) if is_meant else None

    def check_default_of_key(self, tenant: TenantName, written: str) -> None:
        """Raises what `check_default` raises, or `InvalidRequest`, `LimitExceeded` for a text."""
        wanted = instruction_of(written)
        if isinstance(wanted, str):
            applied_text(wanted)
        elif wanted is not None:
            self.check_default(tenant, str(wanted.reference))

    def of_texts(self, tenant: TenantName, wanted: str | NamedInstruction) -> AppliedInstruction:
        """Like `applied`, for texts that are in no collection: an instruction for certain collections is refused."""
        if isinstance(wanted, str):
            return applied_text(wanted)
        return self._named(tenant, wanted, seen=None)

    def _named(self, tenant: TenantName, wanted: NamedInstruction, *, seen: str | None) -> AppliedInstruction:
        """`seen` is the collection as the tenant names it; None: there is none."""
        version = self.version(tenant, wanted.reference)
        if version.state is State.DRAFT:
            raise InstructionConflict(f"{version.reference} is a draft; publish it, or use it in a trial")
        is_meant = not version.content.collections if seen is None else version.content.applies_to(seen)
        if not is_meant:
            raise InvalidRequest(
                f"{version.reference} is restricted to the collections {', '.join(version.content.collections)}"
            )
        return self.render(version, wanted.variables)

    def tried(self, tenant: TenantName, wanted: NamedInstruction) -> AppliedInstruction:
        """Like `applied`, for a trial or preview: allows drafts and any restriction. Raises `VariableRefused`."""
        return self.render(self.version(tenant, wanted.reference), wanted.variables)

    def render(
        self, version: InstructionVersion, values: Mapping[str, Value], *, on: date | None = None
    ) -> AppliedInstruction:
        """Fill in the values that a request gives, and today's date or that of `on`. Raises `VariableRefused`."""
        return applied_version(version, values, InstructionSource.REQUEST, today=on or self._today())

    def preview(self, content: InstructionContent, values: Mapping[str, Value]) -> AppliedInstruction:
        """Apply content that is not stored. Raises `VariableRefused`."""
        return applied_content(content, values, today=self._today())

    def version(self, tenant: TenantName, reference: Reference) -> InstructionVersion:
        """Return this version, in any state, or the newest published one."""
        if not reference.is_built_in:
            return self._library.version(tenant, reference.name, reference.version)
        for each in reversed(self.built_in):
            if each.name == reference.name and reference.version in (None, each.version):
                return each
        raise InstructionNotFound(f"{str(reference)[:80]}; see `winnow instructions list --built-in`")

    def versions(self, tenant: TenantName, name: str | None = None) -> Sequence[InstructionVersion]:
        """Return all versions of the tenant's own instructions, or of one name, which must exist."""
        if name is None:
            return self._library.versions(tenant)
        is_built_in = name.startswith(BUILT_IN_PREFIX)
        of_name = [each for each in self.built_in if each.name == name]
        found = of_name if is_built_in else self._library.versions(tenant, name)
        if not found:
            raise InstructionNotFound(name[:80])
        return found

    def write_draft(
        self, tenant: TenantName, name: str, content: InstructionContent, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        """Write a draft. Also raises `InvalidRequest`, `LimitExceeded`, `VariableRefused`."""
        _require_writable(name)
        self._refuse_reserved(tenant, name)
        return self._library.write_draft(tenant, name, check_content(content), by=by)

    def publish(
        self, tenant: TenantName, name: str, content: InstructionContent, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        """Publish the next version at once. Raises like `write_draft`."""
        _require_writable(name)
        self._refuse_reserved(tenant, name)
        return self._library.publish(tenant, name, check_content(content), by=by)

    def publish_stored(self, tenant: TenantName, name: str, content: InstructionContent) -> InstructionVersion:
        """Publish what a snapshot holds. Words that were reserved after it was taken are allowed."""
        _require_writable(name)
        return self._library.publish(tenant, name, check_content(content, was_stored=True))

    def publish_draft(
        self, tenant: TenantName, name: str, version: int | None = None, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        _require_writable(name)
        return self._library.publish_draft(tenant, name, version, by=by)

    def delete_draft(
        self, tenant: TenantName, name: str, version: int | None = None, *, by: Actor = COMMAND_LINE
    ) -> None:
        _require_writable(name)
        self._library.delete_draft(tenant, name, version, by=by)

    def retire(self, tenant: TenantName, name: str, version: int, *, by: Actor = COMMAND_LINE) -> InstructionVersion:
        _require_writable(name)
        return self._library.retire(tenant, name, version, by=by)

    def bring_in(
        self, tenant: TenantName, versions: Sequence[InstructionVersion], *, by: Actor = COMMAND_LINE
    ) -> Sequence[InstructionVersion]:
        """Import versions from a file. Raises like `write_draft`, before anything is written."""
        for each in versions:
            _require_writable(each.name)
            self._refuse_reserved(tenant, each.name)
            check_content(each.content)
        return self._library.bring_in(tenant, versions, by=by)

    def default(self, tenant: TenantName) -> str | None:
        return self._library.default(tenant)

    def set_default(self, tenant: TenantName, reference: str | None, *, by: Actor = COMMAND_LINE) -> None:
        """Set the default of the tenant's searches. Raises like `check_default`."""
        if reference is not None:
            self.check_default(tenant, reference)
        self._library.set_default(tenant, reference, by=by)

    def check_default(self, tenant: TenantName, reference: str, *, collection: str | None = None) -> None:
        """Check that it can be a default, which gets no values, of this collection or of all it is meant for.

        Raises `InstructionConflict` for a draft or a retired version, `InvalidRequest`, `VariableRefused`.
        """
        version = self.version(tenant, Reference.of(reference))
        if version.state is not State.PUBLISHED:
            raise InstructionConflict(f"{version.reference} is {version.state}; a default must be published")
        if collection is not None and not version.content.applies_to(collection):
            raise InvalidRequest(
                f"{version.reference} is restricted to the collections {', '.join(version.content.collections)}"
            )
        try:
            render(version.content, {}, today=self._today())
        except VariableRefused as refused:
            raise VariableRefused(f"{refused.detail}; a default gets no values") from refused

    def _refuse_reserved(self, tenant: TenantName, name: str) -> None:
        """Refuse a reserved name, unless it existed before the word was reserved."""
        if name in RESERVED_NAMES and not self._library.versions(tenant, name):
            raise InvalidRequest(f"{name!r} is reserved; choose another name")


def _seen_by(tenant: TenantName, collection: Collection) -> str:
    """Return the collection's name for an instruction of this tenant: `owner/name` for another tenant's."""
    return collection.name if collection.tenant == tenant else f"{collection.tenant}/{collection.name}"


def _require_writable(name: str) -> None:
    if name.startswith(BUILT_IN_PREFIX):
        raise InstructionConflict(f"{name[:80]} is built in and read-only; copy it under another name")
    if re.fullmatch(COLLECTION_NAME_PATTERN, name, re.ASCII) is None:
        raise InvalidRequest(
            f"{name[:80]!a} is not a valid instruction name; use up to 63 letters a-z, digits, hyphens, underscores"
        )
