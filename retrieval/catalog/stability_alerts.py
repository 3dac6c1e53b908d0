"""Thresholds on ranking stability, their breaches, and the webhooks that tell of them. Records and rules.

A run of a golden set is compared with the thresholds of its collection, or else of its tenant. Each measure beyond its
threshold is one breach of the run. All breaches of a run make one delivery to the tenant's webhook.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from winnow.retrieval.catalog.stability import Breach, GuardedMeasure, Measures, Run
from winnow.retrieval.limits import WEBHOOK_AGE_SECONDS_MAX
from winnow.retrieval.records import JsonValue
from winnow.retrieval.tenancy import TenantName


class Side(StrEnum):
    """On which side of its limit a measure should stay."""

    MAX = "max"
    MIN = "min"


SIDES: Final[Mapping[GuardedMeasure, Side]] = {
    GuardedMeasure.TOP1_CHANGE_RATE: Side.MAX,
    GuardedMeasure.OVERLAP: Side.MIN,
    GuardedMeasure.RBO: Side.MIN,
    GuardedMeasure.TAU: Side.MIN,
    GuardedMeasure.SCORE_SHIFT: Side.MAX,
    GuardedMeasure.DEGRADED: Side.MAX,
}
ROUNDING: Final = 1e-9  # of a mean over queries: 0.9 of ten numbers may be 0.8999999999999999
assert set(SIDES) == set(GuardedMeasure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The limits of one tenant, or of one of its collections. None: the measure is not watched."""

    tenant: TenantName
    collection: str | None  # None: every collection of the tenant without thresholds of its own
    limits: Mapping[GuardedMeasure, float]
    queries_min: int = 1  # a run that compared fewer queries is judged by its share of degraded answers only


EVENT_TYPE: Final = "stability.breached"
DELIVERY_AGE_MAX: Final = timedelta(seconds=WEBHOOK_AGE_SECONDS_MAX)  # a delivery that waits longer is given up


class DeliveryState(StrEnum):
    """How far a delivery has come."""

    WAITING = "waiting"  # for its first attempt, or the next one
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"  # given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """The URL that receives the breaches of a tenant."""

    tenant: TenantName
    url: str
    created_at: datetime
    secret: str = field(repr=False)
    previous_secret: str | None = field(default=None, repr=False)
    previous_until: datetime | None = None  # the previous secret signs as well until then

    def secrets_at(self, now: datetime) -> tuple[str, ...]:
        """Return the secrets that sign a message now, the newest first."""
        if self.previous_secret is None or self.previous_until is None or now >= self.previous_until:
            return (self.secret,)
        return self.secret, self.previous_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The message about one run, on its way to a tenant's webhook."""

    id: str  # stays the same over all attempts
    tenant: TenantName
    run: int
    created_at: datetime
    body: str
    state: DeliveryState
    attempts: int  # begun so far
    next_at: datetime
    ended_at: datetime | None
    problem: str | None  # why the last attempt failed, or the delivery was given up


def event_body(run: Run, *, delivery: str, at: datetime) -> str:
    """Return the message about the breaches of a run, as it is sent. It has no query and no text."""
    message: dict[str, JsonValue] = {
        "id": delivery,
        "type": EVENT_TYPE,
        "created_at": at.isoformat(timespec="seconds"),
        "tenant": run.tenant,
        "collection": run.collection,
        "golden_set": run.golden,
        "run": run.number,
        "baseline": run.baseline,
        "trigger": run.trigger,
        "queries": None if run.measures is None else run.measures.queries,
        "breaches": breaches_json(run.breaches),
        "causes": [
            {"kind": each.kind.value, "proof": each.proof.value, "before": each.before, "after": each.after}
            for each in run.causes
        ],
    }
    return json.dumps(message)


def breaches_json(breaches: Sequence[Breach]) -> list[JsonValue]:
    return [
        {
            "measure": each.measure.value,
            "value": each.value,
            "limit": each.limit,
            "side": SIDES[each.measure].value,
        }
        for each in breaches
    ]


def breach_facts(run: Run, breach: Breach) -> dict[str, JsonValue]:
    """Return what the log and the audit log say of a breach."""
    return {
        "collection": run.collection,
        "run": run.number,
        "baseline": run.baseline,
        "trigger": run.trigger,
        "measure": breach.measure.value,
        "value": breach.value,
        "limit": breach.limit,
        "causes": [cause.kind.value for cause in run.causes],
    }


def breaches_of(thresholds: Thresholds, measures: Measures) -> Iterator[Breach]:
    """Yield a breach for each measure beyond its limit, in the order of `GuardedMeasure`."""
    for measure in GuardedMeasure:
        limit, value = thresholds.limits.get(measure), _value(measures, measure)
        if limit is None or value is None:
            continue
        if measure is not GuardedMeasure.DEGRADED and measures.queries < thresholds.queries_min:
            continue
        beyond = value - limit if SIDES[measure] is Side.MAX else limit - value
        if beyond > ROUNDING:
            yield Breach(measure=measure, value=value, limit=limit)


def _value(measures: Measures, measure: GuardedMeasure) -> float | None:
    match measure:
        case GuardedMeasure.TOP1_CHANGE_RATE:
            return measures.top1_change_rate
        case GuardedMeasure.OVERLAP:
            return measures.overlap
        case GuardedMeasure.RBO:
            return measures.rbo
        case GuardedMeasure.TAU:
            return measures.tau
        case GuardedMeasure.SCORE_SHIFT:
            return measures.score_shift_max
        case GuardedMeasure.DEGRADED:
            return measures.degraded
