"""What the profile of a request says is what the steps of the engine noted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
