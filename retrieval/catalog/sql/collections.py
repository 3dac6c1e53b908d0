"""The collections of the catalog in SQL, including those granted to other tenants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final, Literal

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from winnow.retrieval.catalog.collections import KEEP, KEEP_FIELDS, Choice, Collection, FieldsChange, Keep
from winnow.retrieval.catalog.instructions import Reference
from winnow.retrieval.catalog.sql import judgments, stability_tables
from winnow.retrieval.catalog.sql.audit import Change, record
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.instructions import require_published
from winnow.retrieval.catalog.sql.leases.writer_lease import require_held
from winnow.retrieval.catalog.sql.tables import Words, metadata
from winnow.retrieval.catalog.sql.tenants import GRANTS, TENANTS, add_tenant
from winnow.retrieval.document_fields import NO_CHOICE, FieldChoice
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionBusy, CollectionExists, CollectionNotFound
from winnow.retrieval.records import Collapse, Diversity, JsonValue
from winnow.retrieval.tenancy import COMMAND_LINE, Actor, TenantName

_collections = sql.Table(
    "collections",
    metadata,
    sql.Column("tenant", Words, sql.ForeignKey("tenants.name"), primary_key=True),
    sql.Column("name", Words, primary_key=True),
    sql.Column("embedder_name", Words, nullable=False),
    sql.Column("embedder_revision", Words, nullable=False),
    sql.Column("embedder_dimension", sql.Integer, nullable=False),
    sql.Column("embedder_prompt_format", Words, nullable=False),
    sql.Column("chunk_tokens", sql.Integer, nullable=False),
    sql.Column("created_at", Words, nullable=False),  # UTC, ISO 8601
    sql.Column("instruction", Words),
    sql.Column("reranker", Words),
    sql.Column("demote_query_echo", sql.Boolean),  # null is false
    sql.Column("require_instruction", sql.Boolean),  # likewise
    sql.Column("rerank_fields", Words),  # JSON; null is no fields
    sql.Column("embed_fields", Words),  # likewise
    sql.Column("collapse_cosine", sql.Double),
    sql.Column("collapse_shingles", sql.Double),
    sql.Column("mmr_lambda", sql.Double),
)

# No reference to tenants: the default tenant's first collection begins before the tenant has a row.
_unfinished = sql.Table(
    "unfinished_collections",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("name", Words, primary_key=True),
    sql.Column("made_at", Words, primary_key=True),  # UTC, ISO 8601
)

_ABANDONED: Final = "/abandoned"  # after a name, which has no slash: only its files are left to remove
_is_abandoned: Final = _unfinished.c.name.endswith(_ABANDONED)

TABLES: Final = frozenset({_collections, _unfinished})


class SqlCollections:
    """The collections of all tenants. Every name is looked up within a tenant.

    The audit log records every change of a whole collection, as made by `by`.

    Raises `CollectionNotFound`, `CollectionExists`, and whatever `InstructionLibrary` raises for a default.

    Its calls also raise what `SqlDatabase` raises.
    """

    def __init__(self, database: SqlDatabase, *, place: str | None = None) -> None:
        """`place` is the data folder of the catalog, for messages."""
        self._database = database
        self._place = place

    def add(self, collection: Collection, *, must_be_begun: bool = False, by: Actor = COMMAND_LINE) -> None:
        """Raises `CollectionExists`; with `must_be_begun` also `CollectionBusy` if its creation was given up."""
        with self._database.writing() as connection:
            this = _begun_at(collection.tenant, collection.name, collection.created_at)
            if must_be_begun and connection.execute(sql.select(_unfinished).where(this)).first() is None:
                raise CollectionBusy(f"the creation of {collection.name} took too long and was given up; repeat it")
            _add(connection, collection)
            _record(connection, "collection.create", by, after=collection)

    def adopt(self, collection: Collection, *, under: int | None = None, by: Actor = COMMAND_LINE) -> None:
        """Like `add`, for a corpus already on the disk; replaces an existing row. `under` as in `change`."""
        where = _by_name(_collections, collection.tenant, collection.name)
        with self._database.writing() as connection:
            require_held(connection, collection.tenant, collection.name, token=under)
            row = connection.execute(sql.select(_collections).where(where)).first()
            if row is None:
                _add(connection, collection)
            else:  # an update: grants refer to the row
                connection.execute(sql.update(_collections).where(where).values(_row_of(collection)))
            before = None if row is None else _collection(row)
            _record(connection, "collection.adopt", by, before=before, after=collection)

    def begin(self, collection: Collection, *, is_alone: bool = False) -> None:
        """Note, before anything is on the disk, that files marked with this creation time are ours.

        `is_alone` gives up whatever else is unfinished under this name, like `abandon`.
        """
        row = {"tenant": collection.tenant, "name": collection.name, "made_at": collection.created_at.isoformat()}
        with self._database.writing() as connection:
            if is_alone:
                _abandon(connection, collection.tenant, collection.name)
            _begin(connection, row)

    def begun(self, tenant: str, name: str) -> frozenset[datetime]:
        """Return the creation times of unfinished creations and removals under this name, also of those given up."""
        names = (name, name + _ABANDONED)
        wanted = sql.select(_unfinished.c.made_at).where(_unfinished.c.tenant == tenant, _unfinished.c.name.in_(names))
        with self._database.reading() as connection:
            return frozenset(map(datetime.fromisoformat, connection.scalars(wanted)))

    def unfinished(self) -> Sequence[tuple[TenantName, str]]:
        """Return the names, with their tenants, under which creations or removals are unfinished."""
        wanted = sql.select(_unfinished.c.tenant, _unfinished.c.name).where(~_is_abandoned).distinct()
        with self._database.reading() as connection:
            return [(TenantName(row.tenant), row.name) for row in connection.execute(wanted)]

    def abandon(self, tenant: str, name: str) -> None:
        """Give up what is unfinished under this name, for good: a creation that was paused cannot be added any more.

        The caller holds the writer's lease.
        """
        with self._database.writing() as connection:
            _abandon(connection, tenant, name)

    def abandoned(self) -> Sequence[tuple[str, str, datetime]]:
        """Return tenant, name and creation time of each collection that was given up and may have left files."""
        with self._database.reading() as connection:
            found = connection.execute(sql.select(_unfinished).where(_is_abandoned)).all()
        return [(row.tenant, row.name.removesuffix(_ABANDONED), datetime.fromisoformat(row.made_at)) for row in found]

    def forget_abandoned(self, tenant: str, name: str, made_at: datetime) -> None:
        """Note that one of them has left nothing any more."""
        with self._database.writing() as connection:
            connection.execute(sql.delete(_unfinished).where(_begun_at(tenant, name + _ABANDONED, made_at)))

    def end(self, tenant: TenantName, name: str, *, made_at: datetime) -> None:
        """Note that nothing is left of the collection that was created at this time, and removed."""
        with self._database.writing() as connection:
            connection.execute(sql.delete(_unfinished).where(_begun_at(tenant, name, made_at)))

    def get(self, tenant: TenantName, name: str) -> Collection:
        with self._database.reading() as connection:
            row = connection.execute(sql.select(_collections).where(_by_name(_collections, tenant, name))).first()
            names = () if row is not None else connection.scalars(_names_of(tenant)).all()
        if row is None:
            near = " or ".join(map(repr, get_close_matches(name, names, n=3)))
            raise CollectionNotFound(f"{name} (did you mean {near}?)" if near else name, place=self._place)
        return _collection(row)

    def granted(self, owner: str, name: str, *, reader: TenantName) -> Collection:
        """Return a collection that its owner lets this tenant search. Errors name it as `owner/name`.

        A reader never learns whether a collection that was not granted exists.
        """
        wanted = (
            sql.select(_collections)
            .join(GRANTS, sql.and_(GRANTS.c.owner == _collections.c.tenant, GRANTS.c.collection == _collections.c.name))
            .join(TENANTS, TENANTS.c.name == _collections.c.tenant)
            .where(_by_name(_collections, owner, name), GRANTS.c.reader == reader, TENANTS.c.disabled_at.is_(None))
        )
        with self._database.reading() as connection:
            row = connection.execute(wanted).first()
        if row is None:
            raise CollectionNotFound(f"{owner}/{name}")
        return _collection(row)

    def of_tenant(self, tenant: TenantName) -> Sequence[Collection]:
        """Return the tenant's collections, by name."""
        wanted = sql.select(_collections).where(_collections.c.tenant == tenant).order_by(_collections.c.name)
        with self._database.reading() as connection:
            return [_collection(row) for row in connection.execute(wanted)]

    def remove(
        self,
        tenant: TenantName,
        name: str,
        *,
        made_at: datetime | None = None,
        folder_follows: bool = False,
        by: Actor = COMMAND_LINE,
    ) -> None:
        """Remove the row. `folder_follows` notes, in the same transaction, that the folder's removal has begun.

        Raises `CollectionNotFound`, and `CollectionBusy` if it is another collection than the one created at `made_at`.
        """
        where = _by_name(_collections, tenant, name)
        with self._database.writing() as connection:
            row = connection.execute(sql.select(_collections).where(where)).first()
            if row is None:
                raise CollectionNotFound(name)
            if made_at is not None and _collection(row).created_at != made_at:
                raise CollectionBusy(f"{name} has just been replaced")
            connection.execute(sql.delete(_collections).where(where))
            for module in (judgments, stability_tables):
                module.forget_collection(connection, tenant, name)
            if folder_follows:
                _begin(connection, {"tenant": tenant, "name": name, "made_at": row.created_at})
            _record(connection, "collection.remove", by, before=_collection(row))

    def change(
        self,
        tenant: TenantName,
        name: str,
        *,
        instruction: Choice = KEEP,
        reranker: Choice = KEEP,
        demote_query_echo: bool | Literal[Keep.KEEP] = KEEP,
        require_instruction: bool | Literal[Keep.KEEP] = KEEP,
        rerank_fields: FieldsChange = KEEP_FIELDS,
        embed_fields: FieldsChange = KEEP_FIELDS,
        collapse: Collapse | Literal[Keep.KEEP] = KEEP,
        mmr_lambda: float | Literal[Keep.KEEP] | None = KEEP,
        under: int | None = None,
        by: Actor = COMMAND_LINE,
    ) -> Collection:
        """Change the given choices, all or none of them, and return the collection as it is now.

        An instruction must be published or built in. The catalog does not check whether a built-in instruction or a
        reranker exists, nor whether there are documents, which fix `embed_fields`: it does not know them.
        Also raises `InvalidRequest` for fields, and `WriterSuperseded` if the lease has another token than `under`.
        """
        choices = {
            "instruction": instruction,
            "reranker": reranker,
            "demote_query_echo": demote_query_echo,
            "require_instruction": require_instruction,
            "collapse_cosine": KEEP if collapse is KEEP else collapse.cosine,
            "collapse_shingles": KEEP if collapse is KEEP else collapse.shingles,
            "mmr_lambda": mmr_lambda,
        }
        changes: dict[str, Any] = {column: choice for column, choice in choices.items() if choice is not KEEP}
        where = _by_name(_collections, tenant, name)
        with self._database.writing() as connection:
            require_held(connection, tenant, name, token=under)
            if isinstance(instruction, str):
                require_published(connection, tenant, Reference.of(instruction))
            row = connection.execute(sql.select(_collections).where(where)).first()
            if row is None:
                raise CollectionNotFound(name)
            found = _collection(row)
            for column, fields, now in (
                ("rerank_fields", rerank_fields, found.rerank_fields),
                ("embed_fields", embed_fields, found.embed_fields),
            ):
                if fields != KEEP_FIELDS:
                    changes[column] = _fields_json(fields.of(now))
            if changes:
                connection.execute(sql.update(_collections).where(where).values(changes))
            changed = _collection(connection.execute(sql.select(_collections).where(where)).one())
            if changed != found:
                _record(connection, "collection.change", by, before=found, after=changed)
            return changed


def _add(connection: sql.Connection, collection: Collection) -> None:
    """Insert the collection and end what was begun under its name."""
    add_tenant(connection, collection.tenant)
    try:
        connection.execute(sql.insert(_collections).values(_row_of(collection)))
    except IntegrityError as error:
        raise CollectionExists(collection.name) from error
    connection.execute(sql.delete(_unfinished).where(_by_name(_unfinished, collection.tenant, collection.name)))


def _begin(connection: sql.Connection, row: dict[str, str]) -> None:
    this = sql.and_(*(_unfinished.c[name] == value for name, value in row.items()))
    connection.execute(sql.delete(_unfinished).where(this))
    connection.execute(sql.insert(_unfinished).values(row))


def _abandon(connection: sql.Connection, tenant: str, name: str) -> None:
    mine = _by_name(_unfinished, tenant, name)
    given_up = connection.scalars(sql.select(_unfinished.c.made_at).where(mine)).all()
    twice = sql.and_(_by_name(_unfinished, tenant, name + _ABANDONED), _unfinished.c.made_at.in_(given_up))
    connection.execute(sql.delete(_unfinished).where(twice))  # a restore that is repeated has been given up before
    connection.execute(sql.update(_unfinished).where(mine).values(name=name + _ABANDONED))


def _record(
    connection: sql.Connection,
    action: str,
    by: Actor,
    *,
    before: Collection | None = None,
    after: Collection | None = None,
) -> None:
    whose = after or before
    assert whose is not None, "a collection before or after. This is a bug."
    change = Change(
        actor=by,
        action=action,
        tenant=whose.tenant,
        subject=whose.name,
        before=None if before is None else _properties(before),
        after=None if after is None else _properties(after),
    )
    record(connection, change)


def _properties(collection: Collection) -> dict[str, JsonValue]:
    return {
        "embedder": collection.embedder.name,
        "chunk_tokens": collection.chunk_tokens,
        "instruction": collection.instruction,
        "reranker": collection.reranker,
        **({"demote_query_echo": True} if collection.demote_query_echo else {}),
        **({"require_instruction": True} if collection.require_instruction else {}),
        **{
            name: {"names": list(fields.names), "tokens_max": fields.tokens_max}
            for name, fields in (("rerank_fields", collection.rerank_fields), ("embed_fields", collection.embed_fields))
            if fields != NO_CHOICE
        },
        **{name: value for name, value in _diversity_columns(collection).items() if value is not None},
    }


def _diversity_columns(collection: Collection) -> dict[str, float | None]:
    collapse = collection.diversity.collapse
    return {
        "collapse_cosine": collapse.cosine,
        "collapse_shingles": collapse.shingles,
        "mmr_lambda": collection.diversity.mmr_lambda,
    }


def _names_of(tenant: TenantName) -> sql.Select[tuple[str]]:
    return sql.select(_collections.c.name).where(_collections.c.tenant == tenant).order_by(_collections.c.name)


def _begun_at(tenant: str, name: str, made_at: datetime) -> sql.ColumnElement[bool]:
    return sql.and_(_by_name(_unfinished, tenant, name), _unfinished.c.made_at == made_at.isoformat())


def _by_name(table: sql.Table, tenant: str, name: str) -> sql.ColumnElement[bool]:
    return sql.and_(table.c.tenant == tenant, table.c.name == name)


def _row_of(collection: Collection) -> dict[str, Any]:
    return {
        "tenant": collection.tenant,
        "name": collection.name,
        "embedder_name": collection.embedder.name,
        "embedder_revision": collection.embedder.revision,
        "embedder_dimension": collection.embedder.dimension,
        "embedder_prompt_format": collection.embedder.prompt_format,
        "chunk_tokens": collection.chunk_tokens,
        "created_at": collection.created_at.isoformat(),
        "instruction": collection.instruction,
        "reranker": collection.reranker,
        "demote_query_echo": collection.demote_query_echo,
        "require_instruction": collection.require_instruction,
        "rerank_fields": _fields_json(collection.rerank_fields),
        "embed_fields": _fields_json(collection.embed_fields),
        **_diversity_columns(collection),
    }


def _fields_json(fields: FieldChoice) -> str | None:
    return None if fields == NO_CHOICE else json.dumps(asdict(fields), ensure_ascii=False)


def _fields(written: str | None) -> FieldChoice:
    return NO_CHOICE if written is None else FieldChoice.of(json.loads(written))


def _collection(row: sql.Row[Any]) -> Collection:
    return Collection(
        tenant=row.tenant,
        name=row.name,
        embedder=EmbedderIdentity(
            name=row.embedder_name,
            revision=row.embedder_revision,
            dimension=row.embedder_dimension,
            prompt_format=row.embedder_prompt_format,
        ),
        chunk_tokens=row.chunk_tokens,
        created_at=datetime.fromisoformat(row.created_at),
        instruction=row.instruction,
        reranker=row.reranker,
        demote_query_echo=bool(row.demote_query_echo),
        require_instruction=bool(row.require_instruction),
        rerank_fields=_fields(row.rerank_fields),
        embed_fields=_fields(row.embed_fields),
        diversity=Diversity(
            collapse=Collapse(cosine=row.collapse_cosine, shingles=row.collapse_shingles), mmr_lambda=row.mmr_lambda
        ),
    )
