"""Measures two ways to do one thing in turn, each in its own process, so that memory is separate.

The parent calls them alternately, so that other load on the machine affects both.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

WAYS = ("ours", "naive")


class Way:
    """A child process that does the work on request."""

    def __init__(self, module: str, name: str, arguments: Sequence[str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, "--way", name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self) -> dict[str, Any]:
        """Run once more. Returns what the child measured."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit(f"the {self.name} process exited with status {self._process.wait()}")
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The rounds of one way."""

    name: str
    answers: list[dict[str, Any]]

    def p50(self, key: str) -> float:
        return statistics.median(answer[key] for answer in self.answers)

    @property
    def peak_mb(self) -> float:
        return float(self.answers[-1]["peak_mb"])

    @property
    def last(self) -> dict[str, Any]:
        return self.answers[-1]


def measure(module: str, arguments: Sequence[str], *, rounds: int) -> tuple[Measured, Measured]:
    """One round to warm up, then `rounds` that count, ours and the naive way in turn."""
    ways = [Way(module, name, arguments) for name in WAYS]
    for way in ways:
        way.ask()
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for way in ways:
            answers[way.name].append(way.ask())
    for way in ways:
        way.close()
    ours, naive = (Measured(name=name, answers=answers[name]) for name in WAYS)
    return ours, naive


def serve(run: Callable[[], dict[str, Any]]) -> None:
    """Child process: one run for each input line, one line of JSON per run."""
    for _ in sys.stdin:
        answer = run() | {"peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
