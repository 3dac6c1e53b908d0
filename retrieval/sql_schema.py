"""All tables of the catalog. Importing this module is what makes `metadata` whole; a new module is added here."""

from __future__ import annotations

from retrieval import (
    sql_audit,
    sql_catalog,
    sql_folder,
    sql_instructions,
    sql_keys,
    sql_quotas,
    sql_reservations,
    sql_row_sums,
    sql_shadows,
    sql_tenants,
)
from retrieval.sql_tables import metadata

__all__ = ["metadata"]

_OF_MODULES = (
    sql_catalog.TABLES | sql_instructions.TABLES | sql_quotas.TABLES | sql_reservations.TABLES | sql_shadows.TABLES
)

assert set(metadata.tables.values()) >= _OF_MODULES | {
    sql_audit.AUDIT,
    sql_folder.DATA_FOLDER,
    sql_keys.API_KEYS,
    sql_row_sums.ROW_SUMS,
    sql_tenants.GRANTS,
    sql_tenants.TENANTS,
}
