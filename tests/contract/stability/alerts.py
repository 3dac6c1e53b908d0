"""Thresholds and a webhook of a tenant, for the tests of stability and of copies."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from winnow.retrieval.catalog.sql.alerts.thresholds import SqlThresholds
from winnow.retrieval.catalog.sql.alerts.webhooks import SqlWebhooks
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.stability import GuardedMeasure
from winnow.retrieval.catalog.stability_alerts import Thresholds
from winnow.retrieval.tenancy import COMMAND_LINE, TenantName

URL: Final = "https://hooks.example.org/winnow?of=law"


def fill_alerts(database: SqlDatabase, tenant: TenantName) -> None:
    """Thresholds that the later run of `fill_stability` breaches, and a webhook."""
    thresholds = SqlThresholds(database)
    for collection in (None, "docs"):
        limits = {GuardedMeasure.RBO: 0.9, GuardedMeasure.TOP1_CHANGE_RATE: 1 / 3}
        thresholds.put(Thresholds(tenant=tenant, collection=collection, limits=limits), by=COMMAND_LINE)
    webhooks = SqlWebhooks(database)
    webhooks.put(tenant, URL, by=COMMAND_LINE)
    webhooks.rotate(tenant, overlap=timedelta(hours=1), by=COMMAND_LINE)
