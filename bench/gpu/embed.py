"""Tokens per second embedded on one GPU, by vLLM and by sentence-transformers, in one run.

    python -m bench.gpu.embed --tokenizer FOLDER --vllm-python "env PYTHONPATH=... python3" --out FILE.jsonl
    python -m bench.gpu.embed --read FILE.jsonl

Both read the same folder of random weights, in bfloat16, and the same texts, new ones in every round. The time runs
from texts to normalised vectors, and the vectors are compared. sentence-transformers sorts by length and pads each
batch to its longest; it is measured with its default of 32 texts per batch and with larger batches.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from bench.gpu.models import SHAPES, WINDOW, as_embedder, write_config, write_folder
from bench.gpu.report import tflops_of
from bench.gpu.rows import Rows, run_or_read
from bench.gpu.servers import HOST, Server, card, free_port, start, vllm_command, wait
from bench.gpu.texts import WordMill
from bench.gpu.winnow import taken_at_its_word
from bench.texts import lengths_about
from winnow.retrieval.embed.vllm import EMBEDDER_FAILURES, VllmEmbedder
from winnow.retrieval.errors import EmbedderUnavailable
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Vectors
from winnow.retrieval.vllm.pool import VllmPool

COMPARED: Final = 50  # vectors that both print in full
WARM_UP: Final = 256  # texts, before timing starts


class Padded:
    """sentence-transformers in its own process, which keeps the model between rounds."""

    def __init__(self, folder: Path, shape: str, device: str) -> None:
        command = [sys.executable, "-m", "bench.gpu.embed", f"--padded={folder}", f"--shape={shape}"]
        self._process = subprocess.Popen(
            [*command, f"--device={device}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise EmbedderUnavailable(f"sentence-transformers ended with status {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def embed(self, texts: Sequence[str], batch: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"texts": texts, "batch": batch}) + "\n")
        self._process.stdin.flush()
        return self.answer()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def serve_padded(folder: Path, shape: str, device: str) -> None:
    """Child process: create the weights, report it, then embed what each line contains."""
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    config = transformers.Qwen3Config(**SHAPES[shape].config)
    with torch.device(device):
        made = transformers.AutoModel.from_config(config, dtype=torch.bfloat16)
    made.save_pretrained(folder)
    del made
    write_config(folder, SHAPES[shape])  # as Qwen publishes it, for other readers of the folder
    transformer = Transformer(str(folder), model_kwargs={"dtype": torch.bfloat16})
    pooling = Pooling(transformer.get_embedding_dimension(), "lasttoken")
    model = SentenceTransformer(modules=[transformer, pooling, Normalize()], device=device)
    model.max_seq_length = WINDOW
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    attention = transformer.auto_model.config._attn_implementation  # noqa: SLF001  where transformers reports it
    said = {"dtype": str(transformer.auto_model.dtype), "attention": attention, **versions}
    print(json.dumps(said), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        began = time.perf_counter()
        vectors = model.encode(asked["texts"], batch_size=asked["batch"], show_progress_bar=False)
        seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "vectors": vectors[:COMPARED].tolist()}), flush=True)


class Bench:
    """Both ways for every size, in turn."""

    def __init__(self, arguments: argparse.Namespace, rows: Rows, folder: Path) -> None:
        self.arguments = arguments
        self.rows = rows
        self.began = time.monotonic()
        self.sizes: list[str] = arguments.sizes.split(",")
        self.folders = {size: folder / size for size in self.sizes}
        self.padded: dict[str, Padded] = {}
        self.servers: dict[str, list[Server]] = {}  # identical copies
        self._seed = 0

    def left(self) -> float:
        """Seconds left of the budget."""
        return float(self.arguments.budget - (time.monotonic() - self.began))

    def run(self) -> None:
        self.rows.add("run", arguments=vars(self.arguments))
        if not self.arguments.no_card:
            self.rows.add("card", **card())
        try:
            self._start()
            mill = WordMill(PlainTokenizer.load(self.folders[self.sizes[0]]))
            every = [server for copies in self.servers.values() for server in copies]
            wait(every, "/health", until=self.began + self.arguments.start_seconds)
            for number in range(self.arguments.rounds):
                for size, copies in self.servers.items():
                    for server in copies if number == 0 else ():
                        log = None if server.is_up else server.end_of_log
                        self.rows.add("server", server=server.name, seconds=server.seconds_to_start, log=log)
                    is_up = all(server.is_up for server in copies)
                    if is_up and (number == 0 or self.left() > self.arguments.spare_seconds):
                        asyncio.run(self._round(size, mill, number))
        finally:
            for padded in self.padded.values():
                padded.close()
            for server in [server for copies in self.servers.values() for server in copies]:
                server.stop()

    def _start(self) -> None:
        """Start the children, which create the weights and so come first."""
        for size in self.sizes:
            write_folder(self.folders[size], SHAPES[size], self.arguments.tokenizer)
            as_embedder(self.folders[size])
            self.padded[size] = Padded(self.folders[size], size, self.arguments.device)
        for size in self.sizes:
            self.rows.add("padded", size=size, **self.padded[size].answer())
            self.servers[size] = [self._started(size, number) for number in range(self.arguments.copies)]

    def _started(self, size: str, number: int) -> Server:
        port, extra = free_port(), self.arguments.extra.split()
        command = vllm_command(self.arguments.vllm_python, self.folders[size], port, is_reranker=False, extra=extra)
        return start(f"embed-{size}-{number}", command, port, self.arguments.logs)

    async def _round(self, size: str, mill: WordMill, number: int) -> None:
        lengths = lengths_about(self.arguments.tokens, self.arguments.texts)
        self._seed += 1
        texts = mill.texts(lengths, seed=self._seed)
        if number == 0:
            self.padded[size].embed(texts[:WARM_UP], int(self.arguments.batches.split(",")[0]))
        found: dict[str, Vectors] = {}
        for slice_tokens in map(int, self.arguments.slices.split(",")):
            for copies in range(1, self.arguments.copies + 1):
                found["winnow"] = await self._winnow(size, texts, slice_tokens, copies, warms_up=number == 0)
        for batch in map(int, self.arguments.batches.split(",")):
            if number and self.left() < self.arguments.spare_seconds:
                return
            answer = self.padded[size].embed(texts, batch)
            theirs = np.array(answer["vectors"])
            cosine = float((found["winnow"][:COMPARED] * theirs).sum(axis=1).min())
            self._add(size, "padded", batch, answer["seconds"], sum(lengths) + len(lengths), cosine=cosine)

    async def _winnow(self, size: str, texts: list[str], slice_tokens: int, copies: int, *, warms_up: bool) -> Vectors:
        urls = [f"http://{HOST}:{server.port}" for server in self.servers[size][:copies]]
        pool = VllmPool(urls, EMBEDDER_FAILURES, proof=taken_at_its_word, slice_tokens=slice_tokens)
        embedder = VllmEmbedder.load(find_model(str(self.folders[size]), kind="embedder"), pool)
        if warms_up:
            await embedder.embed_passages(texts[:WARM_UP])
        began = time.perf_counter()
        embedded = await embedder.embed_passages(texts)
        seconds = time.perf_counter() - began
        await pool.close()
        self._add(size, "winnow" if copies == 1 else f"winnow {copies}", slice_tokens, seconds, embedded.tokens)
        return embedded.vectors

    def _add(self, size: str, way: str, setting: int, seconds: float, tokens: int, **more: float) -> None:
        weights = SHAPES[size].layer_weights
        self.rows.add(
            "embedded", size=size, way=way, setting=setting, seconds=round(seconds, 3), tokens=tokens,
            tflops=round(2 * weights * tokens / seconds / 1e12, 1), **more,
        )  # fmt: skip


def as_text(rows: Rows) -> str:
    lines = [f"{row}" for kind in ("card", "padded", "server") for row in rows.of(kind)]
    for size in dict.fromkeys(row["size"] for row in rows.of("embedded")):
        rates: dict[tuple[str, int], float] = {}
        lines.append(f"\n{size}: tokens/s (rounds), share of the card's bf16 ceiling, smallest cosine to winnow's")
        for way, setting in dict.fromkeys((row["way"], row["setting"]) for row in rows.of("embedded", size=size)):
            here = rows.of("embedded", size=size, way=way, setting=setting)
            rates[way, setting] = median(row["tokens"] / row["seconds"] for row in here)
            share = median(row["tflops"] for row in here) / tflops_of(rows, "bf16")
            cosine = min((row["cosine"] for row in here if "cosine" in row), default=None)
            shown = "" if cosine is None else f" {cosine:.5f}"
            lines.append(f"{way:8} {setting:6} {rates[way, setting]:10.0f} ({len(here)}) {share:6.1%}{shown}")
        ours = max(rate for (way, _), rate in rates.items() if way.startswith("winnow"))
        for (way, batch), rate in rates.items():
            if way == "padded":
                lines.append(f"  {ours / rate:.2f} times batches of {batch}")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--read", type=Path, help="only print the table of an earlier run")
    parser.add_argument("--out", type=Path, default=Path("gpu-embed.jsonl"))
    parser.add_argument("--logs", type=Path, default=Path("/tmp"), help="folder for the servers' logs")  # noqa: S108
    parser.add_argument("--tokenizer", type=Path, help="folder with Qwen3's tokenizer")
    parser.add_argument("--vllm-python", default=sys.executable, help="how to run a Python that has vLLM")
    parser.add_argument("--sizes", default="0.6b,4b")
    parser.add_argument(
        "--copies", type=int, default=1, help="vLLM servers per size; winnow is measured with 1 and all"
    )
    parser.add_argument("--slices", default="8192,65536", help="tokens per request from winnow")
    parser.add_argument("--batches", default="32,64,128", help="texts per padded batch")
    parser.add_argument("--texts", type=int, default=4_096)
    parser.add_argument("--tokens", type=int, default=256, help="of a text, about")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--extra", default="", help="additional flags for every vLLM server")
    parser.add_argument("--budget", type=float, default=500.0, help="seconds for the whole run")
    parser.add_argument("--start-seconds", type=float, default=240.0)
    parser.add_argument(
        "--spare-seconds", type=float, default=60.0, help="reserved for the last round and for stopping"
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-card", action="store_true")
    parser.add_argument("--padded", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--shape", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    if arguments.padded is not None:
        serve_padded(arguments.padded, arguments.shape, arguments.device)
        return
    run_or_read(arguments, as_text, lambda rows, folder: Bench(arguments, rows, folder).run())


if __name__ == "__main__":
    main()
