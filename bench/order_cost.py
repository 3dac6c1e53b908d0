"""Cost of a search before and now: p50 in milliseconds and CPU time, in one process.

python -m bench.order_cost --data DIR --collection NAME [--rounds 3]

before       30 candidates by vectors, reranked
now          the default without an instruction: by meaning and words, not reranked
instructed   the same candidates, reranked with an instruction
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

from winnow.api.assemble import Services, assemble
from winnow.api.search.records import Question
from winnow.api.settings import load
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.records import RecallMode
from winnow.retrieval.tenancy import DEFAULT_TENANT

QUERIES = (
    "how to shuffle a list",
    "how to copy a directory with all its files",
    "怎样创建临时文件",
    "how do I run a program and capture what it prints?",
    "find the largest items in a list",
    "怎样获取环境变量",
)
WAYS: dict[str, dict[str, Any]] = {
    "before": {"recall": RecallMode.DENSE, "rerank_always": True},
    "now": {},
    "instructed": {"instruction": "Prefer documents written in English."},
}


async def measure(parts: Services, collection: str, rounds: int) -> None:
    for way, asked in WAYS.items():
        milliseconds, cpu = [], 0.0
        for number in range(rounds + 1):
            for query in QUERIES:
                question = Question(
                    tenant=DEFAULT_TENANT, collection=collection, query=query, top_k=10, candidates=30, **asked
                )
                began, cpu_began = time.perf_counter(), time.process_time()
                await parts.search.answer(question, Deadline.never())
                if number:  # the first round warms up
                    milliseconds.append(1000.0 * (time.perf_counter() - began))
                    cpu += time.process_time() - cpu_began
        mean_cpu = 1000.0 * cpu / len(milliseconds)
        print(f"| {way} | {statistics.median(milliseconds):,.0f} | {mean_cpu:,.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--collection", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print("| | p50, ms | CPU, ms |\n|---|---|---|")
    asyncio.run(measure(assemble(load({"data": options.data})), options.collection, options.rounds))


if __name__ == "__main__":
    main()
