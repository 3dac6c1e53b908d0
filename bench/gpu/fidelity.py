"""What fp8 costs in scores: every fifth pair of bench.fidelity, by our front in each number format; trained weights.

    python -m bench.gpu.fidelity --write-reference FILE                               # on any machine, by transformers
    python -m bench.gpu.fidelity --reference FILE --vllm-python "env PYTHONPATH=... python3" --out FILE.jsonl

The reference is the model card's recipe in float32; it is written beforehand, so that a GPU does not wait for it. Every
format is compared with it, and with bfloat16's own scores.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np

from bench.fidelity import APART_MAX, PAIRS, Fidelity, Pair, fidelity_of, pairs_of, reference_of, served_scores
from bench.gpu.rows import Rows
from bench.gpu.servers import HOST, free_port, start, vllm_command, wait
from winnow.retrieval.model.folder import ModelFolder, find_model
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Vectors

EVERY: Final = 5
BF16: Final = "bf16"
FORMATS: Final = (BF16, "fp8", "fp8_per_channel", "fp8_per_block")  # as vLLM calls them


def chosen_pairs(folder: ModelFolder) -> list[Pair]:
    return pairs_of(PlainTokenizer.load(folder.path), PAIRS)[::EVERY]


def measure(arguments: argparse.Namespace, folder: ModelFolder, rows: Rows) -> None:
    """Start one server after another, so that a small GPU suffices."""
    pairs, reference = chosen_pairs(folder), np.load(arguments.reference)
    plain: Vectors | None = None
    for number in arguments.formats.split(","):
        quantized = [] if number == BF16 else ["--quantization", number]
        port = free_port()
        extra = ["--dtype", "bfloat16", *quantized, *arguments.extra.split()]
        command = vllm_command(
            arguments.vllm_python, folder.path, port, is_reranker=True, extra=extra, by_our_front=True
        )
        server = start(f"fidelity-{number}", command, port, arguments.logs)
        try:
            wait([server], "/health", until=time.monotonic() + arguments.start_seconds)
            if not server.is_up:
                rows.add("failed", format=number, log=server.end_of_log)
                continue
            scores = asyncio.run(served_scores(folder, pairs, f"http://{HOST}:{port}"))
        finally:
            server.stop()
        plain = scores if number == BF16 else plain
        for against, other in (("float32", reference), (BF16, plain)):
            if other is not None and number != against:
                _note(rows, number, against, fidelity_of(scores, other), len(pairs))


def _note(rows: Rows, number: str, against: str, found: Fidelity, pairs: int) -> None:
    within = float((found.apart < APART_MAX).mean())
    rows.add(
        "fidelity", format=number, against=against, pairs=pairs, apart=found.quantiles, tau=found.tau,
        swapped=found.swapped, within=within,
    )  # fmt: skip
    print(f"{number:16} against {against:8} {found}; {within:.0%} within {APART_MAX}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write-reference", type=Path)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--model", default="winnow-rerank")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--vllm-python", default=sys.executable, help="how to run a Python that has vLLM")
    parser.add_argument("--extra", default="--gpu-memory-utilization 0.1", help="additional flags for every server")
    parser.add_argument("--start-seconds", type=float, default=120.0)
    parser.add_argument("--out", type=Path, default=Path("gpu-fidelity.jsonl"))
    parser.add_argument("--logs", type=Path, default=Path("/tmp"), help="folder for the servers' logs")  # noqa: S108
    arguments = parser.parse_args()
    folder = find_model(arguments.model, kind="reranker")
    if arguments.write_reference is not None:
        np.save(arguments.write_reference, reference_of(folder, chosen_pairs(folder), dtype="float32"))
        return
    measure(arguments, folder, Rows(arguments.out))


if __name__ == "__main__":
    main()
