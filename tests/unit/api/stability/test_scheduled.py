"""The service replays golden sets itself: when they are due, and after a change; once, and at the right time."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import sqlalchemy as sql
from starlette.testclient import TestClient

from tests.unit.api.stability.watched import QUERIES, Scripted, add_set, fill, fold, run, services, serving, upsert
from winnow.api.assemble import Services
from winnow.api.stability.scheduled import Pace, ScheduledReplays
from winnow.retrieval.catalog.instructions import InstructionContent
from winnow.retrieval.catalog.quotas import TenantLimits
from winnow.retrieval.catalog.sql.quotas import SqlLimitBook
from winnow.retrieval.catalog.sql.scheduling.schedules import SqlSchedules
from winnow.retrieval.catalog.sql.stability_tables import LEASE
from winnow.retrieval.catalog.stability import Trigger
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT

BEGIN = datetime(2026, 2, 27, 10, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
PACE: Final = Pace()
LOOK_SECONDS: Final = 3


@dataclass(kw_only=True)
class World:
    """A service whose loop does not run by itself, and the clock of everything that is scheduled."""

    parts: Services
    client: TestClient
    now: datetime = BEGIN
    idles: list[float] = field(default_factory=list)  # how long each query may have waited for live requests
    during: list[Callable[[], object]] = field(default_factory=list)  # called before the first queries of a replay

    def loop(self, pace: Pace = PACE) -> ScheduledReplays:
        """As another process would have one."""
        parts = self.parts
        return ScheduledReplays(
            replays=parts.replays,
            schedules=self.schedules,
            charged=parts.accounting.replaying,
            idle=self.idle,
            quotas=parts.quotas,
            look_seconds=1,
            pace=pace,
            clock=self.seconds,
        )

    def seconds(self) -> float:
        return (self.now - BEGIN).total_seconds()

    @property
    def schedules(self) -> SqlSchedules:
        return SqlSchedules(self.parts.disk.catalog.database, clock=lambda: self.now)

    async def idle(self, seconds: float) -> None:
        self.idles.append(seconds)
        if self.during:
            result = self.during.pop(0)()
            if asyncio.iscoroutine(result):
                await result

    def schedule(self, **when: Any) -> None:
        times = {"every": None, "daily_hour": None} | when
        self.schedules.set_schedule(DEFAULT_TENANT, "everyday", **times, by=COMMAND_LINE)

    def look(self, loop: ScheduledReplays, seconds: int = 0) -> list[str]:
        """Look now and every few seconds for so long, and return the triggers of the runs that this made."""
        before = len(self.triggers())
        self.call(self.look_once, loop)
        for pause in [LOOK_SECONDS] * (seconds // LOOK_SECONDS) + [seconds % LOOK_SECONDS]:
            self.now += timedelta(seconds=pause)
            if pause:
                self.call(self.look_once, loop)
        return self.triggers()[before:]

    async def look_once(self, loop: ScheduledReplays) -> None:
        while await loop.look():
            pass

    def call(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """In the loop of the service."""
        assert self.client.portal is not None
        return self.client.portal.call(function, *arguments)

    def triggers(self) -> list[str]:
        runs = self.parts.disk.catalog.stability.runs(DEFAULT_TENANT, limit=50)
        return [each.trigger for each in reversed(runs)]


@pytest.fixture(scope="module")
def serving_all(tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("scheduled") / "data"
    parts = services(folder, tokenizer, Scripted(), Scripted("second", seed=1), replay_seconds=0)
    with serving(parts) as client:
        fill(client)
        yield World(parts=parts, client=client)


@pytest.fixture
def world(serving_all: World) -> World:
    """Nothing was ever replayed, and the collection has its defaults."""
    parts, client = serving_all.parts, serving_all.client
    client.delete("/v1/stability/golden/everyday")
    add_set(client)
    assert client.patch("/v1/collections/docs", json={"reranker": None, "instruction": None}).status_code == 200
    with parts.disk.catalog.database.writing() as connection:
        connection.execute(sql.delete(LEASE))
    parts.replays.outcomes.clear()
    return World(parts=parts, client=client)


def use(world: World, **change: str) -> None:
    assert world.client.patch("/v1/collections/docs", json=change).status_code == 200


def publish(world: World, text: str) -> None:
    world.parts.disk.catalog.instructions.publish(DEFAULT_TENANT, "house", InstructionContent(text=text))


def test_what_is_due_runs_once(world: World) -> None:
    """Its first run becomes the baseline; nothing runs before or between due times."""
    world.schedule(every=HOUR)
    loop = world.loop()
    assert world.look(loop, 30) == []
    world.now = BEGIN + HOUR
    assert world.look(loop, 30) == ["schedule"]
    world.now = BEGIN + 2 * HOUR - timedelta(seconds=30)
    assert world.look(loop, 60) == ["schedule"]
    (last, first) = world.client.get("/v1/stability/runs").json()["runs"]
    assert (first["is_baseline"], last["is_baseline"], last["causes"]) == (True, False, [])


def test_times_that_were_missed_run_once(world: World) -> None:
    """No service ran for days."""
    world.schedule(daily_hour=3)
    world.now += timedelta(days=9)
    assert world.look(world.loop(), 30) == ["schedule"]
    (listed,) = world.client.get("/v1/stability/golden").json()["sets"]
    assert listed["schedule"]["daily_hour"] == 3


def test_of_several_processes_one_replays(world: World) -> None:
    """The holder of the lease goes on; another one takes over when it is gone or hangs."""
    world.schedule(every=HOUR)
    loops = [world.loop() for _ in range(3)]
    for hour in range(1, 4):
        world.now = BEGIN + hour * HOUR
        made = [world.look(each) for each in loops]
        assert sorted(made) == [[], [], ["schedule"]]
        assert sum(each.is_holder for each in loops) == 1
    holder, *others = sorted(loops, key=lambda each: not each.is_holder)
    world.now = BEGIN + 4 * HOUR + timedelta(seconds=1)  # the holder does not look, and its lease has expired
    assert [world.look(each) for each in (*others, holder)] == [["schedule"], [], []]


def test_a_run_without_the_lease_is_not_stored(world: World) -> None:
    """A process stood still in the middle of a replay until another one had done it."""
    world.schedule(every=HOUR)
    world.now += HOUR
    stalled, other = world.loop(), world.loop()

    async def stall() -> None:
        world.now += timedelta(seconds=PACE.lease + 1)
        assert await other.look()

    world.during = [stall]
    assert world.look(stalled) == ["schedule"]
    assert not stalled.is_holder
    assert world.parts.replays.outcomes[Trigger.SCHEDULE, "abandoned"] == 1
    assert world.look(other, 5) == world.look(stalled, 5) == []


def test_a_lease_that_cannot_be_renewed_ends_the_replay(world: World) -> None:
    """It is renewed while a replay runs, and another process has it now."""
    world.schedule(every=HOUR)
    world.now += HOUR
    loop = world.loop(Pace(lease=0.06))

    async def taken() -> None:
        world.now += timedelta(seconds=1)
        assert world.schedules.hold("another", seconds=600)
        await asyncio.sleep(60)

    world.during = [taken]
    assert world.look(loop) == []
    assert world.parts.replays.outcomes[Trigger.SCHEDULE, "abandoned"] == 1


@pytest.mark.parametrize("trigger", ["model", "instruction", "publication"])
def test_a_change_is_replayed_under_its_name(world: World, trigger: str) -> None:
    """Of the collection's reranker, of the instruction that applies, of the index."""
    publish(world, "Prefer lakes")
    use(world, instruction="house")
    run(world.client)
    loop = world.loop()
    assert world.look(loop, 100) == []
    if trigger == "model":
        use(world, reranker="second")
    elif trigger == "instruction":
        publish(world, "Prefer towers")
    else:
        fold(world.client)
    assert world.look(loop, int(PACE.quiet) - 2) == []
    assert world.look(loop, 3) == [trigger]
    assert world.look(loop, 100) == []


def test_a_service_that_starts_with_another_model_replays(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """The state of the last run is compared with what is loaded now; so is where it runs."""
    for fields, expected in [
        ({}, []),
        ({"revision": "b"}, ["model"]),
        ({"revision": "b", "runs_on": "x"}, ["runtime"]),
    ]:
        parts = services(tmp_path, tokenizer, Scripted(seed=len(fields)), replay_seconds=0, **fields)
        with serving(parts) as client:
            if not fields:
                fill(client)
                run(client)
            world = World(parts=parts, client=client, now=BEGIN + HOUR * len(fields))  # no lease lasts that long
            assert world.look(world.loop(), 40) == expected


def test_many_changes_make_one_replay(world: World) -> None:
    """Ten publications within a minute; and of those during a replay, one more."""
    publish(world, "Prefer lakes")
    use(world, instruction="house")
    run(world.client)
    loop, made = world.loop(), []
    for number in range(10):
        publish(world, f"Prefer places {number}")
        made += world.look(loop, 4)
    assert made == []
    world.during = [partial(publish, world, f"Prefer times {number}") for number in range(3 * len(QUERIES))]
    assert world.look(loop, 12) == ["instruction"]
    assert world.during == []
    assert world.look(loop, 60) == ["instruction"]
    assert world.look(loop, 100) == []


def test_changes_without_end_do_not_put_off_a_replay(world: World) -> None:
    """It starts a minute after the first of them at the latest."""
    publish(world, "Prefer lakes")
    use(world, instruction="house")
    run(world.client)
    loop = world.loop()
    made = []
    for number in range(7):
        publish(world, f"Prefer places {number}")
        made.append(world.look(loop, 9))
    assert [each for each in made if each] == [["instruction"]]
    assert made[6] == ["instruction"]


def test_a_change_that_was_undone_is_none(world: World) -> None:
    """Nobody waits for it."""
    run(world.client)
    loop = world.loop()
    use(world, reranker="second")
    assert world.look(loop, 3) == []
    assert world.client.patch("/v1/collections/docs", json={"reranker": None}).status_code == 200
    assert world.look(loop, 100) == []


def test_documents_alone_start_nothing(world: World) -> None:
    """Their index will be published."""
    run(world.client)
    loop = world.loop()
    upsert(world.client, [{"id": "far", "text": "xyzzy"}])
    assert world.look(loop, 100) == []


def test_a_failed_replay_is_retried_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After growing pauses; the due time stays due."""
    world.schedule(every=HOUR)
    world.now += HOUR
    loop = world.loop()
    monkeypatch.setattr(world.parts.replays, "_timeout_ms", 0)
    world.look(loop, 99)
    assert world.parts.replays.outcomes[Trigger.SCHEDULE, "failed"] == 3  # at once, after 30 s, after 60 s more
    assert loop.overdue_seconds == 99
    monkeypatch.undo()
    assert world.look(loop, 120) == ["schedule"]
    assert loop.overdue_seconds == 0.0


def test_each_query_lets_live_requests_go_first(world: World) -> None:
    """And the tenant is charged for it, but not for a request."""
    world.schedule(every=HOUR)
    world.now += HOUR
    before = used(world)
    assert world.look(world.loop()) == ["schedule"]
    assert world.idles == [PACE.live] * len(QUERIES)
    grown = {name: count - before.get(name, 0) for name, count in used(world).items()}
    assert grown["searches"] == len(QUERIES)
    assert grown["requests"] == 1  # the second `used`


def test_a_replay_leaves_tokens_to_the_tenants_searches(world: World) -> None:
    """It waits while less than half of a minute's tokens is left; in vain, and it is not stored."""
    quotas = world.parts.quotas
    SqlLimitBook(world.parts.disk.catalog.database).set_limits(
        DEFAULT_TENANT, TenantLimits(rerank_tokens_per_minute=60)
    )
    quotas._read_at -= 60
    world.call(quotas.spend_tokens, DEFAULT_TENANT, 31)
    assert 0.0 < world.call(partial(quotas.tokens_wait, left=0.5), DEFAULT_TENANT) <= 1.0
    assert world.call(partial(quotas.tokens_wait, left=0.4), DEFAULT_TENANT) == 0.0
    world.call(quotas.spend_tokens, DEFAULT_TENANT, 600)
    world.schedule(every=HOUR)
    world.now += HOUR
    assert world.look(world.loop(Pace(tokens=0.01))) == []
    assert world.parts.replays.outcomes[Trigger.SCHEDULE, "failed"] == 1


def test_without_golden_sets_no_lease_is_taken(world: World) -> None:
    """And nothing is written."""
    world.client.delete("/v1/stability/golden/everyday")
    loop = world.loop()
    assert not world.call(loop.look)
    assert not loop.is_holder
    assert world.schedules.hold("another", seconds=60)


def test_a_service_replays_by_itself(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """The loop of a running service, with its metrics; a service that stops returns the lease."""
    parts = services(tmp_path, tokenizer, Scripted(), replay_seconds=1)
    with serving(parts) as client:
        fill(client)
        scheduled = client.put("/v1/stability/golden/everyday/schedule", json={"every_seconds": 3_600}).json()
        assert scheduled["schedule"]["every_seconds"] == 3_600
        ago = SqlSchedules(parts.disk.catalog.database, clock=lambda: datetime.now(UTC) - HOUR)
        every = timedelta(minutes=40)  # due 20 minutes ago, and in 20 minutes
        ago.set_schedule(DEFAULT_TENANT, "everyday", every=every, daily_hour=None, by=COMMAND_LINE)
        world, deadline = World(parts=parts, client=client), time.monotonic() + 60
        while world.triggers() != ["schedule"]:
            assert time.monotonic() < deadline, "nothing was replayed"
            time.sleep(0.05)
        shown = client.get("/metrics").text
        assert 'winnow_stability_replays_total{outcome="stable",trigger="schedule"} 1.0' in shown
        assert "winnow_stability_lease 1.0" in shown
        assert float(re.findall(r"^winnow_stability_last_run_age_seconds (\S+)$", shown, re.MULTILINE)[0]) < 60
        assert client.delete("/v1/stability/golden/everyday/schedule").json()["schedule"] is None
    assert SqlSchedules(parts.disk.catalog.database).hold("another", seconds=60)


def used(world: World) -> Counter[str]:
    rows = world.client.get("/v1/usage").json()["usage"]
    return Counter({name: amount for row in rows for name, amount in row.items() if isinstance(amount, int)})
