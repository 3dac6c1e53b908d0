"""States, variables and notes of instructions; a tenant's default; published versions become immutable."""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0004"
down_revision = "0003"

words = sql.String().with_variant(sql.String(collation="C"), "postgresql")

NEW = (
    ("state", words, "'published'"),
    ("literal", sql.Boolean(), "true"),  # in texts from before variables, braces are just braces
    ("embedding_task", words, None),
    ("variables", words, "'[]'"),
    ("purpose", words, "''"),
    ("language", words, "''"),
    ("collections", words, "'[]'"),
    ("author", words, "''"),
    ("note", words, "''"),
    ("published_at", words, "created_at"),
    ("retired_at", words, None),
)  # values for existing versions
OPTIONAL = ("embedding_task", "published_at", "retired_at")
CONTENT = (
    "tenant", "name", "version", "text", "literal", "embedding_task", "variables", "purpose", "language", "collections",
    "author", "note", "created_at",
)  # fmt: skip
REFUSAL = "a published instruction never changes"


def upgrade() -> None:
    with op.batch_alter_table("instructions") as instructions:
        for name, kind, _ in NEW:
            instructions.add_column(sql.Column(name, kind))
    told = ", ".join(f"{name} = {value}" for name, _, value in NEW if value)
    op.execute(f"UPDATE instructions SET {told}")  # noqa: S608  only the constants above
    with op.batch_alter_table("instructions") as instructions:
        for name, kind, _ in NEW:
            if name not in OPTIONAL:
                instructions.alter_column(name, existing_type=kind, nullable=False)
    op.create_table(
        "default_instructions",
        sql.Column("tenant", words, nullable=False),
        sql.Column("instruction", words, nullable=False),
        sql.PrimaryKeyConstraint("tenant", name="pk_default_instructions"),
        sql.ForeignKeyConstraint(["tenant"], ["tenants.name"], name="fk_default_instructions_tenant"),
    )
    _keep_what_is_published()


def _keep_what_is_published() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    differs = "IS NOT" if is_sqlite else "IS DISTINCT FROM"
    changed = " OR ".join(f"NEW.{name} {differs} OLD.{name}" for name in CONTENT)
    moved = "NEW.state = OLD.state OR (OLD.state = 'published' AND NEW.state = 'retired')"
    when = f"OLD.state <> 'draft' AND ({changed} OR NOT ({moved}))"
    if is_sqlite:
        op.execute(
            f"CREATE TRIGGER instructions_stay BEFORE UPDATE ON instructions WHEN {when} "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION instructions_stay() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER instructions_stay BEFORE UPDATE ON instructions FOR EACH ROW WHEN ({when}) "
        "EXECUTE FUNCTION instructions_stay()"
    )


def downgrade() -> None:
    """Delete drafts and choices that an earlier winnow cannot read; texts with variables stay as they are."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER instructions_stay")
    else:
        op.execute("DROP TRIGGER instructions_stay ON instructions")
        op.execute("DROP FUNCTION instructions_stay()")
    op.drop_table("default_instructions")
    op.execute("DELETE FROM instructions WHERE state = 'draft'")
    op.execute("UPDATE collections SET instruction = NULL WHERE instruction LIKE 'builtin/%' OR instruction LIKE '%@%'")
    with op.batch_alter_table("instructions") as instructions:
        for name, _, _ in reversed(NEW):
            instructions.drop_column(name)
