"""What the profile of a request says is what the steps of the engine noted."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from bench.gpu import profiled_front
from bench.gpu.profile import as_text
from bench.gpu.rows import Rows


class Step:
    """What a scheduler returns."""

    total_num_scheduled_tokens = 30
    num_scheduled_tokens = {"a": 10, "b": 20}  # noqa: RUF012  as vLLM has it


def test_a_step_is_noted_with_its_parts_and_one_that_computed_nothing_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter((1.0, 1.002, 2.0, 2.03, 9.0, 9.5))  # schedule, launch, and the ends of two steps; in seconds
    monkeypatch.setattr(profiled_front.time, "perf_counter", lambda: next(now))
    notes = profiled_front.Notes(tmp_path)
    notes.timed("schedule", Step)()
    notes.timed("launch", lambda: None)()
    notes.end_step(8.0)
    notes.end_step(9.4)
    (row,) = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
    assert row == {"at": 8000.0, "ms": 1000.0, "tokens": 30, "inputs": 2, "schedule": 2.0, "launch": 30.0}


def test_the_text_has_means_of_a_request_and_the_waits_of_the_gpu(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.jsonl")
    step: dict[str, Any] = {"tokens": 500, "schedule": 2.0, "launch": 30.0, "update": 1.0}
    kernels = [{"busy_ms": 157.0, "gaps_ms": [14.5], "kernels": {"product": 120.0}}]
    rows.add("phase", phase="warm-up", length=128, ms=[], steps=[step], kernels=[])
    functions = [{"functions": [["launch model.py:3", 36, 12.5, 30.25]]}]
    rows.add(
        "phase", phase="one", length=128, ms=[200.0, 210.0], steps=[step, step, step], kernels=kernels,
        functions=functions,
    )  # fmt: skip
    assert as_text(rows).splitlines() == [
        "one, 128 tokens: p50 205.0 ms, longest 210.0; 3 steps of 1500 tokens",
        "  schedule: 3.0 ms a request",
        "  launch: 45.0 ms a request",
        "  update: 1.5 ms a request",
        "  GPU busy 157.0 ms; it waited [14.5] ms",
        "      120.00  product",
        "        12.5     30.2        36  launch model.py:3",
    ]


def test_what_the_host_does_is_noted_while_it_is_wanted(tmp_path: Path) -> None:
    notes = profiled_front.Notes(tmp_path)
    wish = tmp_path / "functions"
    wish.touch()
    notes.follow_wish()
    for _ in range(3):
        sorted(range(1_000), key=str)
    wish.unlink()
    notes.follow_wish()
    sorted((2, 1))  # not noted
    (row,) = [json.loads(line) for line in (tmp_path / "functions.jsonl").read_text(encoding="utf-8").splitlines()]
    calls = {name: count for name, count, _own, _whole in row["functions"] if "sorted" in name}
    assert list(calls.values()) == [3]


def test_the_text_says_when_the_parts_of_the_last_request_began(tmp_path: Path) -> None:
    """In ms from when it was sent; what was before it is left out."""
    rows = Rows(tmp_path / "rows.jsonl")
    spans = [{"what": "GPU", "at": 1_030.0, "ms": 160.0}, {"what": "prepare", "at": 1_008.0, "ms": 3.0}]
    steps = [{"at": at, "ms": 12.0, "tokens": 500, "inputs": 4, "schedule": 2.0} for at in (800.0, 1_012.5)]
    rows.add("phase", phase="one", asked=1_000.0, length=128, ms=[200.0], steps=steps, kernels=[], spans=spans)
    assert as_text(rows).splitlines()[-3:] == [
        "      8.0 to    11.0  prepare",
        "     12.5 to    24.5  step  inputs 4, tokens 500, schedule 2.0",
        "     30.0 to   190.0  GPU",
    ]


def test_spans_are_noted_once_the_gpu_has_passed_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Event:
        passed = False
        made: ClassVar[list[Event]] = []

        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing
            self.made.append(self)

        def record(self) -> None: ...

        def query(self) -> bool:
            return Event.passed

        def elapsed_time(self, other: Event) -> float:
            """Ms, of which there are ten between two events."""
            return 10.0 * (self.made.index(other) - self.made.index(self))

    cuda = SimpleNamespace(is_available=lambda: True, Event=Event, synchronize=lambda: None)
    monkeypatch.setattr(profiled_front.torch, "cuda", cuda)
    now = iter((5.0, 5.001, 5.003, 6.0, 6.002))  # the start, a launch, a preparation; in seconds
    monkeypatch.setattr(profiled_front.time, "perf_counter", lambda: next(now))
    spans = profiled_front.Spans(tmp_path)
    spans.start()
    assert spans.computed(lambda: "hidden states")() == "hidden states"
    assert not spans.prepared(lambda _turns: False)(None)
    spans.look()
    Event.passed = True
    spans.look()
    rows = [json.loads(line) for line in (tmp_path / "spans.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows == [{"what": "launch", "at": 5001.0, "ms": 2.0}, {"what": "GPU", "at": 5010.0, "ms": 10.0}]
