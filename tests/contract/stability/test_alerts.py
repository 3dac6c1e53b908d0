"""Thresholds, breaches, webhooks and the outbox, over both databases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
import sqlalchemy as sql

from tests.contract.stability.alerts import URL, fill_alerts
from tests.contract.stability.test_book import MEASURES, ONE, OTHER, golden, run
from winnow.retrieval.catalog.sql.alerts import outbox as outbox_module
from winnow.retrieval.catalog.sql.alerts.outbox import SqlOutbox
from winnow.retrieval.catalog.sql.alerts.tables import BREACHES, DELIVERIES, said
from winnow.retrieval.catalog.sql.alerts.thresholds import SqlThresholds
from winnow.retrieval.catalog.sql.alerts.webhooks import SqlWebhooks
from winnow.retrieval.catalog.sql.audit import SqlAuditLog
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.stability import SqlStabilityBook
from winnow.retrieval.catalog.sql.stability_tables import forget_collection
from winnow.retrieval.catalog.stability import Breach, Cause, CauseKind, GoldenQuery, GuardedMeasure, Proof, Run
from winnow.retrieval.catalog.stability_alerts import (
    DELIVERY_AGE_MAX,
    Delivery,
    DeliveryState,
    Thresholds,
)
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import WEBHOOK_ATTEMPTS_MAX
from winnow.retrieval.tenancy import COMMAND_LINE, WATCH, TenantName

LEASE = timedelta(seconds=60)
BREACHES_OF_MEASURES = (
    Breach(measure=GuardedMeasure.TOP1_CHANGE_RATE, value=0.5, limit=1 / 3),
    Breach(measure=GuardedMeasure.RBO, value=1 / 3, limit=0.9),
)
CAUSE = Cause(kind=CauseKind.MODEL, proof=Proof.REPLAY, before="one", after="other", share=1.0)


def replayed(database: SqlDatabase, tenant: TenantName = ONE, **more: object) -> Run:
    """A run that breaches the thresholds of `fill_alerts`, if nothing else is given."""
    book = SqlStabilityBook(database)
    if not book.sets(tenant):
        book.add(golden(tenant), [GoldenQuery(query="q")], by=COMMAND_LINE)
    given = {"baseline": 1, "measures": MEASURES, "causes": (CAUSE,), "trigger": "schedule", **more}
    return book.write_run(run(tenant, **given), {}, becomes_baseline=False)


def test_a_breach_is_stored_audited_and_queued_once(database: SqlDatabase) -> None:
    """With the run: measure, value, limit, baseline, trigger and cause; the message says the same."""
    fill_alerts(database, ONE)
    found = replayed(database)
    assert found.breaches == BREACHES_OF_MEASURES
    book = SqlStabilityBook(database)
    assert book.run(ONE, found.number).breaches == book.runs(ONE, limit=1)[0].breaches == BREACHES_OF_MEASURES
    entries = [each for each in SqlAuditLog(database).entries(tenant=ONE, limit=9) if each.action == "stability.breach"]
    assert [(each.actor, each.subject, each.after) for each in reversed(entries)] == [
        (WATCH, "everyday", {
            "collection": "docs", "run": found.number, "baseline": 1, "trigger": "schedule", "causes": ["model"],
            "measure": each.measure.value, "value": each.value, "limit": each.limit,
        })
        for each in BREACHES_OF_MEASURES
    ]  # fmt: skip
    (delivery,) = SqlOutbox(database).deliveries(ONE, limit=9)
    message = json.loads(delivery.body)
    assert message == {
        "id": delivery.id, "type": "stability.breached", "created_at": message["created_at"], "tenant": "one",
        "collection": "docs", "golden_set": "everyday", "run": found.number, "baseline": 1, "trigger": "schedule",
        "queries": 2,
        "breaches": [
            {"measure": "top1_change_rate", "value": 0.5, "limit": 1 / 3, "side": "max"},
            {"measure": "rbo", "value": 1 / 3, "limit": 0.9, "side": "min"},
        ],
        "causes": [{"kind": "model", "proof": "replay", "before": "one", "after": "other"}],
    }  # fmt: skip
    assert SqlOutbox(database).deliveries(OTHER, limit=9) == []


def test_nothing_is_raised_without_a_breach(database: SqlDatabase) -> None:
    """Within the limits, without thresholds, by another tenant, by a first run, or by one that was accepted."""
    replayed(database, OTHER)
    fill_alerts(database, ONE)
    within = replace(MEASURES, top1_change_rate=1 / 3, rbo=0.9 - 1e-16)
    assert replayed(database, measures=within).breaches == ()
    assert replayed(database, measures=None, baseline=None).breaches == ()
    accepted = SqlStabilityBook(database).write_run(run(measures=MEASURES, baseline=1), {}, becomes_baseline=True)
    assert accepted.breaches == ()
    thresholds = SqlThresholds(database)
    thresholds.put(Thresholds(tenant=ONE, collection="docs", limits={}), by=COMMAND_LINE)
    assert replayed(database).breaches == (), "the collection's own thresholds hold in place of the tenant's"
    thresholds.remove(ONE, "docs", by=COMMAND_LINE)
    assert len(replayed(database).breaches) == 2
    thresholds.remove(ONE, None, by=COMMAND_LINE)
    thresholds.remove(ONE, None, by=COMMAND_LINE)
    assert replayed(database).breaches == ()
    assert len(SqlOutbox(database).deliveries(ONE, limit=9)) == 1


def test_few_queries_raise_nothing_but_degraded_answers(database: SqlDatabase) -> None:
    limits = {GuardedMeasure.RBO: 0.9, GuardedMeasure.TAU: 0.9, GuardedMeasure.DEGRADED: 0.5}
    SqlThresholds(database).put(Thresholds(tenant=ONE, collection=None, limits=limits, queries_min=3), by=COMMAND_LINE)
    all_degraded = replace(MEASURES, degraded=1.0)
    assert [each.measure for each in replayed(database, measures=all_degraded).breaches] == [GuardedMeasure.DEGRADED]
    enough = replace(MEASURES, queries=3)
    assert [each.measure for each in replayed(database, measures=enough).breaches] == [GuardedMeasure.RBO]


def test_thresholds_are_kept_as_they_were_set(database: SqlDatabase) -> None:
    """By tenant and collection; the audit log has both sides of a change."""
    thresholds = SqlThresholds(database)
    every = Thresholds(tenant=ONE, collection=None, limits=dict.fromkeys(GuardedMeasure, 1 / 3), queries_min=7)
    docs = Thresholds(tenant=ONE, collection="docs", limits={GuardedMeasure.TAU: -0.5})
    for each in (docs, every, replace(every, tenant=OTHER)):
        thresholds.put(each, by=COMMAND_LINE)
    assert thresholds.of_tenant(ONE) == [every, docs]
    thresholds.put(replace(docs, limits={}), by=COMMAND_LINE)
    newest = SqlAuditLog(database).entries(tenant=ONE, limit=1)[0]
    assert (newest.action, newest.subject) == ("thresholds.set", "docs")
    assert (newest.before, newest.after) == ({"queries_min": 1, "tau_b": -0.5}, {"queries_min": 1})
    with database.writing() as connection:
        forget_collection(connection, ONE, "docs")
    assert thresholds.of_tenant(ONE) == [every]


def test_breaches_and_deliveries_go_with_what_they_name(database: SqlDatabase) -> None:
    """A set takes its breaches, a collection its deliveries as well; another tenant's stay."""
    for tenant in (ONE, OTHER):
        fill_alerts(database, tenant)
        replayed(database, tenant)
    with database.writing() as connection:
        forget_collection(connection, ONE, "docs")
    outbox = SqlOutbox(database)
    assert (outbox.deliveries(ONE, limit=9), len(outbox.deliveries(OTHER, limit=9))) == ([], 1)
    SqlStabilityBook(database).remove(OTHER, "everyday", by=COMMAND_LINE)
    with database.reading() as connection:
        assert connection.execute(sql.select(BREACHES)).all() == []


def test_a_webhook_keeps_its_secret_until_it_is_rotated(database: SqlDatabase) -> None:
    """The previous one signs for a while; neither is in the audit log, nor in a text of the record."""
    webhooks = SqlWebhooks(database)
    with pytest.raises(InvalidRequest, match="has no webhook"):
        webhooks.rotate(ONE, overlap=timedelta(), by=COMMAND_LINE)
    first, is_new = webhooks.put(ONE, URL, by=COMMAND_LINE)
    assert is_new
    moved, is_new = webhooks.put(ONE, "https://other.example.org/", by=COMMAND_LINE)
    assert (moved.secret, moved.url, is_new) == (first.secret, "https://other.example.org/", False)
    other, _ = webhooks.put(OTHER, URL, by=COMMAND_LINE)
    rotated = webhooks.rotate(ONE, overlap=timedelta(hours=1), by=COMMAND_LINE)
    now = datetime.now(UTC)
    assert rotated.secrets_at(now) == (rotated.secret, first.secret)
    assert rotated.secrets_at(now + timedelta(hours=2)) == (rotated.secret,)
    assert len({first.secret, rotated.secret, other.secret}) == 3
    assert webhooks.find(ONE) == rotated
    written = repr(rotated) + repr(SqlAuditLog(database).entries(tenant=None, limit=99))
    assert not [each for each in (first.secret, rotated.secret, "winnow?of=law") if each in written.replace(URL, "")]
    webhooks.remove(ONE, by=COMMAND_LINE)
    webhooks.remove(ONE, by=COMMAND_LINE)
    assert (webhooks.find(ONE), webhooks.find(OTHER)) == (None, other)
    actions = [each.action for each in SqlAuditLog(database).entries(tenant=ONE, limit=9)]
    assert actions == ["webhook.remove", "webhook.rotate", "webhook.set", "webhook.set"]


def claimed(outbox: SqlOutbox, now: datetime, holder: str = "here", limit: int = 9) -> Sequence[Delivery]:
    return outbox.claim(holder=holder, now=now, lease=LEASE, limit=limit)


def test_two_processes_do_not_make_one_attempt(database: SqlDatabase) -> None:
    """Until the lease ends; what the first one reports then no longer counts, unless nobody came."""
    fill_alerts(database, ONE)
    replayed(database)
    outbox, now = SqlOutbox(database), datetime.now(UTC)
    (first,) = claimed(outbox, now)
    assert (first.attempts, claimed(outbox, now, "there"), claimed(outbox, now)) == (1, [], [])
    late = now + LEASE
    (again,) = claimed(outbox, late, "there")
    assert (again.id, again.body, again.attempts) == (first.id, first.body, 2)
    assert not outbox.finish(first, holder="here", now=late, problem="late")
    assert outbox.finish(again, holder="there", now=late, problem="status 500", retry_at=late + LEASE)
    assert claimed(outbox, late) == []
    (third,) = claimed(outbox, late + LEASE)
    assert (third.id, third.attempts, third.problem) == (first.id, 3, "status 500")
    assert outbox.finish(third, holder="here", now=late + 2 * LEASE, problem=None)
    assert not outbox.finish(third, holder="here", now=late + 2 * LEASE, problem=None)
    (done,) = outbox.deliveries(ONE, limit=9)
    assert (done.state, done.attempts, done.problem) == (DeliveryState.DELIVERED, 3, None)
    assert claimed(outbox, late + DELIVERY_AGE_MAX / 2) == []


def test_each_tenant_has_one_delivery_in_progress(database: SqlDatabase) -> None:
    """The oldest of each; the next follows once it has ended."""
    for tenant in (ONE, OTHER):
        fill_alerts(database, tenant)
        for _ in range(2):
            replayed(database, tenant)
    outbox, now = SqlOutbox(database), datetime.now(UTC)
    found = claimed(outbox, now)
    assert [each.tenant for each in found] == [ONE, OTHER]
    assert (claimed(outbox, now, "there"), outbox.waiting()) == ([], 4)
    outbox.finish(found[0], holder="here", now=now, problem=None)
    (second,) = claimed(outbox, now, "there")
    assert (second.tenant, second.run > found[0].run) == (ONE, True)


def test_what_waits_too_long_is_given_up_and_counted(database: SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """By age, by attempts and by number; ended ones are deleted after a month."""
    fill_alerts(database, ONE)
    outbox, now = SqlOutbox(database), datetime.now(UTC)
    assert outbox.give_up_old(now) == 0
    replayed(database)
    old = now + DELIVERY_AGE_MAX + timedelta(minutes=1)
    assert (claimed(outbox, old), outbox.give_up_old(old), outbox.give_up_old(old)) == ([], 1, 0)
    replayed(database)
    with database.writing() as connection:
        connection.execute(sql.update(DELIVERIES).values(attempts=WEBHOOK_ATTEMPTS_MAX))
    assert (claimed(outbox, now + LEASE), outbox.give_up_old(now + LEASE)) == ([], 1)
    monkeypatch.setattr(outbox_module, "WEBHOOKS_WAITING_MAX", 2)
    runs = [replayed(database).number for _ in range(4)]
    assert outbox.give_up_old(datetime.now(UTC)) == 2
    waiting = [each.run for each in outbox.deliveries(ONE, limit=9) if each.state is DeliveryState.WAITING]
    assert sorted(waiting) == runs[2:]
    outbox.forget_old(now + timedelta(days=31))
    assert [each.state for each in outbox.deliveries(ONE, limit=9)] == [DeliveryState.WAITING] * 2
    SqlWebhooks(database).remove(ONE, by=COMMAND_LINE)
    assert [each.problem for each in outbox.deliveries(ONE, limit=9)] == ["the webhook was removed"] * 2


def test_the_outbox_is_bounded(database: SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although no service runs that would empty it; another tenant's rows do not count."""
    monkeypatch.setattr(outbox_module, "WEBHOOKS_KEPT_MAX", 3)
    for tenant in (OTHER, ONE):
        fill_alerts(database, tenant)
        runs = [replayed(database, tenant).number for _ in range(5)]
    outbox = SqlOutbox(database)
    assert [each.run for each in outbox.deliveries(ONE, limit=9)] == list(reversed(runs[2:]))
    assert len(outbox.deliveries(OTHER, limit=9)) == 3


def test_moments_sort_as_texts() -> None:
    """Also one without microseconds, and one of another zone."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    moments = [start + timedelta(microseconds=step) for step, _ in zip(count(0, 250_000), range(9), strict=False)]
    assert sorted(map(said, moments)) == [said(each) for each in moments]
    assert said(start.astimezone()) == said(start)
