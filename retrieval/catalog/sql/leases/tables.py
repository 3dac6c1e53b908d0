"""The table of the writers' leases. It stays empty on SQLite, whose hosts cannot be several."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sql

from winnow.retrieval.catalog.sql.tables import Words, metadata

# Without a reference to the collection: its row is written last and removed first, both under the lease; and this row
# outlives it, so that numbers and versions of the next collection of this name are larger.
WRITER_LEASES: Final = sql.Table(
    "writer_leases",
    metadata,
    sql.Column("tenant", Words, primary_key=True),
    sql.Column("collection", Words, primary_key=True),
    sql.Column("token", sql.BigInteger, nullable=False),  # one more for each holder
    sql.Column("holder", Words, nullable=False),  # HOST/PROCESS
    sql.Column("expires_ms", sql.BigInteger, nullable=False),  # since 1970, by the database's clock; 0: released
    sql.Column("needs_fence", sql.Integer, nullable=False),  # 1: an earlier holder may still send commits
    sql.Column("next_number", sql.BigInteger, nullable=False),  # of a chunk; larger than all that were reserved
    sql.Column("store_version", sql.BigInteger, nullable=False, server_default="0"),  # the largest of removed stores
    sql.Column("newest_version", sql.BigInteger, nullable=False, server_default="0"),  # announced of the store; 0: none
    sql.Column("newest_token", sql.BigInteger, nullable=False, server_default="0"),  # counts only if equal to `token`
    sql.Column("pointer_token", sql.BigInteger, nullable=False, server_default="0"),  # one more for each move of it
)

TABLES: Final = frozenset({WRITER_LEASES})
