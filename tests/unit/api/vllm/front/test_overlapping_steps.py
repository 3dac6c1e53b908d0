"""What the front prepares for a step, when it waits, and when it delivers. With stand-ins for vLLM's engine."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from tests.unit.api.vllm.front.stand_ins import imported

STEP = 100  # tokens
ABSENT = ("vllm", "vllm.exceptions", "vllm.inputs", "shared_prefix")


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    absent = {name: MagicMock() for name in ABSENT}
    absent["vllm.exceptions"].VLLMValidationError = KeyError
    absent["vllm.inputs"].tokens_input = lambda ids, cache_salt: ids
    absent["shared_prefix"].shared_tokens = lambda inputs: min(map(len, inputs)) // 2 if len(inputs) > 1 else 0
    yield from imported(monkeypatch, "engine_turns", absent)


class Gpu:
    """An engine with one step in flight, whose result is there once `done` is set."""

    def __init__(self) -> None:
        self.done = threading.Event()
        on_gpu = SimpleNamespace(async_copy_ready_event=SimpleNamespace(query=self.done.is_set))
        self.scheduler = SimpleNamespace(
            waiting=[],
            running=[SimpleNamespace(num_computed_tokens=9, num_tokens=9)],
            make_stats=lambda: SimpleNamespace(num_waiting_reqs=len(self.scheduler.waiting)),
        )
        self.batch_queue: deque[Any] | None = deque([(SimpleNamespace(async_output=on_gpu), None, None)])

    def preprocess_add_request(self, request: Any) -> Any:
        return request, 0

    def add_request(self, request: Any, _wave: int) -> None:
        self.scheduler.waiting.append(request)


class Checked:
    """vLLM's check of inputs: it refuses the id 7, and fails at 8."""

    def process_inputs(self, name: str, prompt: list[int], _params: Any, **_: Any) -> Any:
        if 7 in prompt:
            raise ValueError("7 is no token")
        if 8 in prompt:
            raise TypeError("a fault of vLLM's")
        return SimpleNamespace(request_id=name, num_tokens=len(prompt), prompt=prompt)

    def assign_request_id(self, request: Any) -> None:
        request.request_id += "-unique"


def turns_of(front: Any, gpu: Gpu, results: Sequence[Any] = ()) -> Any:
    engine = MagicMock()
    engine.engine_core.engine_core = gpu
    engine.engine_core.get_output = lambda: SimpleNamespace(outputs=results)
    engine.input_processor = Checked()
    engine.vllm_config.scheduler_config.max_num_batched_tokens = STEP
    turns = front.Turns(engine, None)
    turns._waiting["0-0"] = object(), 0  # what the step in flight computes
    return turns


def job_of(front: Any, *inputs: list[int]) -> Any:
    loop = MagicMock()
    loop.call_soon_threadsafe = lambda call: call()
    loop.create_future = Future
    return front.Job([*inputs] or [[1, 2]], MagicMock(), loop)


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


def test_no_more_is_prepared_than_the_next_step_can_take(front: Any) -> None:
    """What inputs share counts once. The rest follows when the step has taken what was ready, in order."""
    gpu = Gpu()
    turns = turns_of(front, gpu)
    first, second = job_of(front, *[[1] * 20] * 12), job_of(front, [2] * 30)
    turns.put(first)
    turns.put(second)
    assert turns._take()
    assert len(first.names) == 9, "20 and eight times 10 tokens"
    gpu.scheduler.waiting.clear()
    assert turns._fill_step()
    assert (len(first.names), len(second.names)) == (12, 1)
    assert [len(each.prompt) for each in gpu.scheduler.waiting] == [20, 20, 20, 30]
    assert not turns._unprepared


def test_an_idle_gpu_begins_with_few(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "FIRST_TOKENS", 40)
    gpu = Gpu()
    in_flight = gpu.batch_queue
    gpu.batch_queue = deque()
    turns, job = turns_of(front, gpu), job_of(front, *[[1] * 20] * 12)
    turns.put(job)
    assert turns._take()
    assert len(job.names) == 3
    gpu.batch_queue = in_flight
    assert turns._take()
    assert len(job.names) == 10


@pytest.mark.parametrize(("token", "said"), [(7, "7 is no token"), (8, "a fault of vLLM's")])
def test_an_input_that_fails_fails_its_request_alone(front: Any, token: int, said: str) -> None:
    gpu = Gpu()
    turns = turns_of(front, gpu)
    bad, good = job_of(front, [1, 2], [3, token]), job_of(front, [4, 5])
    turns.put(bad)
    turns.put(good)
    assert turns._take()
    with pytest.raises(front.Refused if token == 7 else TypeError, match=said):
        bad.done.result(0)
    turns._engine.abort_request.assert_called_once_with(bad.names, internal=True)
    assert {name for name in turns._waiting if name != "0-0"} == {*good.names}


def test_results_are_delivered_before_the_account(front: Any) -> None:
    gpu = Gpu()
    results: list[Any] = []
    turns = turns_of(front, gpu, results)
    job = job_of(front, [1, 2], [3, 4])
    turns.put(job)
    turns._take()
    results += [SimpleNamespace(request_id=name, pooling_output=name) for name in reversed(job.names)]
    turns._engine.engine_core.get_output()
    assert job.done.result(0) == job.names
    assert list(turns._waiting) == ["0-0"]


def test_copies_that_are_missing_keep_results_back(front: Any) -> None:
    gpu, prefix = Gpu(), MagicMock()
    prefix.require_copies.side_effect = RuntimeError("keys were copied in 1 of 2 layers")
    results: list[Any] = []
    turns = turns_of(front, gpu, results)
    turns._prefix, job = prefix, job_of(front)
    turns.put(job)
    turns._take()
    results.append(SimpleNamespace(request_id=job.names[0], pooling_output=1.0))
    with pytest.raises(RuntimeError, match="1 of 2"):
        turns._engine.engine_core.get_output()
    assert not job.done.done()


def test_what_is_not_prepared_counts_as_waiting(front: Any) -> None:
    gpu = Gpu()
    turns, job = turns_of(front, gpu), job_of(front, *[[1] * 20] * 12)
    turns.put(job)
    turns._take()
    assert gpu.scheduler.make_stats().num_waiting_reqs == 12
    turns.drop(job)
    gpu.scheduler.waiting.clear()
    gpu.done.set()
    turns._take()
    assert gpu.scheduler.make_stats().num_waiting_reqs == 0
    turns._engine.logger_manager.record.assert_called_once()
