"""Full-text search with Lance's index over the column of words (retrieval/lexical/words.py).

A store with the previous word rules has no such column: there Lance itself splits titles and texts into words, and
scores both as one field (BM25F).

The index consists of segments, each of which covers some fragments. Rows without a segment are read at each search
and scored with the rest, which costs 30 us a row. A write therefore covers waiting rows once there are 16, and merges
in the segments that cover no more rows than the new one, so both stay few.

    an empty segment    exists while there is no other: it records how words are split
    a segment           is written and synced before the commit that names it

Rule 1: no segment covers rows that a compaction is about to copy. Lance would write a new segment in the middle of that
commit, where it cannot be synced first. Such a segment is dropped before, and its rows are indexed again afterwards.
Rule 2: user text is matched as it is. It is never parsed as a query.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import lance
import numpy as np
from lance.dataset import Index
from lance.query import CombinedFieldsQuery

from winnow.retrieval.arrays import isin_sorted
from winnow.retrieval.lexical.words import WORD_RULES, WORD_RULES_BEFORE, analyse_query
from winnow.retrieval.records import ChunkNumbers
from winnow.retrieval.store.contract import LexicalHits
from winnow.retrieval.store.row_map import NO_CHUNK, StoredRows
from winnow.retrieval.store.rows import WORDS_COLUMN, word_rules

SEGMENT_ROWS_MAX: Final = 262_144  # rows; rebuilding a segment takes up to 20 s, and few segments are searched
TINY_FRAGMENT_ROWS: Final = 1_024  # rows; joining smaller fragments takes a few ms
SMALL_FRAGMENT_ROWS: Final = 32_768  # rows; joining smaller fragments takes up to a second
TIES_AHEAD: Final = 16  # hits; how far beyond k to look for chunks with the k-th score
REFILL: Final = 4  # factor by which more hits are requested, if too many were not allowed
NAMED_MAX: Final = 4_096  # allowed chunks; up to so many are passed to Lance, beyond that hits are filtered here

# Lance's options for splitting words, by word rules; stored with the index, so queries are split the same way.
_OPTIONS: Final[dict[int, dict[str, Any]]] = {
    WORD_RULES_BEFORE: {"base_tokenizer": "icu/split"},
    WORD_RULES: {"base_tokenizer": "whitespace", "remove_stop_words": False, "max_token_length": None},
}
_COLUMNS: Final = {WORD_RULES_BEFORE: ("title", "text"), WORD_RULES: (WORDS_COLUMN,)}
OLD_NAMES: Final = frozenset({"title_words", "text_words"})  # of the index with the previous rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """Fragments that one new segment will cover, and the segments that it replaces."""

    fragments: tuple[lance.LanceFragment, ...]
    dropped: tuple[Index, ...] = ()


def is_indexed(dataset: lance.LanceDataset) -> bool:
    """Whether the dataset has a full-text index."""
    return {_name(column) for column in _columns(dataset)} <= {index.name for index in dataset.describe_indices()}


def empty_segments(dataset: lance.LanceDataset) -> list[Index]:
    """Write empty segments; without any others, every search reads every row."""
    return _empty(dataset, word_rules(dataset.schema))


def uncovered_fragments(dataset: lance.LanceDataset, *, rules: int | None = None) -> list[lance.LanceFragment]:
    """Return the fragments that no segment covers, by default of this store's word rules."""
    last = _name(_COLUMNS[rules or word_rules(dataset.schema)][-1])  # segments of all columns are committed at once
    covered = {each for segment in segments(dataset) if segment.name == last for each in segment.fragment_ids}
    return [fragment for fragment in dataset.get_fragments() if fragment.fragment_id not in covered]


def plan_covers(dataset: lance.LanceDataset, fragments: Sequence[lance.LanceFragment], *, tidy: bool) -> list[Cover]:
    """Plan how to cover these fragments: fragments of one size class together, as many as a segment may cover.

    `tidy` merges in the segments of the class that cover no more rows than the new ones, smallest first. So segments
    stay few, and a row is written again only when its segment has doubled.
    """
    return [
        _with_small_segments(dataset, group) if tidy else Cover(fragments=group) for group in _group_by_size(fragments)
    ]


def write_segments(
    dataset: lance.LanceDataset, fragments: Sequence[lance.LanceFragment], *, rules: int | None = None
) -> list[Index]:
    """Write a segment per column that covers these fragments, for a later commit."""
    if not fragments:
        return _empty(dataset, rules or word_rules(dataset.schema))
    numbers = [fragment.fragment_id for fragment in fragments]
    by = rules or word_rules(dataset.schema)
    parts = [_write_segment(dataset, column, numbers, rules=by) for column in _COLUMNS[by]]
    return [dataset.merge_existing_index_segments([part]) for part in parts]  # in place; before, none can be searched


def write_covers(dataset: lance.LanceDataset, covers: Sequence[Cover]) -> list[Index]:
    """Write the segments of these covers, for a later commit."""
    return [segment for cover in covers for segment in write_segments(dataset, cover.fragments)]


def segments_covering(dataset: lance.LanceDataset, fragments: Collection[int]) -> list[Index]:
    """Return the segments that cover any of these fragments, for a commit to drop."""
    return [each for each in segments(dataset) if not set(fragments).isdisjoint(each.fragment_ids)]


def covered_and_gone(dataset: lance.LanceDataset) -> set[int]:
    """Return fragments whose rows are all deleted, but whose words are still in a segment."""
    present = {fragment.fragment_id for fragment in dataset.get_fragments()}
    return {each for segment in segments(dataset) for each in segment.fragment_ids} - present


def without_segments(dataset: lance.LanceDataset, fragments: Collection[int]) -> lance.LanceOperation.CreateIndex:
    """Drop the segments of these fragments; if none would be left, add an empty one, or the index would be gone."""
    dropped = segments_covering(dataset, fragments)
    gone = {segment.uuid for segment in dropped}
    left = {segment.name for segment in segments(dataset) if segment.uuid not in gone}
    is_left = left >= set(map(_name, _columns(dataset))) or not is_indexed(dataset)
    return change(() if is_left else empty_segments(dataset), dropped=dropped)


def segments(dataset: lance.LanceDataset) -> list[Index]:
    """Return all segments as a commit names them, without reading their files."""
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
    """Return the operation to commit."""
    return lance.LanceOperation.CreateIndex(new_indices=list(added), removed_indices=list(dropped))


def find_matches(
    dataset: lance.LanceDataset, text: str, k: int, *, rows: StoredRows, allowed: ChunkNumbers | None
) -> LexicalHits:
    """Return the `k` best matches; every row from Lance is checked against the live and allowed ones here.

    Lance returns addresses: reading the numbers of 300 rows would take it as long as finding them. The allowed numbers,
    which are our own, go to it as SQL: an expression of pyarrow cannot be passed on where a column has lists of texts.
    """
    words = analyse_query(text) if word_rules(dataset.schema) == WORD_RULES else _plain(text)
    query = CombinedFieldsQuery(words, list(_columns(dataset)))
    is_named = allowed is not None and len(allowed) <= NAMED_MAX
    where = f"number IN ({','.join(map(str, allowed.tolist()))})" if allowed is not None and is_named else None
    asked = k + TIES_AHEAD
    while k > 0 and (allowed is None or len(allowed)):
        table = dataset.scanner(
            columns=["_score"],
            with_row_address=True,
            full_text_query=query,
            limit=asked,
            filter=where,
            prefilter=is_named,
        ).to_table()
        found = rows.numbers_at(table["_rowaddr"].to_numpy().astype(np.int64))
        scores = table["_score"].to_numpy()
        kept = found != NO_CHUNK if allowed is None else (found != NO_CHUNK) & isin_sorted(found, allowed)
        order = np.lexsort((found[kept], -scores[kept]))[:k]
        numbers, best = found[kept][order], scores[kept][order]
        # Lance may drop any of several equal hits at the end of its list; then a longer list is needed.
        if len(found) < asked or (len(best) == k and best[-1] > scores.min()):
            return LexicalHits(numbers=numbers, scores=best)
        asked *= REFILL
    return LexicalHits(numbers=np.empty(0, dtype=np.int64), scores=np.empty(0, dtype=np.float32))


def _columns(dataset: lance.LanceDataset) -> tuple[str, ...]:
    return _COLUMNS[word_rules(dataset.schema)]


def _empty(dataset: lance.LanceDataset, rules: int) -> list[Index]:
    return [_write_segment(dataset, column, [], rules=rules) for column in _COLUMNS[rules]]


def _name(column: str) -> str:
    return f"{column}_words"


def _write_segment(dataset: lance.LanceDataset, column: str, fragments: list[int], *, rules: int) -> Index:
    """Write a segment. `replace` concerns only its name, which is taken; nothing is replaced before a commit."""
    return dataset.create_index_uncommitted(
        column, "INVERTED", name=_name(column), replace=True, fragment_ids=fragments, **_OPTIONS[rules]
    )


def _group_by_size(fragments: Sequence[lance.LanceFragment]) -> Iterator[tuple[lance.LanceFragment, ...]]:
    """Group neighbours of one size class, as many as a segment may cover: a join must not include larger ones."""
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
    """Replace halves of surrogate pairs, which Lance refuses and which are no words anywhere."""
    return text.encode("utf-8", "replace").decode("utf-8")
