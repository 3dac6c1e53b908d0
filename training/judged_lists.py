"""Training lists of the reranker: a question, six passages, and how "yes" should be divided among them.

Relevance: the right passage and five that the embedder found for the same question, usually with a neutral instruction;
sometimes with one that prefers the kind of the right passage anyway, so that preference never replaces relevance.
Preference: twins, of which the instruction prefers one, and two more pairs of twins that answer another question. With
a neutral instruction both twins are equally good.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.instructions import DEFAULT, NEUTRAL, preferring
from training.judge import Lists
from training.judge_prompts import Prompting
from training.mining import Mined, read_mined
from training.records import Pair, Twin, is_held_out, read_pairs, read_twins
from training.sequences import Ids, Passages

EACH = 6  # passages per list
QUERY_TOKENS_MAX = 64
PASSAGE_TOKENS_MAX = 110  # attention on one core; the product's chunks are longer, but their beginnings mostly decide
TWIN_TOKENS_MAX = 90
TWIN_TOKENS_MIN = 7
HARDEST = 15
KINDS_SHARE = 0.4
KINDS = ("zh", "en", "code", "prose")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedList:
    instruction: str
    query: Ids
    passages: list[Ids]
    shares: NDArray[np.float32]
    similarities: NDArray[np.float32] | None = None  # the embedder's, if it found the passages


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedBatch:
    lists: Lists
    shares: Tensor
    similarities: Tensor | None


class ListsDrawn:
    """Draws lists. One generator draws everything in one order: a seed determines a training."""

    def __init__(
        self, mined: Sequence[Mined], pairs: Sequence[Pair], twins: Sequence[Twin], passages: Passages,
        prompting: Prompting, *, preferred: float, seed: int,
    ) -> None:  # fmt: skip
        """`preferred` is the share of "yes" for the preferred twin; the other answers the question as well."""
        self._passages, self._prompting, self._preferred = passages, prompting, preferred
        self.rng = np.random.default_rng(seed)
        asked = [row for row in mined if not is_held_out(pairs[row.query].query)]
        ids = prompting.plain.ids_batch([f" {pairs[row.query].query}" for row in asked])
        self._queries = {row.query: np.array(found[:QUERY_TOKENS_MAX]) for row, found in zip(asked, ids, strict=True)}
        self._mined: dict[str, list[Mined]] = {}
        for row in asked:
            self._mined.setdefault(pairs[row.query].source, []).append(row)
        weights = np.array([len(rows) ** 0.6 for rows in self._mined.values()])
        self._sources, self._shares = list(self._mined), weights / weights.sum()
        self._kinds, self._languages = self._usable(twins)
        self._preferring = {kind: preferring(kind) for kind in KINDS}

    @classmethod
    def load(
        cls, data: Path, work: Path, passages: Passages, prompting: Prompting, *, preferred: float, seed: int
    ) -> ListsDrawn:
        mined = read_mined(work / "negatives.npz")
        return cls(mined, read_pairs(data), read_twins(data), passages, prompting, preferred=preferred, seed=seed)

    def _usable(self, twins: Sequence[Twin]) -> tuple[list[Twin], list[list[Twin]]]:
        """Twins of two kinds, and twins of two languages by source."""
        lengths, is_chinese = self._passages.tokens.lengths, self._passages.is_chinese
        long = [
            twin
            for twin in twins
            if twin.source != "iso_codes" and min(lengths[twin.first], lengths[twin.second]) >= TWIN_TOKENS_MIN
        ]
        languages: dict[str, list[Twin]] = {}
        for twin in long:
            if not twin.source.endswith(".kinds") and not is_chinese[twin.first] and is_chinese[twin.second]:
                languages.setdefault(twin.source, []).append(twin)
        return [twin for twin in long if twin.source.endswith(".kinds")], list(languages.values())

    def relevance(self) -> JudgedList:
        rng = self.rng
        rows = self._mined[self._sources[rng.choice(len(self._sources), p=self._shares)]]
        row = rows[rng.integers(len(rows))]
        count = min(EACH - 1, len(row.wrong))
        if rng.random() < 0.6:
            chosen = rng.choice(len(row.wrong), count, replace=False)
        else:
            chosen = np.sort(rng.choice(min(HARDEST, len(row.wrong)), count, replace=False))
        passages = [row.right, *(row.wrong[place] for place in chosen)]
        similarities = [row.right_similarity, *(row.wrong_similarities[place] for place in chosen)]
        way = rng.random()
        instruction = DEFAULT if way < 0.6 else NEUTRAL[rng.integers(len(NEUTRAL))]
        if way > 0.85:
            language = "zh" if self._passages.is_chinese[row.right] else "en"
            wordings = self._preferring[language if rng.random() < 0.7 else "prose"]
            instruction = wordings[rng.integers(len(wordings))]
        return JudgedList(
            instruction=instruction,
            query=self._queries[row.query],
            passages=[self._passages.tokens.row(passage, PASSAGE_TOKENS_MAX) for passage in passages],
            shares=np.array([1, 0, 0, 0, 0, 0], dtype=np.float32),
            similarities=np.array(similarities, dtype=np.float32),
        )

    def preference(self) -> JudgedList:
        rng = self.rng
        is_code = rng.random() < KINDS_SHARE
        twins = self._kinds if is_code else self._languages[rng.integers(len(self._languages))]
        twin, *others = [twins[rng.integers(len(twins))] for _ in range(EACH // 2)]
        if twin.query:
            query = np.array(self._prompting.plain.ids(f" {twin.query}"))[:QUERY_TOKENS_MAX]
        else:
            query = self._piece(twin.first if rng.random() < 0.5 else twin.second)
        if rng.random() < 0.2:
            instruction, shares = NEUTRAL[rng.integers(len(NEUTRAL))], (0.5, 0.5)
        else:
            wants_first = rng.random() < 0.5
            first, second = ("prose", "code") if is_code else ("en", "zh")
            wordings = self._preferring[first if wants_first else second]
            instruction = wordings[rng.integers(len(wordings))]
            preferred, other = self._preferred, 1 - self._preferred
            shares = (preferred, other) if wants_first else (other, preferred)
        rows = [row for each in (twin, *others) for row in (each.first, each.second)]
        return JudgedList(
            instruction=instruction,
            query=query,
            passages=[self._passages.tokens.row(row, TWIN_TOKENS_MAX) for row in rows],
            shares=np.array([*shares, 0, 0, 0, 0], dtype=np.float32),
        )

    def _piece(self, row: int) -> Ids:
        """Some tokens of a passage, as long as a question."""
        text = self._passages.tokens.row(row, 200)
        length = int(min(len(text), self.rng.integers(4, 16)))
        start = self.rng.integers(0, len(text) - length + 1)
        return text[start : start + length]

    def batch(self, size: int, kind: Callable[[], JudgedList]) -> JudgedBatch:
        drawn = [kind() for _ in range(size)]
        prompting = self._prompting
        shared, shared_lengths = padded([prompting.shared(one.instruction, one.query) for one in drawn])
        tails, lengths = padded([prompting.tail(passage) for one in drawn for passage in one.passages])
        similarities = [one.similarities for one in drawn if one.similarities is not None]
        return JudgedBatch(
            lists=Lists(
                shared=shared,
                shared_lengths=shared_lengths,
                tails=tails.view(size, EACH, -1),
                tail_lengths=lengths.view(size, EACH),
            ),
            shares=torch.from_numpy(np.stack([one.shares for one in drawn])),
            similarities=torch.from_numpy(np.stack(similarities)) if similarities else None,
        )


def padded(rows: Sequence[Ids]) -> tuple[Tensor, Tensor]:
    """Pad on the right. Also returns the lengths."""
    out = np.zeros((len(rows), max(len(row) for row in rows)), dtype=np.int64)
    for number, row in enumerate(rows):
        out[number, : len(row)] = row
    return torch.from_numpy(out), torch.tensor([len(row) for row in rows])
