"""Where the time of POST /v1/rerank goes on one GPU: the steps of our front's engine, and how long the GPU is busy.

    python -m bench.gpu.profile --tokenizer FOLDER --vllm-python "env PYTHONPATH=... python3" --out FILE.jsonl

One server behind one winnow process, random weights, new texts in every request: some requests one at a time, then
many at once, each first as they are and then under the profiler of torch, which says what the GPU computes and where it
waits for its host. Last, one at a time under the profiler of Python: what the host does meanwhile.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.gpu.client import Caller, burst
from bench.gpu.models import SHAPES, WINDOW, write_folder
from bench.gpu.rows import Rows, run_or_read
from bench.gpu.servers import HOST, Server, free_port, start, vllm_command, wait, winnow_command
from bench.gpu.texts import Requests
from bench.gpu.variants import flags_of
from winnow.rerank.vllm_reranker import FIRST_PORTION_TOKENS, SHARED_SECONDS

PROFILED: Final = Path(__file__).with_name("profiled_front.py")
WRITTEN: Final = ("steps.jsonl", "kernels.jsonl", "functions.jsonl", "spans.jsonl")  # by the front
PATH: Final = "/v1/rerank"
WARM_UP: Final = 3
PROCESS_SECONDS: Final = 60


class Profile:
    def __init__(self, arguments: argparse.Namespace, rows: Rows, folder: Path) -> None:
        self.arguments, self.rows, self.folder = arguments, rows, folder
        self._seed = 0
        self._asked = 0.0  # when the last request was sent, in ms
        self._read = dict.fromkeys(WRITTEN, 0)  # lines that are in the rows

    def run(self) -> None:
        model = self.folder / self.arguments.shape
        write_folder(model, SHAPES[self.arguments.shape], self.arguments.tokenizer)
        self.requests = Requests(model, documents=self.arguments.documents, tokens_max=WINDOW)
        front, winnow = self._started(model)
        try:
            wait([front], "/health", until=time.monotonic() + self.arguments.start_seconds)
            wait([winnow], "/healthz", until=time.monotonic() + PROCESS_SECONDS)
            for each in (front, winnow):
                self.rows.add("server", server=each.name, log=None if each.is_up else each.end_of_log)
            if front.is_up and winnow.is_up:
                for length in map(int, self.arguments.lengths.split(",")):
                    self._ask(winnow.port, length)
        finally:
            winnow.stop()
            front.stop()

    def _started(self, model: Path) -> tuple[Server, Server]:
        variants = self.arguments.variants.split(":")
        extra = [*self.arguments.extra.split(), *flags_of(variants), "--load-format", "dummy"]
        command = vllm_command(
            self.arguments.vllm_python, model, free_port(), is_reranker=True, extra=extra, by_our_front=True,
            launcher=[str(PROFILED), str(self.folder)],
        )  # fmt: skip
        front = start("profiled", command, int(command[command.index("--port") + 1]), self.arguments.logs)
        port = free_port()
        command = winnow_command(
            f"http://{HOST}:{front.port}", model, port, self.folder / "winnow",
            slice_tokens=self.arguments.slice_tokens, tenants=0, shared_seconds=SHARED_SECONDS,
            first_portion=self.arguments.first_portion,
        )  # fmt: skip
        return front, start("winnow-profiled", command, port, self.arguments.logs)

    def _ask(self, port: int, length: int) -> None:
        self._one_at_a_time(port, length, WARM_UP)
        self._noted("warm-up", length, [])
        self._noted("one", length, self._one_at_a_time(port, length, self.arguments.requests))
        self._noted("many", length, self._at_once(port, length))
        wish = self.folder / "kernels"
        for phase in ("one", "many"):
            wish.touch()
            times = self._one_at_a_time(port, length, 1) if phase == "one" else self._at_once(port, length)
            wish.unlink()
            self._one_at_a_time(port, length, 1)  # its first step ends the stretch
            self._noted(f"{phase}, profiled", length, times)
        wish = self.folder / "functions"
        wish.touch()
        times = self._one_at_a_time(port, length, self.arguments.requests)
        wish.unlink()
        self._one_at_a_time(port, length, 1)
        self._noted("one, host profiled", length, times)

    def _one_at_a_time(self, port: int, length: int, count: int) -> list[float]:
        caller = Caller(port, PATH)
        times = []
        for _ in range(count):
            self._seed += 1
            texts = self.requests.draw(length, seed=self._seed).texts
            self._asked = 1e3 * time.perf_counter()
            times.append(caller.ask(texts).ms)
            time.sleep(0.2)
        caller.close()
        return times

    def _at_once(self, port: int, length: int) -> list[float]:
        self._seed += 1
        drawn = [self.requests.draw(length, seed=10_000 * self._seed + each) for each in range(self.arguments.at_once)]
        found = burst(port, PATH, [each.texts for each in drawn])
        return [each.ms for each in found.answers]

    def _noted(self, phase: str, length: int, times: Sequence[float]) -> None:
        steps, kernels, functions, spans = (self._new_lines(name) for name in self._read)
        ms = [round(each, 1) for each in times]
        self.rows.add(
            "phase", phase=phase, length=length, asked=self._asked, ms=ms,
            steps=steps, kernels=kernels, functions=functions, spans=spans,
        )  # fmt: skip

    def _new_lines(self, name: str) -> list[dict[str, Any]]:
        file = self.folder / name
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        found, self._read[name] = lines[self._read[name] :], len(lines)
        return [json.loads(line) for line in found]


def as_text(rows: Rows) -> str:
    said = []
    for row in rows.of("phase"):
        if not row["ms"]:
            continue
        steps = row["steps"]
        said.append(
            f"{row['phase']}, {row['length']} tokens: p50 {median(row['ms']):.1f} ms, longest {max(row['ms']):.1f};"
            f" {len(steps)} steps of {sum(each['tokens'] for each in steps)} tokens"
        )
        sums = {name: sum(each.get(name, 0.0) for each in steps) for name in ("schedule", "launch", "update")}
        said += [f"  {name}: {ms / len(row['ms']):.1f} ms a request" for name, ms in sums.items()]
        if row["phase"] == "one" and row.get("spans"):
            said += _in_order(row["asked"], row["ms"][-1], row["spans"], steps)
        for each in row["kernels"]:
            said.append(f"  GPU busy {each['busy_ms']} ms; it waited {each['gaps_ms']} ms")
            said += [f"    {ms:8.2f}  {name}" for name, ms in list(each["kernels"].items())[:12]]
        for each in row.get("functions", ()):  # files of earlier runs have none
            said += [
                f"    {own:8.1f} {whole:8.1f}  {calls:>8}  {name}" for name, calls, own, whole in each["functions"][:25]
            ]
    return "\n".join(said)


def _in_order(asked: float, ms: float, spans: Sequence[dict[str, Any]], steps: Sequence[dict[str, Any]]) -> list[str]:
    """What happened during the last request, in ms from when it was sent."""
    found = [*spans, *({"what": "step", **each} for each in steps)]
    during = sorted((each["at"] - asked, each) for each in found if 0 <= each["at"] - asked <= ms)
    return [f"  {at:7.1f} to {at + each['ms']:7.1f}  {_named(each)}" for at, each in during]


def _named(each: dict[str, Any]) -> str:
    parts = (f"{name} {each[name]}" for name in ("inputs", "tokens", "schedule", "launch", "update") if name in each)
    return f"{each['what']}  {', '.join(parts)}".rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--read", type=Path, help="only print the table of an earlier run")
    parser.add_argument("--out", type=Path, default=Path("gpu-profile.jsonl"))
    parser.add_argument("--logs", type=Path, default=Path("/tmp"), help="folder for the servers' logs")  # noqa: S108
    parser.add_argument("--tokenizer", type=Path, help="folder with Qwen3's tokenizer")
    parser.add_argument("--shape", choices=SHAPES, default="4b")
    parser.add_argument("--vllm-python", default=sys.executable, help="how to run a Python that has vLLM")
    parser.add_argument("--variants", default="", help="of the front, with colons between (bench/gpu/variants.py)")
    parser.add_argument("--slice-tokens", type=int, default=65_536)
    parser.add_argument(
        "--first-portion", type=int, default=FIRST_PORTION_TOKENS, help="tokens that winnow sends first"
    )
    parser.add_argument("--extra", default="", help="additional flags for the vLLM server")
    parser.add_argument("--lengths", default="128,512", help="of documents, in tokens")
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--requests", type=int, default=5, help="one at a time")
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--start-seconds", type=float, default=200.0)
    arguments = parser.parse_args()
    run_or_read(arguments, as_text, lambda rows, folder: Profile(arguments, rows, folder).run())


if __name__ == "__main__":
    main()
