"""Servers that a benchmark starts: several vLLM servers on one GPU, each with winnow in front.

Rule 1: they start together, since most of a minute of vLLM's start is compiling on the host, and are called in turn: an
idle server leaves the GPU alone. Each gets a fixed share of memory, because free memory means nothing while others
start.
Rule 2: a server that fails to start is left out, with the end of its log; the others are measured.
Rule 3: each has its own process group, and none outlives the benchmark.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.gpu.models import WINDOW
from bench.gpu.texts import SERVED_NAME
from winnow.api.vllm.command import FRONT, SERVER
from winnow.rerank.server_check import RERANKER_HEAD
from winnow.rerank.vllm_reranker import FIRST_PORTION_TOKENS

HOST: Final = "127.0.0.1"
_STOP_SECONDS: Final = 20
_LOG_CHARACTERS: Final = 1_500


@dataclass(slots=True, kw_only=True)
class Server:
    """A process that will answer HTTP after its start."""

    name: str
    port: int
    log: Path
    process: subprocess.Popen[bytes]
    command: list[str]
    began: float
    seconds_to_start: float | None = None

    @property
    def is_up(self) -> bool:
        return self.seconds_to_start is not None

    @property
    def end_of_log(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-_LOG_CHARACTERS:]

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=10) as reply:
            found: bytes = reply.read()
        return found

    def stop(self) -> None:
        """Terminate it, wait, then kill it: a GPU still in use spoils the next run."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                break
            os.killpg(self.process.pid, number)
            try:
                self.process.wait(timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def start(name: str, command: Sequence[str], port: int, logs: Path) -> Server:
    log = logs / f"{name}.log"
    with log.open("wb") as opened:
        process = subprocess.Popen(command, stdout=opened, stderr=subprocess.STDOUT, start_new_session=True)
    return Server(name=name, port=port, log=log, process=process, command=list(command), began=time.monotonic())


def free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def vllm_command(
    python: str,
    model: Path,
    port: int,
    *,
    is_reranker: bool,
    template: Path | None = None,
    extra: Sequence[str] = (),
    by_our_front: bool = False,
    launcher: Sequence[str] = (),
) -> list[str]:
    """`python` runs a Python that has vLLM and may be `env NAME=VALUE ... python3`; `launcher` runs our front."""
    role = ["--hf-overrides", RERANKER_HEAD] if is_reranker else ["--convert", "embed"]
    if template is not None:
        role += ["--chat-template", str(template)]
    place = ["--host", HOST, "--port", str(port), "--served-model-name", SERVED_NAME]
    program = [*launcher, str(FRONT)] if by_our_front else ["-m", SERVER]
    common = ["--model", str(model), "--runner", "pooling", "--max-model-len", str(WINDOW)]
    return [*shlex.split(python), *program, *common, *place, *role, *extra]


def winnow_command(
    url: str,
    model: Path,
    port: int,
    data: Path,
    *,
    slice_tokens: int,
    tenants: int,
    shared_seconds: float,
    first_portion: int = FIRST_PORTION_TOKENS,
) -> list[str]:
    asked = [f"--url={url}", f"--model={model}", f"--port={port}", f"--data={data}", f"--slice-tokens={slice_tokens}"]
    asked += [f"--tenants={tenants}", f"--shared-seconds={shared_seconds}", f"--first-portion={first_portion}"]
    return [sys.executable, "-m", "bench.gpu.winnow", *asked]


def card() -> dict[str, Any]:
    """Result of `bench.gpu.card`, from a process that frees the GPU afterwards."""
    done = subprocess.run([sys.executable, "-m", "bench.gpu.card"], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": done.stderr[-_LOG_CHARACTERS:]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def wait(servers: Sequence[Server], path: str, *, until: float) -> None:
    """Wait until each answers or has ended, or until this time (`time.monotonic`)."""
    waiting = [server for server in servers if not server.is_up]
    while waiting and time.monotonic() < until:
        for server in list(waiting):
            if server.process.poll() is not None:
                waiting.remove(server)
            elif _answers(server, path):
                server.seconds_to_start = time.monotonic() - server.began
                waiting.remove(server)
        time.sleep(0.2)


def _answers(server: Server, path: str) -> bool:
    try:
        server.get(path)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
    return True


def metrics(server: Server) -> dict[str, float]:
    """vLLM's own counters since its start: tokens found in its cache, and time spent by requests."""
    found = dict.fromkeys(_COUNTED, 0.0)
    for line in server.get("/metrics").decode().splitlines():
        name, _, value = line.rpartition(" ")
        bare = name.partition("{")[0]
        if bare in _COUNTED:
            found[bare] += float(value)
    return {_COUNTED[name]: value for name, value in found.items()}


_COUNTED: Final = {
    "vllm:prefix_cache_queries_total": "tokens_looked_up",
    "vllm:prefix_cache_hits_total": "tokens_cached",
    "vllm:e2e_request_latency_seconds_sum": "e2e_s",
    "vllm:e2e_request_latency_seconds_count": "inputs",
    "vllm:request_queue_time_seconds_sum": "queue_s",
    "vllm:request_prefill_time_seconds_sum": "prefill_s",
}


def difference(before: dict[str, float], after: dict[str, float]) -> dict[str, Any]:
    """Effect of one request on the counters; times are means per input, in ms."""
    gone = {name: after[name] - before[name] for name in before}
    inputs = max(gone["inputs"], 1.0)
    cached = {name: int(gone[name]) for name in ("inputs", "tokens_looked_up", "tokens_cached")}
    return cached | {name.replace("_s", "_ms"): round(gone[name] * 1e3 / inputs, 1) for name in _TIMES}


_TIMES: Final = ("e2e_s", "queue_s", "prefill_s")
