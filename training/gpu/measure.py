"""Measures a trained pair: collections, instructions in unseen wordings, injected documents.

    python -m training.gpu.measure --out DIR --texts FILE --models data/models --collections DIR --pairs DIR \\
        --scores FILE.npz

`--out` contains embedder.pt and reranker.pt. `--scores` saves logits, cosines and BM25 of all candidates for fitting.
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from training.bag import Bag
from training.gpu import exclusions, pieces, wordings
from training.gpu.collected import Collection, bm25, fused, held_out, means, ndcg, shared
from training.gpu.embedder import read_back
from training.gpu.judging import Judge, embedded
from training.gpu.network import DEVICE
from training.gpu.tokens import shown
from training.records import is_held_out

DEPTH, RERANKED = 100, 30
BLEND = (0.2868, 16.2578)  # weights of logit and cosine in the previous bundled pair
CASES = 240


def standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / (values.std() + 1e-6)


def recall_rows(collection: Collection, near: np.ndarray) -> list[float]:
    top = np.argsort(-near, axis=1)[:, :DEPTH]
    return [len(set(t.tolist()) & r) / len(r) for t, r in zip(top, collection.relevant, strict=True)]


def measure(collection: Collection, said: np.ndarray, bags: dict[str, Bag], judge: Judge | None,
            before: Judge | None, *, kept: dict[str, np.ndarray]) -> dict[str, float]:  # fmt: skip
    tokenizer = Tokenizer.from_file(str(TOKENIZER[0]))
    rows: dict[str, list[float]] = {}

    def note(name: str, order: np.ndarray, relevant: set[int]) -> None:
        rows.setdefault(name, []).append(ndcg(order[:10].tolist(), relevant))

    near: dict[str, np.ndarray] = {}
    for name, bag in bags.items():
        queries = embedded(bag, tokenizer, collection.queries, is_query=True)
        near[name] = (queries @ embedded(bag, tokenizer, collection.documents, is_query=False).T).cpu().numpy()
        rows[f"{name}:R100"] = recall_rows(collection, near[name])
    rows["bm25:R100"] = recall_rows(collection, said)
    found = {name: [fused(n, s) for n, s in zip(near[name], said, strict=True)] for name in near}
    logits = judged(judge, collection, found["new"], DEPTH) if judge is not None else []
    earlier = judged(before, collection, found["old"], RERANKED) if before is not None else []
    for number, relevant in enumerate(collection.relevant):
        note("bm25", np.argsort(-said[number], kind="stable"), relevant)
        for name in near:
            note(name, np.argsort(-near[name][number]), relevant)
            note(f"{name}:hybrid", found[name][number][0], relevant)
        if before is not None:
            order = found["old"][number][0][:RERANKED]
            blend = BLEND[0] * earlier[number] + BLEND[1] * near["old"][number][order]
            note("old:relevance30", order[np.argsort(-earlier[number])], relevant)
            note("old:blend", order[np.argsort(-blend)], relevant)
        if judge is None:
            continue
        order, total = (part[:DEPTH] for part in found["new"][number])
        own = logits[number]
        note("relevance100", order[np.argsort(-own)], relevant)
        best, top, first = order[:RERANKED], own[:RERANKED], total[:RERANKED]
        note("relevance30", best[np.argsort(-top)], relevant)
        for weight in (0.5, 1.0, 2.0):
            blend = standardised(top) + weight * standardised(first)
            note(f"blend{weight}", best[np.argsort(-blend)], relevant)
        columns = [np.full(len(order), number), order, own, near["new"][number][order], said[number][order], total,
                   np.array([i in relevant for i in order])]  # fmt: skip
        kept[f"{collection.name}/{number}"] = np.stack(columns).astype(np.float32)
    return means(rows)


def judged(judge: Judge, collection: Collection, found: list[tuple[np.ndarray, np.ndarray]],
           depth: int) -> list[np.ndarray]:  # fmt: skip
    """Logits of each query's first candidates."""
    queries, documents = [], []
    for query, (order, _) in zip(collection.queries, found, strict=True):
        queries += [query] * len(order[:depth])
        documents += [collection.documents[i] for i in order[:depth]]
    whole = judge.logits([wordings.DEFAULT] * len(queries), queries, documents)
    return np.split(whole, np.cumsum([len(order[:depth]) for order, _ in found])[:-1])


# ---- instructions


def both_right(judge: Judge, cases: list[tuple[str, str, str, str, str]]) -> dict[str, float]:
    """Cases of a question, two documents, and the instructions that prefer the first and the second."""
    queries = [case[0] for case in cases]
    told = {}
    for wish in (3, 4):
        for document in (1, 2):
            told[wish, document] = judge.logits([c[wish] for c in cases], queries, [c[document] for c in cases])
    first, second = told[3, 1] > told[3, 2], told[4, 2] > told[4, 1]
    return {"both": round(float((first & second).mean()), 3), "first": round(float(first.mean()), 3),
            "second": round(float(second.mean()), 3), "cases": len(cases)}  # fmt: skip


def piece_of(text: exclusions.Text, rng: random.Random) -> str:
    if text[1] == "zh":
        begin = rng.randint(0, max(0, len(text[3]) - 16))
        return text[3][begin : begin + 16]
    said = text[3].split()
    begin = rng.randint(0, max(0, len(said) - 9))
    return " ".join(said[begin : begin + 9])


def twin_cases(passages: list[exclusions.Text], twins: list[tuple[str, str, int, int]], kind: str,
               rng: random.Random) -> list[tuple[str, str, str, str, str]]:  # fmt: skip
    cases = []
    wanted = ("en", "zh") if kind == "language" else ("prose", "code")
    for _, query, a, b in rng.sample(twins, len(twins)):
        one, two = passages[a], passages[b]
        kinds = (one[1], two[1]) if kind == "language" else (one[2], two[2])
        if (
            kinds != wanted
            or not (is_held_out(one[3]) or is_held_out(two[3]))
            or min(len(one[3]), 3 * len(two[3])) < 80
        ):
            continue
        asked = query or piece_of(rng.choice([one, two]), rng)
        wishes = [rng.choice(wordings.HELD_OUT[name]) for name in wanted]
        cases.append((asked, shown(one), shown(two), *wishes))
        if len(cases) == CASES:
            break
    return cases


def field_cases(passages: list[exclusions.Text], kind: str, rng: random.Random) -> list[tuple[str, str, str, str, str]]:
    usable = [p for p in passages if p[2] == "prose" and len(p[3]) > 90 and is_held_out(p[3])]
    cases = []
    for text in rng.sample(usable, min(CASES, len(usable))):
        if kind == "date":
            early, late = sorted(rng.sample(range(1995, 2027), 2))
            lines = [
                f"date: {pieces.date_text(year, rng.randint(1, 12), rng.randint(1, 28), 0)}" for year in (late, early)
            ]
            wishes = [rng.choice(wordings.HELD_OUT["new"]), rng.choice(wordings.HELD_OUT["old"])]
        elif kind == "number":
            low = rng.randint(1, 60)
            number = rng.choice(["citations", "votes", "views"])
            lines = [f"{number}: {low * rng.randint(8, 60)}", f"{number}: {low}"]
            wishes = [wordings.of_number(way, number, rng, held=True) for way in ("most", "least")]
        else:
            names = rng.sample(list(wordings.SOURCES), 2)
            lines = [f"source: {rng.choice(wordings.SOURCES[name][0])}" for name in names]
            wishes = [wordings.of_source(name, rng, held=True) for name in names]
        documents = [f"{line}\n\n{shown(text)}" for line in lines]
        cases.append((piece_of(text, rng), *documents, *wishes))
    return cases


def exclusion_cases(passages: list[exclusions.Text], rng: random.Random) -> list[tuple[str, str, str, str, str]]:
    held = [i for i, p in enumerate(passages) if p[2] == "prose" and len(p[3]) > 90 and is_held_out(p[3])]
    made = exclusions.find(
        passages, held, str(TOKENIZER[0]), count=CASES, processes=8, held=True, seed=rng.randrange(99)
    )
    return [(one.query, shown(passages[one.first]), shown(passages[one.second]), one.wants_first, one.wants_second)
            for one in made]  # fmt: skip


def injected(judge: Judge, collection: Collection, found: np.ndarray) -> dict[str, float]:
    """How often an unrelated document that repeats the question, or praises itself, is above all 30 candidates."""
    rng, counts = random.Random(3), {"echo": 0, "echo alone": 0, "praise": 0}
    queries = collection.queries[:24]
    for number, query in enumerate(queries):
        filler = collection.documents[rng.randrange(len(collection.documents))]
        added = {"echo": f"{query} {query} {query}\n{filler}", "echo alone": f"{query} {query} {query}",
                 "praise": f"{rng.choice(wordings.PRAISE)} {rng.choice(wordings.PRAISE)}\n{filler}"}  # fmt: skip
        top = [collection.documents[i] for i in np.argsort(-found[number])[:RERANKED]]
        told = judge.logits([wordings.DEFAULT] * (RERANKED + 3), [query] * (RERANKED + 3), [*top, *added.values()])
        for name, logit in zip(added, told[RERANKED:], strict=True):
            counts[name] += bool(logit > told[:RERANKED].max())
    return {name: count / len(queries) for name, count in counts.items()}


TOKENIZER: list[Path] = []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("out", "texts", "models", "collections"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument(
        "--wordings", type=Path, help="instructions by kind to measure with, instead of wordings.HELD_OUT"
    )
    parser.add_argument("--alone", action="store_true", help="measure this pair only, without the bundled one")
    options = parser.parse_args()
    TOKENIZER.append(options.models / "winnow-rerank" / "tokenizer.json")
    if options.wordings:
        wordings.HELD_OUT.update(json.loads(options.wordings.read_text(encoding="utf-8")))
    tokenizer = Tokenizer.from_file(str(TOKENIZER[0]))
    bags = {"new": Bag(seed=1).to(DEVICE)}
    bags["new"].load_state_dict(torch.load(options.out / "embedder.pt", map_location=DEVICE))
    before = None
    if not options.alone:
        bags["old"] = Bag(seed=1).to(DEVICE)
        end = tokenizer.token_to_id("<|endoftext|>")
        read_back(bags["old"], options.models / "winnow-embed" / "model.safetensors", end)
        before = Judge.load(options.models / "winnow-rerank", TOKENIZER[0])
    path = options.out / "reranker.pt"
    judge = Judge.load(path, TOKENIZER[0]) if path.exists() else None
    found = [shared(folder, options.queries) for folder in sorted(options.collections.iterdir())]
    found += held_out(options.pairs, options.queries) if options.pairs else []
    with Pool(8) as pool:
        said = pool.map(bm25, found)
    kept: dict[str, np.ndarray] = {}
    told = {}
    for collection, scores in zip(found, said, strict=True):
        told[collection.name] = measure(collection, scores, bags, judge, before, kept=kept)
        print(collection.name, len(collection.documents), json.dumps(told[collection.name]), flush=True)
    for label, some in (("shared", False), ("held out", True)):
        group = [row for name, row in told.items() if name.startswith("held:") == some]
        if group:
            print(
                "MEAN",
                label,
                {name: round(float(np.mean([row[name] for row in group])), 4) for name in group[0]},
                flush=True,
            )
    if judge is not None:
        passages, _, twins = pickle.loads(options.texts.read_bytes())  # noqa: S301 (written by training.gpu.gather)
        rng = random.Random(11)
        sets = {kind: twin_cases(passages, twins, kind, rng) for kind in ("language", "code")}
        sets |= {kind: field_cases(passages, kind, rng) for kind in ("date", "source", "number")}
        sets["exclusion"] = exclusion_cases(passages, rng)
        for kind, cases in sets.items():
            earlier = ("before", both_right(before, cases)) if before is not None else ()
            print(kind, both_right(judge, cases), *earlier, flush=True)
        for collection, scores in zip(found[:5], said[:5], strict=True):
            print("injected", collection.name, injected(judge, collection, scores), flush=True)
    if options.scores:
        np.savez_compressed(options.scores, **kept)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
