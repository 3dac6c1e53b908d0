"""Which chunks hold the words of a query? Lance's full-text index over the column of words
(retrieval/lexical/words.py).

A store of the word rules before has no such column: there Lance tells the words of titles and texts apart itself, and
scores both as one field (BM25F).

The index is made of segments, each of which covers some fragments. What is in no segment is read at each search and
scored together with the rest, which costs 30 us a row; so a write covers what waits once that is 16 rows, and takes the
segments along that cover no more rows than the new one: there are few of either.

    an empty segment    while no other is there: it says how words are told apart
    a segment           written, and synced, before the commit that names it

Rule 1: no segment covers rows that are about to be copied by a compaction. Lance would write a new one in the middle of
that commit, where nobody can sync it first; so it is dropped before, and its rows are indexed again where they went.
Rule 2: what a user wrote is matched as it is. No text is ever parsed as a query.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import lance
import numpy as np
import pyarrow.compute as pc
from lance.dataset import Index
from lance.query import CombinedFieldsQuery
from numpy.typing import NDArray

from winnow.retrieval.arrays import isin_sorted
from winnow.retrieval.lexical.words import WORD_RULES, WORD_RULES_BEFORE, analysed_query
from winnow.retrieval.records import ChunkNumbers
from winnow.retrieval.store.contract import LexicalHits
from winnow.retrieval.store.rows import WORDS_COLUMN, word_rules

SEGMENT_ROWS_MAX: Final = 262_144  # rows; a segment that has to be made again takes up to 20 s, and few are searched
TINY_FRAGMENT_ROWS: Final = 1_024  # rows; joining fragments of fewer takes a few ms
SMALL_FRAGMENT_ROWS: Final = 32_768  # rows; joining fragments of fewer takes up to a second
TIES_AHEAD: Final = 16  # hits; how far beyond k to look for chunks that score as the k-th does
REFILL: Final = 4  # times more hits are asked for, where too many were not allowed
NAMED_MAX: Final = 4_096  # allowed chunks; so few are named to Lance, from among more it is asked until enough came

# What Lance does to words, by the word rules; stored with the index, and so alike for queries.
_OPTIONS: Final[dict[int, dict[str, Any]]] = {
    WORD_RULES_BEFORE: {"base_tokenizer": "icu/split"},
    WORD_RULES: {"base_tokenizer": "whitespace", "remove_stop_words": False, "max_token_length": None},
}
_COLUMNS: Final = {WORD_RULES_BEFORE: ("title", "text"), WORD_RULES: (WORDS_COLUMN,)}
OLD_NAMES: Final = frozenset({"title_words", "text_words"})  # of the index by the rules before

Live = Callable[[ChunkNumbers], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """Fragments that one segment is to cover, and the segments that go for it."""

    fragments: tuple[lance.LanceFragment, ...]
    dropped: tuple[Index, ...] = ()


def is_indexed(dataset: lance.LanceDataset) -> bool:
    """Whether words can be searched here at all."""
    return {_name(column) for column in _columns(dataset)} <= {index.name for index in dataset.describe_indices()}


def empty_segments(dataset: lance.LanceDataset) -> list[Index]:
    """With them, and no other, every row is read at each search."""
    return _empty(dataset, word_rules(dataset.schema))


def uncovered(dataset: lance.LanceDataset, *, rules: int | None = None) -> list[lance.LanceFragment]:
    """The fragments that are in no segment, of the word rules of this store unless others are named."""
    last = _name(_COLUMNS[rules or word_rules(dataset.schema)][-1])  # segments of all columns are committed together
    covered = {each for segment in segments(dataset) if segment.name == last for each in segment.fragment_ids}
    return [fragment for fragment in dataset.get_fragments() if fragment.fragment_id not in covered]


def covers_of(dataset: lance.LanceDataset, fragments: Sequence[lance.LanceFragment], *, tidy: bool) -> list[Cover]:
    """How to cover these fragments: those of a class of size together, as many as a segment may cover.

    `tidy` takes along the segments of the class that cover no more rows than come in, the smallest first; so there are
    few, and a row is written again only when its segment has grown to twice the size.
    """
    return [_with_small_segments(dataset, group) if tidy else Cover(fragments=group) for group in _grouped(fragments)]


def segments_of(
    dataset: lance.LanceDataset, fragments: Sequence[lance.LanceFragment], *, rules: int | None = None
) -> list[Index]:
    """Writes a segment of each column that covers these fragments, for a commit to name."""
    if not fragments:
        return _empty(dataset, rules or word_rules(dataset.schema))
    numbers = [fragment.fragment_id for fragment in fragments]
    by = rules or word_rules(dataset.schema)
    parts = [_written(dataset, column, numbers, rules=by) for column in _COLUMNS[by]]
    return [dataset.merge_existing_index_segments([part]) for part in parts]  # in place; before, none can be searched


def covering(dataset: lance.LanceDataset, covers: Sequence[Cover]) -> list[Index]:
    """Writes the segments, for a commit to name."""
    return [segment for cover in covers for segment in segments_of(dataset, cover.fragments)]


def segments_covering(dataset: lance.LanceDataset, fragments: Collection[int]) -> list[Index]:
    """The segments that cover any of these fragments, for a commit to drop."""
    return [each for each in segments(dataset) if not set(fragments).isdisjoint(each.fragment_ids)]


def covered_and_gone(dataset: lance.LanceDataset) -> set[int]:
    """Fragments of which every row was deleted, but whose words are in a segment yet."""
    present = {fragment.fragment_id for fragment in dataset.get_fragments()}
    return {each for segment in segments(dataset) for each in segment.fragment_ids} - present


def without_segments(dataset: lance.LanceDataset, fragments: Collection[int]) -> lance.LanceOperation.CreateIndex:
    """Drops those that cover any of these fragments; without any other it would be a store without words."""
    dropped = segments_covering(dataset, fragments)
    gone = {segment.uuid for segment in dropped}
    left = {segment.name for segment in segments(dataset) if segment.uuid not in gone}
    is_left = left >= set(map(_name, _columns(dataset))) or not is_indexed(dataset)
    return change(() if is_left else empty_segments(dataset), dropped=dropped)


def segments(dataset: lance.LanceDataset) -> list[Index]:
    """All of them, as a commit names them; none of their files is read."""
    return [
        Index(
            uuid=segment.uuid,
            name=index.name,
            fields=index.fields,
            dataset_version=segment.dataset_version_at_last_update,
            fragment_ids=segment.fragment_ids,
            index_version=segment.index_version,
        )
        for index in dataset.describe_indices()
        for segment in index.segments
    ]


def change(added: Sequence[Index] = (), *, dropped: Sequence[Index] = ()) -> lance.LanceOperation.CreateIndex:
    """What to commit."""
    return lance.LanceOperation.CreateIndex(new_indices=list(added), removed_indices=list(dropped))


def matches(dataset: lance.LanceDataset, text: str, k: int, *, live: Live, allowed: ChunkNumbers | None) -> LexicalHits:
    """The `k` best; every number that Lance gives is compared with the live and the allowed ones here."""
    words = analysed_query(text) if word_rules(dataset.schema) == WORD_RULES else _plain(text)
    query = CombinedFieldsQuery(words, list(_columns(dataset)))
    is_named = allowed is not None and len(allowed) <= NAMED_MAX
    where = pc.field("number").isin(allowed.tolist()) if allowed is not None and is_named else None
    asked = k + TIES_AHEAD
    while k > 0:
        table = dataset.scanner(
            columns=["number", "_score"], full_text_query=query, limit=asked, filter=where, prefilter=is_named
        ).to_table()
        found, scores = table["number"].to_numpy(), table["_score"].to_numpy()
        kept = live(found) if allowed is None else live(found) & isin_sorted(found, allowed)
        order = np.lexsort((found[kept], -scores[kept]))[:k]
        numbers, best = found[kept][order], scores[kept][order]
        # Lance may leave out any of several equal hits at the end of its list; then the list must be longer.
        if len(found) < asked or (len(best) == k and best[-1] > scores.min()):
            return LexicalHits(numbers=numbers, scores=best)
        asked *= REFILL
    return LexicalHits(numbers=np.empty(0, dtype=np.int64), scores=np.empty(0, dtype=np.float32))


def _columns(dataset: lance.LanceDataset) -> tuple[str, ...]:
    return _COLUMNS[word_rules(dataset.schema)]


def _empty(dataset: lance.LanceDataset, rules: int) -> list[Index]:
    return [_written(dataset, column, [], rules=rules) for column in _COLUMNS[rules]]


def _name(column: str) -> str:
    return f"{column}_words"


def _written(dataset: lance.LanceDataset, column: str, fragments: list[int], *, rules: int) -> Index:
    """`replace` is about the name, which is taken; nothing is replaced before a commit says so."""
    return dataset.create_index_uncommitted(
        column, "INVERTED", name=_name(column), replace=True, fragment_ids=fragments, **_OPTIONS[rules]
    )


def _grouped(fragments: Sequence[lance.LanceFragment]) -> Iterator[tuple[lance.LanceFragment, ...]]:
    """Neighbours of one class of size, as many as a segment may cover: a join must not take larger ones along."""
    for size in range(3):
        group: list[lance.LanceFragment] = []
        rows = 0
        for fragment in fragments:
            if _class_of(fragment) == size:
                if group and rows + fragment.physical_rows > SEGMENT_ROWS_MAX:
                    yield tuple(group)
                    group, rows = [], 0
                group.append(fragment)
                rows += fragment.physical_rows
        if group:
            yield tuple(group)


def _class_of(fragment: lance.LanceFragment) -> int:
    return sum(fragment.physical_rows >= bound for bound in (TINY_FRAGMENT_ROWS, SMALL_FRAGMENT_ROWS))


def _with_small_segments(dataset: lance.LanceDataset, group: tuple[lance.LanceFragment, ...]) -> Cover:
    present = {fragment.fragment_id: fragment for fragment in dataset.get_fragments()}
    known: dict[frozenset[int], list[Index]] = {}
    for segment in segments(dataset):
        if segment.name in map(_name, _columns(dataset)):
            known.setdefault(frozenset(segment.fragment_ids & present.keys()), []).append(segment)
    rows = sum(fragment.physical_rows for fragment in group)
    taken, dropped = list(group), list[Index]()
    sizes = {numbers: sum(present[each].physical_rows for each in numbers) for numbers in known}
    for numbers in sorted(known, key=lambda each: (sizes[each], min(each, default=-1))):
        is_alike = all(_class_of(present[each]) == _class_of(group[0]) for each in numbers)
        if is_alike and sizes[numbers] <= rows and rows + sizes[numbers] <= SEGMENT_ROWS_MAX:
            rows += sizes[numbers]
            taken.extend(present[each] for each in numbers)
            dropped.extend(known[numbers])
    return Cover(fragments=tuple(sorted(taken, key=lambda each: each.fragment_id)), dropped=tuple(dropped))


def _plain(text: str) -> str:
    """Half of a surrogate pair is no text to Lance; to everybody else it is no word."""
    return text.encode("utf-8", "replace").decode("utf-8")
