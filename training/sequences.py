"""Token ids of all texts, tokenised once: rows of different lengths in one flat array.

    python -m training.sequences --data DATA --tokenizer TOKENIZERS/winnow-rerank --out WORK

Writes passages.npz, queries.npz and twins.npz. Rows are those of `training.records`; sources are stored as numbers with
a table of names.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.records import read_pairs, read_passages, read_twins
from winnow.retrieval.model.tokenizer import PlainTokenizer

Ids: TypeAlias = NDArray[np.int64]
Numbers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

_PASSAGE_TOKENS_MAX = 400
_QUERY_TOKENS_MAX = 128
_PASSAGE_CHARACTERS_MAX = 2_500  # more than 400 tokens have, and cheaper to tokenise than a whole manual page
_QUERY_CHARACTERS_MAX = 1_000
_AT_ONCE = 20_000  # texts; a million encodings at once would not fit in memory


@dataclass(frozen=True, slots=True)
class Sequences:
    """Many rows of token ids. A vocabulary of 20,096 fits in 16 bits, so all passages take 100 MB."""

    flat: NDArray[np.uint16]
    lengths: Numbers
    starts: Numbers

    @classmethod
    def of(cls, flat: NDArray[np.uint16], lengths: NDArray[np.int32]) -> Sequences:
        wide = lengths.astype(np.int64)
        return cls(flat, wide, np.concatenate([[0], np.cumsum(wide)]))

    def row(self, number: int, tokens_max: int) -> Ids:
        """The first tokens of a row."""
        start = self.starts[number]
        return self.flat[start : start + min(self.lengths[number], tokens_max)].astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passages:
    tokens: Sequences
    source: Numbers
    sources: list[str]
    is_chinese: Flags
    is_code: Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    tokens: Sequences
    source: Numbers
    sources: list[str]
    passage: Numbers  # the row that answers each


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinRows:
    first: Numbers
    second: Numbers
    source: Numbers
    sources: list[str]


def load_passages(folder: Path) -> Passages:
    read = np.load(folder / "passages.npz")
    return Passages(
        tokens=Sequences.of(read["ids"], read["lengths"]),
        source=read["source"].astype(np.int64),
        sources=read["sources"].tolist(),
        is_chinese=read["is_chinese"],
        is_code=read["is_code"],
    )


def load_queries(folder: Path) -> Queries:
    read = np.load(folder / "queries.npz")
    return Queries(
        tokens=Sequences.of(read["ids"], read["lengths"]),
        source=read["source"].astype(np.int64),
        sources=read["sources"].tolist(),
        passage=read["passage"],
    )


def load_twins(folder: Path) -> TwinRows:
    read = np.load(folder / "twins.npz")
    return TwinRows(
        first=read["first"],
        second=read["second"],
        source=read["source"].astype(np.int64),
        sources=read["sources"].tolist(),
    )


def _flattened(
    tokenizer: PlainTokenizer, texts: Sequence[str], tokens_max: int
) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    rows: list[NDArray[np.uint16]] = []
    for start in range(0, len(texts), _AT_ONCE):
        found = tokenizer.ids_batch(texts[start : start + _AT_ONCE])
        rows.extend(np.array(ids[:tokens_max], dtype=np.uint16) for ids in found)
    return np.concatenate(rows), np.array([len(row) for row in rows], dtype=np.int32)


def _numbered(names: Iterable[str]) -> tuple[NDArray[np.int16], list[str]]:
    listed = list(names)
    known = sorted(set(listed))
    place = {name: number for number, name in enumerate(known)}
    return np.array([place[name] for name in listed], dtype=np.int16), known


def tokenise(data: Path, tokenizer: PlainTokenizer, out: Path) -> None:
    passages = read_passages(data)
    ids, lengths = _flattened(tokenizer, [row.shown[:_PASSAGE_CHARACTERS_MAX] for row in passages], _PASSAGE_TOKENS_MAX)
    source, sources = _numbered(row.source for row in passages)
    np.savez(
        out / "passages.npz",
        ids=ids,
        lengths=lengths,
        source=source,
        sources=np.array(sources),
        is_chinese=np.array([row.language == "zh" for row in passages]),
        is_code=np.array([row.kind == "code" for row in passages]),
    )
    pairs = read_pairs(data)
    ids, lengths = _flattened(tokenizer, [row.query[:_QUERY_CHARACTERS_MAX] for row in pairs], _QUERY_TOKENS_MAX)
    source, sources = _numbered(row.source for row in pairs)
    answers = np.array([row.passage for row in pairs])
    np.savez(out / "queries.npz", ids=ids, lengths=lengths, source=source, sources=np.array(sources), passage=answers)
    twins = read_twins(data)
    source, sources = _numbered(row.source for row in twins)
    first, second = np.array([row.first for row in twins]), np.array([row.second for row in twins])
    np.savez(out / "twins.npz", first=first, second=second, source=source, sources=np.array(sources))
    print(f"{len(passages)} passages, {len(pairs)} queries, {len(twins)} twins")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tokenise(options.data, PlainTokenizer.load(options.tokenizer), options.out)


if __name__ == "__main__":
    main()
