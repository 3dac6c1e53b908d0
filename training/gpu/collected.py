"""Collections for measuring: the shared ones, and one for each held-out source of the pairs."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.gpu import pairs

DOCUMENTS_MAX = 6_500
_WORD = re.compile(r"[a-z0-9]+|[\u3400-\u9fff]+")
Vector = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    name: str
    documents: list[str]
    queries: list[str]
    relevant: list[set[int]]


def shared(folder: Path, queries_max: int) -> Collection:
    def lines(name: str) -> list[str]:
        with gzip.open(folder / f"{name}.gz", "rt", encoding="utf-8") as read:
            return read.read().splitlines()

    documents = [json.loads(line) for line in lines("corpus.jsonl")]
    place = {row["_id"]: i for i, row in enumerate(documents)}
    queries = {row["_id"]: row["text"] for row in map(json.loads, lines("queries.jsonl"))}
    relevant: dict[str, set[int]] = defaultdict(set)
    for line in lines("qrels.tsv")[1:]:
        query, document, grade = line.split("\t")
        if float(grade) > 0 and document in place:
            relevant[query].add(place[document])
    asked = sorted(query for query in queries if relevant.get(query))
    chosen = np.random.default_rng(7).permutation(asked)[:queries_max].tolist()
    texts = [f"{row['title']}\n{row['text']}" if row.get("title") else row["text"] for row in documents]
    return Collection(name=folder.name, documents=texts, queries=[queries[q] for q in chosen],
                      relevant=[relevant[q] for q in chosen])  # fmt: skip


def held_out(folder: Path, queries_max: int) -> list[Collection]:
    """Each held-out source: its passages, and some of its questions."""
    found = []
    for source, rows in sorted(pairs.held_out(folder).items()):
        generator = np.random.default_rng(7)
        drawn = [rows[i] for i in generator.permutation(len(rows))[:DOCUMENTS_MAX]]
        texts: dict[str, int] = {}
        answers: dict[str, set[int]] = defaultdict(set)
        for row in drawn:
            question = row.get("question") or ""
            # Without its title: many questions are made from titles, which would give the passage away.
            place = texts.setdefault(row["passage"], len(texts))
            if question:
                answers[question].add(place)
        queries = list(answers)[:queries_max]
        if len(queries) >= 20:
            found.append(Collection(name=f"held:{source}", documents=list(texts), queries=queries,
                                    relevant=[answers[q] for q in queries]))  # fmt: skip
    return found


def words(text: str) -> list[str]:
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        if word[0] >= "\u3400":
            found += [*word, *(word[i : i + 2] for i in range(len(word) - 1))]
        else:
            found.append(re.sub(r"(ing|ed|es|s)$", "", word) if len(word) > 4 else word)
    return found


def bm25(collection: Collection) -> Vector:
    """(queries, documents); k1 0.9, b 0.4."""
    asked = [words(query) for query in collection.queries]
    needed = {word for query in asked for word in query}
    having: dict[str, list[tuple[int, int]]] = defaultdict(list)
    lengths = np.zeros(len(collection.documents))
    for place, text in enumerate(collection.documents):
        said = words(text)
        lengths[place] = len(said)
        for word, count in Counter(word for word in said if word in needed).items():
            having[word].append((place, count))
    norm = 0.9 * (1 - 0.4 + 0.4 * lengths / lengths.mean())
    scores = np.zeros((len(asked), len(lengths)), np.float32)
    for row, query in enumerate(asked):
        for word in query:
            if word in having:
                places = np.array([place for place, _ in having[word]])
                counts = np.array([count for _, count in having[word]], float)
                rarity = math.log(1 + (len(lengths) - len(places) + 0.5) / (len(places) + 0.5))
                scores[row, places] += rarity * counts * 1.9 / (counts + norm[places])
    return scores


def fused(near: Vector, said: Vector, *, asked: int = 300) -> tuple[Vector, Vector]:
    """One query's candidates, best first, and their sums of standard scores, as in retrieval.search.fusion."""
    nearest = np.argsort(-near, kind="stable")[:asked]
    worded = np.argsort(-said, kind="stable")[:asked]
    worded = worded[said[worded] > 0]
    union = np.unique(np.concatenate([nearest, worded]))
    is_full = len(worded) >= asked
    least = said[worded].min() if is_full else 0.0
    lexical = np.where(np.isin(union, worded), said[union], least)
    padding = np.zeros(0 if is_full else max(0, len(nearest) - len(worded)))
    total = standard(near[union], near[nearest]) + standard(lexical, np.concatenate([said[worded], padding]))
    order = np.argsort(-total, kind="stable")
    return union[order], total[order]


def standard(values: Vector, among: Vector) -> Vector:
    deviation = among.std() if len(among) else 0.0
    return (values - among.mean()) / (deviation if deviation > 0 else 1.0) if len(among) else values * 0


def ndcg(order: Sequence[int], relevant: set[int], depth: int = 10) -> float:
    gained = sum(1 / math.log2(place + 2) for place, one in enumerate(order[:depth]) if one in relevant)
    return gained / sum(1 / math.log2(place + 2) for place in range(max(1, min(depth, len(relevant)))))


def means(rows: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: round(float(np.mean(values)), 3) for name, values in rows.items()}
