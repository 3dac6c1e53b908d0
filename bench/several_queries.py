"""How to fuse the candidates of several queries: nDCG@10 and Recall@30 of each rule on judged collections.

    python -m bench.several_queries --collections DIR... --work WORK [--asked 150]

    alone        the main query
    rrf          reciprocal ranks: sum of 1 / (60 + place)
    sum, max     of standings (recall's scores in standard deviations); a query that did not find a chunk counts with
                 the last standing of its own list. The product's rule is the sum (retrieval/search/several_queries.py)

The further queries are: `translated`, the same question in the other language (ids `en-ID` and `zh-ID`); `parts`, both
halves of the question; `misled`, the question after it. p is from a paired randomisation test of nDCG@10 against `rrf`,
two-sided, 10,000 draws.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from training.order import NDCG
from winnow.api.assemble import Services, assemble, assemble_indexing
from winnow.api.cli.evaluation.cases import judged_cases
from winnow.api.settings import load
from winnow.indexer.progress import NoProgress
from winnow.indexer.readers.beir import read_qrels, read_queries
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.retrieval.measures import parse
from winnow.retrieval.records import RecallMode
from winnow.retrieval.search.hybrid import Proposal, propose
from winnow.retrieval.search.reader import Searcher
from winnow.retrieval.significance import p_of_difference

SHOWN: Final = 30
RRF: Final = 60
RECALL: Final = parse("R@30")
OTHER: Final = {"en": "zh", "zh": "en"}


def order_by(rule: str, found: Sequence[Proposal]) -> list[int]:
    """Chunk numbers, best first."""
    places = [{number: place for place, number in enumerate(each.numbers.tolist())} for each in found]
    scores: dict[int, float] = {}
    for number in dict.fromkeys(number for each in places for number in each):
        if rule == "rrf":
            scores[number] = sum(1.0 / (RRF + 1 + each[number]) for each in places if number in each)
            continue
        standings = [
            float(each.standings[at.get(number, -1)]) for each, at in zip(found, places, strict=True) if len(at)
        ]
        scores[number] = sum(standings) if rule == "sum" else max(standings)
    return sorted(scores, key=lambda number: (-scores[number], number))


def further(kind: str, query: str, id_: str, queries: Mapping[str, str]) -> list[str]:
    if kind == "translated":
        language, _, rest = id_.partition("-")
        return [queries[f"{OTHER[language]}-{rest}"]]
    if kind == "misled":
        ids = list(queries)
        return [queries[ids[(ids.index(id_) + 1) % len(ids)]]]
    words = query.split()
    if len(words) > 3:
        middle = len(words) // 2
        return [" ".join(words[:middle]), " ".join(words[middle:])]
    return [query[: len(query) // 2], query[len(query) // 2 :]]


def figures_of(
    view: Searcher,
    parts: Services,
    asked: Sequence[tuple[str, str]],
    *,
    kind: str,
    queries: Mapping[str, str],
    grades: Mapping[str, Mapping[str, int]],
    width: int,
) -> dict[str, list[tuple[float, float]]]:
    figures: dict[str, list[tuple[float, float]]] = {}
    for id_, text in asked:
        texts = [text, *further(kind, text, id_, queries)]
        vectors = asyncio.run(parts.embedding.embedder.embed_queries(texts)).vectors
        found = [
            propose(view, vector, each, mode=RecallMode.HYBRID, width=width, matching=None)
            for vector, each in zip(vectors, texts, strict=True)
        ]
        for rule in ("alone", "rrf", "sum", "max"):
            numbers = order_by("rrf", found[:1]) if rule == "alone" else order_by(rule, found)
            documents = list(dict.fromkeys(view.snapshot.document_ids(numbers[:SHOWN])))
            figures.setdefault(rule, []).append((NDCG.of(documents, grades[id_]), RECALL.of(documents, grades[id_])))
    return figures


def rows(folder: Path, work: Path, most: int, width: int) -> Iterator[str]:
    settings = load({"data": work})
    parts = assemble(settings, judged=False)
    indexing = assemble_indexing(settings, parts.disk, parts.embedding)
    opened = indexing.open(folder.name.lower())
    asyncio.run(indexing.run(open_corpus(str(folder)), opened, progress=NoProgress()))
    opened.searchable.refresh()
    view, grades, queries = opened.searchable.view(), read_qrels(folder), read_queries(folder)
    asked = [(case.id, case.text) for case in judged_cases(queries, grades, sample=most)]
    kinds = ["parts", "misled"]
    if all(id_[:3] in {"en-", "zh-"} for id_ in queries):
        kinds.insert(0, "translated")
    for kind in kinds:
        figures = figures_of(view, parts, asked, kind=kind, queries=queries, grades=grades, width=width)
        base = np.array(figures["rrf"])[:, 0]
        cells = []
        for rule, values in figures.items():
            found = np.array(values)
            against = "" if rule == "rrf" else f" (p {p_of_difference(found[:, 0] - base):.3f})"
            cells.append(f"{found[:, 0].mean():.4f}, {found[:, 1].mean():.4f}{against}")
        yield f"| {folder.name}, {kind}, {width} each | {len(asked)} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collections", type=Path, nargs="+", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--asked", type=int, default=150, help="number of questions; a fixed sample")
    parser.add_argument("--widths", type=int, nargs="+", default=[SHOWN], help="candidates of each query")
    options = parser.parse_args()
    print("| collection, further queries | questions | alone | rrf | sum | max |\n|---|---|---|---|---|---|")
    for folder in options.collections:
        for width in options.widths:
            for row in rows(folder, options.work, options.asked, width):
                print(row, flush=True)


if __name__ == "__main__":
    main()
