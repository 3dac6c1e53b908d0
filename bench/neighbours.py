"""Measures whether a tenant that floods slows the others down: ten tenants, nine at their share, one at 0 or 20 times.

    python -m bench.neighbours [--load 0.6] [--flood 20] [--seconds 25] [--rounds 4] [--first-come] [--json]

The whole search in one process: `api.search.two_stage` over one collection per tenant, with the bundled models or
others, or servers (`--rerank-url`). First, searches one after the other determine the machine's capacity; a share is a
tenth of `--load` times that. Then quiet and flooded stretches alternate, with the same searches at the same moments in
both: arrivals are random (Poisson, fixed seed) and do not wait for earlier answers, and latency counts from the moment
the search was due. `--first-come` hides the tenants from the reranker, so that all share one queue: the behaviour
before fair queueing. Exits with 1 if the nine's p95 grows more than 1.5 times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from winnow.api.assemble import Services, wire
from winnow.api.assemble_search import closing_pools
from winnow.api.model_loading import load_embedding, load_reranker
from winnow.api.search.records import Question
from winnow.api.settings import Settings
from winnow.rerank.reranker import Ranking, Reranker
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import WinnowError
from winnow.retrieval.records import Candidate

CORPUS: Final = Path(__file__).resolve().parents[1] / "data" / "corpus"
COLLECTION: Final = "own"
FLOOD: Final = "tenant-0"
TENANTS: Final = tuple(f"tenant-{number}" for number in range(10))
GROWTH_MAX: Final = 1.5  # times; the most that a neighbour may cost
TRIALS: Final = 12  # searches one after the other, to determine the capacity


@dataclass(slots=True)
class Seen:
    """Results of one kind of stretch."""

    ms: list[float] = field(default_factory=list)  # of the nine
    answers: Counter[str] = field(default_factory=Counter)  # of the nine
    flood: Counter[str] = field(default_factory=Counter)
    flood_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A search that is due."""

    at: float  # seconds after the start of the stretch
    tenant: str
    query: str


class OneLine:
    """The same reranker, without tenants. Implements `Reranker`."""

    def __init__(self, inner: Reranker) -> None:
        self._inner = inner
        self.name = inner.name
        self.reads_instruction = inner.reads_instruction

    def changes_order(self, instruction: str) -> bool:
        return self._inner.changes_order(instruction)

    async def rank(
        self,
        query: str,
        candidates: Sequence[Candidate],
        *,
        instruction: str,
        tenant: str,  # noqa: ARG002
        deadline: Deadline,
        top_k: int | None = None,
    ) -> Ranking:
        return await self._inner.rank(
            query, candidates, instruction=instruction, tenant="all", deadline=deadline, top_k=top_k
        )


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(measured(options, Path(folder)))
    print(json.dumps(report) if options.json else as_text(report))
    sys.exit(0 if report["p95_growth"] <= GROWTH_MAX else 1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--load", type=float, default=0.6, help="all shares together, as a share of the capacity")
    parser.add_argument("--flood", type=float, default=20.0, help="times its share")
    parser.add_argument("--seconds", type=float, default=25.0, help="of a stretch")
    parser.add_argument("--rounds", type=int, default=4, help="pairs of a quiet and a flooded stretch")
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--timeout-ms", type=int, default=10_000)
    parser.add_argument("--rerank-url", default="")
    parser.add_argument("--rerank-model", default=Settings().rerank_model)
    parser.add_argument("--first-come", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


async def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    parts = parts_in(folder, options)
    async with closing_pools(*parts.pools):
        await fill(parts)
        queries = [json.loads(line)["text"] for line in (CORPUS / "queries.jsonl").open(encoding="utf-8")]
        seconds_alone = await search_seconds(parts, queries, options)
        share = options.load / seconds_alone / len(TENANTS)  # searches per second
        quiet, flooded = Seen(), Seen()
        for number in range(options.rounds):
            rates = dict.fromkeys(TENANTS[1:], share)
            arrivals = list(due(rates, queries, options, seed=options.seed + number))
            await stretch(parts, arrivals, options, quiet)
            flood = list(due({FLOOD: share * options.flood}, queries, options, seed=-options.seed - number))
            await stretch(parts, sorted([*arrivals, *flood], key=lambda each: each.at), options, flooded)
    return report_of(quiet, flooded, share, seconds_alone, options)


def parts_in(folder: Path, options: argparse.Namespace) -> Services:
    urls = tuple(options.rerank_url.split(",")) if options.rerank_url else ()
    settings = Settings(data=folder, rerank_url=urls, rerank_model=options.rerank_model, candidates=options.candidates)
    embedding = load_embedding(settings)
    judging = load_reranker(settings)
    if options.first_come:
        judging = replace(judging, reranker=OneLine(judging.reranker))
    return wire(settings, embedding, judging)


async def fill(parts: Services) -> None:
    lines = [json.loads(line) for line in (CORPUS / "corpus.jsonl").open(encoding="utf-8")]
    documents = [{"id": each["_id"], "title": each["title"], "text": each["text"]} for each in lines]
    for tenant in TENANTS:
        await asyncio.to_thread(parts.ingest.make, tenant, COLLECTION)
        upserted = await parts.ingest.upsert(tenant, COLLECTION, iter(list(enumerate(documents, start=1))))
        assert upserted.accepted == len(documents)
    for pool in parts.pools:
        await pool.prepare()


async def search_seconds(parts: Services, queries: Sequence[str], options: argparse.Namespace) -> float:
    """Seconds of one search on an idle service."""
    taken = []
    for query in queries[:TRIALS]:
        began = time.perf_counter()
        assert await outcome(parts, TENANTS[1], query, options) == "judged"
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[2:])


def due(
    rates: dict[str, float], queries: Sequence[str], options: argparse.Namespace, *, seed: int
) -> Iterator[Arrival]:
    """Yield arrivals in order; they depend on the seed and the rates only."""
    chance = random.Random(seed)
    total = sum(rates.values())
    at = chance.expovariate(total)
    while at < options.seconds:
        yield Arrival(at=at, tenant=chance.choice(list(rates)), query=chance.choice(queries))
        at += chance.expovariate(total)


async def stretch(parts: Services, arrivals: Sequence[Arrival], options: argparse.Namespace, seen: Seen) -> None:
    """Run until all are answered, so that the next stretch begins with an empty queue."""
    began = time.perf_counter()

    async def ask(arrival: Arrival) -> None:
        said = await outcome(parts, arrival.tenant, arrival.query, options)
        ms = 1e3 * (time.perf_counter() - began - arrival.at)
        answers, taken = (seen.flood, seen.flood_ms) if arrival.tenant == FLOOD else (seen.answers, seen.ms)
        answers[said] += 1
        taken.append(ms)

    async with asyncio.TaskGroup() as asked:
        for arrival in arrivals:
            await asyncio.sleep(max(0.0, began + arrival.at - time.perf_counter()))
            asked.create_task(ask(arrival))


async def outcome(parts: Services, tenant: str, query: str, options: argparse.Namespace) -> str:
    """`judged`, `degraded: ...` or the error's name."""
    question = Question(tenant=tenant, collection=COLLECTION, query=query, top_k=10)
    try:
        answer = await parts.search.answer(question, Deadline.after_ms(options.timeout_ms))
    except WinnowError as error:
        return type(error).__name__
    return "judged" if answer.degraded is None else f"degraded: {answer.degraded.reason.value}"


def report_of(
    quiet: Seen, flooded: Seen, share: float, seconds_alone: float, options: argparse.Namespace
) -> dict[str, Any]:
    def figures(ms: Sequence[float]) -> dict[str, float]:
        return {f"p{percent}": float(np.percentile(ms, percent)) if ms else 0.0 for percent in (50, 95)}

    return {
        "search_ms_alone": 1e3 * seconds_alone,
        "share_per_second": share,
        "flood_per_second": share * options.flood,
        "offered": {"quiet": 0.9 * options.load, "flooded": (0.9 + options.flood / 10) * options.load},
        "nine_quiet": {**figures(quiet.ms), "answers": dict(quiet.answers)},
        "nine_flooded": {**figures(flooded.ms), "answers": dict(flooded.answers)},
        "flood": {**figures(flooded.flood_ms), "answers": dict(flooded.flood)},
        "p50_growth": float(np.percentile(flooded.ms, 50) / np.percentile(quiet.ms, 50)),
        "p95_growth": float(np.percentile(flooded.ms, 95) / np.percentile(quiet.ms, 95)),
    }


def as_text(report: dict[str, Any]) -> str:
    lines = [
        f"one search alone {report['search_ms_alone']:.0f} ms; a share is {report['share_per_second']:.2f} a second, "
        f"the flood {report['flood_per_second']:.1f}; offered {report['offered']['quiet']:.2f} and "
        f"{report['offered']['flooded']:.2f} of what the machine can do",
        *(
            f"{name:14} p50 {report[name]['p50']:7.0f} ms   p95 {report[name]['p95']:7.0f} ms   "
            f"{report[name]['answers']}"
            for name in ("nine_quiet", "nine_flooded", "flood")
        ),
        f"p50 {report['p50_growth']:.2f} times, p95 {report['p95_growth']:.2f} times; the limit is {GROWTH_MAX}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
