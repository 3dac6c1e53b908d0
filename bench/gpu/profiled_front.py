"""Runs our front of vLLM and notes what each step of its engine takes. vLLM's Python runs this file by its path.

    python3 bench/gpu/profiled_front.py FOLDER PATH-OF-server.py FLAGS ...

FOLDER/steps.jsonl gets one line for each step that computed something; FOLDER/spans.jsonl one for each time that inputs
were prepared, and that the model was launched and ran on the GPU, all on the clock of time.perf_counter. While
FOLDER/kernels exists, the profiler of torch runs as well, and FOLDER/kernels.jsonl gets one line for each such stretch:
how long the GPU was busy in it, and with which kernels. While FOLDER/functions exists, Python's profiler runs in the
engine's thread, and FOLDER/functions.jsonl gets one line for each such stretch: what its host did. Profiling takes
time, so the steps of such a stretch are not what to quote.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch

KERNELS_NAMED: Final = 25
FUNCTIONS_NAMED: Final = 60


class Spans:
    """When inputs were prepared, and when the GPU began and ended with each step's layers."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "spans.jsonl"
        self._open: deque[tuple[Any, Any]] = deque()  # events that are not in the file yet
        self._origin: Any = None
        self._began = 0.0

    def start(self) -> None:
        if torch.cuda.is_available():
            self._origin = torch.cuda.Event(enable_timing=True)
            self._origin.record()
            torch.cuda.synchronize()
            self._began = time.perf_counter()

    def prepared(self, fill: Callable[..., bool]) -> Callable[..., bool]:
        def call(turns: Any) -> bool:
            began = time.perf_counter()
            is_any = fill(turns)
            if is_any:
                self._add("prepare", began, time.perf_counter())
            return is_any

        return call

    def computed(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            result = compute(*arguments, **options)
            end.record()
            self._open.append((start, end))
            self._add("launch", began, time.perf_counter())
            return result

        return call if torch.cuda.is_available() else compute

    def look(self) -> None:
        while self._open and self._open[0][1].query():
            began, ended = (
                self._began + self._origin.elapsed_time(event) / 1e3 for event in self._open.popleft()
            )  # fmt: skip
            self._add("GPU", began, ended)

    def _add(self, what: str, began: float, ended: float) -> None:
        _add_line(self._file, {"what": what, "at": round(1e3 * began, 2), "ms": round(1e3 * (ended - began), 2)})


class Notes:
    """What the parts of the current step took, in ms."""

    def __init__(self, folder: Path) -> None:
        self._steps = folder / "steps.jsonl"
        self._wanted = folder / "kernels"
        self._kernels = folder / "kernels.jsonl"
        self._functions_wanted = folder / "functions"
        self._functions = folder / "functions.jsonl"
        self._python: Any = None
        self._began = 0.0
        self._profiler: Any = None
        self.parts: dict[str, float] = {}
        self.tokens = 0
        self.inputs = 0

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            result = function(*arguments, **options)
            self.parts[name] = self.parts.get(name, 0.0) + 1e3 * (time.perf_counter() - began)
            if name == "schedule":
                self.tokens += result.total_num_scheduled_tokens
                self.inputs += len(result.num_scheduled_tokens)
            return result

        return call

    def end_step(self, began: float) -> None:
        now = time.perf_counter()
        if self.tokens or self.parts.get("update", 0.0) > 0.1:
            row = {"at": round(1e3 * began, 2), "ms": round(1e3 * (now - began), 2), "tokens": self.tokens}
            row |= {"inputs": self.inputs} | {name: round(ms, 2) for name, ms in self.parts.items()}
            _add_line(self._steps, row)
        self.parts, self.tokens, self.inputs = {}, 0, 0

    def follow_wish(self) -> None:
        """Start or stop the profilers."""
        self._follow_functions()
        wanted = self._wanted.exists()
        if wanted and self._profiler is None:
            of = torch.profiler.ProfilerActivity
            self._profiler = torch.profiler.profile(activities=[of.CUDA if torch.cuda.is_available() else of.CPU])
            self._profiler.start()
            self._began = time.perf_counter()
        elif not wanted and self._profiler is not None:
            self._profiler.stop()
            self._report(self._profiler, time.perf_counter() - self._began)
            self._profiler = None

    def _follow_functions(self) -> None:
        import cProfile  # not above: there it would import profile.py of this file's folder as the standard library's
        import pstats

        wanted = self._functions_wanted.exists()
        if wanted and self._python is None:
            self._python = cProfile.Profile()
            self._python.enable()
        elif not wanted and self._python is not None:
            self._python.disable()
            found: Any = pstats.Stats(self._python)
            _add_line(self._functions, {"functions": _longest(found.stats)})
            self._python = None

    def _report(self, profiler: Any, seconds: float) -> None:
        spans = sorted(
            (each.time_range.start, each.time_range.end, each.name)
            for each in profiler.events()
            if each.device_type == torch.autograd.DeviceType.CUDA
        )
        busy, end, took = 0.0, 0.0, Counter[str]()
        gaps = []
        for start, stop, name in spans:
            took[name[:90]] += round((stop - start) / 1e3, 3)
            busy += max(0.0, stop - max(start, end))
            if end and start - end > 1_000:
                gaps.append(round((start - end) / 1e3, 2))
            end = max(end, stop)
        row = {"seconds": round(seconds, 3), "busy_ms": round(busy / 1e3, 2), "gaps_ms": gaps}
        _add_line(self._kernels, row | {"kernels": dict(took.most_common(KERNELS_NAMED))})


def _longest(found: dict[tuple[str, int, str], tuple[int, int, float, float, object]]) -> list[tuple[object, ...]]:
    """Name and place, calls, ms by itself, ms with what it called, of the functions that took longest by themselves."""
    longest = sorted(found.items(), key=lambda each: -each[1][2])[:FUNCTIONS_NAMED]
    return [
        (f"{name} {file}:{line}", calls, round(1e3 * own, 2), round(1e3 * whole, 2))
        for (file, line, name), (_, calls, own, whole, _) in longest
    ]


def _add_line(file: Path, row: dict[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps(row) + "\n")


def main() -> None:
    folder, program = Path(sys.argv[1]), Path(sys.argv[2])
    sys.argv[:] = [str(program), *sys.argv[3:]]
    sys.path[0] = str(program.parent)  # as if it ran by itself
    import engine_turns  # in that folder

    notes, spans = Notes(folder), Spans(folder)
    run = engine_turns.Turns.run

    def noted_run(self: Any) -> None:
        core, engine = self._core, self._engine
        core.scheduler.schedule = notes.timed("schedule", core.scheduler.schedule)
        core.scheduler.update_from_output = notes.timed("update", core.scheduler.update_from_output)
        core.model_executor.execute_model = notes.timed("launch", core.model_executor.execute_model)
        runner = core.model_executor.driver_worker.worker.model_runner
        runner._model_forward = spans.computed(runner._model_forward)  # noqa: SLF001
        step = engine.step

        def noted_step() -> Any:
            notes.follow_wish()
            began = time.perf_counter()
            found = step()
            notes.end_step(began)
            spans.look()
            return found

        engine.step = noted_step
        spans.start()
        run(self)

    engine_turns.Turns._fill_step = spans.prepared(engine_turns.Turns._fill_step)  # noqa: SLF001
    engine_turns.Turns.run = noted_run
    runpy.run_path(str(program), run_name="__main__")


if __name__ == "__main__":
    main()
