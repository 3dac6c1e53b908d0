"""Runs for every Alembic command, with the connection and transaction of `retrieval.catalog.sql.database`.

To write the next migration, copy the newest file of versions/ and count its number up. A test fails until the
migrations make what the tables say, and until the way back is the way there.
"""

from __future__ import annotations

from alembic import context

from winnow.retrieval.catalog.sql.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
