"""All tables of the catalog. Importing this module completes `metadata`; add new modules here."""

from __future__ import annotations

from winnow.retrieval.catalog.sql import (
    audit,
    calibrations,
    collections,
    folder,
    instructions,
    judgments,
    keys,
    quotas,
    reservations,
    row_checksums,
    shadows,
    stability_tables,
    tenants,
)
from winnow.retrieval.catalog.sql.alerts import tables as alert_tables
from winnow.retrieval.catalog.sql.leases import tables as lease_tables
from winnow.retrieval.catalog.sql.tables import metadata
from winnow.retrieval.catalog.sql.uploads import tables as upload_tables

__all__ = ["metadata"]

_OF_MODULES = (
    alert_tables.TABLES
    | calibrations.TABLES
    | collections.TABLES
    | instructions.TABLES
    | judgments.TABLES
    | lease_tables.TABLES
    | quotas.TABLES
    | reservations.TABLES
    | shadows.TABLES
    | stability_tables.TABLES
    | upload_tables.TABLES
)

assert set(metadata.tables.values()) >= _OF_MODULES | {
    audit.AUDIT,
    folder.DATA_FOLDER,
    keys.API_KEYS,
    row_checksums.ROW_SUMS,
    tenants.GRANTS,
    tenants.TENANTS,
}
