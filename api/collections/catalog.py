"""The catalog: everything that a deployment keeps in SQL, one repository for each subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from winnow.api.library.instructions import Instructions
from winnow.api.library.shadows import Shadows
from winnow.retrieval.catalog.instructions import InstructionVersion
from winnow.retrieval.catalog.quotas import LimitBook
from winnow.retrieval.catalog.sql.alerts.outbox import SqlOutbox
from winnow.retrieval.catalog.sql.alerts.thresholds import SqlThresholds
from winnow.retrieval.catalog.sql.alerts.webhooks import SqlWebhooks
from winnow.retrieval.catalog.sql.audit import SqlAuditLog
from winnow.retrieval.catalog.sql.calibrations import SqlCalibrations
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.instructions import SqlInstructions
from winnow.retrieval.catalog.sql.judgments import SqlJudgmentBook
from winnow.retrieval.catalog.sql.keys import SqlKeys
from winnow.retrieval.catalog.sql.leases.writer_lease import WriterLeases
from winnow.retrieval.catalog.sql.quotas import SqlLimitBook
from winnow.retrieval.catalog.sql.scheduling.schedules import SqlSchedules
from winnow.retrieval.catalog.sql.shadows import SqlShadowBook
from winnow.retrieval.catalog.sql.stability import SqlStabilityBook
from winnow.retrieval.catalog.sql.stability_samples import SqlSamples
from winnow.retrieval.catalog.sql.tenants import SqlGrants, SqlTenants
from winnow.retrieval.catalog.sql.uploads.book import SqlUploads
from winnow.retrieval.errors import TenantNotFound
from winnow.retrieval.tenancy import DEFAULT_TENANT, TenantName


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The repositories of one database. Every call blocks on it."""

    database: SqlDatabase
    collections: SqlCollections
    tenants: SqlTenants
    keys: SqlKeys
    grants: SqlGrants
    instructions: Instructions
    shadows: Shadows
    judgments: SqlJudgmentBook
    stability: SqlStabilityBook
    schedules: SqlSchedules
    samples: SqlSamples
    thresholds: SqlThresholds
    webhooks: SqlWebhooks
    outbox: SqlOutbox
    calibrations: SqlCalibrations
    uploads: SqlUploads
    leases: WriterLeases
    limits: LimitBook
    audit: SqlAuditLog

    @classmethod
    def of(cls, database: SqlDatabase, *, place: str, host: str | None = None) -> Self:
        """`place` names the data folder in messages, and `host` this one among those that share the catalog."""
        instructions = Instructions(SqlInstructions(database), built_in=_read_built_in)
        return cls(
            database=database,
            collections=SqlCollections(database, place=place),
            tenants=SqlTenants(database),
            keys=SqlKeys(database),
            grants=SqlGrants(database),
            instructions=instructions,
            shadows=Shadows(instructions, SqlShadowBook(database)),
            judgments=SqlJudgmentBook(database),
            stability=SqlStabilityBook(database),
            schedules=SqlSchedules(database),
            samples=SqlSamples(database),
            thresholds=SqlThresholds(database),
            webhooks=SqlWebhooks(database),
            outbox=SqlOutbox(database),
            calibrations=SqlCalibrations(database),
            uploads=SqlUploads(database),
            leases=WriterLeases(database, host=host),
            limits=SqlLimitBook(database),
            audit=SqlAuditLog(database),
        )

    def tenant_named(self, name: str) -> TenantName:
        """Look up a tenant for the operator. The default tenant need not exist. Raises `TenantNotFound`."""
        if name == DEFAULT_TENANT:
            return DEFAULT_TENANT
        try:
            return self.tenants.tenant(name).name
        except TenantNotFound:
            raise TenantNotFound(f"{name}; create it with `winnow tenants create {name}`") from None


def _read_built_in() -> Sequence[InstructionVersion]:
    from winnow.api.library.built_in import built_in_instructions  # its schemas take a start 50 ms

    return built_in_instructions()
