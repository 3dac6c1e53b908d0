"""Two processes over one catalog, on SQLite and PostgreSQL: one replays, and the other when that one is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.orphans import ends_with_parent
from tests.tiny_models import write_embedder
from tests.unit.api.stability.replaying import CLOSED, PACE
from tests.unit.api.stability.watched import Scripted, fill, fold, services, serving
from winnow.api.assemble import Services
from winnow.retrieval.catalog.sql.scheduling.schedules import SqlSchedules
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT

PROJECT = Path(__file__).resolve().parents[4]
AWAITED_SECONDS = 120.0
SETTLE_SECONDS = 3 * PACE.latest  # a replay too many would have been stored by then


@dataclass(kw_only=True)
class Deployment:
    """A data folder with a golden set, a catalog, and the processes that replay it."""

    parts: Services
    url: str
    gate: Path
    tokenizer: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self) -> subprocess.Popen[str]:
        arguments = [str(self.parts.settings.data), self.url, str(self.gate), str(self.tokenizer)]
        process = subprocess.Popen(
            ends_with_parent([sys.executable, "-m", "tests.unit.api.stability.replaying", *arguments]),
            cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def await_running(self) -> None:
        for process in self.started:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"

    def triggers(self) -> list[str]:
        runs = self.parts.disk.catalog.stability.runs(DEFAULT_TENANT, limit=50)
        return [each.trigger for each in reversed(runs)]

    def waiting(self) -> set[int]:
        """The processes that are in the middle of a replay."""
        return {int(each.name.partition("-")[2]) for each in self.gate.glob("waiting-*")}

    def schedule(self, *, ago: timedelta) -> None:
        """Due so long ago, and not again in this test."""
        schedules = SqlSchedules(self.parts.disk.catalog.database, clock=lambda: datetime.now(UTC) - ago - DAYS)
        schedules.set_schedule(DEFAULT_TENANT, "everyday", every=DAYS, daily_hour=None, by=COMMAND_LINE)


DAYS = timedelta(days=3)


def awaited(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + AWAITED_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.02)


@pytest.fixture(params=["sqlite", "postgres"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    url = "-" if request.param == "sqlite" else request.getfixturevalue("postgres").new()
    gate, tokenizer = tmp_path / "gate", write_embedder(tmp_path / "embedder")
    gate.mkdir()
    parts = services(
        tmp_path / "data",
        PlainTokenizer.load(tokenizer),
        Scripted(),
        catalog_url=None if url == "-" else url,
        replay_seconds=0,
    )
    with serving(parts) as client:
        fill(client)
        fold(client)
    made = Deployment(parts=parts, url=url, gate=gate, tokenizer=tokenizer)
    yield made
    for process in made.started:
        with contextlib.suppress(BrokenPipeError):
            process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGKILL)


def test_one_of_two_processes_replays_and_a_killed_one_is_replaced(deployment: Deployment) -> None:
    """One run for the due time, whatever happens in the middle; later, one for a change that a third process made."""
    (deployment.gate / CLOSED).touch()
    deployment.schedule(ago=timedelta(hours=1))
    deployment.start()
    deployment.start()
    deployment.await_running()
    awaited(lambda: bool(deployment.waiting()), "a replay begins")
    (holder,) = deployment.waiting()
    time.sleep(1.5 * PACE.lease)  # the lease is renewed meanwhile: nobody takes over
    assert deployment.waiting() == {holder}
    os.kill(holder, signal.SIGKILL)
    awaited(lambda: len(deployment.waiting()) == 2, "the other process takes over")
    assert deployment.triggers() == []
    (deployment.gate / CLOSED).unlink()
    awaited(lambda: deployment.triggers() == ["schedule"], "it stores the run")
    settings = deployment.parts.settings
    with serving(
        services(settings.data, PlainTokenizer.load(deployment.tokenizer), Scripted(), catalog_url=settings.catalog_url,
                 replay_seconds=0)
    ) as client:  # fmt: skip
        fold(client)
    awaited(lambda: deployment.triggers() == ["schedule", "publication"], "the publication is noticed")
    time.sleep(SETTLE_SECONDS)
    assert deployment.triggers() == ["schedule", "publication"]
