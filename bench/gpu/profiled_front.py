"""Runs our front of vLLM and notes what each step of its engine takes. vLLM's Python runs this file by its path.

    python3 bench/gpu/profiled_front.py FOLDER PATH-OF-server.py FLAGS ...

FOLDER/steps.jsonl gets one line for each step that computed something. While FOLDER/kernels exists, the profiler of
torch runs as well, and FOLDER/kernels.jsonl gets one line for each such stretch: how long the GPU was busy in it, and
with which kernels. While FOLDER/functions exists, Python's profiler runs in the engine's thread, and
FOLDER/functions.jsonl gets one line for each such stretch: what its host did. Profiling costs time, so the steps of
such a stretch are not what to quote.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch

KERNELS_NAMED: Final = 25
FUNCTIONS_NAMED: Final = 60


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

    notes = Notes(folder)
    run, step = engine_turns.Turns.run, engine_turns.Turns._step  # noqa: SLF001

    def noted_step(self: Any) -> None:
        notes.follow_wish()
        began = time.perf_counter()
        step(self)
        notes.end_step(began)

    def noted_run(self: Any) -> None:
        core = self._core
        core.scheduler.schedule = notes.timed("schedule", core.scheduler.schedule)
        core.scheduler.update_from_output = notes.timed("update", core.scheduler.update_from_output)
        core.model_executor.execute_model = notes.timed("launch", core.model_executor.execute_model)
        run(self)

    engine_turns.Turns._step, engine_turns.Turns.run = noted_step, noted_run  # noqa: SLF001
    runpy.run_path(str(program), run_name="__main__")


if __name__ == "__main__":
    main()
