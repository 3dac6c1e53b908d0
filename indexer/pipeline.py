"""Indexes a whole corpus, and resumes a run that was killed.

    compare    which documents the collection holds already, by content hash
    write      windows of new and changed documents, one commit each
    remove     if requested: documents that the corpus no longer has
    publish    a generation of the index

Memory is bounded whatever the size of corpus and collection: windows by their contents, ids by id_tables.py.

Runs share no state but the store itself: documents with an equal hash are done, the rest is not (indexer/batches.py
says why the vectors come out the same). A run that is cancelled finishes its current commit, and drops the windows that
it is embedding and reading. So does one that fails; if two stages fail, the error is that of the earlier window.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from winnow.indexer.batches import Step, WindowBound, make_steps
from winnow.indexer.changes import Change, Changes, reason_to_keep
from winnow.indexer.corpus import Corpus, check_entries
from winnow.indexer.id_tables import KnownDocuments, KnownOnDisk, SeenIds, in_batches, know
from winnow.indexer.job import Event, Job
from winnow.indexer.progress import NoProgress, Progress, Tally
from winnow.indexer.rejects import RejectsFile
from winnow.indexer.report import IndexReport, peak_memory_bytes
from winnow.indexer.stages import run_stages
from winnow.indexer.writer import CutDocuments, DocumentWriter, EmbeddedWindow
from winnow.retrieval.concurrency.tasks import run_to_completion
from winnow.retrieval.errors import CorpusUnreadable, WinnowError
from winnow.retrieval.store.contract import Store, StoreSnapshot

REMOVED_AT_ONCE: Final = 50_000  # documents removed by one commit

_Prepared: TypeAlias = tuple[Step, CutDocuments | None]  # None: there is nothing to write
_Embedded: TypeAlias = tuple[Step, EmbeddedWindow | None]


async def index_corpus(
    *,
    corpus: Corpus,
    store: Store,
    writer: DocumentWriter,
    publish: Callable[[StoreSnapshot], str],
    rejects: Path,
    progress: Progress | None = None,
    prune: bool = False,
    prune_anyway: bool = False,
    bound: WindowBound | None = None,
    windows_max: int = 1,
) -> IndexReport:
    """Index the corpus. Raises what stopped the run; running the same corpus again resumes there.

    `publish` returns the name of the generation that serves the snapshot. `rejects` is the file for refused records.
    `prune` removes documents that the corpus no longer has, if it was read completely; `prune_anyway` also if not. Up
    to `windows_max` windows are embedded at once; they are committed in order. The caller holds the collection's writer
    lock.
    """
    run = _Run(
        corpus=corpus,
        store=store,
        writer=writer,
        publish=publish,
        rejects=RejectsFile(rejects),
        progress=progress or NoProgress(),
        prune=prune or prune_anyway,
        prune_anyway=prune_anyway,
        bound=bound or WindowBound(),
        windows_max=windows_max,
        size=corpus.size,
    )
    return await run.finish()


@dataclass(slots=True, kw_only=True)
class _Run:
    corpus: Corpus
    store: Store
    writer: DocumentWriter
    publish: Callable[[StoreSnapshot], str]
    rejects: RejectsFile
    progress: Progress
    prune: bool
    prune_anyway: bool
    bound: WindowBound
    windows_max: int
    size: int | None
    job: Job = field(default_factory=Job)
    tally: Tally = field(default_factory=Tally)
    not_pruned: str | None = None

    async def finish(self) -> IndexReport:
        self.progress.started(self.corpus.name, self.size)
        try:
            changes = await self._compare()
            await self._write(changes)
            await self._remove(changes)
            generation = await self._make_searchable()
        except asyncio.CancelledError:
            self._advance(Event.STOPPED)
            raise
        except WinnowError:
            self._advance(Event.FAILED)
            raise
        report = self._report(generation)
        self.progress.finished(report)
        return report

    async def _compare(self) -> Changes:
        self._advance(Event.STARTED)
        known = await asyncio.to_thread(self._known)
        self._advance(Event.COMPARED)
        return Changes(known)

    def _known(self) -> KnownDocuments | KnownOnDisk:
        snapshot = self.store.snapshot()
        return know(snapshot.content_hash_batches(), count=snapshot.counts()[0], folder=self.rejects.path.parent)

    async def _write(self, changes: Changes) -> None:
        """Write window by window, in three stages: one window is read and cut, some are embedded, one is committed."""
        seen = SeenIds(self.rejects.path.parent)
        stretches = make_steps(check_entries(self.corpus.entries(), seen), changes, self.bound)
        with self.rejects:
            self.tally.before_step()
            await run_stages(
                partial(asyncio.to_thread, self._prepare, stretches),
                self._embed,
                self._commit,
                embedded_max=self.windows_max,
                stop_reading=self.corpus.stop,  # the thread that reads ahead may be waiting for input
            )
        seen.close()
        self._advance(Event.READ)

    def _prepare(self, stretches: Iterator[Step]) -> _Prepared | None:
        """Return the next step, with its window cut into chunks; None at the end of the corpus."""
        step = next(stretches, None)
        if step is None:
            return None
        return step, self.writer.cut(step.window) if step.window else None

    async def _embed(self, prepared: _Prepared) -> _Embedded:
        step, cut = prepared
        return step, await self.writer.embed(cut) if cut else None

    async def _commit(self, embedded: _Embedded) -> None:
        step, window = embedded
        for reject in step.rejects:
            self.rejects.write(reject)
        upsert = await self.writer.commit(window, more_follows=True) if window else None
        self.tally.add(step, upsert)
        self._show()
        self.tally.before_step()

    async def _remove(self, changes: Changes) -> None:
        count = await asyncio.to_thread(lambda: changes.removed_count) if self.prune else 0
        if count:
            if self.tally.read == self.tally.rejected:
                raise CorpusUnreadable(f"{self.corpus.name} contains no documents; nothing was removed")
            reason = reason_to_keep(changes, self.corpus.account())
            if reason is not None and not self.prune_anyway:
                self.not_pruned = reason
            else:
                for removed in in_batches(changes.removed(), REMOVED_AT_ONCE):
                    self.tally.changes[Change.REMOVED] += await run_to_completion(self.store.delete, removed)
        self._advance(Event.REMOVED)

    async def _make_searchable(self) -> str | None:
        await run_to_completion(self.store.renew_word_rules)
        await run_to_completion(self.store.index_words)  # before the snapshot, since it makes a version of its own
        snapshot = self.store.snapshot()
        _, chunks = snapshot.counts()
        generation = await run_to_completion(self.publish, snapshot) if chunks else None
        self._advance(Event.PUBLISHED)
        return generation

    def _advance(self, event: Event) -> None:
        self.job.on(event)
        self._show()

    def _show(self) -> None:
        self.progress.advanced(self.tally.figures(state=self.job.state, size=self.size))

    def _report(self, generation: str | None) -> IndexReport:
        tally = self.tally
        figures = tally.figures(state=self.job.state, size=self.size)
        snapshot = self.store.snapshot()
        documents, chunks = snapshot.counts()
        account = self.corpus.account()
        return IndexReport(
            corpus=self.corpus.name,
            read=tally.read,
            added=tally.changes[Change.ADDED],
            changed=tally.changes[Change.CHANGED],
            unchanged=tally.changes[Change.UNCHANGED],
            removed=tally.changes[Change.REMOVED],
            rejected=tally.rejected,
            documents=documents,
            chunks=chunks,
            chunks_written=tally.chunks,
            truncated=tally.truncated,
            tokens=tally.tokens,
            seconds=time.monotonic() - tally.began,
            documents_per_second=figures.documents_per_second,
            tokens_per_second=figures.tokens_per_second,
            peak_memory_bytes=peak_memory_bytes(),
            store_version=snapshot.version,
            generation=generation,
            rejects=str(self.rejects.path) if self.rejects.count else None,
            first_rejects=list(self.rejects.first),
            files=account.files,
            notes=list(account.notes),
            not_pruned=self.not_pruned,
            vectors=self.store.vector_format,
            cosine_loss=tally.cosine_loss,
        )
