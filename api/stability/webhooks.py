"""Delivers messages about breaches to the webhooks of tenants, from the outbox in the catalog.

Rule 1: a replay only writes to the outbox; attempts are made by services, in the background.
Rule 2: a message is delivered at least once. Its id is the same at each attempt, so that a receiver can leave out a
repetition: after a kill, or where its answer was lost, nobody knows whether it arrived.
Rule 3: attempts are bounded in number, time and concurrency; what is given up is counted and logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from winnow import __version__
from winnow.retrieval.catalog.sql.alerts.outbox import SqlOutbox
from winnow.retrieval.catalog.sql.alerts.webhooks import SqlWebhooks
from winnow.retrieval.catalog.stability_alerts import DELIVERY_AGE_MAX, Delivery, Webhook
from winnow.retrieval.errors import StorageError, UnavailableError
from winnow.retrieval.limits import WEBHOOK_ATTEMPTS_MAX, WEBHOOK_SECONDS_MAX
from winnow.retrieval.webhook.client import NotDelivered, WebhookClient
from winnow.retrieval.webhook.signature import SIGNATURE_HEADER, sign

ROUND_SECONDS: Final = 2.0  # interval of looking for due deliveries
AT_ONCE_MAX: Final = 8  # attempts, each for another tenant
LEASE: Final = timedelta(seconds=60)  # well above an attempt and its writes to the catalog
GRACE_SECONDS: Final = 3.0  # for attempts in progress when the service stops; their leases end by themselves
PAUSE_SECONDS_MIN: Final = 5.0  # before the second attempt; doubled before each later one
PAUSE_SECONDS_MAX: Final = 3_600.0
FORGET_SECONDS: Final = 3_600.0  # interval of deleting old deliveries

log = logging.getLogger(__name__)


class DeliveryOutcome(StrEnum):
    """How an attempt ended, or that a delivery was given up."""

    DELIVERED = "delivered"
    RETRIED = "retried"  # the attempt failed; there will be another
    UNDELIVERED = "undelivered"  # given up


def _now() -> datetime:
    return datetime.now(UTC)


class Deliveries:
    """Empties the outbox. Use it from one event loop."""

    def __init__(
        self,
        *,
        outbox: SqlOutbox,
        webhooks: SqlWebhooks,
        client: WebhookClient,
        now: Callable[[], datetime] = _now,
        draw: Callable[[], float] | None = None,
    ) -> None:
        """`draw` returns numbers in [0, 1), which spread the pauses."""
        self._outbox = outbox
        self._webhooks = webhooks
        self.client = client
        self._now = now
        self._draw = draw or random.Random().random  # noqa: S311  pauses are no secret
        self._holder = str(uuid.uuid4())
        self._attempts: set[asyncio.Task[None]] = set()
        self._forget_at = 0.0
        self.outcomes: Counter[DeliveryOutcome] = Counter(dict.fromkeys(DeliveryOutcome, 0))  # of this process
        self.waiting = 0  # in the catalog, at the last round

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver until the block ends; attempts in progress then get a moment to end."""
        stopping = asyncio.Event()
        async with self.client:
            working = asyncio.create_task(self._work_until(stopping))
            try:
                yield
            finally:
                stopping.set()
                await working
                await self._end_attempts()

    async def round(self) -> int:
        """Begin the attempts that are due, as far as there is room; returns their number."""
        try:
            due = await asyncio.to_thread(self._claim)
        except (StorageError, UnavailableError):
            log.exception("the outbox of webhooks cannot be read; retrying")
            return 0
        for delivery in due:
            attempt = asyncio.create_task(self._attempt(delivery))
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempts.discard)
        return len(due)

    async def settled(self) -> None:
        """Wait for the attempts in progress."""
        while self._attempts:
            await asyncio.wait(self._attempts)

    async def _end_attempts(self) -> None:
        if not self._attempts:
            return
        _, late = await asyncio.wait(self._attempts, timeout=GRACE_SECONDS)
        for each in late:
            each.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _work_until(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await self.round()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), ROUND_SECONDS)

    def _claim(self) -> list[Delivery]:
        """Give up what is too old, and claim what is due. Blocks."""
        now, room = self._now(), AT_ONCE_MAX - len(self._attempts)
        given_up = self._outbox.give_up_old(now)
        if given_up:
            self.outcomes[DeliveryOutcome.UNDELIVERED] += given_up
            log.error("webhooks: %d deliveries were given up, because they waited too long or were too many", given_up)
        if time.monotonic() >= self._forget_at:
            self._outbox.forget_old(now)
            self._forget_at = time.monotonic() + FORGET_SECONDS
        due = self._outbox.claim(holder=self._holder, now=now, lease=LEASE, limit=room) if room > 0 else []
        self.waiting = self._outbox.waiting()
        return list(due)

    async def _attempt(self, delivery: Delivery) -> None:
        """Make an attempt, and note how it ended."""
        try:
            webhook = await asyncio.to_thread(self._webhooks.find, delivery.tenant)
            if webhook is None:  # removed just now; its deliveries were given up with it
                return
            problem = await self._problem(webhook, delivery)
            retry_at = None if problem is None else self._retry_at(delivery)
            counts = await asyncio.to_thread(self._finish, delivery, problem, retry_at)
        except (StorageError, UnavailableError):
            log.exception("webhook: the outcome of delivery %s cannot be written; it is repeated", delivery.id)
            return
        if counts:
            self._note(delivery, problem, retry_at)

    async def _problem(self, webhook: Webhook, delivery: Delivery) -> str | None:
        """Send the message; return why it did not arrive, or None."""
        body, now = delivery.body.encode(), self._now()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"winnow/{__version__}",
            "Idempotency-Key": delivery.id,
            SIGNATURE_HEADER: sign(webhook.secrets_at(now), at=int(now.timestamp()), body=body),
        }
        try:
            await self.client.post(webhook.url, body, headers, seconds=WEBHOOK_SECONDS_MAX)
        except NotDelivered as failed:
            return str(failed)
        return None

    def _retry_at(self, delivery: Delivery) -> datetime | None:
        """Return when to try again; None: no more."""
        pause = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN * 2.0 ** (delivery.attempts - 1))
        at = self._now() + timedelta(seconds=pause * (0.75 + 0.5 * self._draw()))
        is_last = delivery.attempts >= WEBHOOK_ATTEMPTS_MAX or at >= delivery.created_at + DELIVERY_AGE_MAX
        return None if is_last else at

    def _finish(self, delivery: Delivery, problem: str | None, retry_at: datetime | None) -> bool:
        return self._outbox.finish(delivery, holder=self._holder, now=self._now(), problem=problem, retry_at=retry_at)

    def _note(self, delivery: Delivery, problem: str | None, retry_at: datetime | None) -> None:
        if problem is None:
            self.outcomes[DeliveryOutcome.DELIVERED] += 1
        elif retry_at is not None:
            self.outcomes[DeliveryOutcome.RETRIED] += 1
            log.info("webhook of %s: attempt %d failed: %s", delivery.tenant, delivery.attempts, problem)
        else:
            self.outcomes[DeliveryOutcome.UNDELIVERED] += 1
            log.error("webhook of %s: delivery %s was given up: %s", delivery.tenant, delivery.id, problem)
