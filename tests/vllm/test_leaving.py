"""A caller who leaves takes the work along: a real vLLM drops what nobody waits for any more."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.acceptance.conftest import command_in
from tests.vllm.test_faults import service_before

DOCUMENTS: Final = 400
WORK_SECONDS_MIN: Final = 30.0  # what judging all of them takes at the very least, on any machine that runs this
DROPPED_SECONDS_MAX: Final = 12.0  # the step that is being computed is finished
DEADLINE_MS: Final = 8_000  # vLLM counts what it has in hand after its first step, which takes some five seconds
PASSAGE: Final = "The heron stands still in shallow water and strikes at fish. 苍鹭静静地站在浅水中。"

pytestmark = [pytest.mark.vllm, pytest.mark.alone, pytest.mark.timeout(300)]


async def in_hand(vllm: httpx2.AsyncClient) -> int:
    """Inputs that the server computes or keeps waiting, by its own account."""
    said = (await vllm.get("/metrics")).text
    found = re.findall(r"^vllm:num_requests_(?:running|waiting)\{[^}]*\} ([0-9.]+)$", said, re.MULTILINE)
    assert len(found) == 2, "vLLM names these two otherwise now"
    return sum(int(float(number)) for number in found)


async def seconds_until(vllm: httpx2.AsyncClient, *, is_busy: bool) -> float:
    began = time.monotonic()
    async with asyncio.timeout(60):
        while (await in_hand(vllm) > 0) is not is_busy:
            await asyncio.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.parametrize("leaves", ["the caller", "the deadline"])
@pytest.mark.parametrize("server", ["judge_url", "front_judge_url"])
async def test_what_nobody_waits_for_is_dropped(
    request: pytest.FixtureRequest, tmp_path: Path, leaves: str, server: str
) -> None:
    """Long before it would have been done: the connections are closed, here and there."""
    judge_url: str = request.getfixturevalue(server)
    documents = [f"{number}. " + PASSAGE * 20 for number in range(DOCUMENTS)]
    with service_before(command_in(tmp_path / "data", {}), judge_url) as service:
        async with (
            httpx2.AsyncClient(base_url=service.url, timeout=60) as client,
            httpx2.AsyncClient(base_url=judge_url, timeout=60) as vllm,
        ):
            timeout_ms = 60_000 if leaves == "the caller" else DEADLINE_MS
            body = {"query": "how does a heron catch fish", "documents": documents, "timeout_ms": timeout_ms}
            began = time.monotonic()
            asking = asyncio.create_task(client.post("/v1/rerank", json=body))
            await seconds_until(vllm, is_busy=True)
            if leaves == "the caller":
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
            else:
                assert (await asking).status_code == 503
            assert await seconds_until(vllm, is_busy=False) < DROPPED_SECONDS_MAX
            assert time.monotonic() - began < WORK_SECONDS_MIN
