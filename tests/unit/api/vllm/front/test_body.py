"""How much of a body does our front of vLLM read, and for how long? With stand-ins for what only vLLM's Python has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

from tests.unit.api.vllm.front.stand_ins import imported

ABSENT = (
    "vllm",
    "vllm.engine.arg_utils",
    "vllm.exceptions",
    "vllm.inputs",
    "vllm.platforms",
    "vllm.usage.usage_lib",
    "vllm.utils.argparse_utils",
    "vllm.v1.core.sched.scheduler",
    "vllm.v1.engine.llm_engine",
    "vllm.v1.executor",
)
OWN = ("engine_turns", "shared_prefix", "step_graphs")


class Refused(Exception):
    """As in engine_turns.py."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    msgspec = ModuleType("msgspec")
    msgspec.Struct, msgspec.Meta, msgspec.json = object, lambda **_: None, MagicMock()  # type: ignore[attr-defined]
    msgspec.json.encode = lambda said: repr(said).encode()
    own = {name: MagicMock(Refused=Refused) for name in OWN}  # the file runs in their folder
    yield from imported(monkeypatch, "server", {"msgspec": msgspec, **own, **{name: MagicMock() for name in ABSENT}})


async def asked(front: Any, receive: Any) -> tuple[int, dict[bytes, bytes], bytes]:
    """What the door answers to a body of /tokenize that comes so."""
    engine = MagicMock()
    engine.get_supported_tasks.return_value = ("embed",)
    engine.vllm_config.observability_config.otlp_traces_endpoint = None
    door = front.Door(engine, MagicMock(), name="model", root="model", shares="tokens")
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await door({"type": "http", "method": "POST", "path": "/tokenize"}, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


async def test_a_body_without_end_is_refused_while_it_comes(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a part more than is allowed, and the connection ends."""
    monkeypatch.setattr(front, "BODY_BYTES_MAX", 1_000)
    received = 0

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += 100
        return {"type": "http.request", "body": b" " * 100, "more_body": True}

    status, headers, said = await asked(front, receive)
    assert (status, headers[b"connection"], received) == (413, b"close", 1_100)
    assert b"more than 1,000 bytes" in said


async def test_a_body_that_stops_is_refused_in_time(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing waits for its rest."""
    monkeypatch.setattr(front, "BODY_SECONDS_MAX", 0.05)
    messages = [{"type": "http.request", "body": b"{", "more_body": True}]
    was_cancelled = False

    async def receive() -> dict[str, Any]:
        nonlocal was_cancelled
        if messages:
            return messages.pop()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            was_cancelled = True
            raise
        raise AssertionError("it waits for ever")

    status, headers, _ = await asyncio.wait_for(asked(front, receive), 10)
    await asyncio.sleep(0)  # the turn in which a task hears that it was cancelled
    assert (status, headers[b"connection"], was_cancelled) == (408, b"close", True)


async def test_a_body_in_parts_is_read_whole(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as is allowed."""
    monkeypatch.setattr(front, "BODY_BYTES_MAX", 4)
    parts = [b"cd", b"ab"]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": parts.pop(), "more_body": bool(parts)}

    assert await front._body(receive) == b"abcd"
