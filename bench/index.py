"""Speed of embedding documents, compared with the naive way: same model, machine and run.

    python -m bench.index [--embed-model M] [--documents 400] [--tokens 200] [--json]

The naive way is `SentenceTransformer.encode`, which sorts by length and pads each batch of 32 to its longest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.side_by_side import WAYS, Measured, measure, serve
from bench.texts import lengths_about, texts_of
from winnow.retrieval.model.folder import BUNDLED_EMBEDDER, ModelFolder, find_model
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Vectors

COMPARED = 50  # vectors that both send in full


def main() -> None:
    arguments = parse()
    if arguments.way:
        serve({"ours": ours, "naive": naive}[arguments.way](arguments))
        return
    passed_on = [f"--{name}={getattr(arguments, name.replace('-', '_'))}" for name in PASSED_ON]
    report = report_of(*measure("bench.index", passed_on, rounds=arguments.rounds), arguments)
    print(json.dumps(report) if arguments.json else as_text(report))


PASSED_ON = ("embed-model", "documents", "tokens", "threads")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embed-model", default=BUNDLED_EMBEDDER)
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--tokens", type=int, default=200, help="of a document, about")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


def texts_for(arguments: argparse.Namespace, folder: ModelFolder) -> list[str]:
    return texts_of(PlainTokenizer.load(folder.path), lengths_about(arguments.tokens, arguments.documents))


def timed(embed: Callable[[], Vectors], tokens: int) -> Callable[[], dict[str, Any]]:
    def run() -> dict[str, Any]:
        started = time.perf_counter()
        vectors = embed()
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "tokens": tokens, "vectors": vectors[:COMPARED].tolist()}

    return run


def ours(arguments: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    import torch

    from winnow.retrieval.embed.qwen import QwenEmbedder

    torch.set_num_threads(arguments.threads)
    folder = find_model(arguments.embed_model, kind="embedder")
    embedder = QwenEmbedder.load(folder, device="cpu")
    texts = texts_for(arguments, folder)
    tokens = sum(len(ids) + 1 for ids in embedder.tokenizer.ids_batch(texts))
    loop = asyncio.new_event_loop()
    return timed(lambda: loop.run_until_complete(embedder.embed_passages(texts)).vectors, tokens)


def naive(arguments: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    import torch

    from bench.naive import BATCH, naive_embedder

    torch.set_num_threads(arguments.threads)
    folder = find_model(arguments.embed_model, kind="embedder")
    embedder = naive_embedder(folder.path, tokens_max=folder.settings.max_tokens)
    texts = texts_for(arguments, folder)
    dimension = folder.settings.dimension or embedder.get_embedding_dimension()

    def embed() -> Vectors:
        return np.asarray(
            embedder.encode(
                texts, batch_size=BATCH, truncate_dim=dimension, normalize_embeddings=True, show_progress_bar=False
            ),
            dtype=np.float32,
        )

    return timed(embed, 0)


def report_of(ours: Measured, naive: Measured, arguments: argparse.Namespace) -> dict[str, Any]:
    tokens = int(ours.last["tokens"])
    cosines = (np.array(ours.last["vectors"]) * np.array(naive.last["vectors"])).sum(axis=1)
    return {
        "documents": arguments.documents,
        "tokens": tokens,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "documents_per_second": {way.name: round(arguments.documents / way.p50("seconds"), 1) for way in (ours, naive)},
        "tokens_per_second": {way.name: round(tokens / way.p50("seconds")) for way in (ours, naive)},
        "peak_mb": {way.name: way.peak_mb for way in (ours, naive)},
        "times_faster": round(naive.p50("seconds") / ours.p50("seconds"), 2),
        "smallest_cosine": float(cosines.min()),
    }


def as_text(report: dict[str, Any]) -> str:
    lines = [
        f"{report['documents']} documents, {report['tokens']} tokens, {report['threads']} threads, "
        f"p50 of {report['rounds']} rounds in turn",
        f"{'':8}{'documents/s':>14}{'tokens/s':>12}{'peak memory':>14}",
    ]
    for name in WAYS:
        rates = f"{report['documents_per_second'][name]:>14.1f}{report['tokens_per_second'][name]:>12}"
        lines.append(f"{name:8}{rates}{report['peak_mb'][name]:>11.0f} MB")
    lines.append(
        f"{report['times_faster']:.2f} times faster; vectors have a cosine of at least {report['smallest_cosine']:.6f}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
