"""A process that replays golden sets until its standard input ends: `python -m ... DATA URL GATE TOKENIZER`.

URL is the catalog's, or `-`. While GATE/closed exists, a replay waits in the middle; GATE/waiting-PID says so.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.unit.api.stability.watched import Scripted, services
from winnow.api.stability.scheduled import Pace, ScheduledReplays
from winnow.rerank.reranker import Ranking
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Candidate

PACE: Final = Pace(lease=3.0, quiet=0.3, latest=1.0)
CLOSED: Final = "closed"


class Gated(Scripted):
    """Waits while the gate is closed, as a slow server would."""

    def __init__(self, gate: Path) -> None:
        super().__init__()
        self._gate = gate

    async def rank(self, query: str, candidates: Sequence[Candidate], **how: Any) -> Ranking:
        while (self._gate / CLOSED).exists():
            (self._gate / f"waiting-{os.getpid()}").touch()
            await asyncio.sleep(0.02)
        return await super().rank(query, candidates, **how)


async def replay_until_told(loop: ScheduledReplays) -> None:
    async with loop.running():
        print("running", flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main(data: str, url: str, gate: str, tokenizer: str) -> None:
    parts = services(
        Path(data),
        PlainTokenizer.load(Path(tokenizer)),
        Gated(Path(gate)),
        catalog_url=None if url == "-" else url,
    )
    loop = ScheduledReplays(
        replays=parts.replays,
        schedules=parts.disk.catalog.schedules,
        charged=parts.accounting.replaying,
        idle=parts.shadowing.idle,
        quotas=parts.quotas,
        look_seconds=0.05,
        pace=PACE,
    )
    asyncio.run(replay_until_told(loop))


if __name__ == "__main__":
    main(*sys.argv[1:])
