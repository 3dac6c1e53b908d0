"""Reading, embedding and committing overlap, and an error of one stage leaves whole windows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.fakes import HashEmbedder, MemoryStore
from tests.unit.indexer.test_pipeline import ListCorpus, contents, documents, index, written_to
from winnow.indexer.corpus import Entry
from winnow.retrieval.embed.embedder import Embeddings
from winnow.retrieval.errors import CorpusUnreadable, WriteFailed
from winnow.retrieval.records import EmbeddedDocument

SECONDS_MAX = 20.0  # until a wait that never ends is a failure


class Stages:
    """What the stages have begun; a stage waits for another before it goes on."""

    def __init__(self) -> None:
        self.commits_begun = 0
        self.embeds_begun = 0
        self.changed = threading.Condition()

    def wait_for(self, *, embeds: int = 0, commits: int = 0) -> None:
        with self.changed:
            assert self.changed.wait_for(
                lambda: self.embeds_begun >= embeds and self.commits_begun >= commits, SECONDS_MAX
            )

    def begin(self, *, embed: bool) -> int:
        with self.changed:
            self.embeds_begun += embed
            self.commits_begun += not embed
            self.changed.notify_all()
            return self.embeds_begun if embed else self.commits_begun


class WaitingStore(MemoryStore):
    """Ends the commit of a window only after the next window has begun to be embedded."""

    def __init__(self, stages: Stages, *, windows: int, fails_at: int | None = None) -> None:
        super().__init__()
        self.stages, self.windows, self.fails_at = stages, windows, fails_at

    def replace(self, documents: Sequence[EmbeddedDocument], *, more_follows: bool = False) -> int:
        number = self.stages.begin(embed=False)
        self.stages.wait_for(embeds=min(number + 1, self.windows))
        if number == self.fails_at:
            raise WriteFailed("told to fail")
        return super().replace(documents, more_follows=more_follows)


class CountingEmbedder(HashEmbedder):
    """Counts; the call `hangs_at` never ends."""

    def __init__(self, stages: Stages, *, hangs_at: int | None = None) -> None:
        super().__init__()
        self.stages, self.hangs_at, self.was_cancelled = stages, hangs_at, False

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        if self.stages.begin(embed=True) == self.hangs_at:
            try:
                await asyncio.Event().wait()
            finally:
                self.was_cancelled = True
        return await super().embed_passages(texts)


async def test_a_window_is_embedded_while_the_one_before_is_committed(tmp_path: Path) -> None:
    """Without the overlap the first commit would wait for ever. The result is that of an undisturbed run."""
    stages, plain = Stages(), MemoryStore()
    store = WaitingStore(stages, windows=3)
    corpus = ListCorpus(documents=[*documents(6), None, *documents(12)[6:]])
    report = await index(corpus, store, tmp_path / "r", embedder=CountingEmbedder(stages))
    await index(corpus, plain, tmp_path / "p", embedder=HashEmbedder())
    assert contents(store) == contents(plain)
    assert written_to(tmp_path / "r") == written_to(tmp_path / "p")
    assert (report.added, report.rejected) == (12, 1)


async def test_a_failed_commit_ends_the_embedding_of_the_next_window(tmp_path: Path) -> None:
    """At once, with the commit's error, though the model would never answer."""
    stages = Stages()
    store, embedder = WaitingStore(stages, windows=3, fails_at=1), CountingEmbedder(stages, hangs_at=2)
    with pytest.raises(WriteFailed, match="told to fail"):
        await index(ListCorpus(documents=documents(12)), store, tmp_path / "r", embedder=embedder)
    assert embedder.was_cancelled
    assert store.snapshot().counts()[0] == 0


async def test_a_cancelled_run_ends_its_commit(tmp_path: Path) -> None:
    """And drops the window that is being embedded."""
    stages = Stages()
    store, embedder = WaitingStore(stages, windows=3), CountingEmbedder(stages, hangs_at=2)
    running = asyncio.ensure_future(
        index(ListCorpus(documents=documents(12)), store, tmp_path / "r", embedder=embedder)
    )
    await asyncio.to_thread(stages.wait_for, embeds=2, commits=1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert embedder.was_cancelled
    assert store.snapshot().counts()[0] == 4


class TornCorpus(ListCorpus):
    """Breaks in its third window, once the first is being committed."""

    stages: Stages

    def entries(self) -> Iterator[Entry]:
        for place, entry in enumerate(super().entries()):
            if place == 8:
                self.stages.wait_for(commits=1)
                raise CorpusUnreadable("torn")
            yield entry


@pytest.mark.parametrize("fails_at", [None, 2])
async def test_what_was_read_before_a_tear_is_committed(tmp_path: Path, fails_at: int | None) -> None:
    """If the commit before it fails, too, that is the error: it is the one that lost something."""
    stages = Stages()
    store = WaitingStore(stages, windows=2, fails_at=fails_at)
    corpus = TornCorpus(documents=documents(12))
    corpus.stages = stages
    with pytest.raises(WriteFailed if fails_at else CorpusUnreadable):
        await index(corpus, store, tmp_path / "r", embedder=CountingEmbedder(stages))
    assert sorted(store.snapshot().content_hashes()) == [f"d{number}" for number in range(4 if fails_at else 8)]


async def test_windows_are_committed_in_order(tmp_path: Path) -> None:
    """Chunk numbers ascend as the corpus does."""
    store = MemoryStore()
    await index(ListCorpus(documents=documents(40)), store, tmp_path / "r", embedder=HashEmbedder())
    snapshot = store.snapshot()
    chunks = snapshot.chunks(snapshot.chunk_numbers().tolist())
    assert [chunk.document_id for chunk in chunks] == [document.id for document in documents(40)]
