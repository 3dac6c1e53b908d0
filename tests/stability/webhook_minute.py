"""A receiver that is away for a real minute, then fails, then is slow: every message arrives, and none is given up.

    python -m tests.stability.webhook_minute --seconds 60

Everything runs on loopback and in this process, with the pauses of a service; it ends by itself after four minutes at
most. It prints what the receiver got, and exits with 1 if a message is missing or has two contents.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.contract.stability.alerts import fill_alerts
from tests.contract.stability.test_alerts import replayed
from tests.contract.stability.test_book import ONE
from tests.stability.webhook_receiver import Receiver
from winnow.api.stability.webhooks import Deliveries, DeliveryOutcome
from winnow.retrieval.catalog.sql.alerts.outbox import SqlOutbox
from winnow.retrieval.catalog.sql.alerts.webhooks import SqlWebhooks
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.tenancy import COMMAND_LINE
from winnow.retrieval.webhook.allowed import AllowedHosts, parse_rules
from winnow.retrieval.webhook.client import WebhookClient

MESSAGES = 3
PATIENCE_SECONDS = 180.0  # after the receiver is back


async def campaign(folder: Path, seconds: float, *, failures: int = 2) -> tuple[Receiver, Deliveries]:
    """Queue messages while the receiver is away for so long; return once all arrived, or patience ends."""
    database, receiver = SqlDatabase.open(folder / "catalog.sqlite"), Receiver()
    with receiver.listening():
        fill_alerts(database, ONE)
        secret = SqlWebhooks(database).put(ONE, receiver.url(), by=COMMAND_LINE)[0].secret
    for _ in range(MESSAGES):
        replayed(database)
    client = WebhookClient(AllowedHosts(parse_rules(f"127.0.0.1:{receiver.port}")))
    deliveries = Deliveries(outbox=SqlOutbox(database), webhooks=SqlWebhooks(database), client=client)
    async with deliveries.running():
        await asyncio.sleep(seconds)
        receiver.statuses = [500] * failures
        with receiver.listening():
            ends = time.monotonic() + PATIENCE_SECONDS
            while deliveries.outcomes[DeliveryOutcome.DELIVERED] < MESSAGES and time.monotonic() < ends:
                await asyncio.sleep(0.05)
    database.close()
    assert all(each.is_signed_with(secret) for each in receiver.received), "a message is not signed"
    return receiver, deliveries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the receiver is away")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="winnow-webhook-") as folder:
        receiver, deliveries = asyncio.run(campaign(Path(folder), seconds))
    keys, contents = set(receiver.keys), {(each.key, each.body) for each in receiver.received}
    sys.stdout.write(
        f"away for {seconds:g} s; {len(receiver.keys)} attempts reached the receiver, {len(keys)} messages of "
        f"{MESSAGES}; {', '.join(f'{count} {outcome}' for outcome, count in deliveries.outcomes.items())}\n"
    )
    sys.exit(0 if len(keys) == len(contents) == deliveries.outcomes[DeliveryOutcome.DELIVERED] == MESSAGES else 1)


if __name__ == "__main__":
    main()
