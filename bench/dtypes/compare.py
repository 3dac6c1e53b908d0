"""Compares the number types of a model on a CPU side by side, in one process.

    OMP_NUM_THREADS=1 python -m bench.dtypes.compare [--rounds 5] [--queries 40] [--collection FOLDER ...] [--texts 60]
        [--types float32,bf16-mixed] [--documents 2000]

speed     CPU time of the process to embed `--texts` documents and to rerank 30. The types take turns, and each round
          has other texts, so that no cache helps. Medians, and float32's time divided by each. 0 rounds leave it out.
ranking   `--queries` judged queries of each BEIR folder, by default of data/corpus. All documents ordered by the
          vectors of each type, and the 30 nearest by float32 vectors ordered by the relevance of each type: nDCG@10 and
          its distance from float32's. Then the largest differences from float32 of a cosine of a query and a document
          and of a relevance, and the largest difference of a relevance between a pair alone and the same pair among 30.
          Of several folders, the last rows have the mean of all. `--documents` keeps the judged documents of these
          queries and the first others.

Exits with 1 if bf16-mixed moves the mean nDCG@10 of all folders by .002 or more. Documents are cut to 1,000 characters.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from winnow.indexer.corpus import Record
from winnow.indexer.readers.beir import read_qrels, read_queries
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.torch_reranker import TorchReranker
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.measures import parse
from winnow.retrieval.model.folder import BUNDLED_EMBEDDER, BUNDLED_RERANKER, find_model
from winnow.retrieval.model.number_type import (
    BF16_MIXED,
    BFLOAT16,
    FLOAT32,
    INT8_DYNAMIC,
    bfloat16_instructions,
    int8_instructions,
)
from winnow.retrieval.records import Vectors, candidates_of

CORPUS: Final = Path(__file__).resolve().parents[2] / "data" / "corpus"
TYPES: Final = (FLOAT32.name, BFLOAT16.name, BF16_MIXED.name, INT8_DYNAMIC.name)
CANDIDATES: Final = 30
CHARACTERS_MAX: Final = 1_000  # of a document
NDCG: Final = parse("nDCG@10")
MOVED_MAX: Final = 0.002  # of nDCG@10

Grades: TypeAlias = Mapping[str, int]
Found: TypeAlias = dict[str, tuple[float, float]]  # by number type: nDCG@10 by vectors, and by relevance


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Both models in one number type."""

    embedder: QwenEmbedder
    reranker: TorchReranker

    async def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        """The relevance of each passage."""
        ranking = await self.reranker.rank(
            query,
            candidates_of(passages),
            instruction=DEFAULT_INSTRUCTION,
            tenant="bench",
            deadline=Deadline.never(),
        )
        found = [float("nan")] * len(passages)
        for each in ranking.ranked:
            assert each.relevance is not None, "a torch reranker scores everything. This is a bug."
            found[each.candidate.chunk.number] = each.relevance
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A judged collection."""

    ids: Sequence[str]
    texts: Sequence[str]
    queries: Sequence[str]
    grades: Sequence[Grades]


def read_judged(folder: Path, *, queries: int, documents_max: int) -> Judged:
    """Every n-th judged query, so that all languages and kinds of the file are among them."""
    documents = [each.document for each in open_corpus(str(folder)).entries() if isinstance(each, Record)]
    judgments, texts = read_qrels(folder), read_queries(folder)
    judged = [query for query in texts if judgments.get(query)]
    chosen = judged[:: max(1, len(judged) // queries)][:queries]
    needed = {document for query in chosen for document in judgments[query]}
    documents.sort(key=lambda each: each.id not in needed)  # stable
    documents = documents[:documents_max]
    return Judged(
        ids=[each.id for each in documents],
        texts=[f"{each.title}\n{each.text}".strip()[:CHARACTERS_MAX] for each in documents],
        queries=[texts[query] for query in chosen],
        grades=[judgments[query] for query in chosen],
    )


def load_pair(dtype: str) -> Pair:
    return Pair(
        embedder=QwenEmbedder.load(find_model(BUNDLED_EMBEDDER, kind="embedder"), device="cpu", dtype=dtype),
        reranker=TorchReranker.load(find_model(BUNDLED_RERANKER, kind="reranker"), device="cpu", dtype=dtype),
    )


async def measure_speed(pairs: Mapping[str, Pair], judged: Judged, *, rounds: int, texts: int) -> None:
    spent: dict[tuple[str, str], list[float]] = {}
    for turn in range(rounds + 1):  # the first warms up
        documents = [f"{turn} {text}" for text in judged.texts[:texts]]
        for dtype, pair in pairs.items():
            began = time.process_time()
            await pair.embedder.embed_passages(documents)
            embedded = time.process_time()
            await pair.scores(judged.queries[turn % len(judged.queries)], documents[:CANDIDATES])
            if turn:
                spent.setdefault(("embedding", dtype), []).append(embedded - began)
                spent.setdefault(("reranking 30", dtype), []).append(time.process_time() - embedded)
    for work in ("embedding", "reranking 30"):
        exact = statistics.median(spent[work, FLOAT32.name])
        for dtype in pairs:
            median = statistics.median(spent[work, dtype])
            print(f"| {work} | {dtype} | {1_000 * median:,.0f} ms | {exact / median:.2f} |", flush=True)


async def measure_ranking(pairs: Mapping[str, Pair], judged: Judged, name: str) -> Found:
    """Print a row for each number type. Returns nDCG@10 by vectors and by relevance."""
    similarities = {dtype: await _similarities(pair, judged) for dtype, pair in pairs.items()}
    recalled = [np.argsort(-row, kind="stable")[:CANDIDATES].tolist() for row in similarities[FLOAT32.name]]
    found: Found = {}
    scores: dict[str, list[list[float]]] = {}
    for dtype, pair in pairs.items():
        scores[dtype] = [
            await pair.scores(query, [judged.texts[place] for place in places])
            for query, places in zip(judged.queries, recalled, strict=True)
        ]
        by_vectors = [np.argsort(-row, kind="stable").tolist() for row in similarities[dtype]]
        by_relevance = [
            [places[number] for number in np.argsort(-np.array(row), kind="stable")]
            for places, row in zip(recalled, scores[dtype], strict=True)
        ]
        found[dtype] = _mean_ndcg(judged, by_vectors), _mean_ndcg(judged, by_relevance)
    for dtype, pair in pairs.items():
        cosine = float(np.abs(similarities[dtype] - similarities[FLOAT32.name]).max())
        score = float(np.abs(np.array(scores[dtype]) - np.array(scores[FLOAT32.name])).max())
        print(
            f"| {name} | {dtype} | {_as_text(found, dtype)} | "
            f"{cosine:.1e} | {score:.1e} | {await _alone(pair, judged, recalled, scores[dtype]):.1e} |",
            flush=True,
        )
    return found


def mean_of(each: Sequence[Found]) -> Found:
    """Return the mean over collections, each of which counts once."""
    return {
        dtype: (statistics.fmean(one[dtype][0] for one in each), statistics.fmean(one[dtype][1] for one in each))
        for dtype in each[0]
    }


def moved_by(found: Found, dtype: str) -> tuple[float, float]:
    """Return the distances from float32."""
    (vectors, relevance), (vectors_before, relevance_before) = found[dtype], found[FLOAT32.name]
    return vectors - vectors_before, relevance - relevance_before


def _as_text(found: Found, dtype: str) -> str:
    return " | ".join(f"{ndcg:.4f} ({by:+.4f})" for ndcg, by in zip(found[dtype], moved_by(found, dtype), strict=True))


async def _similarities(pair: Pair, judged: Judged) -> Vectors:
    """(queries, documents)"""
    queries = (await pair.embedder.embed_queries(judged.queries)).vectors
    documents = (await pair.embedder.embed_passages(judged.texts)).vectors
    return np.asarray(queries, dtype=np.float32) @ np.asarray(documents, dtype=np.float32).T


async def _alone(
    pair: Pair, judged: Judged, recalled: Sequence[Sequence[int]], scores: Sequence[Sequence[float]]
) -> float:
    """By how much the first candidate's relevance differs at most if nothing is scored beside it."""
    found = [
        abs((await pair.scores(query, [judged.texts[places[0]]]))[0] - row[0])
        for query, places, row in zip(judged.queries, recalled, scores, strict=True)
    ]
    return max(found)


def _mean_ndcg(judged: Judged, orders: Sequence[Sequence[int]]) -> float:
    return statistics.fmean(
        NDCG.of([judged.ids[place] for place in order], grades)
        for order, grades in zip(orders, judged.grades, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--texts", type=int, default=60)
    parser.add_argument("--collection", type=Path, nargs="+", default=[CORPUS])
    parser.add_argument("--documents", type=int, default=100_000, help="at most, of each collection")
    parser.add_argument("--types", default=",".join(TYPES), help="number types; float32 has to be the first")
    arguments = parser.parse_args()
    print(f"this CPU multiplies bfloat16 by: {', '.join(bfloat16_instructions()) or 'nothing'}", flush=True)
    print(f"and int8 by: {', '.join(int8_instructions()) or 'nothing'}", flush=True)
    pairs = {dtype: load_pair(dtype) for dtype in arguments.types.split(",")}
    found = []
    for place, folder in enumerate(arguments.collection):
        judged = read_judged(folder, queries=arguments.queries, documents_max=arguments.documents)
        if not place and arguments.rounds:
            asyncio.run(measure_speed(pairs, judged, rounds=arguments.rounds, texts=arguments.texts))
        found.append(asyncio.run(measure_ranking(pairs, judged, folder.name)))
    mean = mean_of(found)
    for dtype in pairs if len(found) > 1 else ():
        print(f"| mean | {dtype} | {_as_text(mean, dtype)} |")
    moved = max(map(abs, moved_by(mean, BF16_MIXED.name))) if BF16_MIXED.name in pairs else 0.0
    if moved >= MOVED_MAX:
        sys.exit(f"{BF16_MIXED.name} moves nDCG@10 by {moved:.4f}")


if __name__ == "__main__":
    main()
