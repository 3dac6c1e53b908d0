"""Creation and disabling of tenants; API keys; grants; an append-only audit log."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sql
from alembic import op

revision = "0003"
down_revision = "0002"

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")

SQLITE_REFUSES = """
CREATE TRIGGER audit_{event} BEFORE {event} ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
"""
POSTGRES_REFUSAL = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$
"""
POSTGRES_REFUSES = """
CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()
"""


def upgrade() -> None:
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    with op.batch_alter_table("tenants") as tenants:
        tenants.add_column(sql.Column("created_at", words, nullable=False, server_default=now))
        tenants.add_column(sql.Column("disabled_at", words))
    with op.batch_alter_table("tenants") as tenants:
        tenants.alter_column("created_at", server_default=None)
    _make_default_tenant(now)
    op.create_table(
        "api_keys",
        sql.Column("id", words, nullable=False),
        sql.Column("tenant", words, nullable=False),
        sql.Column("digest", sql.LargeBinary, nullable=False),
        sql.Column("scopes", words, nullable=False),
        sql.Column("created_at", words, nullable=False),
        sql.Column("expires_at", words),
        sql.Column("revoked_at", words),
        sql.Column("last_used_at", words),
        sql.Column("note", words, nullable=False),
        sql.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sql.ForeignKeyConstraint(["tenant"], ["tenants.name"], name="fk_api_keys_tenant"),
    )
    op.create_index("ix_api_keys_tenant", "api_keys", ["tenant"])
    op.create_table(
        "grants",
        sql.Column("owner", words, nullable=False),
        sql.Column("collection", words, nullable=False),
        sql.Column("reader", words, nullable=False),
        sql.Column("created_at", words, nullable=False),
        sql.PrimaryKeyConstraint("owner", "collection", "reader", name="pk_grants"),
        sql.ForeignKeyConstraint(
            ["owner", "collection"], ["collections.tenant", "collections.name"], ondelete="CASCADE",
            name="fk_grants_owner",
        ),
    )  # fmt: skip
    op.create_index("ix_grants_reader", "grants", ["reader"])
    op.create_table(
        "audit",
        sql.Column("number", sql.Integer, autoincrement=True, nullable=False),
        sql.Column("at", words, nullable=False),
        sql.Column("actor", words, nullable=False),
        sql.Column("action", words, nullable=False),
        sql.Column("tenant", words, nullable=False),
        sql.Column("subject", words, nullable=False),
        sql.Column("before", words),
        sql.Column("after", words),
        sql.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    op.create_index("ix_audit_tenant_number", "audit", ["tenant", "number"])
    _make_append_only()


def downgrade() -> None:
    for table in ("audit", "grants", "api_keys"):
        op.drop_table(table)  # with its triggers
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_refuse()")
    with op.batch_alter_table("tenants") as tenants:
        tenants.drop_column("disabled_at")
        tenants.drop_column("created_at")


def _make_default_tenant(now: str) -> None:
    """Insert the default tenant, whose keys may be created before anything else."""
    tenants = sql.table("tenants", sql.column("name"), sql.column("created_at"))
    connection = op.get_bind()
    if connection.execute(sql.select(tenants.c.name).where(tenants.c.name == "default")).first() is None:
        connection.execute(sql.insert(tenants).values(name="default", created_at=now))


def _make_append_only() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(POSTGRES_REFUSAL)
        op.execute(POSTGRES_REFUSES)
        return
    for event in ("UPDATE", "DELETE"):
        op.execute(SQLITE_REFUSES.format(event=event))
