"""Migrates a store from the previous word rules to the current ones while it is searched and written to.

    1  add an empty column for the words
    2  fragment by fragment: fill in its words, then write a segment that covers them; searches still use the old index
    3  change the format, which switches searches over; then drop the old index

After an interruption it continues at the first fragment that no segment of the new rules covers. Words are prepared
before the lock is taken, and discarded if the fragment was joined meanwhile. Callers pass Lance's datasets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import lance
import pyarrow as pa
from lance.dataset import Index

from winnow.retrieval.lexical.words import WORD_RULES
from winnow.retrieval.store.lance_fulltext import OLD_NAMES, change, segments, uncovered_fragments, write_segments
from winnow.retrieval.store.rows import WORDS_COLUMN, metadata_with_words, words_columns, words_schema, words_table

STEP_ROWS: Final = 16_384  # rows, or one fragment; a step's words are in memory, and are indexed under the lock

_KEY: Final = "number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """The words of some fragments, prepared before the lock is taken."""

    words: Mapping[int, pa.Table]  # by fragment: number and words of each live row
    files: Mapping[int, str]  # by fragment: the file with its rows


def prepare_words(dataset: lance.LanceDataset) -> Ahead:
    """Prepare the words of the first fragments that no segment of the new rules covers; none if all are covered."""
    words: dict[int, pa.Table] = {}
    files: dict[int, str] = {}
    rows = 0
    for fragment in uncovered_fragments(dataset, rules=WORD_RULES):
        if words and rows + fragment.physical_rows > STEP_ROWS:
            break
        table = fragment.to_table(columns=[_KEY, *words_columns(dataset.schema)])
        words[fragment.fragment_id] = words_table(table).add_column(0, _KEY, table[_KEY])
        files[fragment.fragment_id] = _file_of(fragment)
        rows += fragment.physical_rows
    return Ahead(words=words, files=files)


def add_words_column(dataset: lance.LanceDataset) -> None:
    if WORDS_COLUMN not in dataset.schema.names:
        dataset.add_columns(words_schema())


def fill_words(dataset: lance.LanceDataset, ahead: Ahead) -> lance.LanceOperation.Update | None:
    """Write the words into their column, for a later commit; None if none of the fragments is unchanged."""
    updated, fields = [], set[int]()
    for fragment in _still(dataset, ahead):
        metadata, modified = fragment.update_columns(ahead.words[fragment.fragment_id], left_on=_KEY)
        updated.append(metadata)
        fields.update(modified)
    if not updated:
        return None
    return lance.LanceOperation.Update(updated_fragments=updated, fields_modified=sorted(fields))


def cover_words(dataset: lance.LanceDataset, ahead: Ahead) -> lance.LanceOperation.CreateIndex:
    """Write the segment, for a later commit; the words must be committed first."""
    return change(write_segments(dataset, _still(dataset, ahead), rules=WORD_RULES))


def switch_rules(dataset: lance.LanceDataset) -> None:
    metadata = metadata_with_words(dataset.schema.metadata)
    dataset.update_schema_metadata({key.decode(): value.decode() for key, value in metadata.items()}, replace=True)


def old_segments(dataset: lance.LanceDataset) -> list[Index]:
    """Return the segments that no search uses any more."""
    return [segment for segment in segments(dataset) if segment.name in OLD_NAMES]


def _still(dataset: lance.LanceDataset, ahead: Ahead) -> Sequence[lance.LanceFragment]:
    present = {fragment.fragment_id: fragment for fragment in dataset.get_fragments()}
    same = [number for number, file in ahead.files.items() if number in present and _file_of(present[number]) == file]
    return [present[number] for number in same]


def _file_of(fragment: lance.LanceFragment) -> str:
    return str(fragment.data_files()[0].path)
