"""Replays golden sets without being asked: when they are due, and after a change of what answers their queries.

Rule 1: of all processes over one catalog, the holder of a lease replays, one set at a time. A holder that ends returns
the lease; one that is killed or hangs is replaced when the lease expires.
Rule 2: a run is stored together with the due time that it was made for, and only under the lease. So no due time gets
two runs, and what was missed while no service ran is replayed once.
Rule 3: changes are found by comparing what answers now with the state of the last run, so it does not matter which
process made them. Many changes in a row make one replay.
Rule 4: live requests come first, and a tenant's own searches may use the larger part of its reranker tokens.
Rule 5: a failed replay is retried with increasing delays, and harms nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from winnow.api.stability.replay import Replays, Watcher
from winnow.api.stability.states import Present
from winnow.api.tenancy.quotas import Quotas
from winnow.retrieval.catalog.sql.scheduling.schedules import SqlSchedules, Watched
from winnow.retrieval.catalog.stability import GoldenSet, Run, Trigger
from winnow.retrieval.catalog.stability_schedules import Claim, LeaseLost
from winnow.retrieval.errors import StorageError, UnavailableError, WinnowError
from winnow.retrieval.tenancy import TenantName

TOKENS_LEFT: Final = 0.5  # share of a minute's reranker tokens that a replay leaves to the tenant's searches
BACKOFF_SECONDS_MIN: Final = 30.0  # after the first failure; doubled after each further one
BACKOFF_SECONDS_MAX: Final = 3_600.0

_NEVER: Final = datetime.min.replace(tzinfo=UTC)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things take, in seconds."""

    lease: float = 60.0  # after the last renewal; it is renewed three times as often
    quiet: float = 15.0  # without a further change, before changes start a replay
    latest: float = 60.0  # after the first of these changes, even if more follow
    live: float = 5.0  # the most that a query waits for live requests
    tokens: float = 300.0  # the most that a replay waits for the tenant's tokens


@dataclass(slots=True, kw_only=True)
class _Standing:
    """What is known of one golden set."""

    present: Present | None = None  # at the last look
    changed_at: float = 0.0  # when that began, by the loop's clock
    first_at: float | None = None  # when the first change since the last run was seen
    rests_until: float = 0.0
    failures: int = 0  # in a row


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reason:
    trigger: Trigger
    due: datetime | None


class ScheduledReplays:
    """Looks for golden sets to replay. Must be used from one event loop."""

    def __init__(
        self,
        *,
        replays: Replays,
        schedules: SqlSchedules,
        charged: Callable[[TenantName], AbstractAsyncContextManager[Watcher]],
        idle: Callable[[float], Awaitable[None]],
        quotas: Quotas,
        look_seconds: float,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With `look_seconds` 0 nothing is replayed. `charged` charges the tenant, `idle` waits for live requests."""
        self._replays = replays
        self._schedules = schedules
        self._charged = charged
        self._idle = idle
        self._quotas = quotas
        self._look_seconds = look_seconds
        self._pace = pace or Pace()
        self._clock = clock
        self._token = secrets.token_hex(16)
        self._held_until = -1.0
        self._standings: dict[tuple[TenantName, str], _Standing] = {}
        self._looked_at = 0.0
        self._newest_age: float | None = None  # of any set's last run, when it was looked at
        self._overdue = 0.0

    @contextlib.asynccontextmanager
    async def running(self, is_served: Callable[[], bool] = lambda: True) -> AsyncIterator[None]:
        """Look repeatedly until the block ends; a replay in progress is then abandoned.

        While a model server is missing, nothing could be compared: another process may replay.
        """
        looking = asyncio.create_task(self._look_forever(is_served)) if self._look_seconds else None
        try:
            yield
        finally:
            if looking is not None:
                looking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await looking
                await self._release()

    @property
    def is_holder(self) -> bool:
        """Whether this process replays, as far as it knows."""
        return self._clock() < self._held_until

    @property
    def age_seconds(self) -> float | None:
        """Seconds since the newest run of any golden set; None before the first."""
        return None if self._newest_age is None else self._newest_age + self._clock() - self._looked_at

    @property
    def overdue_seconds(self) -> float:
        """Seconds for which the oldest due replay has been waiting, at the last look."""
        return self._overdue

    async def look(self) -> bool:
        """Replay the first set that needs it; return whether one did."""
        now, known = await asyncio.to_thread(self._schedules.watched)
        self._note(now, known)
        if not known:
            await self._release()
            return False
        if not await self._hold():
            self._standings.clear()
            return False
        keys = {(each.golden.tenant, each.golden.name) for each in known}
        self._standings = {key: standing for key, standing in self._standings.items() if key in keys}
        presents = await self._presents(known)
        found = [(each, self._reason(each, presents.get(_question_key(each.golden)), now)) for each in known]
        wanted = [(each, reason) for each, reason in found if reason is not None]
        if not wanted:
            return False
        first, reason = min(wanted, key=lambda pair: pair[0].last_at or _NEVER)
        await self._replay(first.golden, reason)
        return True

    async def _look_forever(self, is_served: Callable[[], bool]) -> None:
        while True:
            did_replay = False
            try:
                if is_served():
                    did_replay = await self.look()
                else:
                    await self._release()
            except (StorageError, UnavailableError) as error:
                log.warning("due replays of golden sets cannot be found, retrying: %s", error.message)
            except Exception:
                # As broad as possible, because nothing awaits this task: an unexpected error, such as a bug, would end
                # it unseen, and nothing would be replayed until the next start. Cancellation is no Exception.
                log.exception("looking for due replays of golden sets failed")
            if not did_replay:
                await asyncio.sleep(self._look_seconds)

    def _note(self, now: datetime, known: Sequence[Watched]) -> None:
        """Keep what the metrics show."""
        self._looked_at = self._clock()
        ages = [(now - each.last_at).total_seconds() for each in known if each.last_at is not None]
        self._newest_age = min(ages, default=None)
        dues = [due for each in known if each.golden.schedule and (due := each.golden.schedule.due(now)) is not None]
        self._overdue = max(((now - due).total_seconds() for due in dues), default=0.0)

    async def _hold(self) -> bool:
        """Take or renew the lease where that is needed."""
        if self._held_until - self._clock() > self._pace.lease * 2 / 3:
            return True
        asked_at = self._clock()
        holds = await asyncio.to_thread(self._schedules.hold, self._token, seconds=self._pace.lease)
        if holds != self.is_holder:
            log.info("this process %s replays of golden sets", "starts" if holds else "leaves to another one")
        self._held_until = asked_at + self._pace.lease if holds else -1.0
        return holds

    async def _release(self) -> None:
        if self._held_until < 0:
            return
        self._held_until = -1.0
        try:
            await asyncio.to_thread(self._schedules.release, self._token)
        except (StorageError, UnavailableError):
            log.exception("the lease of replays cannot be returned; it expires in %.0f s", self._pace.lease)

    async def _presents(self, known: Sequence[Watched]) -> Mapping[tuple[str, str, str | None], Present]:
        """What answers now, of sets with a run to compare it with. Collections that cannot be searched are left out."""
        found: dict[tuple[str, str, str | None], Present] = {}
        for golden in {_question_key(each.golden): each.golden for each in known if each.last_state}.values():
            with contextlib.suppress(WinnowError):  # searches and /readyz report which
                found[_question_key(golden)] = await self._replays.present(golden)
        return found

    def _reason(self, each: Watched, present: Present | None, now: datetime) -> _Reason | None:
        golden = each.golden
        standing = self._standings.setdefault((golden.tenant, golden.name), _Standing())
        due = golden.schedule.due(now) if golden.schedule else None
        change = None
        if present is not None and each.last_state is not None:
            change = present.change(Present.of(each.last_state))
            self._follow(standing, present, is_changed=change is not None)
        if self._clock() < standing.rests_until:
            return None
        if change is not None and self._is_settled(standing):
            return _Reason(trigger=change, due=due)
        return None if due is None else _Reason(trigger=Trigger.SCHEDULE, due=due)

    def _follow(self, standing: _Standing, present: Present, *, is_changed: bool) -> None:
        """Note since when this answers, and since when it is not what the last run saw."""
        if present != standing.present:
            standing.present, standing.changed_at = present, self._clock()
        if not is_changed:
            standing.first_at = None
        elif standing.first_at is None:
            standing.first_at = self._clock()

    def _is_settled(self, standing: _Standing) -> bool:
        now, first = self._clock(), standing.first_at
        return first is not None and (
            now - max(first, standing.changed_at) >= self._pace.quiet or now - first >= self._pace.latest
        )

    async def _replay(self, golden: GoldenSet, reason: _Reason) -> None:
        """Replay, log the outcome, and rest for as long as it took."""
        standing = self._standings[golden.tenant, golden.name]
        began = self._clock()
        try:
            run = await self._while_held(golden, reason)
        except LeaseLost:
            log.warning("a replay of a golden set is not stored: another process replays now")
            return
        except WinnowError as error:  # only its type: the message may contain a caller's value
            standing.failures += 1
            pause = min(BACKOFF_SECONDS_MIN * 2 ** (standing.failures - 1), BACKOFF_SECONDS_MAX)
            standing.rests_until = self._clock() + pause
            log.warning("a golden set cannot be replayed, retrying in %.0f s: %s", pause, type(error).__name__)
            return
        took = self._clock() - began
        standing.failures, standing.first_at, standing.rests_until = 0, None, self._clock() + took
        log.info(
            "run %d of a golden set (%s) took %.1f s, %d causes", run.number, reason.trigger, took, len(run.causes)
        )

    async def _while_held(self, golden: GoldenSet, reason: _Reason) -> Run:
        """Replay while renewing the lease. Raises what `Replays.run` raises."""
        async with self._charged(golden.tenant) as charged:
            replay = self._replays.run(
                golden.tenant,
                golden.name,
                trigger=reason.trigger,
                watcher=self._yielding(golden.tenant, charged),
                claim=Claim(token=self._token, due=reason.due),
            )
            running = asyncio.create_task(replay)
            try:
                while not running.done():
                    await asyncio.wait({running}, timeout=self._pace.lease / 3)
                    if not running.done() and not await self._still_held():
                        raise LeaseLost
                return running.result()
            finally:
                if not running.done():
                    running.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await running

    async def _still_held(self) -> bool:
        """Renew the lease. If the catalog cannot be reached, go on: a run is stored only under the lease."""
        self._held_until = min(self._held_until, self._clock() + self._pace.lease * 2 / 3)
        try:
            return await self._hold()
        except (StorageError, UnavailableError):
            log.exception("the lease of replays cannot be renewed; retrying")
            return True

    def _yielding(self, tenant: TenantName, charged: Watcher) -> Watcher:
        """Charge each query, and let live requests go first."""
        patience = self._pace.tokens

        async def before_each() -> None:
            nonlocal patience
            await charged.before_each()
            while wait := await self._quotas.tokens_wait(tenant, left=TOKENS_LEFT):
                if patience <= 0:
                    await self._quotas.require_tokens(tenant)
                    break
                pause = min(wait, patience, 1.0)
                patience -= pause
                await asyncio.sleep(pause)
            await self._idle(self._pace.live)

        return Watcher(before_each=before_each, after_each=charged.after_each)


def _question_key(golden: GoldenSet) -> tuple[str, str, str | None]:
    """Sets with the same key are answered by the same."""
    return golden.tenant, golden.collection, golden.instruction
