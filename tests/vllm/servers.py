"""Starts a real vLLM, and ends it.

Needs WINNOW_VLLM_PYTHON, the python of an environment that has vllm: tests/vllm/environment.py makes one, and
`make test` has it made.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.acceptance.conftest import PROJECT
from tests.orphans import ends_with_parent
from winnow.api.vllm.command import SERVER

PYTHON: Final = os.environ.get("WINNOW_VLLM_PYTHON", "")  # noqa: TID251  where, not how: no setting of ours
START_SECONDS: Final = 540  # half a minute on two cores that nobody else uses
VARIABLES: Final = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CACHE_ROOT": str(PROJECT / ".vllm" / "cache"),
    "HF_HUB_OFFLINE": "1",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",  # where a test sends spans to its own receiver
    "OTEL_BSP_SCHEDULE_DELAY": "200",  # milliseconds until they are sent
}
ALWAYS: Final = ("--enforce-eager",)  # compiling takes minutes on a CPU, and changes no digit that counts


def composed_flags(service: str) -> list[str]:
    """What docker-compose.yml starts vLLM with, less the model and what a CPU does not know."""
    composed = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))
    _, *flags = composed["services"][service]["command"]
    return [flag for flag in flags if not flag.startswith("--gpu-")]


@contextmanager
def vllm(
    model: Path,
    log: Path,
    *flags: str,
    dtype: str = "float32",
    program: Sequence[str] = ("-m", SERVER),
    variables: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """A server of this model, started with these flags; gives its URL. When asked to, it ends in order."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = ("--host=127.0.0.1", f"--port={port}")
    with log.open("wb") as written:
        server = subprocess.Popen(
            ends_with_parent([PYTHON, *program, f"--model={model}", *flags, f"--dtype={dtype}", *ALWAYS, *address]),
            stdout=written,
            stderr=subprocess.STDOUT,
            env=os.environ | VARIABLES | dict(variables or {}),  # noqa: TID251
            cwd=log.parent,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310  our own loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"vLLM did not start (exit code {server.poll()}):\n{log.read_text(errors='replace')[-3_000:]}")
