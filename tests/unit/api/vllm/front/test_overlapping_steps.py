"""While everything is on the GPU the front waits for results and for arrivals. With stand-ins for vLLM's engine."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from tests.unit.api.vllm.front.stand_ins import imported

ABSENT = ("vllm", "vllm.exceptions", "vllm.inputs", "shared_prefix")


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    yield from imported(monkeypatch, "engine_turns", {name: MagicMock() for name in ABSENT})


class Gpu:
    """An engine with one step in flight, whose result is there once `done` is set."""

    def __init__(self) -> None:
        self.done = threading.Event()
        on_gpu = SimpleNamespace(async_copy_ready_event=SimpleNamespace(query=self.done.is_set))
        self.scheduler = SimpleNamespace(waiting=[], running=[SimpleNamespace(num_computed_tokens=9, num_tokens=9)])
        self.batch_queue: deque[Any] | None = deque([(SimpleNamespace(async_output=on_gpu), None, None)])

    def add_request(self, *_: Any) -> None:
        self.scheduler.waiting.append(object())


def turns_of(front: Any, gpu: Gpu) -> Any:
    engine = MagicMock()
    engine.engine_core.engine_core = gpu
    turns = front.Turns(engine, None)
    turns._waiting["0-0"] = object(), 0  # what the step in flight computes
    return turns


def job_of(front: Any) -> Any:
    prepared = [front.Prepared(name="1-0", request=None, hashed=())]
    return front.Job(prepared, MagicMock())


def test_an_arrival_is_taken_while_the_gpu_computes(front: Any) -> None:
    gpu = Gpu()
    turns = turns_of(front, gpu)
    assert turns._is_scheduled()
    assert not turns._has_result()
    later = threading.Timer(0.05, turns.put, [job_of(front)])
    later.start()
    assert turns._take()
    assert gpu.scheduler.waiting, "it is in the next step"
    assert not gpu.done.is_set()


def test_a_result_ends_the_wait(front: Any) -> None:
    gpu = Gpu()
    turns = turns_of(front, gpu)
    threading.Timer(0.05, gpu.done.set).start()
    assert turns._take()
    assert gpu.done.is_set()


def test_stopping_ends_the_wait(front: Any) -> None:
    turns = turns_of(front, Gpu())
    threading.Timer(0.05, turns.stop).start()
    assert not turns._take()


def test_inputs_that_are_computed_in_part_are_scheduled_at_once(front: Any) -> None:
    gpu = Gpu()
    gpu.scheduler.running[0].num_computed_tokens = 8
    assert turns_of(front, gpu)._take()


def test_an_engine_whose_steps_do_not_overlap_steps_at_once(front: Any) -> None:
    """As on a CPU; and one whose results come from another process, which tells nothing before they are there."""
    alone, other = Gpu(), Gpu()
    alone.batch_queue = None
    other.batch_queue = deque([(SimpleNamespace(), None, None)])
    assert turns_of(front, alone)._take()
    assert turns_of(front, other)._take()
