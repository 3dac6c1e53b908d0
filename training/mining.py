"""Mines hard negatives for the reranker: the trained embedder's results for a question, except the right passage.

    python -m training.mining --work WORK --tokenizer TOKENIZERS/winnow-rerank --embedder WORK/embedder.pt

Writes negatives.npz into WORK. Only the question's own source is searched: across sources the language or the subject
would give the answer away.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.bag import Bag
from training.sequences import Numbers, Passages, Queries, Sequences, load_passages, load_queries
from training.texts_alike import PASSAGE_TOKENS_MAX, QUERY_TOKENS_MAX
from training.train_embedder import END
from winnow.retrieval.embed.embedder import DEFAULT_TASK, query_prompt
from winnow.retrieval.model.tokenizer import PlainTokenizer, ScaffoldTokenizer

POOL_MAX = 12_000  # passages of a source that are searched, besides the right ones
DEPTH = 60
KEPT_MIN, KEPT_MAX = 8, 40
# A passage nearer than this to the question is often right, too: unlabelled, not wrong. Half of those are dropped.
SUSPECT_SHARE, SUSPECT_MARGIN = 0.985, 0.02
SUSPECT_KEPT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """A question's right passage, wrong ones from the nearest on, and the embedder's similarities."""

    query: int
    right: int
    right_similarity: float
    wrong: list[int]
    wrong_similarities: list[float]


@dataclass(slots=True)
class _Columns:
    query: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    right_similarity: list[float] = field(default_factory=list)
    count: list[int] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)
    wrong_similarities: list[float] = field(default_factory=list)


class Miner:
    def __init__(
        self, bag: Bag, passages: Passages, queries: Queries, *, end: int, prompt: list[int], seed: int
    ) -> None:
        self._bag, self._passages, self._queries = bag, passages, queries
        self._end, self._prompt = end, np.array(prompt, dtype=np.int64)
        self._rng = np.random.default_rng(seed)

    def source(self, number: int, questions_max: int) -> list[Mined]:
        """Mine one source."""
        length, of = self._passages.tokens.lengths, self._queries.source == number
        is_usable = of & (length[self._queries.passage] > 3) & (self._queries.tokens.lengths > 1)
        asked = np.where(is_usable)[0]
        asked = self._rng.choice(asked, min(questions_max, len(asked)), replace=False)
        all_right = np.unique(self._queries.passage[of])
        others = self._rng.choice(all_right, min(POOL_MAX, len(all_right)), replace=False)
        pool = np.unique(np.concatenate([self._queries.passage[asked], others]))
        pool = pool[length[pool] > 3]
        vectors = self._vectors(self._passages.tokens, pool, PASSAGE_TOKENS_MAX)
        wanted = self._vectors(self._queries.tokens, asked, QUERY_TOKENS_MAX, prompt=True)
        found: list[Mined] = []
        for start in range(0, len(asked), 512):
            similarities = wanted[start : start + 512] @ vectors.T
            for query, row in zip(asked[start : start + 512], similarities, strict=True):
                mined = self._of(int(query), row, pool)
                if len(mined.wrong) >= KEPT_MIN:
                    found.append(mined)
        return found

    def _vectors(self, tokens: Sequences, rows: Numbers, tokens_max: int, *, prompt: bool = False) -> Tensor:
        before = self._prompt if prompt else self._prompt[:0]
        return self._bag.embed_texts([np.concatenate([before, tokens.row(row, tokens_max)]) for row in rows], self._end)

    def _of(self, query: int, similarities: Tensor, pool: Numbers) -> Mined:
        right = int(self._queries.passage[query])
        right_similarity = float(similarities[np.searchsorted(pool, right)])
        bound = SUSPECT_SHARE * max(1e-3, right_similarity) + SUSPECT_MARGIN
        values, places = similarities.topk(min(DEPTH, len(pool)))
        near = zip(pool[places.numpy()].tolist(), values.tolist(), strict=True)
        wrong = [
            (passage, value)
            for passage, value in near
            if passage != right and (value < bound or self._rng.random() < SUSPECT_KEPT)
        ][:KEPT_MAX]
        return Mined(
            query=query,
            right=right,
            right_similarity=right_similarity,
            wrong=[passage for passage, _ in wrong],
            wrong_similarities=[round(value, 4) for _, value in wrong],
        )


def write_mined(path: Path, mined: list[Mined]) -> None:
    columns = _Columns()
    for row in mined:
        columns.query.append(row.query)
        columns.right.append(row.right)
        columns.right_similarity.append(row.right_similarity)
        columns.count.append(len(row.wrong))
        columns.wrong.extend(row.wrong)
        columns.wrong_similarities.extend(row.wrong_similarities)
    np.savez(
        path,
        query=np.array(columns.query),
        right=np.array(columns.right),
        right_similarity=np.array(columns.right_similarity),
        count=np.array(columns.count),
        wrong=np.array(columns.wrong),
        wrong_similarities=np.array(columns.wrong_similarities),
    )


def read_mined(path: Path) -> list[Mined]:
    read = {name: column.tolist() for name, column in np.load(path).items()}
    ends = np.cumsum(read["count"]).tolist()
    return [
        Mined(
            query=read["query"][number],
            right=read["right"][number],
            right_similarity=read["right_similarity"][number],
            wrong=read["wrong"][end - count : end],
            wrong_similarities=read["wrong_similarities"][end - count : end],
        )
        for number, (end, count) in enumerate(zip(ends, read["count"], strict=True))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("work", "tokenizer", "embedder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=2_600, help="maximum per source")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bag = Bag(seed=0)
    bag.load_state_dict(torch.load(options.embedder))
    queries = load_queries(options.work)
    miner = Miner(
        bag,
        load_passages(options.work),
        queries,
        end=ScaffoldTokenizer.load(options.tokenizer).token_id(END),
        prompt=PlainTokenizer.load(options.tokenizer).ids(query_prompt("", DEFAULT_TASK)),
        seed=options.seed,
    )
    mined: list[Mined] = []
    for number, source in enumerate(queries.sources):
        mined.extend(miner.source(number, options.questions))
        print(f"{source}: {len(mined)} so far", flush=True)
    write_mined(options.work / "negatives.npz", mined)


if __name__ == "__main__":
    main()
