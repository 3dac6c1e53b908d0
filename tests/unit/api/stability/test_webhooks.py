"""Messages about breaches: delivered once the receiver takes them, with one key, and given up within bounds."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from tests.contract.stability.alerts import fill_alerts
from tests.contract.stability.test_alerts import replayed
from tests.contract.stability.test_book import ONE, OTHER
from tests.stability.webhook_minute import MESSAGES, campaign
from tests.stability.webhook_receiver import Receiver
from tests.unit.api.stability.watched import Scripted, fill, run, services, serving
from winnow.api.cli.main import app
from winnow.api.stability import webhooks as webhooks_module
from winnow.api.stability.webhooks import PAUSE_SECONDS_MAX, Deliveries, DeliveryOutcome
from winnow.retrieval.catalog.sql.alerts.outbox import SqlOutbox
from winnow.retrieval.catalog.sql.alerts.webhooks import SqlWebhooks
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.stability_alerts import DELIVERY_AGE_MAX, DeliveryState
from winnow.retrieval.limits import WEBHOOK_ATTEMPTS_MAX
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import COMMAND_LINE, TenantName
from winnow.retrieval.webhook.allowed import AllowedHosts, parse_rules
from winnow.retrieval.webhook.client import WebhookClient

WAIT_SECONDS = 30
PATH = "/v1/stability/webhook"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqlDatabase]:
    database = SqlDatabase.open(tmp_path / "catalog.sqlite")
    yield database
    database.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().listening() as receiver:
        yield receiver


class Clock:
    """A time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC) + timedelta(seconds=1)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@asynccontextmanager
async def worker(
    database: SqlDatabase, clock: Clock, *, rules: str = "127.0.0.0/8:{}", port: int = 0
) -> AsyncIterator[Deliveries]:
    """A service's worker, without its loop; pauses are not spread."""
    allowed = AllowedHosts(parse_rules(rules.format(port)))
    outbox, webhooks = SqlOutbox(database), SqlWebhooks(database)
    async with WebhookClient(allowed) as client:
        yield Deliveries(outbox=outbox, webhooks=webhooks, client=client, now=clock, draw=lambda: 0.5)


def hook(database: SqlDatabase, receiver: Receiver, *tenants: TenantName) -> dict[TenantName, str]:
    """Thresholds, and a webhook at the receiver for each tenant; returns their secrets."""
    webhooks = SqlWebhooks(database)
    secrets = {}
    for tenant in tenants or (ONE,):
        fill_alerts(database, tenant)
        secrets[tenant] = webhooks.put(tenant, receiver.url(f"/{tenant}"), by=COMMAND_LINE)[0].secret
    return secrets


async def attempt(deliveries: Deliveries) -> int:
    """One round, with its attempts."""
    begun = await deliveries.round()
    await deliveries.settled()
    return begun


async def test_a_message_is_signed_and_delivered_once(database: SqlDatabase, receiver: Receiver) -> None:
    """It is verified without our code, by the new secret and, for a while, by the old one."""
    secrets = hook(database, receiver)
    found = replayed(database)
    clock = Clock()
    async with worker(database, clock, port=receiver.port) as deliveries:
        assert [await attempt(deliveries) for _ in range(3)] == [1, 0, 0]
        (received,) = receiver.received
        assert (received.path, received.headers["Content-Type"]) == ("/one", "application/json")
        assert received.message["id"] == received.key
        assert (received.message["run"], len(received.message["breaches"])) == (found.number, 2)
        assert received.is_signed_with(secrets[ONE])
        assert not received.is_signed_with("whsec_other")
        rotated = SqlWebhooks(database).rotate(ONE, overlap=timedelta(seconds=100), by=COMMAND_LINE)
        for seconds, old_signs in ((0, True), (200, False)):
            clock.pass_(seconds)
            replayed(database)
            clock.pass_(1)
            assert await attempt(deliveries) == 1
            assert receiver.received[-1].is_signed_with(rotated.secret)
            assert receiver.received[-1].is_signed_with(secrets[ONE]) == old_signs
    assert deliveries.outcomes == {"delivered": 3, "retried": 0, "undelivered": 0}
    assert len(set(receiver.keys)) == 3


async def test_a_receiver_that_was_away_gets_it_when_it_is_back(database: SqlDatabase) -> None:
    """Down for more than a minute: the pauses double, and the message is the same at each attempt."""
    receiver = Receiver()
    with receiver.listening():
        hook(database, receiver)
    replayed(database)
    clock, waited = Clock(), []
    async with worker(database, clock, port=receiver.port) as deliveries:
        while sum(waited) < 60:
            assert await attempt(deliveries) == 1
            (waiting,) = SqlOutbox(database).deliveries(ONE, limit=9)
            assert (waiting.state, waiting.problem) == (DeliveryState.WAITING, "no connection could be made")
            pause = (waiting.next_at - clock.now).total_seconds()
            clock.pass_(pause - 0.1)
            assert await attempt(deliveries) == 0
            clock.pass_(0.1)
            waited.append(pause)
        assert waited == [5, 10, 20, 40]
        with receiver.listening():
            receiver.statuses = [500, 503]
            for _ in range(4):
                clock.pass_(400)
                await attempt(deliveries)
        assert deliveries.outcomes == {"delivered": 1, "retried": 6, "undelivered": 0}
    assert len(receiver.received) == 3
    assert len({(each.key, each.body) for each in receiver.received}) == 1
    (done,) = SqlOutbox(database).deliveries(ONE, limit=9)
    assert (done.state, done.attempts, done.problem) == (DeliveryState.DELIVERED, 7, None)


async def test_what_cannot_be_delivered_is_given_up_and_counted(
    database: SqlDatabase, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """After its last attempt, within a day; each pause is bounded."""
    hook(database, receiver)
    replayed(database)
    receiver.statuses = [500] * 99
    clock = Clock()
    begun = clock.now
    async with worker(database, clock, port=receiver.port) as deliveries:
        while deliveries.outcomes[DeliveryOutcome.UNDELIVERED] == 0:
            assert clock.now < begun + DELIVERY_AGE_MAX
            await attempt(deliveries)
            clock.pass_(PAUSE_SECONDS_MAX)
        assert await attempt(deliveries) == 0
        assert deliveries.outcomes == {"delivered": 0, "retried": WEBHOOK_ATTEMPTS_MAX - 1, "undelivered": 1}
        replayed(database)
        clock.now = datetime.now(UTC) + DELIVERY_AGE_MAX + timedelta(minutes=1)
        assert await attempt(deliveries) == 0
        assert (deliveries.outcomes[DeliveryOutcome.UNDELIVERED], deliveries.waiting) == (2, 0)
    assert len(receiver.received) == WEBHOOK_ATTEMPTS_MAX
    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == 2
    assert "status 500" in errors[0]
    assert receiver.url() not in "".join(errors)


async def test_a_process_that_ends_in_the_middle_loses_nothing(database: SqlDatabase, receiver: Receiver) -> None:
    """Another one repeats the attempt under the same key once the lease has ended; not before."""
    hook(database, receiver)
    replayed(database)
    receiver.hold = threading.Event()
    clock = Clock()
    async with worker(database, clock, port=receiver.port) as killed:
        assert await killed.round() == 1
        await until(lambda: bool(receiver.received))
        for each in list(killed._attempts):
            each.cancel()  # as if the process were gone: nothing is written
        await asyncio.wait(killed._attempts)
    receiver.hold.set()
    receiver.hold = None
    async with worker(database, clock, port=receiver.port) as restarted:
        assert await attempt(restarted) == 0
        clock.pass_(60)
        assert await attempt(restarted) == 1
        assert await attempt(restarted) == 0
    first, second = receiver.received
    assert (first.key, first.body) == (second.key, second.body)


async def test_two_services_share_one_outbox(database: SqlDatabase, receiver: Receiver, tmp_path: Path) -> None:
    """Each message arrives once, whoever is faster."""
    tenants = [TenantName(f"t{number}") for number in range(6)]
    hook(database, receiver, *tenants)
    for tenant in tenants * 2:
        replayed(database, tenant)
    clock, other = Clock(), SqlDatabase.open(tmp_path / "catalog.sqlite")
    async with worker(database, clock, port=receiver.port) as one, worker(other, clock, port=receiver.port) as two:
        for _ in range(6):
            await asyncio.gather(attempt(one), attempt(two))
        assert one.outcomes[DeliveryOutcome.DELIVERED] + two.outcomes[DeliveryOutcome.DELIVERED] == 12
    other.close()
    assert (len(receiver.keys), len(set(receiver.keys))) == (12, 12)


async def test_a_slow_receiver_delays_only_its_own_tenant(database: SqlDatabase, receiver: Receiver) -> None:
    """Its second message waits for its first; another tenant's goes."""
    slow = Receiver(hold=threading.Event())
    with slow.listening():
        hook(database, receiver, OTHER)
        hook(database, slow, ONE)
        for tenant in (ONE, OTHER, ONE, OTHER):
            replayed(database, tenant)
        clock = Clock()
        rules = f"127.0.0.1:{receiver.port}, 127.0.0.1:{slow.port}"
        async with worker(database, clock, rules=rules) as deliveries:
            assert await deliveries.round() == 2
            await until(lambda: len(receiver.received) == 1 and len(slow.received) == 1)
            await until(lambda: len(deliveries._attempts) == 1)
            assert await deliveries.round() == 1
            await until(lambda: len(receiver.received) == 2)
            assert len(slow.received) == 1
            assert slow.hold is not None
            slow.hold.set()
            await deliveries.settled()
            assert await attempt(deliveries) == 1
        assert len(slow.received) == 2


async def test_an_address_that_is_no_longer_allowed_gets_nothing(database: SqlDatabase, receiver: Receiver) -> None:
    """The rules of the service that delivers hold, whatever was stored under earlier ones."""
    hook(database, receiver)
    replayed(database)
    async with worker(database, Clock(), rules="127.0.0.1:1") as deliveries:
        assert await attempt(deliveries) == 1
    (waiting,) = SqlOutbox(database).deliveries(ONE, limit=9)
    assert "allows no webhook to 127.0.0.1" in (waiting.problem or "")
    assert receiver.received == []


async def test_a_removed_webhook_gets_nothing(database: SqlDatabase, receiver: Receiver) -> None:
    """Even if the attempt has been claimed."""
    hook(database, receiver)
    replayed(database)
    async with worker(database, Clock(), port=receiver.port) as deliveries:
        assert await deliveries.round() == 1
        SqlWebhooks(database).remove(ONE, by=COMMAND_LINE)
        await deliveries.settled()
        assert await attempt(deliveries) == 0
    (ended,) = SqlOutbox(database).deliveries(ONE, limit=9)
    assert ended.state is DeliveryState.UNDELIVERED


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_true():
            await asyncio.sleep(0.01)


def served(tmp_path: Path, tokenizer: PlainTokenizer, rules: str) -> Any:
    hosts = parse_rules(rules)
    return services(tmp_path / "data", tokenizer, Scripted(), Scripted("second", seed=1), webhook_hosts=hosts)


def breach(client: TestClient) -> Any:
    assert client.put("/v1/stability/thresholds", json={"rbo_min": 1.0}).status_code == 200
    assert client.patch("/v1/collections/docs", json={"reranker": "second"}).status_code == 200
    return run(client)


def test_a_service_delivers_what_its_replays_find(
    tmp_path: Path, tokenizer: PlainTokenizer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set over HTTP, delivered beside the requests, over a restart; shown and counted."""
    monkeypatch.setattr(webhooks_module, "ROUND_SECONDS", 0.05)
    monkeypatch.setattr(webhooks_module, "PAUSE_SECONDS_MIN", 0.05)
    receiver.statuses = [500, 500]
    rules = f"127.0.0.1:{receiver.port}"
    with serving(served(tmp_path, tokenizer, rules)) as client:
        fill(client)
        run(client)
        assert client.get(PATH).json()["url"] is None
        made = client.put(PATH, json={"url": receiver.url("/first")}).json()
        moved = client.put(PATH, json={"url": receiver.url()}).json()
        assert (made["secret"][:6], moved["secret"], moved["url"]) == ("whsec_", None, receiver.url())
        assert client.get(PATH).json() == moved
        found = breach(client)
    with serving(served(tmp_path, tokenizer, rules)) as client:
        wait_for(lambda: delivered(client)["state"] == "delivered", client)
        shown = delivered(client)
        assert (shown["run"], shown["attempts"], shown["next_at"], shown["problem"]) == (found["number"], 3, None, None)
        assert {each.key for each in receiver.received} == {shown["id"]}
        assert all(each.is_signed_with(made["secret"]) for each in receiver.received)
        rotated = client.post(f"{PATH}/rotate", json={"overlap_seconds": 0}).json()
        assert rotated["secret"] not in (None, made["secret"])
        wait_for(lambda: "winnow_webhooks_waiting 0.0" in client.get("/metrics").text, client)
        everything = client.get("/v1/audit").text + client.get(PATH).text + client.get("/metrics").text
        assert "whsec_" not in everything
        assert client.delete(PATH).json() == {
            "url": None, "created_at": None, "secret": None, "previous_secret_until": None,
        }  # fmt: skip
    assert len(receiver.received) == 3


def delivered(client: TestClient) -> Any:
    return client.get(f"{PATH}/deliveries").json()["deliveries"][0]


def wait_for(is_true: Callable[[], bool], client: TestClient) -> None:
    deadline = threading.Event()
    for _ in range(int(WAIT_SECONDS / 0.02)):
        if is_true():
            return
        deadline.wait(0.02)
    raise AssertionError(client.get(f"{PATH}/deliveries").text)


REFUSED = {
    "https://localhost/": "allows no webhook to localhost:443",
    "http://127.0.0.1:5432/": "allows no webhook to 127.0.0.1:5432",
    "http://169.254.169.254/latest/meta-data": "allows no webhook to 169.254.169.254:80",
    "https://hooks.example.org:22/": "allows no webhook to hooks.example.org:22",
    "file:///etc/passwd": "must look like https",
    "https://hooks.example.org@127.0.0.1/": "must not have a user",
}


def test_a_tenant_cannot_name_what_the_operator_did_not_allow(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """422 with the reason and the field; nothing is stored. The command line refuses the same."""
    with serving(served(tmp_path, tokenizer, "hooks.example.org")) as client:
        for url, message in REFUSED.items():
            answer = client.put(PATH, json={"url": url})
            assert (answer.status_code, answer.json()["error"]["param"]) == (422, "url")
            assert message in answer.json()["detail"]
        assert client.get(PATH).json()["url"] is None
        assert client.post(f"{PATH}/rotate", json={}).status_code == 422
    words = ["stability", "webhook", "set", "--data", str(tmp_path / "data"), "--webhook-hosts", "hooks.example.org"]
    for url, message in REFUSED.items():
        assert message in str(CliRunner().invoke(app, [*words, url]).exception)
    assert "sends no webhooks" in str(CliRunner().invoke(app, [*words[:5], "https://hooks.example.org/"]).exception)


def test_the_command_line_sets_shows_rotates_and_removes(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """The secret is printed when it is made, and alone on stdout for a script."""
    with serving(served(tmp_path, tokenizer, "")) as client:
        fill(client)
    runner = CliRunner()

    def asked(*words: str, json_: bool = True) -> Any:
        data = ["--data", str(tmp_path / "data"), *(["--json"] if json_ else [])]
        done = runner.invoke(app, ["stability", "webhook", *words, *data], catch_exceptions=False)
        return json.loads(done.stdout) if json_ else done.stdout.strip()

    url = "https://hooks.example.org/winnow"
    secret = asked("set", url, "--webhook-hosts", "hooks.example.org", json_=False)
    assert secret.startswith("whsec_")
    assert (asked("show")["url"], asked("show")["secret"]) == (url, None)
    rotated = asked("rotate", "--overlap-seconds", "60")
    assert rotated["secret"] not in ("", None, secret)
    assert rotated["previous_secret_until"] is not None
    assert asked("deliveries") == {"deliveries": []}
    assert asked("remove")["url"] is None


async def test_the_campaign_of_a_minute_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny run of tests/stability/webhook_minute.py, with short pauses."""
    monkeypatch.setattr(webhooks_module, "ROUND_SECONDS", 0.02)
    monkeypatch.setattr(webhooks_module, "PAUSE_SECONDS_MIN", 0.02)
    got, deliveries = await campaign(tmp_path, 0.2, failures=1)
    assert (len(set(got.keys)), deliveries.outcomes[DeliveryOutcome.DELIVERED]) == (MESSAGES, MESSAGES)
    assert len(got.received) >= MESSAGES + 1
