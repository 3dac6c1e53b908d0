"""The chunks of one collection, stored as a Lance dataset.

Rule 1: one call, one commit. New rows are written and old rows are marked as deleted first; one commit then publishes
both. Columns that the new rows need first are added, empty, by a commit before it.
Rule 2: everything that a commit names is on the disk before the commit, and the commit is on the disk before the caller
hears of it. Lance itself syncs nothing, so the kernel may write a manifest before the data that it names.

Vectors are stored as the float32 values that came in, unless the store was created for float16, which halves them
(retrieval/store/vector_column.py). What is read is what is stored, so a rebuilt index is identical.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import lance
import numpy as np
import pyarrow as pa
from lance.optimize import Compaction, CompactionOptions
from numpy.typing import NDArray

from winnow.retrieval.errors import StoreUnavailable, WriteFailed
from winnow.retrieval.files.durable import DISK, Syncer
from winnow.retrieval.files.lease import ONE_HOST, WriterLease
from winnow.retrieval.lexical.words import WORD_RULES
from winnow.retrieval.records import EmbeddedDocument
from winnow.retrieval.store.lance_attributes import upgrade
from winnow.retrieval.store.lance_commits import LanceCommits
from winnow.retrieval.store.lance_compaction import members_of, plan_joins
from winnow.retrieval.store.lance_fulltext import (
    SMALL_FRAGMENT_ROWS,
    TINY_FRAGMENT_ROWS,
    change,
    covered_and_gone,
    empty_segments,
    is_indexed,
    plan_covers,
    segments,
    segments_covering,
    uncovered_fragments,
    without_segments,
    write_covers,
)
from winnow.retrieval.store.lance_renewal import (
    Ahead,
    add_words_column,
    cover_words,
    fill_words,
    old_segments,
    prepare_words,
    switch_rules,
)
from winnow.retrieval.store.lance_rows import mark_deleted, write_rows
from winnow.retrieval.store.lance_snapshot import LanceSnapshot
from winnow.retrieval.store.numbering import ChunkNumberSequence
from winnow.retrieval.store.places.local_place import LocalPlace
from winnow.retrieval.store.places.place import StorePlace
from winnow.retrieval.store.rows import (
    WORDS_COLUMN,
    has_attributes,
    known_attributes,
    missing_columns,
    require_schema,
    require_text,
    schema_of,
    table_of,
    word_rules,
)
from winnow.retrieval.vector_format import VectorFormat

SMALL_FRAGMENTS_MAX: Final = 32  # of the tiny and of the small ones each; a fragment costs every scan about 0.1 ms
DELETED_SHARE_MAX: Final = 0.5  # of a fragment's rows; beyond it, copying the rest pays off
UNINDEXED_ROWS_MAX: Final = 16  # rows that no segment covers; each costs a lexical search 30 us
UNINDEXED_ROWS_OF_RUN_MAX: Final = 4_096  # the same, during a run that indexes the rest at its end
COMMITS_BETWEEN_CLEANUPS: Final = 64  # commits; looking for old versions takes as long as about ten commits

_EVER: Final = timedelta(days=36_500)

_log = logging.getLogger(__name__)


class LanceStore:
    """The corpus of one collection at its place. Implements `Store`."""

    def __init__(self, dataset: lance.LanceDataset, place: StorePlace, *, dimension: int, lease: WriterLease) -> None:
        self.place = place
        self._dimension = dimension
        self._lease = lease
        self._numbers = ChunkNumberSequence(place, lease=lease)
        self._commits = LanceCommits(dataset, place, lease=lease)
        self._cleaned_at: int | None = None  # version of the last clean-up
        self._writing = threading.Lock()

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        dimension: int,
        vectors: VectorFormat = VectorFormat.FLOAT32,
        syncer: Syncer = DISK,
        lease: WriterLease = ONE_HOST,
    ) -> LanceStore:
        """Create an empty store, complete an interrupted `create`, or open an existing store, whatever its format."""
        return cls.create_at(LocalPlace(path, syncer=syncer), dimension=dimension, vectors=vectors, lease=lease)

    @classmethod
    def create_at(
        cls,
        place: StorePlace,
        *,
        dimension: int,
        vectors: VectorFormat = VectorFormat.FLOAT32,
        lease: WriterLease = ONE_HOST,
    ) -> LanceStore:
        """Like `create`, at any place."""
        if not place.is_created():
            place.create(schema_of(dimension, vectors))
            cls.open_at(place, dimension=dimension, lease=lease).index_words()
            ChunkNumberSequence(place).start()
        return cls.open_at(place, dimension=dimension, lease=lease)

    @classmethod
    def open(cls, path: Path, *, dimension: int, syncer: Syncer = DISK, lease: WriterLease = ONE_HOST) -> LanceStore:
        """Open a store in a folder. A writer holds the `lease`."""
        return cls.open_at(LocalPlace(path, syncer=syncer), dimension=dimension, lease=lease)

    @classmethod
    def open_at(cls, place: StorePlace, *, dimension: int, lease: WriterLease = ONE_HOST) -> LanceStore:
        """Like `open`, at any place."""
        dataset = place.open()
        place.read(lambda: require_schema(dataset.schema, dimension, place.name))
        return cls(dataset, place, dimension=dimension, lease=lease)

    def require_usable(self) -> None:
        """Raise `StoreCorrupt` if a file of the newest version or the next chunk number is missing or damaged.

        Reads no data: `winnow verify` finds flipped bits.
        """
        self._numbers.next()
        self.snapshot().require_files()

    def snapshot(self) -> LanceSnapshot:
        return self._commits.newest()

    @property
    def vector_format(self) -> VectorFormat:
        return self.snapshot().vector_format

    def replace(self, documents: Sequence[EmbeddedDocument], *, more_follows: bool = False) -> int:
        ids = [embedded.document.id for embedded in documents]
        assert len(set(ids)) == len(ids) > 0, "different documents, at least one. This is a bug."
        for embedded in documents:
            require_text(embedded.document)
        count = sum(len(embedded.spans) for embedded in documents)
        with self._writing:
            self._begin()
            self._clean_up()
            self._compact()
            if not has_attributes(self._commits.base.dataset.schema):
                self._commits.change(partial(upgrade, written=self.place.sync))
            schema = self._commits.base.dataset.schema
            rows = table_of(
                documents,
                first_number=self._numbers.take(count),
                dimension=self._dimension,
                vectors=self._commits.base.vector_format,
                known=known_attributes(schema),
                has_words=WORDS_COLUMN in schema.names,
            )
            if missing := missing_columns(schema, rows.schema):
                self._commits.change(lambda dataset: dataset.add_columns(missing))
            base = self._commits.base
            version = self._commit(base, rows, base.rows_of(ids))
            self._index_waiting_words(more_follows=more_follows)
            return version

    def _begin(self) -> None:
        self.place.begin()
        self._commits.begin()

    def delete(self, document_ids: Sequence[str]) -> int:
        with self._writing:
            self._begin()
            self._clean_up()  # no compaction: it needs space, and the delete may be meant to free some
            base = self._commits.base
            gone = base.rows_of(document_ids)
            if not gone:
                return 0
            self._commit(base, None, gone)
            return base.counts()[0] - self._commits.base.counts()[0]

    def index_words(self) -> None:
        with self._writing:
            self._begin()
            if not is_indexed(self._commits.base.dataset):
                self._commit_words(lambda dataset: change(empty_segments(dataset)))
            self._cover(self._waiting(), tidy=False)
            self.place.record()

    def renew_words(self, damaged: Sequence[str]) -> None:
        """Rebuild the full-text index from all texts, and remove the damaged files of the old one.

        `damaged` paths are relative to the store's folder. Older versions that name these files stay broken.
        """
        with self._writing:
            self._begin()
            self._commit_words(
                lambda dataset: change(
                    write_covers(dataset, plan_covers(dataset, dataset.get_fragments(), tidy=False))
                    or empty_segments(dataset),
                    dropped=segments(dataset),
                )
            )
            self.place.record()
            self._lease.renew()
            self.place.remove(damaged)
            self.place.prune()

    def renew_word_rules(self, locked: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        while True:
            newest = self.snapshot()
            dataset = newest.dataset.checkout_version(newest.version)
            is_old = word_rules(dataset.schema) != WORD_RULES
            if not is_old and not old_segments(dataset):
                return
            ahead = self.place.read(lambda: prepare_words(dataset)) if is_old else None  # noqa: B023  it runs at once
            with locked(), self._writing:
                self._begin()
                if ahead is not None:
                    self._renew_some(ahead)
                if word_rules(self._commits.base.dataset.schema) == WORD_RULES:
                    self._commit_words(lambda dataset: change(dropped=old_segments(dataset)))
                self.place.record()

    def _renew_some(self, ahead: Ahead) -> None:
        if not has_attributes(self._commits.base.dataset.schema):
            self._commits.change(partial(upgrade, written=self.place.sync))
        self._commits.change(add_words_column)
        dataset = self._commits.own()
        operation = self.place.write(lambda: fill_words(dataset, ahead))
        if operation is not None:
            self._commits.commit(operation, dataset)
        self._commit_words(lambda dataset: cover_words(dataset, ahead))
        if not uncovered_fragments(self._commits.base.dataset, rules=WORD_RULES):
            self._commits.change(switch_rules)

    def _index_waiting_words(self, *, more_follows: bool) -> None:
        """Index uncovered words after a write. The write stands even if this fails: searches read uncovered rows."""
        waiting = self._waiting()
        rows_max = UNINDEXED_ROWS_OF_RUN_MAX if more_follows else UNINDEXED_ROWS_MAX
        if sum(fragment.physical_rows for fragment in waiting) < rows_max:
            return
        try:
            self.place.begin()
            self._cover(waiting, tidy=not more_follows)
            self.place.record()
        except (StoreUnavailable, WriteFailed) as failed:
            self.place.require_sound()  # after a failed sync nothing more is acknowledged
            _log.warning("%s: the last writes are not in the full-text index yet: %s", self.place.name, failed)

    def _waiting(self) -> list[lance.LanceFragment]:
        """Return the fragments that no segment covers; none for a store without a full-text index.

        Building that index takes a minute for a million texts, too long for a write.
        """
        dataset = self._commits.base.dataset
        return uncovered_fragments(dataset) if is_indexed(dataset) else []

    def _cover(self, fragments: Sequence[lance.LanceFragment], *, tidy: bool) -> None:
        if fragments:
            covers = plan_covers(self._commits.base.dataset, fragments, tidy=tidy)
            dropped = [segment for cover in covers for segment in cover.dropped]
            self._commit_words(lambda dataset: change(write_covers(dataset, covers), dropped=dropped))

    def _commit_words(self, made: Callable[[lance.LanceDataset], lance.LanceOperation.CreateIndex]) -> None:
        dataset = self._commits.own()  # while a segment is written, no other call may use its dataset
        operation = self.place.write(lambda: made(dataset))
        self._commits.commit(operation, dataset)

    def holding(self) -> AbstractContextManager[None]:
        return self.place.holding()

    def clean_up(self) -> int:
        with self._writing:
            self._commits.begin()
            removed = self._remove_old_versions(at_most=None) + self._remove_unnamed()
            removed += self.place.remove_torn()
            self.place.prune()
            try:
                self._forget()  # last: it needs space, and the clean-up may be meant to free some
            except WriteFailed as failed:
                _log.warning("%s: deleted data stays on the disk until a later clean-up: %s", self.place.name, failed)
                removed += self._remove_unnamed()  # what it wrote until then, which takes all the room
            return removed

    def has_superseded(self) -> bool:
        return bool(self.place.superseded())

    def remove_old_versions(self) -> int:
        with self._writing:
            self._commits.begin()
            removed = self._remove_old_versions()
            self.place.prune()
            return removed

    def _commit(self, base: LanceSnapshot, rows: pa.Table | None, gone: Mapping[int, NDArray[np.uint32]]) -> int:
        """Commit `rows` as new and `gone` as deleted, at once; return the new version."""
        added = [] if rows is None else self.place.write(lambda: write_rows(rows, base.dataset))
        left = self.place.write(lambda: mark_deleted(base.dataset, gone))
        operation = lance.LanceOperation.Update(
            removed_fragment_ids=[number for number, fragment in left.items() if fragment is None],
            updated_fragments=[fragment for fragment in left.values() if fragment is not None],
            new_fragments=added,
        )
        version = self._commits.commit(operation)
        self.place.record()
        self.place.require_sound()
        return version

    def _compact(self) -> None:
        """Join fragments once there are too many of a size; each commit adds one, and each costs every scan.

        Tiny fragments are joined into small ones, and many small ones into a large one. A commit then mostly waits for
        little work, and a row is copied about as often as its fragment grows by a factor, later only when most of its
        fragment was deleted. This runs before a commit, so that a disk too full for it has not taken anything yet.
        """
        sizes = [fragment.physical_rows for fragment in self._commits.base.dataset.get_fragments()]
        if sum(TINY_FRAGMENT_ROWS <= size < SMALL_FRAGMENT_ROWS for size in sizes) > SMALL_FRAGMENTS_MAX:
            self._join(SMALL_FRAGMENT_ROWS)
        elif sum(size < TINY_FRAGMENT_ROWS for size in sizes) > SMALL_FRAGMENTS_MAX:
            self._join(TINY_FRAGMENT_ROWS)

    def _join(self, rows: int, *, deleted_share_max: float = DELETED_SHARE_MAX) -> None:
        """Join neighbouring fragments with fewer rows. Rows keep their numbers, so no index or view is affected."""
        options = CompactionOptions(target_rows_per_fragment=rows, materialize_deletions_threshold=deleted_share_max)
        whole, order = self._commits.own(), self._commits.base.fragments_by_number()
        copied = members_of(self.place.read(lambda: plan_joins(whole, options, order)))
        if segments_covering(self._commits.base.dataset, copied):  # until covered again, searches read these rows
            self._commit_words(lambda dataset: without_segments(dataset, copied))
        dataset = self._commits.own()
        joined = self.place.write(lambda: [task.execute(dataset) for task in plan_joins(dataset, options, order)])
        if joined:
            self.place.sync()
            self._commits.change(lambda dataset: Compaction.commit(dataset, joined))

    def _forget(self) -> None:
        """Copy the rows around deleted ones, so that deleted data goes with the last version that has it.

        Until then a deletion is only a mark, and the deleted text's words stay in the full-text index.
        """
        dataset = self._commits.base.dataset
        gone = covered_and_gone(dataset)
        fragments = dataset.get_fragments()
        if not gone and not any(fragment.num_deletions for fragment in fragments):
            return
        copied = [each for each in fragments if each.num_deletions or each.physical_rows < TINY_FRAGMENT_ROWS]
        self.place.require_room([f"data/{file.path}" for each in copied for file in each.data_files()])
        self.place.begin()
        if gone:
            self._commit_words(lambda dataset: without_segments(dataset, gone))
        self._join(TINY_FRAGMENT_ROWS, deleted_share_max=0.0)
        self._cover(self._waiting(), tidy=True)
        self.place.record()

    def _clean_up(self) -> None:
        """Remove the files of versions that nothing reads any more, once every `COMMITS_BETWEEN_CLEANUPS`."""
        version = self._commits.base.version
        if self._cleaned_at is None or version - self._cleaned_at >= COMMITS_BETWEEN_CLEANUPS:
            self._remove_old_versions()
            self.place.prune()
            self._cleaned_at = version

    def _remove_unnamed(self) -> int:
        """Remove the files that no version names, such as those of a write that failed. Return their bytes.

        If the lease expires, only after the week for which Lance keeps them: a writer that took over may need them.
        """
        dataset, is_sole = self._commits.base.dataset, not self._lease.expires
        with self._commits.renewed():  # no version is that old
            removed = self.place.write(
                lambda: dataset.cleanup_old_versions(older_than=_EVER, delete_unverified=is_sole)
            )
        return int(removed.bytes_removed)

    def _remove_old_versions(self, *, at_most: int | None = 2 * COMMITS_BETWEEN_CLEANUPS) -> int:
        """Remove the oldest of them. Other writers wait for no more than `at_most`; None removes all."""
        with self.place.removing() as may_remove, self._commits.renewed():
            old = sorted(self.place.superseded())[:at_most] if may_remove else []
            dataset = self._commits.base.dataset
            return int(self.place.write(lambda: dataset.cleanup_old_versions(versions=old)).bytes_removed) if old else 0
