"""Fits the order of answers: the weight of words in the fusion, and the weight of relevance relative to recall.

    python -m training.order --collections DIR... --work WORK --out WORK/order.json [--embedder M] [--reranker M]

The collections are those of `training.unseen`: texts that neither model was trained on. Everything is computed by the
product's own code (index, recall, prompts, logits) and kept in WORK, so that another run only fits.

1. The weight of words: that of retrieval/search/fusion.py, chosen by the mean nDCG@10 of the fused order.
2. The weight of relevance without an instruction: the best one, if a paired randomisation test says that it is better
   than 0 (p < 0.05), else 0, with which the reranker is not run at all.
3. The weight of relevance with an instruction, on the mixed collections: each query with wordings that prefer one
   language; the translation in that language has grade 3, the other 1. The largest weight whose nDCG@10 with these
   grades is within 0.01 of the best: instructions should be followed.

Each choice is also made without one collection and measured there (cross-fitting): the figures printed as "crossed" are
of weights that never saw the collection. Scale and bias, which change no order, come from a logistic regression: a
score then approximates the share of such candidates that answer. A table by source says whether the order without an
instruction is significantly worse than the better of BM25 and hybrid recall (training/figures/by_source.py).
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from training.exported import Judging
from training.figures.by_source import Figures, as_table, judge_sources
from winnow.api.assemble import assemble, assemble_indexing
from winnow.api.cli.evaluation.cases import judged_cases
from winnow.api.settings import load
from winnow.indexer.progress import NoProgress
from winnow.indexer.readers.beir import read_qrels, read_queries
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.retrieval.measures import Measure, parse
from winnow.retrieval.search.fusion import WORDS_WEIGHT, fused
from winnow.retrieval.search.hybrid import Pools, search_pools
from winnow.retrieval.significance import LEVEL, p_of_difference

Numbers = NDArray[np.float64]

NDCG: Final = parse("nDCG@10")
WORDS_WEIGHTS: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0)
RELEVANCE_WEIGHTS: Final = (0.0, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 4.0)
CANDIDATES: Final = 30
TOLERANCE: Final = 0.01  # nDCG@10 that may be given up so that an instruction is followed
LANGUAGES: Final = ("en", "zh")
GRADE_WANTED: Final = 3  # of the translation in the preferred language
_KEPT_EVERY: Final = 10  # questions; an interrupted run continues from there
_STEPS: Final = 30
_RIDGE: Final = 1e-6  # keeps Newton's step finite if the two classes are separable


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A query, and the results of both searches."""

    collection: str
    id: str
    text: str
    grades: Mapping[str, int]
    pools: Pools
    documents: Mapping[int, str]  # by chunk number, of everything in the pools
    passages: Mapping[int, str]

    def fused(self, words_weight: float, k: int) -> tuple[list[int], Numbers]:
        """Chunk numbers and their recall scores, best first."""
        pools = self.pools
        best = fused(
            pools.near, pools.worded, pools.worded_similarities, asked=pools.asked, k=k, words_weight=words_weight
        )
        return best.numbers.tolist(), best.scores

    def names(self, numbers: Sequence[int]) -> list[str]:
        return list(dict.fromkeys(self.documents[number] for number in numbers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The candidates of one query with one instruction."""

    asked: Asked
    grades: Mapping[str, int]
    wanted: str | None  # the preferred language; None without an instruction
    numbers: list[int]  # in recall's order
    standings: Numbers
    logits: Numbers

    def documents(self, relevance_weight: float) -> list[str]:
        """Documents in the order of this weight; infinity is relevance alone."""
        scores = self.logits if np.isinf(relevance_weight) else self.standings + relevance_weight * self.logits
        return self.asked.names([self.numbers[place] for place in np.argsort(-scores, kind="stable")])

    def ndcg(self, relevance_weight: float) -> float:
        return NDCG.of(self.documents(relevance_weight), self.grades)

    def is_wanted_first(self, relevance_weight: float) -> bool:
        """Whether the first document with a judgment is in the preferred language."""
        first = next((each for each in self.documents(relevance_weight) if each in self.grades), "")
        return first.startswith(f"{self.wanted}-")


async def asked_of(folders: Sequence[Path], embedder: str | None, data: Path, most: int) -> list[Asked]:
    settings = load({"data": data, "embed_model": embedder})
    parts = assemble(settings, judged=False)
    indexing = assemble_indexing(settings, parts.disk, parts.embedding)
    found: list[Asked] = []
    for folder in folders:
        opened = indexing.open(folder.name.lower())
        await indexing.run(open_corpus(str(folder)), opened, progress=NoProgress())
        opened.searchable.refresh()
        view = opened.searchable.view()
        judgments = read_qrels(folder)
        cases = judged_cases(read_queries(folder), judgments, sample=most)
        for query, text in ((case.id, case.text) for case in cases):
            vector = (await parts.embedding.embedder.embed_queries([text])).vectors[0]
            pools = search_pools(view, vector, text, width=CANDIDATES, matching=None)
            numbers = np.union1d(pools.near.numbers, pools.worded.numbers).tolist()
            chunks = view.snapshot.chunks(numbers)
            found.append(
                Asked(
                    collection=folder.name,
                    id=query,
                    text=text,
                    grades=judgments[query],
                    pools=pools,
                    documents={chunk.number: chunk.document_id for chunk in chunks},
                    passages={chunk.number: chunk.passage for chunk in chunks},
                )
            )
    return found


class Logits:
    """The reranker's logits, cached in a file: computing them takes almost all the time."""

    def __init__(self, reranker: Path, file: Path) -> None:
        self._judging = Judging(reranker)
        self._file = file
        self._known: dict[str, dict[str, float]] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        self._asked = 0

    def of(self, asked: Asked, numbers: Sequence[int], instruction: str) -> Numbers:
        known = self._known.setdefault(json.dumps([asked.collection, asked.id, instruction]), {})
        missing = [number for number in numbers if str(number) not in known]
        if missing:
            said = self._judging.logits(asked.text, [asked.passages[number] for number in missing], instruction)
            known |= {str(number): float(logit) for number, logit in zip(missing, said, strict=True)}
            self._asked += 1
            if self._asked % _KEPT_EVERY == 0:
                self.keep()
        return np.array([known[str(number)] for number in numbers])

    def keep(self) -> None:
        self._file.write_text(json.dumps(self._known), encoding="utf-8")


def judged_of(asked: Sequence[Asked], logits: Logits, words_weight: float) -> list[Judged]:
    """Score without an instruction."""
    found = []
    for each in asked:
        numbers, standings = each.fused(words_weight, CANDIDATES)
        judged = logits.of(each, numbers, DEFAULT_INSTRUCTION)
        found.append(
            Judged(asked=each, grades=each.grades, wanted=None, numbers=numbers, standings=standings, logits=judged)
        )
    logits.keep()
    return found


def instructed_of(
    asked: Sequence[Asked], logits: Logits, words_weight: float, wordings: Mapping[str, Sequence[str]]
) -> list[Judged]:
    """Score each query with one wording that prefers English and one that prefers Chinese."""
    found = []
    for place, each in enumerate(asked):
        numbers, standings = each.fused(words_weight, CANDIDATES)
        for language in LANGUAGES:
            wording = wordings[language][place % len(wordings[language])]
            grades = {name: GRADE_WANTED if name.startswith(f"{language}-") else 1 for name in each.grades}
            judged = logits.of(each, numbers, wording)
            found.append(
                Judged(asked=each, grades=grades, wanted=language, numbers=numbers, standings=standings, logits=judged)
            )
    logits.keep()
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A figure of each case at each weight; collections count equally, however many cases they have."""

    collections: list[str]  # of the cases
    weights: tuple[float, ...]
    figures: Numbers  # (cases, weights)

    def means(self, names: Sequence[str]) -> Numbers:
        of = np.array(self.collections)
        return np.mean([self.figures[of == name].mean(0) for name in names], axis=0)

    def best(self, names: Sequence[str]) -> int:
        """Position of the best weight; the smallest on a tie."""
        means = self.means(names)
        return int(np.flatnonzero(means >= means.max() - 1e-9)[0])

    def largest_within(self, tolerance: float) -> float:
        """The largest weight whose mean is at most this much below the best one's."""
        means = self.means(sorted(set(self.collections)))
        return self.weights[int(np.flatnonzero(means >= means.max() - tolerance)[-1])]

    def report(self, title: str, base: float) -> float:
        """Print the table. Returns the best weight over all collections."""
        names = sorted(set(self.collections))
        crossed = {name: self.best([one for one in names if one != name]) for name in names}
        column = np.array([crossed[name] for name in self.collections])
        got = self.figures[np.arange(len(column)), column]
        at_base = self.figures[:, self.weights.index(base)]
        print(f"\n{title}: {len(self.collections)} cases of {len(names)} collections")
        print("| weight | " + " | ".join(f"{weight:g}" for weight in self.weights) + " |")
        print("| all | " + " | ".join(f"{mean:.4f}" for mean in self.means(names)) + " |")
        for name in names:
            line = " | ".join(f"{mean:.3f}" for mean in self.means([name]))
            print(f"| {name} (crossed {self.weights[crossed[name]]:g}) | {line} |")
        means = [got[np.array(self.collections) == name].mean() for name in names]
        print(
            f"crossed {np.mean(means):.4f}, at {base:g} {self.means(names)[self.weights.index(base)]:.4f}, "
            f"p = {p_of_difference(got - at_base):.4f}"
        )
        return self.weights[self.best(names)]

    def p_against(self, weight: float, base: float) -> float:
        return p_of_difference(self.figures[:, self.weights.index(weight)] - self.figures[:, self.weights.index(base)])


def words_table(asked: Sequence[Asked], measure: Measure) -> Table:
    figures = [
        [measure.of(each.names(each.fused(weight, 300)[0]), each.grades) for weight in WORDS_WEIGHTS] for each in asked
    ]
    return Table(collections=[each.collection for each in asked], weights=WORDS_WEIGHTS, figures=np.array(figures))


def relevance_table(judged: Sequence[Judged], *, first: bool = False) -> Table:
    weights = (*RELEVANCE_WEIGHTS, float("inf"))
    figures = [
        [float(each.is_wanted_first(weight)) if first else each.ndcg(weight) for weight in weights] for each in judged
    ]
    return Table(collections=[each.asked.collection for each in judged], weights=weights, figures=np.array(figures))


def figures_of(judged: Judged, relevance_weight: float) -> Figures:
    """The nDCG@10 of lexical recall, of hybrid recall, and of the order of this weight."""
    asked = judged.asked
    words = asked.names(asked.pools.worded.numbers[:CANDIDATES].tolist())
    return Figures(
        source=asked.collection,
        lexical=NDCG.of(words, judged.grades),
        hybrid=judged.ndcg(0.0),
        measured=judged.ndcg(relevance_weight),
    )


def scaled(judged: Sequence[Judged], relevance_weight: float) -> dict[str, float]:
    """Newton's method on the log likelihood of scale and bias: two numbers, so a dozen steps suffice."""
    raw = np.concatenate([each.standings + relevance_weight * each.logits for each in judged])
    relevant = np.concatenate(
        [[each.asked.documents[number] in each.asked.grades for number in each.numbers] for each in judged]
    ).astype(np.float64)
    features = np.stack([raw, np.ones(len(raw))], axis=1)
    weights = np.zeros(2)
    for _ in range(_STEPS):
        probabilities = 1 / (1 + np.exp(-features @ weights))
        gradient = features.T @ (relevant - probabilities) - _RIDGE * weights
        curvature = (features * (probabilities * (1 - probabilities))[:, None]).T @ features
        weights = weights + np.linalg.solve(curvature + _RIDGE * np.eye(2), gradient)
    scale, bias = weights.tolist()
    assert scale > 0, "recall's order would be turned round"
    return {
        "recall_weight": round(scale, 4),
        "relevance_weight": round(scale * relevance_weight, 4),
        "bias": round(bias, 4),
    }


def first_of_each(asked: Sequence[Asked], count: int) -> list[Asked]:
    by_collection: dict[str, list[Asked]] = {}
    for each in asked:
        by_collection.setdefault(each.collection, []).append(each)
    return [each for several in by_collection.values() for each in several[:count]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collections", type=Path, nargs="+", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--embedder", default="winnow-embed")
    parser.add_argument("--reranker", type=Path, default=Path("data/models/winnow-rerank"))
    parser.add_argument("--words-weight", type=float, default=WORDS_WEIGHT, help="for the candidates to rerank")
    parser.add_argument("--asked", type=int, default=200, help="queries per collection; a fixed sample")
    parser.add_argument("--queries", type=int, default=50, help="per collection whose candidates are reranked")
    parser.add_argument("--words-only", action="store_true", help="skip the reranker")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    asked = asyncio.run(asked_of(sorted(options.collections), options.embedder, options.work / "data", options.asked))
    for measure in (NDCG, parse("Recall@30"), parse("Recall@100")):
        words_table(asked, measure).report(f"Weight of words, {measure}", 1.0)
    if options.words_only:
        return
    chosen = first_of_each(asked, options.queries)
    logits = Logits(options.reranker, options.work / "logits.json")
    plain = judged_of(chosen, logits, options.words_weight)
    table = relevance_table(plain)
    weight = table.report(f"Weight of relevance without an instruction, {NDCG}", 0.0)
    if weight > 0 and table.p_against(weight, 0.0) >= LEVEL:
        weight = 0.0
    print(as_table(judge_sources([figures_of(each, weight) for each in plain])))
    wordings = json.loads((Path(__file__).parent / "held_out_instructions.json").read_text("utf-8"))
    mixed = [each for each in chosen if each.collection.endswith("-mixed")]
    instructed = instructed_of(mixed, logits, options.words_weight, wordings)
    table = relevance_table(instructed)
    table.report(f"Weight of relevance under an instruction, {NDCG}", 0.0)
    instructed_weight = table.largest_within(TOLERANCE)
    relevance_table(instructed, first=True).report("The wanted language first", 0.0)
    relevance_table([each for each in plain if each.asked in mixed]).report("The same queries without one", 0.0)
    order = {"plain": scaled(plain, weight), "instructed": scaled(instructed, instructed_weight)}
    print(json.dumps(order, indent=2))
    options.out.write_text(json.dumps(order, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
