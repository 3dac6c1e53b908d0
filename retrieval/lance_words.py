"""Which chunks hold the words of a query? Lance's full-text index over titles and texts.

The index is made of segments, each of which covers some fragments. What is in no segment is read at each search and
scored together with the rest, so that a segment may come late and may go: a write waits for neither. Both columns are
scored as one field (BM25F), which is the passage as both stages read it, without storing it a second time.

    an empty segment    from the start, and always: it says how words are told apart
    a segment           written, and synced, before the commit that names it

Rule 1: no segment covers rows that are about to be copied by a compaction. Lance would write a new one in the middle of
that commit, where nobody can sync it first; so it is dropped before, and its rows are indexed again where they went.
Rule 2: what a user wrote is matched as it is. No text is ever parsed as a query.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

import lance
import numpy as np
import pyarrow.compute as pc
from lance.dataset import Index
from lance.query import CombinedFieldsQuery
from numpy.typing import NDArray

from retrieval.ascending import among
from retrieval.records import ChunkNumbers
from retrieval.store import LexicalHits

COLUMNS: Final = ("title", "text")
TOKENIZER: Final = "icu/split"  # words of any script; names such as `set_value` also by their parts, unlike "icu"
SEGMENT_ROWS_MAX: Final = 262_144  # rows; a segment that has to be made again takes up to 20 s, and few are searched
SMALL_FRAGMENT_ROWS: Final = 32_768  # rows; smaller fragments will be joined, and must not take larger ones along
TIES_AHEAD: Final = 16  # hits; how far beyond k to look for chunks that score as the k-th does
REFILL: Final = 4  # times more hits are asked for, where too many were not allowed
NAMED_MAX: Final = 4_096  # allowed chunks; so few are named to Lance, from among more it is asked until enough came

Live = Callable[[ChunkNumbers], NDArray[np.bool_]]


def is_indexed(dataset: lance.LanceDataset) -> bool:
    """Whether words can be searched here at all."""
    return {_name(column) for column in COLUMNS} <= {index.name for index in dataset.describe_indices()}


def empty_segments(dataset: lance.LanceDataset) -> list[Index]:
    """With them, and no other, every row is read at each search."""
    return [_written(dataset, column, []) for column in COLUMNS]


def uncovered(dataset: lance.LanceDataset) -> list[lance.LanceFragment]:
    """The fragments that are in no segment."""
    covered = {
        fragment
        for index in dataset.describe_indices()
        if index.name == _name(COLUMNS[-1])  # segments of all columns are committed together
        for segment in index.segments
        for fragment in segment.fragment_ids
    }
    return [fragment for fragment in dataset.get_fragments() if fragment.fragment_id not in covered]


def segments_of(dataset: lance.LanceDataset, fragments: Sequence[lance.LanceFragment]) -> list[Index]:
    """Writes segments that cover these fragments, for a commit to name; large and small fragments in different ones."""
    segments = []
    for group in _grouped(fragments):
        for column in COLUMNS:
            part = _written(dataset, column, [fragment.fragment_id for fragment in group])
            segments.append(dataset.merge_existing_index_segments([part]))  # in place; before it, it cannot be searched
    return segments


def segments_covering(dataset: lance.LanceDataset, fragments: Collection[int]) -> list[Index]:
    """The segments that cover any of these fragments, for a commit to drop."""
    return [each for each in segments(dataset) if not set(fragments).isdisjoint(each.fragment_ids)]


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
    query = CombinedFieldsQuery(_plain(text), list(COLUMNS))
    is_named = allowed is not None and len(allowed) <= NAMED_MAX
    where = pc.field("number").isin(allowed.tolist()) if allowed is not None and is_named else None
    asked = k + TIES_AHEAD
    while k > 0:
        table = dataset.scanner(
            columns=["number", "_score"], full_text_query=query, limit=asked, filter=where, prefilter=is_named
        ).to_table()
        found, scores = table["number"].to_numpy(), table["_score"].to_numpy()
        kept = live(found) if allowed is None else live(found) & among(found, allowed)
        order = np.lexsort((found[kept], -scores[kept]))[:k]
        numbers, best = found[kept][order], scores[kept][order]
        # Lance may leave out any of several equal hits at the end of its list; then the list must be longer.
        if len(found) < asked or (len(best) == k and best[-1] > scores.min()):
            return LexicalHits(numbers=numbers, scores=best)
        asked *= REFILL
    return LexicalHits(numbers=np.empty(0, dtype=np.int64), scores=np.empty(0, dtype=np.float32))


def _name(column: str) -> str:
    return f"{column}_words"


def _written(dataset: lance.LanceDataset, column: str, fragments: list[int]) -> Index:
    """`replace` is about the name, which is taken; nothing is replaced before a commit says so."""
    return dataset.create_index_uncommitted(
        column, "INVERTED", name=_name(column), replace=True, fragment_ids=fragments, base_tokenizer=TOKENIZER
    )


def _grouped(fragments: Sequence[lance.LanceFragment]) -> Iterator[list[lance.LanceFragment]]:
    """Neighbours of one class of size, as many as a segment may cover."""
    for are_small in (False, True):
        group: list[lance.LanceFragment] = []
        rows = 0
        for fragment in fragments:
            if (fragment.physical_rows < SMALL_FRAGMENT_ROWS) is are_small:
                if group and rows + fragment.physical_rows > SEGMENT_ROWS_MAX:
                    yield group
                    group, rows = [], 0
                group.append(fragment)
                rows += fragment.physical_rows
        if group:
            yield group


def _plain(text: str) -> str:
    """Half of a surrogate pair is no text to Lance; to everybody else it is no word."""
    return text.encode("utf-8", "replace").decode("utf-8")
