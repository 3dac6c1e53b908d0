"""Send 20,000 requests that the OpenAPI description allows, or nearly allows, to a service, and check every answer.

    python -m tests.openapi.campaign [--requests 20000] [--seed 1] [--minutes 55]

Schemathesis runs its four phases: examples, coverage of every schema's edges, fuzzing, and sequences of requests that
use earlier answers. No answer may be 500, outside its schema, of an undocumented status or of an undocumented type.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import httpx2

from tests.openapi.environment import PROJECT, installed
from tests.openapi.service import KEY, client_of, serving
from tests.openapi.story import STORY, told

CHECKS: Final = (
    "no_unexpected_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance",
)  # fmt: skip
LEFT_ALONE: Final = r"^/v1/(keys|tenants|limits)"  # of the last phases: they would take the run's own rights away
COUNTED: Final = re.compile(r"^\s+(\d+) generated", re.MULTILINE)
OPERATIONS: Final = len({(each.method, each.path) for each in STORY})
ROUNDS: Final = (  # phases, paths that are left alone, share of the time that is left
    ("examples,coverage", None, 0.4),
    ("fuzzing", LEFT_ALONE, 0.6),
    ("stateful", LEFT_ALONE, 1.0),
)


def run(address: str, phases: str, *, examples: int, seed: int, seconds: float, without: str | None) -> tuple[int, int]:
    """Run these phases. The exit code, and how many requests were sent."""
    command = [
        str(installed()), "run", f"{address}/openapi.json", "--phases", phases, "--checks", ",".join(CHECKS),
        "--header", f"Authorization: Bearer {KEY}", "--max-examples", str(examples), "--seed", str(seed),
        "--continue-on-failure", "--no-shrink", "--suppress-health-check", "all", "--warnings", "off",
        "--request-timeout", "60", "--max-time", str(int(seconds)), "--no-color",
    ]  # fmt: skip
    if without is not None:
        command += ["--exclude-path-regex", without]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.openapi.hooks", "PYTHONPATH": str(PROJECT)}  # noqa: TID251
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, timeout=seconds + 120, check=False
    )
    sys.stdout.write(done.stdout)
    return done.returncode, sum(int(found) for found in COUNTED.findall(done.stdout))


def main() -> int:
    parser = argparse.ArgumentParser(description="Send what the OpenAPI description allows.")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=55.0, help="of the whole run, at most")
    asked = parser.parse_args()
    end = time.monotonic() + 60.0 * asked.minutes
    sent, faults = 0, 0
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as address:
        while sent < asked.requests and time.monotonic() < end:
            for phases, without, share in ROUNDS:
                with client_of(address) as client:
                    _prepare(client)
                left = max(asked.requests - sent, OPERATIONS)
                code, count = run(
                    address,
                    phases,
                    examples=max(1, left // (2 * OPERATIONS)),
                    seed=asked.seed,
                    seconds=max(1.0, share * (end - time.monotonic())),
                    without=without,
                )
                sent, faults = sent + count, faults + (code != 0)
            asked.seed += 1
        print(f"{sent:,} requests, {faults} phases with faults, seed up to {asked.seed - 1}")
    return 1 if faults or sent < asked.requests else 0


def _prepare(client: httpx2.Client) -> None:
    """Have what the examples name: what the story makes, and nothing that a phase left behind."""
    for each in ("collections/handbook", "collections/birds", "instructions/chinese-first/shadow"):
        client.delete(f"/v1/{each}")
    for each in told(client, until="POST /v1/instructions"):
        assert each.answer.status_code
    client.post("/v1/instructions", json={"name": "chinese-first", "text": "Prefer documents written in Chinese."})


if __name__ == "__main__":
    sys.exit(main())
