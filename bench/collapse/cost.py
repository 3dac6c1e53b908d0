"""Cost of leaving out near-identical passages and of MMR: each way beside `off`, in turns, in one process.

    python -m bench.collapse.cost [--rounds 20] [--candidates 30 100 1000]

Indexes data/corpus and five near-identical copies of each document (bench/collapse/quality.py) with the bundled models
into a temporary folder, then searches it without reranking, the cheapest search, so that the ratio is the largest.
`reranked` ways show the ratio where the reranker runs; they are measured for 30 candidates only.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from bench.collapse.quality import copies, read_passages
from bench.order_cost import QUERIES
from winnow.api.assemble import Services, assemble, assemble_indexing
from winnow.api.search.records import Question
from winnow.api.settings import load
from winnow.indexer.progress import NoProgress
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.records import Collapse
from winnow.retrieval.tenancy import DEFAULT_TENANT

COLLECTION: Final = "copies"
INSTRUCTION: Final = "Prefer documents written in English."
WAYS: Final[dict[str, dict[str, Any]]] = {
    "off": {},
    "shingles 0.6": {"collapse": Collapse(shingles=0.6)},
    "cosine 0.97": {"collapse": Collapse(cosine=0.97)},
    "MMR 0.7": {"mmr_lambda": 0.7},
    "all three": {"collapse": Collapse(cosine=0.97, shingles=0.6), "mmr_lambda": 0.7},
}
RERANKED_CANDIDATES: Final = 30


def write_corpus(file: Path) -> None:
    with file.open("wb") as lines:
        for passage in read_passages():
            for number, (_, text) in enumerate([("", passage.text), *copies(passage)]):
                title, _, rest = text.partition("\n")
                row = {"id": f"{passage.document_id}-{number}", "title": title, "text": rest}
                lines.write(orjson.dumps(row) + b"\n")


async def index(parts: Services, file: Path) -> None:
    indexing = assemble_indexing(parts.settings, parts.disk, parts.embedding)
    await indexing.run(open_corpus(str(file)), indexing.open(COLLECTION), progress=NoProgress())


def searches(candidates: int, *, reranked: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    for way, asked in WAYS.items():
        reranking = {"instruction": INSTRUCTION} if reranked else {"rerank": False}
        yield way, {"candidates": candidates, **reranking, **asked}


async def measure(parts: Services, candidates: int, rounds: int, *, reranked: bool) -> None:
    milliseconds: defaultdict[str, list[float]] = defaultdict(list)
    cpu: defaultdict[str, float] = defaultdict(float)
    collapsed: defaultdict[str, list[int]] = defaultdict(list)
    for number in range(rounds + 1):
        for query in QUERIES:
            for way, asked in searches(candidates, reranked=reranked):  # in turns: all meet the same machine
                question = Question(tenant=DEFAULT_TENANT, collection=COLLECTION, query=query, top_k=10, **asked)
                began, cpu_began = time.perf_counter(), time.process_time()
                answer = await parts.search.answer(question, Deadline.never())
                if number:  # the first round warms up
                    milliseconds[way].append(1000.0 * (time.perf_counter() - began))
                    cpu[way] += 1000.0 * (time.process_time() - cpu_began)
                if answer.diversified is not None:
                    collapsed[way].append(sum(map(len, answer.diversified.collapsed.values())))
    p50 = {way: statistics.median(found) for way, found in milliseconds.items()}
    mean_cpu = {way: cpu[way] / len(found) for way, found in milliseconds.items()}
    for way in WAYS:
        left_out = f"{statistics.mean(collapsed[way]):.0f}" if collapsed[way] else ""
        figures = (p50[way], p50[way] / p50["off"], mean_cpu[way], mean_cpu[way] - mean_cpu["off"])
        shown = " | ".join(f"{figure:,.2f}" if place == 1 else f"{figure:,.1f}" for place, figure in enumerate(figures))
        kind = "reranked" if reranked else "recall"
        print(f"| {kind}, {candidates} | {way} | {left_out} | {shown} |", flush=True)


async def run(candidates: list[int], rounds: int, data: Path) -> None:
    parts = assemble(load({"data": data, "judgement_cache_mb": 0}))
    file = data / "copies.jsonl"
    write_corpus(file)
    await index(parts, file)
    print("| search, candidates | way | left out | p50 ms | ratio to off | CPU ms | more CPU ms |")
    print("|---|---|---|---|---|---|---|")
    for count in candidates:
        await measure(parts, count, rounds, reranked=False)
    await measure(parts, RERANKED_CANDIDATES, max(1, rounds // 10), reranked=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--candidates", type=int, nargs="+", default=[30, 100, 1_000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as data:
        asyncio.run(run(arguments.candidates, arguments.rounds, Path(data)))


if __name__ == "__main__":
    main()
