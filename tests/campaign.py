"""Runs the long campaigns one after the other, each bounded, and prints one line about each: `make campaign`.

    python -m tests.campaign --list
    python -m tests.campaign --hours 4 [--only faults tenants]

The suite runs a small part of each. The output of a campaign is in campaign/NAME.log. Exits with 1 where one failed or
did not end in its time; those for which no time was left are named.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A command, and the minutes after which it is ended."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    minutes: int

    @property
    def command(self) -> tuple[str, ...]:
        return (sys.executable, "-m", self.module, *self.arguments)


def _campaign(name: str, minutes: int, module: str, *arguments: str) -> Campaign:
    return Campaign(name=name, module=module, arguments=arguments, minutes=minutes)


CAMPAIGNS: Final = (
    _campaign("faults-points", 60, "tests.faults.points"),
    _campaign("faults-power-cut", 60, "tests.faults.power_cut"),
    _campaign("faults-kills", 20, "tests.faults.kills", "--rounds", "30", "--seed", "1"),
    _campaign("faults-flips", 20, "tests.faults.flips", "--count", "200", "--seed", "1"),
    _campaign("faults-fence-folder", 120, "tests.faults.fence", "--place", "folder", "--pauses", "20", "--seed", "1"),
    _campaign("faults-fence-bucket", 120, "tests.faults.fence", "--place", "bucket", "--pauses", "20", "--seed", "1"),
    _campaign("faults-ray-nodes", 60, "tests.distributed.kills", "--documents", "5000", "--kills", "10", "--seed", "1"),
    _campaign("faults-replicas", 30, "tests.faults.replicas", "--rounds", "20", "--seed", "1"),
    _campaign(
        "faults-replicas-bucket", 30, "tests.faults.replicas", "--rounds", "20", "--seed", "1", "--place", "bucket"
    ),
    _campaign(
        "faults-replicas-haproxy", 30, "tests.faults.replicas", "--rounds", "20", "--seed", "1", "--proxy", "haproxy"
    ),
    _campaign("faults-replicas-rolling", 20, "tests.faults.replicas.rolling"),
    _campaign("faults-replicas-contention", 10, "tests.faults.replicas.contention", "--writers", "9"),
    _campaign("deployment-schemas", 10, "tests.deployment.schemas"),
    _campaign("faults-life", 60, "tests.faults.life", "--steps", "20000", "--seed", "1"),
    _campaign("faults-interrupt", 30, "bench.indexing.interrupt", "--kills", "20"),
    _campaign("faults-vllm", 30, "pytest", "tests/vllm/test_faults.py", "--rounds=5", "--grace=0.1", "-s"),
    _campaign("fidelity-vllm", 30, "pytest", "tests/vllm/test_fidelity.py", "--pairs=500", "-s"),
    _campaign(
        "tenants-random-requests",
        30,
        "tests.tenants.random_requests",
        "--steps",
        "10000",
        "--tenants",
        "50",
        "--seed",
        "1",
    ),
    _campaign("tenants-same-answers", 10, "tests.tenants.same_answers", "--pairs", "950"),
    _campaign("tenants-hostile-values", 15, "tests.tenants.hostile_values", "--values", "1000", "--seed", "1"),
    _campaign("tenants-timing", 20, "tests.tenants.timing", "--pairs", "1000", "--seed", "1"),
    _campaign("soak", 20, "tests.soak", "--minutes", "10"),
    _campaign("security-starve", 20, "tests.security.starve", "--seconds", "30"),
    _campaign("security-rank-injection", 20, "tests.security.rank_injection"),
    _campaign("clients-javascript", 20, "tests.clients.run_javascript", "--install"),
    _campaign("openapi-requests", 60, "tests.openapi.campaign", "--requests", "20000", "--seed", "1"),
    _campaign("hostile-files", 30, "tests.hostile.reading"),
    _campaign("hostile-interrupted", 30, "tests.hostile.interrupted", "--kills", "20", "--seed", "1"),
    _campaign("clients-frameworks", 30, "tests.frameworks.run"),
    _campaign("clients-python", 30, "tests.clients.run", "--install"),
    _campaign("clients-chatbot", 15, "tests.clients.chatbot"),
    _campaign("bench-search", 10, "bench.search"),
    _campaign("bench-index", 10, "bench.index"),
    _campaign("bench-neighbours", 20, "bench.neighbours"),
    _campaign("bench-recipes", 30, "bench.recipes"),
    _campaign("bench-upsert", 30, "bench.upsert", "--sizes", "10000,100000"),
    _campaign("bench-growth", 30, "bench.growth", "--sizes", "10000,100000"),
    _campaign("bench-snapshot", 20, "bench.snapshot", "--chunks", "100000", "--dimension", "384"),
    _campaign("bench-single-writes", 10, "bench.single_writes", "--chunks", "20000"),
    _campaign("bench-instructions", 30, "bench.instructions"),
    _campaign("bench-stability-replays", 15, "bench.stability.replays"),
    _campaign("bench-stability-sampling", 15, "bench.stability.sampling"),
    _campaign("bench-indexing-walk", 20, "bench.indexing.memory", "walk", "--files", "1000000"),
    _campaign("bench-indexing-memory", 60, "bench.indexing.memory", "lines", "--gigabytes", "20"),
    _campaign("bench-distill", 20, "bench.distill", "--seconds", "480"),
)


def outcome_of(campaign: Campaign, log: Path, *, seconds: float) -> str:
    """Runs it. "passed", "failed (exit code N)" or "ended after N s"; its output is in the log."""
    with log.open("wb") as written:
        process = subprocess.Popen(
            campaign.command, stdout=written, stderr=subprocess.STDOUT, cwd=PROJECT, start_new_session=True
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"ended after {seconds:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the whole group, so that nothing it started is left
            process.wait()
    return "passed" if code == 0 else f"failed (exit code {code})"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run the long campaigns.")
    parser.add_argument("--hours", type=float, default=4.0, help="of all of them together, at most (4)")
    parser.add_argument("--only", nargs="+", default=[""], help="those whose names begin so")
    parser.add_argument("--list", action="store_true", help="print them and run none")
    parser.add_argument("--logs", type=Path, default=PROJECT / "campaign", help="the folder of their output")
    asked = parser.parse_args(arguments)
    chosen = [each for each in CAMPAIGNS if each.name.startswith(tuple(asked.only))]
    if asked.list:
        for each in chosen:
            print(f"{each.name:24} {each.minutes:3} min at most  python -m {each.module} {' '.join(each.arguments)}")
        return 0
    asked.logs.mkdir(exist_ok=True)
    end = time.monotonic() + 3_600 * asked.hours
    outcomes = []
    for each in chosen:
        began = time.monotonic()
        left = end - began
        seconds = min(60.0 * each.minutes, left)
        outcomes.append(
            outcome_of(each, asked.logs / f"{each.name}.log", seconds=seconds) if left > 0 else "not run: no time left"
        )
        print(f"{each.name:24} {outcomes[-1]}, {time.monotonic() - began:.0f} s", flush=True)
    return 0 if set(outcomes) <= {"passed"} else 1


if __name__ == "__main__":
    sys.exit(main())
