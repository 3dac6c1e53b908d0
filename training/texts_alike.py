"""Training batches of the embedder: pairs of texts whose vectors should be close.

There are three kinds of group: a question and its passage, twins (the same in two languages or in prose and code), and
a crop of a passage with the rest of it. A batch comes from one group, so that its other texts are hard to distinguish
from the right one. Groups are drawn by the square root of their size, else the functions of packages would be half of
everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from training.sequences import Ids, Numbers, Passages, Queries, TwinRows
from winnow.retrieval.embed.embedder import DEFAULT_TASK, query_prompt
from winnow.retrieval.model.tokenizer import PlainTokenizer

TASKS = [
    DEFAULT_TASK,
    "Given a question, retrieve passages that answer the question",
    "Given a claim, retrieve documents that support or refute the claim",
    "根据问题检索相关的段落",
    "Retrieve code that does what the query says",
    "Retrieve passages on the same subject",
]
DEFAULT_TASK_SHARE = 0.6
PASSAGE_TOKENS_MAX = 200
QUERY_TOKENS_MAX = 128
GROUP_ROWS_MIN = 200
CROP_ROWS_MIN = 1_500  # passages of a source and language that justify a group of crops
# Weight of a draw of this kind, times the square root of the group's size.
KIND_WEIGHTS = {"pair": 1.5, "twin": 0.8, "crop": 1.0}
SOURCE_WEIGHTS = {"iso_codes": 0.3, "laws": 1.5}  # names of countries teach little; nothing else is like statutes

Kind: TypeAlias = Literal["pair", "twin", "crop"]
Two: TypeAlias = tuple[Ids, Ids]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    name: str
    kind: Kind
    rows: Numbers  # of queries, of twins or of passages, depending on the kind

    @property
    def weight(self) -> float:
        weight = float(len(self.rows) ** 0.5) * KIND_WEIGHTS[self.kind]
        for part, factor in SOURCE_WEIGHTS.items():
            weight *= factor if part in self.name else 1.0
        return weight


def groups(passages: Passages, queries: Queries, twins: TwinRows) -> list[Group]:
    length = passages.tokens.lengths
    found: list[Group] = []
    for number, source in enumerate(queries.sources):
        rows = np.where((queries.source == number) & (length[queries.passage] > 3))[0]
        found.append(Group(name=f"pair:{source}", kind="pair", rows=rows))
    are_long = (length[twins.first] > 2) & (length[twins.second] > 2)
    for number, source in enumerate(twins.sources):
        found.append(Group(name=f"twin:{source}", kind="twin", rows=np.where((twins.source == number) & are_long)[0]))
    kinds = {"en": ~passages.is_chinese & ~passages.is_code, "zh": passages.is_chinese, "code": passages.is_code}
    for kind, of_kind in kinds.items():
        for number, source in enumerate(passages.sources):
            rows = np.where(of_kind & (passages.source == number) & (length > 24))[0]
            if len(rows) > CROP_ROWS_MIN:
                found.append(Group(name=f"crop:{kind}:{source}", kind="crop", rows=rows))
    return [group for group in found if len(group.rows) >= GROUP_ROWS_MIN]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    group: str
    queries: list[Ids]  # with their task
    passages: list[Ids]


class AlikeTexts:
    """Draws batches. One generator draws everything in one order: a seed determines a training."""

    def __init__(
        self, passages: Passages, queries: Queries, twins: TwinRows, tokenizer: PlainTokenizer, *, seed: int
    ) -> None:
        self._passages, self._queries, self._twins = passages, queries, twins
        self._tasks = [np.array(tokenizer.ids(query_prompt("", task)), dtype=np.int64) for task in TASKS]
        self._rng = np.random.default_rng(seed)
        self.groups = groups(passages, queries, twins)
        weights = np.array([group.weight for group in self.groups])
        self.shares = weights / weights.sum()

    def draw(self, size: int) -> Batch:
        group = self.groups[self._rng.choice(len(self.groups), p=self.shares)]
        rows = self._rng.choice(group.rows, size=min(size, len(group.rows)), replace=False)
        is_default = self._rng.random() < DEFAULT_TASK_SHARE
        task = self._tasks[0] if is_default else self._tasks[self._rng.integers(len(self._tasks))]
        match group.kind:
            case "pair":
                twos = self._pairs(rows)
            case "twin":
                twos = [self._twin(row) for row in rows]
            case "crop":
                twos = [self._crop(row) for row in rows]
        return Batch(
            group=group.name,
            queries=[np.concatenate([task, query[:QUERY_TOKENS_MAX]]) for query, _ in twos],
            passages=[passage for _, passage in twos],
        )

    def _passage(self, row: int, tokens_max: int = PASSAGE_TOKENS_MAX) -> Ids:
        return self._passages.tokens.row(row, tokens_max)

    def _pairs(self, rows: Sequence[int] | Numbers) -> list[Two]:
        """Use each passage once: a second question of it would count its own passage as wrong."""
        first_rows: dict[int, int] = {}
        for row in rows:
            first_rows.setdefault(int(self._queries.passage[row]), int(row))
        return [
            (self._queries.tokens.row(row, QUERY_TOKENS_MAX), self._passage(passage))
            for passage, row in first_rows.items()
        ]

    def _twin(self, row: int) -> Two:
        one, other = self._passage(self._twins.first[row]), self._passage(self._twins.second[row])
        if self._rng.random() < 0.5:
            one, other = other, one
        if len(one) > 24 and self._rng.random() < 0.6:  # a question is shorter than a paragraph
            length = self._rng.integers(6, 24)
            start = self._rng.integers(0, len(one) - length + 1)
            one = one[start : start + length]
        return one, other

    def _crop(self, row: int) -> Two:
        """Some words of a passage as its question (the inverse cloze task).

        Mostly without those words in the passage, so that meaning is learned; else with them, because real questions
        share words with their answers, as BM25 shows.
        """
        rng, text = self._rng, self._passage(row, 300)
        length = int(np.clip(rng.geometric(1 / 14) + 3, 4, max(5, len(text) // 2)))
        start = rng.integers(0, len(text) - length + 1)
        query, passage = text[start : start + length], text
        way = rng.random()
        if way < 0.45:
            passage = np.concatenate([text[:start], text[start + length :]])
        elif way >= 0.8:
            kept = rng.random(length) < 0.6
            query = query[kept] if kept.any() else query
        if len(passage) > 160 and rng.random() < 0.5:
            begin = rng.integers(0, len(passage) - 100)
            if way < 0.45:
                passage = passage[begin : begin + rng.integers(80, 200)]
        return query, passage
