"""CPU time of a search with the request log and with traces, beside one without: same process, in turn.

    python -m bench.stability.telemetry [--rounds 25] [--searches 20] [--candidates 10] [--fakes]

Three ways over the same services: `off` writes no log and no trace, `logged` writes a JSON line per request, `recorded`
also records every request and sends it to a receiver in another process. Each round asks each way the same new queries,
in a rotated order; CPU time is that of all threads of this process, so the export is in it. The ratio of a round is to
its own `off`; the interval is that of 95 % of 2,000 bootstrap draws of the median ratio. A
round's spans are sent at its end, so many searches a round come close to the batches of a service.
"""

from __future__ import annotations

import argparse
import asyncio
import http.server
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from bench.texts import QUERY, lengths_about, texts_of
from winnow.api.assemble import Services, assemble
from winnow.api.http.app import create_app
from winnow.api.http.log_format import JsonFormatter
from winnow.api.settings import Settings
from winnow.retrieval.model.tokenizer import PlainTokenizer

WAYS: Final = ("off", "logged", "recorded")
DOCUMENTS: Final = 60
DRAWS: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """An app over the shared services."""

    app: Any
    is_logged: bool
    provider: TracerProvider | None

    async def cpu_ms(self, queries: Sequence[str], candidates: int) -> float:
        """CPU time of one of these searches."""
        logging.getLogger("winnow").setLevel(logging.INFO if self.is_logged else logging.ERROR)
        began = time.process_time()
        for query in queries:
            await ask(self.app, "/v1/search", {"query": query, "collection": "docs", "candidates": candidates})
        if self.provider is not None:
            self.provider.force_flush()
        return 1_000.0 * (time.process_time() - began) / len(queries)


async def ask(app: Any, path: str, body: Mapping[str, object]) -> None:
    """One request, straight into the application."""
    content, sent = orjson.dumps(body), asyncio.Event()
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": path, "raw_path": path.encode(),
        "scheme": "http", "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json"),
                    (b"content-length", str(len(content)).encode())],
    }  # fmt: skip
    messages = [{"type": "http.request", "body": content, "more_body": False}]
    statuses: list[int] = []

    async def receive() -> dict[str, object]:
        if messages:
            return messages.pop()
        await sent.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    await app(scope, receive, send)
    sent.set()
    assert statuses[0] in (200, 201), f"{path}: {statuses}"


def services(folder: Path, *, is_fake: bool) -> tuple[Services, PlainTokenizer]:
    settings = Settings(data=folder, device="cpu", judgement_cache_mb=0, query_cache_mb=0)
    if not is_fake:
        parts = assemble(settings)
        return parts, parts.embedding.tokenizer
    from tests.fakes import HashEmbedder, PrefersWord
    from tests.tiny_models import write_embedder
    from winnow.api.assemble import wire
    from winnow.api.model_loading import LoadedEmbedder, LoadedReranker

    tokenizer = PlainTokenizer.load(write_embedder(folder / "embedder"))
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    return wire(settings, embedding, LoadedReranker(reranker=PrefersWord("file"), runs_on="w", device="cpu")), tokenizer


async def measure(arguments: argparse.Namespace, folder: Path, sink: str) -> dict[str, list[float]]:
    """Milliseconds of CPU time per search, by way and round."""
    parts, tokenizer = services(folder, is_fake=arguments.fakes)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{sink}/v1/traces")))
    handler = logging.FileHandler(os.devnull)
    handler.setFormatter(JsonFormatter())
    logging.getLogger("winnow").addHandler(handler)
    ways = {
        "off": Way(app=create_app(parts), is_logged=False, provider=None),
        "logged": Way(app=create_app(parts), is_logged=True, provider=None),
        "recorded": Way(app=create_app(parts, tracer_provider=provider), is_logged=True, provider=provider),
    }
    await ask(ways["off"].app, "/v1/collections", {"name": "docs"})
    texts = texts_of(tokenizer, lengths_about(150, DOCUMENTS))
    documents = [{"id": str(place), "text": text} for place, text in enumerate(texts)]
    await ask(ways["off"].app, "/v1/collections/docs/documents", {"documents": documents})
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(-2, arguments.rounds):  # two rounds to warm up
        queries = [f"{QUERY} {number}.{place}" for place in range(arguments.searches)]
        for turn in range(len(WAYS)):
            name = WAYS[(number + turn) % len(WAYS)]
            taken = await ways[name].cpu_ms(queries, arguments.candidates)
            if number >= 0:
                found[name].append(taken)
    provider.shutdown()
    return found


def as_text(found: Mapping[str, list[float]]) -> str:
    lines = [f"{'':10}{'CPU ms per search':>19}{'ratio to off':>14}{'95 % interval':>18}"]
    for name in WAYS:
        ratios = np.array([ours / off for ours, off in zip(found[name], found["off"], strict=True)])
        drawn = np.median(np.random.default_rng(1).choice(ratios, (DRAWS, len(ratios))), axis=1)
        low, high = np.percentile(drawn, [2.5, 97.5])
        shown = f"{low:.4f} to {high:.4f}"
        lines.append(f"{name:10}{statistics.median(found[name]):>19.3f}{np.median(ratios):>14.4f}{shown:>18}")
    return "\n".join(lines)


def serve_sink() -> None:
    """Takes spans and forgets them, until standard input ends."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    import threading

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--searches", type=int, default=20, help="per way and round")
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--fakes", action="store_true", help="fakes in place of the bundled models: the worst ratio")
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sink:
        serve_sink()
        return
    sink = subprocess.Popen(
        [sys.executable, "-m", "bench.stability.telemetry", "--sink"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert sink.stdout is not None
    assert sink.stdin is not None
    try:
        with tempfile.TemporaryDirectory(prefix="winnow-bench-") as folder:
            print(as_text(asyncio.run(measure(arguments, Path(folder), sink.stdout.readline().strip()))))
    finally:
        sink.stdin.close()
        sink.wait()


if __name__ == "__main__":
    main()
