"""The instruction library in SQL. A trigger protects the content of published versions (migration 0004)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sql

from winnow.retrieval.catalog.instructions import (
    Act,
    InstructionContent,
    InstructionVersion,
    Reference,
    State,
    Variable,
    VariableType,
    state_after,
)
from winnow.retrieval.catalog.sql.audit import Change, record
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.tables import Words, metadata
from winnow.retrieval.catalog.sql.tenants import add_tenant
from winnow.retrieval.errors import InstructionConflict, InstructionNotFound
from winnow.retrieval.records import JsonValue
from winnow.retrieval.tenancy import COMMAND_LINE, Actor, TenantName

_instructions = sql.Table(
    "instructions",
    metadata,
    sql.Column("tenant", Words, sql.ForeignKey("tenants.name"), primary_key=True),
    sql.Column("name", Words, primary_key=True),
    sql.Column("version", sql.Integer, primary_key=True),
    sql.Column("text", Words, nullable=False),
    sql.Column("created_at", Words, nullable=False),  # UTC, ISO 8601, as are the other dates
    sql.Column("state", Words, nullable=False),
    sql.Column("literal", sql.Boolean, nullable=False),
    sql.Column("embedding_task", Words),
    sql.Column("variables", Words, nullable=False),  # JSON: a list of objects with the fields of `Variable`
    sql.Column("purpose", Words, nullable=False),
    sql.Column("language", Words, nullable=False),
    sql.Column("collections", Words, nullable=False),  # JSON: a list of names
    sql.Column("author", Words, nullable=False),
    sql.Column("note", Words, nullable=False),
    sql.Column("published_at", Words),
    sql.Column("retired_at", Words),
)

_defaults = sql.Table(
    "default_instructions",
    metadata,
    sql.Column("tenant", Words, sql.ForeignKey("tenants.name"), primary_key=True),
    sql.Column("instruction", Words, nullable=False),  # NAME or NAME@VERSION
)

_choices = sql.table("collections", sql.column("tenant"), sql.column("instruction"))  # a table of the catalog's

TABLES: Final = frozenset({_instructions, _defaults})


class SqlInstructions:
    """Implements `InstructionLibrary`; its calls also raise what `SqlDatabase` raises."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def write_draft(
        self, tenant: TenantName, name: str, content: InstructionContent, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        with self._database.writing() as connection:
            add_tenant(connection, tenant)
            draft = _draft(connection, tenant, name)
            written = InstructionVersion(
                tenant=tenant,
                name=name,
                version=_next(connection, tenant, name) if draft is None else draft.version,
                state=State.DRAFT,
                content=content,
                created_at=datetime.now(UTC),
            )
            if draft is not None:
                state_after(draft.state, Act.EDIT, named=draft.reference)
                connection.execute(sql.delete(_instructions).where(_same_version(draft)))
            _record(connection, "instruction.draft", tenant, by, before=draft, after=written)
            return _put(connection, written)

    def delete_draft(
        self, tenant: TenantName, name: str, version: int | None = None, *, by: Actor = COMMAND_LINE
    ) -> None:
        with self._database.writing() as connection:
            found = _that_draft(connection, tenant, name, version)
            state_after(found.state, Act.DELETE, named=found.reference)
            connection.execute(sql.delete(_instructions).where(_same_version(found)))
            _record(connection, "instruction.delete", tenant, by, before=found)

    def publish_draft(
        self, tenant: TenantName, name: str, version: int | None = None, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        with self._database.writing() as connection:
            found = _that_draft(connection, tenant, name, version)
            state_after(found.state, Act.PUBLISH, named=found.reference)
            published = _update_state(connection, replace(found, state=State.PUBLISHED, published_at=datetime.now(UTC)))
            _check_defaults(connection, tenant, name)
            _record(connection, "instruction.publish", tenant, by, before=found, after=published)
            return published

    def publish(
        self, tenant: TenantName, name: str, content: InstructionContent, *, by: Actor = COMMAND_LINE
    ) -> InstructionVersion:
        with self._database.writing() as connection:
            add_tenant(connection, tenant)
            if draft := _draft(connection, tenant, name):
                raise InstructionConflict(f"{draft.reference} is a draft; publish or delete it first")
            newest = _newest(connection, tenant, name)
            if newest is not None and newest.content == content:
                return newest
            now = datetime.now(UTC)
            published = InstructionVersion(
                tenant=tenant,
                name=name,
                version=_next(connection, tenant, name),
                state=State.PUBLISHED,
                content=content,
                created_at=now,
                published_at=now,
            )
            _put(connection, published)
            _check_defaults(connection, tenant, name)
            _record(connection, "instruction.publish", tenant, by, after=published)
            return published

    def retire(self, tenant: TenantName, name: str, version: int, *, by: Actor = COMMAND_LINE) -> InstructionVersion:
        with self._database.writing() as connection:
            found = _version(connection, tenant, name, version)
            state_after(found.state, Act.RETIRE, named=found.reference)
            retired = _update_state(connection, replace(found, state=State.RETIRED, retired_at=datetime.now(UTC)))
            _check_defaults(connection, tenant, name)
            _record(connection, "instruction.retire", tenant, by, before=found, after=retired)
            return retired

    def version(self, tenant: TenantName, name: str, version: int | None = None) -> InstructionVersion:
        with self._database.reading() as connection:
            return _version(connection, tenant, name, version)

    def versions(self, tenant: TenantName, name: str | None = None) -> Sequence[InstructionVersion]:
        columns = _instructions.c
        wanted = sql.select(_instructions).where(columns.tenant == tenant).order_by(columns.name, columns.version)
        if name is not None:
            wanted = wanted.where(columns.name == name)
        with self._database.reading() as connection:
            return [_read(row) for row in connection.execute(wanted)]

    def bring_in(
        self, tenant: TenantName, versions: Sequence[InstructionVersion], *, by: Actor = COMMAND_LINE
    ) -> Sequence[InstructionVersion]:
        new: list[InstructionVersion] = []
        with self._database.writing() as connection:
            add_tenant(connection, tenant)
            for each in sorted(versions, key=lambda each: (each.name, each.version)):
                assert each.tenant == tenant, "read for another tenant. This is a bug."
                row = connection.execute(sql.select(_instructions).where(_same_version(each))).first()
                if row is not None and _read(row).content == each.content:
                    continue
                if row is not None:
                    raise InstructionConflict(f"{each.reference} exists here with other content")
                if _draft(connection, tenant, each.name) is not None:
                    raise InstructionConflict(f"{each.name} has a draft here; publish or delete it first")
                if each.version < _next(connection, tenant, each.name):
                    raise InstructionConflict(f"{each.reference} would come before an existing version")
                new.append(_put(connection, each))
                _record(connection, "instruction.import", tenant, by, after=each)
            for name in sorted({each.name for each in new}):
                _check_defaults(connection, tenant, name)
        return new

    def default(self, tenant: TenantName) -> str | None:
        wanted = sql.select(_defaults.c.instruction).where(_defaults.c.tenant == tenant)
        with self._database.reading() as connection:
            found: str | None = connection.scalar(wanted)
            return found

    def set_default(self, tenant: TenantName, reference: str | None, *, by: Actor = COMMAND_LINE) -> None:
        with self._database.writing() as connection:
            wanted = sql.select(_defaults.c.instruction).where(_defaults.c.tenant == tenant)
            before: str | None = connection.scalar(wanted)
            if before == reference:
                return
            connection.execute(sql.delete(_defaults).where(_defaults.c.tenant == tenant))
            if reference is not None:
                require_published(connection, tenant, Reference.of(reference))
                add_tenant(connection, tenant)
                connection.execute(sql.insert(_defaults).values(tenant=tenant, instruction=reference))
            change = Change(
                actor=by,
                action="instruction.default",
                tenant=tenant,
                subject=reference or before or "",
                before={"instruction": before},
                after={"instruction": reference},
            )
            record(connection, change)


def require_published(connection: sql.Connection, tenant: TenantName, reference: Reference) -> None:
    """Require a possible default, or a built-in name. Raises `InstructionNotFound`, `InstructionConflict`."""
    if reference.is_built_in:
        return
    found = _version(connection, tenant, reference.name, reference.version)
    if found.state is not State.PUBLISHED:
        raise InstructionConflict(f"{found.reference} is {found.state}; a default must be published")
    _refuse_asking(found, "a default")


def _check_defaults(connection: sql.Connection, tenant: TenantName, name: str) -> None:
    """Check, before a change is committed, that every default with this name still works."""
    user = _user(connection, tenant, name)
    if user is None:
        return
    newest = _newest(connection, tenant, name)
    if newest is None:
        raise InstructionConflict(
            f"{name} is {user}, which needs this last published version; choose another default first"
        )
    _refuse_asking(newest, user)


def _refuse_asking(version: InstructionVersion, user: str) -> None:
    if version.content.asks_for:
        asked = ", ".join(version.content.asks_for)
        raise InstructionConflict(f"{version.reference} is {user}, used without values; it asks for {asked}")


def _user(connection: sql.Connection, tenant: TenantName, name: str) -> str | None:
    """Return what uses the name without a version, in words."""
    choices = _choices.c
    if connection.execute(
        sql.select(choices.instruction).where(choices.tenant == tenant, choices.instruction == name)
    ).first():
        return "a collection's default"
    if connection.execute(
        sql.select(_defaults.c.tenant).where(_defaults.c.tenant == tenant, _defaults.c.instruction == name)
    ).first():
        return "the tenant's default"
    return None


def _version(connection: sql.Connection, tenant: TenantName, name: str, version: int | None) -> InstructionVersion:
    if version is None:
        found = _newest(connection, tenant, name)
    else:
        wanted = sql.select(_instructions).where(_by_name(tenant, name), _instructions.c.version == version)
        row = connection.execute(wanted).first()
        found = None if row is None else _read(row)
    if found is None:
        raise InstructionNotFound(name if version is None else f"{name}, version {version}")
    return found


def _newest(connection: sql.Connection, tenant: TenantName, name: str) -> InstructionVersion | None:
    """Return the newest published version."""
    return _last(connection, tenant, name, State.PUBLISHED)


def _draft(connection: sql.Connection, tenant: TenantName, name: str) -> InstructionVersion | None:
    return _last(connection, tenant, name, State.DRAFT)


def _last(connection: sql.Connection, tenant: TenantName, name: str, state: State) -> InstructionVersion | None:
    wanted = sql.select(_instructions).where(_by_name(tenant, name), _instructions.c.state == state.value)
    row = connection.execute(wanted.order_by(_instructions.c.version.desc()).limit(1)).first()
    return None if row is None else _read(row)


def _that_draft(connection: sql.Connection, tenant: TenantName, name: str, version: int | None) -> InstructionVersion:
    if version is not None:
        return _version(connection, tenant, name, version)
    found = _draft(connection, tenant, name)
    if found is None:
        raise InstructionNotFound(f"{name} has no draft")
    return found


def _next(connection: sql.Connection, tenant: TenantName, name: str) -> int:
    highest = connection.scalar(sql.select(sql.func.max(_instructions.c.version)).where(_by_name(tenant, name)))
    return 1 if highest is None else int(highest) + 1


def _update_state(connection: sql.Connection, version: InstructionVersion) -> InstructionVersion:
    """Write the version's state, and nothing of its content."""
    where = {name: each for name, each in _row_of(version).items() if name in ("state", "published_at", "retired_at")}
    connection.execute(sql.update(_instructions).where(_same_version(version)).values(where))
    return version


def _put(connection: sql.Connection, version: InstructionVersion) -> InstructionVersion:
    connection.execute(sql.insert(_instructions).values(_row_of(version)))
    return version


def _record(
    connection: sql.Connection,
    action: str,
    tenant: TenantName,
    by: Actor,
    *,
    before: InstructionVersion | None = None,
    after: InstructionVersion | None = None,
) -> None:
    whose = after or before
    assert whose is not None, "a version before or after. This is a bug."
    change = Change(
        actor=by,
        action=action,
        tenant=tenant,
        subject=whose.reference,
        before=None if before is None else _properties(before),
        after=None if after is None else _properties(after),
    )
    record(connection, change)


def _properties(version: InstructionVersion) -> dict[str, JsonValue]:
    """Return what the audit log records: never the text, which the library keeps under this number."""
    return {"version": version.version, "state": version.state.value}


def _by_name(tenant: TenantName, name: str) -> sql.ColumnElement[bool]:
    return sql.and_(_instructions.c.tenant == tenant, _instructions.c.name == name)


def _same_version(version: InstructionVersion) -> sql.ColumnElement[bool]:
    assert version.tenant is not None, "built-in versions are in no table. This is a bug."
    return sql.and_(_by_name(version.tenant, version.name), _instructions.c.version == version.version)


def _row_of(version: InstructionVersion) -> dict[str, Any]:
    content = version.content
    return {
        "tenant": version.tenant,
        "name": version.name,
        "version": version.version,
        "state": version.state.value,
        "text": content.text,
        "literal": content.literal,
        "embedding_task": content.embedding_task,
        "variables": json.dumps([asdict(each) for each in content.variables], ensure_ascii=False),
        "purpose": content.purpose,
        "language": content.language,
        "collections": json.dumps(content.collections),
        "author": content.author,
        "note": content.note,
        "created_at": version.created_at.isoformat(),
        "published_at": None if version.published_at is None else version.published_at.isoformat(),
        "retired_at": None if version.retired_at is None else version.retired_at.isoformat(),
    }


def _read(row: sql.Row[Any]) -> InstructionVersion:
    return InstructionVersion(
        tenant=row.tenant,
        name=row.name,
        version=row.version,
        state=State(row.state),
        content=InstructionContent(
            text=row.text,
            literal=row.literal,
            embedding_task=row.embedding_task,
            variables=tuple(_variable(each) for each in json.loads(row.variables)),
            purpose=row.purpose,
            language=row.language,
            collections=tuple(json.loads(row.collections)),
            author=row.author,
            note=row.note,
        ),
        created_at=datetime.fromisoformat(row.created_at),
        published_at=None if row.published_at is None else datetime.fromisoformat(row.published_at),
        retired_at=None if row.retired_at is None else datetime.fromisoformat(row.retired_at),
    )


def _variable(said: dict[str, Any]) -> Variable:
    return Variable(**{**said, "type": VariableType(said["type"]), "allowed": tuple(said["allowed"])})
