"""Duration of one search, compared with the naive way: same models, same machine, same run.

    python -m bench.search [--embed-model M] [--rerank-model M] [--candidates 100] [--tokens 150] [--json]

A search: embed the query, find the nearest of 10,000 vectors exactly, rerank the candidates. Both ways get the same
candidates, and their scores are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.side_by_side import WAYS, Measured, measure, serve
from bench.texts import CHINESE_QUERY, QUERY, lengths_about, texts_of
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.embedder import DEFAULT_TASK, query_prompt
from winnow.retrieval.index.vector_index import ExactIndex
from winnow.retrieval.model.folder import BUNDLED_EMBEDDER, BUNDLED_RERANKER, find_model
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Candidate, Vectors, candidates_of
from winnow.retrieval.tenancy import DEFAULT_TENANT

INDEXED = 10_000  # vectors; the search among them is the same for both


def main() -> None:
    arguments = parse()
    if arguments.way:
        serve({"ours": ours, "naive": naive}[arguments.way](arguments))
        return
    passed_on = [f"--{name}={getattr(arguments, name.replace('-', '_'))}" for name in PASSED_ON]
    report = report_of(*measure("bench.search", passed_on, rounds=arguments.rounds), arguments)
    print(json.dumps(report) if arguments.json else as_text(report))


PASSED_ON = ("embed-model", "rerank-model", "candidates", "tokens", "threads")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embed-model", default=BUNDLED_EMBEDDER)
    parser.add_argument("--rerank-model", default=BUNDLED_RERANKER)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=150, help="approximate tokens per candidate")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


def candidates_about(arguments: argparse.Namespace, folder: Path) -> list[Candidate]:
    return candidates_of(texts_of(PlainTokenizer.load(folder), lengths_about(arguments.tokens, arguments.candidates)))


def index_of(dimension: int) -> ExactIndex:
    vectors = np.random.default_rng(3).normal(size=(INDEXED, dimension)).astype(np.float32)
    return ExactIndex(np.arange(INDEXED), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def timed(
    embed: Callable[[str], Vectors], index: ExactIndex, judge: Callable[[str], list[float]], width: int
) -> Callable[[], dict[str, Any]]:
    questions = iter([QUERY, CHINESE_QUERY] * 1_000)

    def run() -> dict[str, Any]:
        question = next(questions)
        started = time.perf_counter()
        vector = embed(question)
        embedded = time.perf_counter()
        index.search(vector, width)
        found = time.perf_counter()
        scores = judge(question)
        ended = time.perf_counter()
        return {
            "embed_ms": 1e3 * (embedded - started),
            "recall_ms": 1e3 * (found - embedded),
            "rerank_ms": 1e3 * (ended - found),
            "total_ms": 1e3 * (ended - started),
            "scores": scores,
            "vector": vector.tolist(),
        }

    return run


def ours(arguments: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    import torch

    from winnow.rerank.torch_reranker import TorchReranker
    from winnow.retrieval.embed.qwen import QwenEmbedder

    torch.set_num_threads(arguments.threads)
    embedder = QwenEmbedder.load(find_model(arguments.embed_model, kind="embedder"), device="cpu")
    folder = find_model(arguments.rerank_model, kind="reranker")
    reranker = TorchReranker.load(folder, device="cpu")
    candidates = candidates_about(arguments, folder.path)
    loop = asyncio.new_event_loop()

    def embed(question: str) -> Vectors:
        return loop.run_until_complete(embedder.embed_queries([question])).vectors[0]

    def judge(question: str) -> list[float]:
        ranking = loop.run_until_complete(
            reranker.rank(
                question, candidates, instruction=DEFAULT_INSTRUCTION, tenant=DEFAULT_TENANT, deadline=Deadline.never()
            )
        )
        relevance = {each.candidate.recall_rank: each.relevance for each in ranking.ranked}
        return [relevance[candidate.recall_rank] or 0.0 for candidate in candidates]

    return timed(embed, index_of(embedder.identity.dimension), judge, arguments.candidates)


def naive(arguments: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    import torch

    from bench.naive import NaiveReranker, naive_embedder

    torch.set_num_threads(arguments.threads)
    found = find_model(arguments.embed_model, kind="embedder")
    embedder = naive_embedder(found.path, tokens_max=found.settings.max_tokens)
    folder = find_model(arguments.rerank_model, kind="reranker")
    reranker = NaiveReranker(folder.path, tokens_max=folder.settings.max_tokens)
    passages = [candidate.chunk.text for candidate in candidates_about(arguments, folder.path)]
    dimension = found.settings.dimension or embedder.get_embedding_dimension()

    def embed(question: str) -> Vectors:
        vector = embedder.encode([query_prompt(question, DEFAULT_TASK)], truncate_dim=dimension)[0]
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)

    return timed(
        embed,
        index_of(dimension),
        lambda question: reranker.scores(question, passages, DEFAULT_INSTRUCTION),
        arguments.candidates,
    )


def report_of(ours: Measured, naive: Measured, arguments: argparse.Namespace) -> dict[str, Any]:
    keys = ("embed_ms", "recall_ms", "rerank_ms", "total_ms")
    scores, theirs = np.array(ours.last["scores"]), np.array(naive.last["scores"])
    return {
        "candidates": arguments.candidates,
        "tokens_per_candidate": arguments.tokens,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "p50": {way.name: {key: round(way.p50(key), 1) for key in keys} for way in (ours, naive)},
        "peak_mb": {way.name: way.peak_mb for way in (ours, naive)},
        "times_faster": round(naive.p50("total_ms") / ours.p50("total_ms"), 2),
        "largest_score_difference": float(np.abs(scores - theirs).max()),
        "query_cosine": float(np.dot(ours.last["vector"], naive.last["vector"])),
    }


def as_text(report: dict[str, Any]) -> str:
    lines = [
        f"one search, {report['candidates']} candidates of about {report['tokens_per_candidate']} tokens, "
        f"{report['threads']} threads, p50 of {report['rounds']} rounds in turn",
        f"{'':8}{'embed':>10}{'recall':>10}{'rerank':>10}{'total':>10}{'peak memory':>14}",
    ]
    for name, p50 in report["p50"].items():
        times = "".join(f"{p50[key]:>7.1f} ms" for key in ("embed_ms", "recall_ms", "rerank_ms", "total_ms"))
        lines.append(f"{name:8}{times}{report['peak_mb'][name]:>11.0f} MB")
    lines.append(
        f"{report['times_faster']:.2f} times faster; scores differ by at most "
        f"{report['largest_score_difference']:.1e}, query vectors have a cosine of {report['query_cosine']:.6f}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
