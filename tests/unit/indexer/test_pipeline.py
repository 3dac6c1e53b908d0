"""A run: counts that add up, resumption to the same bits, nothing lost by a failure, nothing removed by mistake."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import orjson
import pytest

from tests.fakes import HashEmbedder, MemoryStore
from tests.unit.indexer.test_chunking import Words
from winnow.indexer.account import Account
from winnow.indexer.batches import WindowBound
from winnow.indexer.chunking import Chunker
from winnow.indexer.corpus import Corpus, Entry, Place, Record, Reject
from winnow.indexer.job import State
from winnow.indexer.pipeline import index_corpus
from winnow.indexer.progress import Figures
from winnow.indexer.report import IndexReport
from winnow.indexer.writer import DocumentWriter
from winnow.retrieval.embed.embedder import Embeddings
from winnow.retrieval.errors import CorpusUnreadable, Overloaded, WriteFailed
from winnow.retrieval.records import Document
from winnow.retrieval.store.contract import StoreSnapshot


@dataclass(kw_only=True)
class ListCorpus:
    """Documents, with None where a record is bad. Implements `Corpus`."""

    documents: Sequence[Document | None]
    name: str = "list"
    broken_after: int | None = None
    unread: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return len(self.documents)

    def entries(self) -> Iterator[Entry]:
        for line, document in enumerate(self.documents, start=1):
            if self.broken_after is not None and line > self.broken_after:
                raise CorpusUnreadable("torn")
            place = Place(source=self.name, line=line)
            if document is None:
                yield Reject(place=place, reason="bad", position=line)
            else:
                yield Record(document=document, place=place, position=line)

    def account(self) -> Account:
        return Account(unread=self.unread)

    def stop(self) -> None:
        """It waits for nothing."""


class CompanyEmbedder(HashEmbedder):
    """Every vector depends on all texts of its call, as with real models the last bits do; fails when told to."""

    def __init__(self, *, calls_max: int | None = None) -> None:
        super().__init__()
        self._calls_left = calls_max

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        await asyncio.sleep(0)
        if self._calls_left is not None:
            if not self._calls_left:
                raise Overloaded("told to fail")
            self._calls_left -= 1
        alone = await super().embed_passages(texts)
        mixed = alone.vectors + alone.vectors.mean(axis=0) / 100
        unit = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
        return Embeddings(vectors=unit.astype(np.float32), tokens=alone.tokens)


@dataclass
class Watcher:
    """Keeps what it is shown. Implements `Progress`."""

    begun: list[tuple[str, int | None]] = field(default_factory=list)
    shown: list[Figures] = field(default_factory=list)
    ended: list[IndexReport] = field(default_factory=list)
    wrote: asyncio.Event = field(default_factory=asyncio.Event)

    def started(self, name: str, size: int | None) -> None:
        self.begun.append((name, size))

    def advanced(self, figures: Figures) -> None:
        self.shown.append(figures)
        if figures.written:
            self.wrote.set()

    def finished(self, report: IndexReport) -> None:
        self.ended.append(report)


def publish(snapshot: StoreSnapshot) -> str:
    return f"generation of version {snapshot.version}"


def documents(count: int, *, words: int = 5) -> list[Document]:
    return [
        Document(id=f"d{number}", text=" ".join(f"w{number}x{word}" for word in range(words)))
        for number in range(count)
    ]


@pytest.fixture
def rejects(tmp_path: Path) -> Path:
    return tmp_path / "rejects.jsonl"


async def index(
    corpus: Corpus,
    store: MemoryStore,
    rejects: Path,
    *,
    embedder: HashEmbedder | None = None,
    watcher: Watcher | None = None,
    prune: bool = False,
    anyway: bool = False,
) -> IndexReport:
    writer = DocumentWriter(
        store=store, embedder=embedder or CompanyEmbedder(), chunker=Chunker(tokenizer=Words(), tokens_max=16)
    )
    return await index_corpus(
        corpus=corpus,
        store=store,
        writer=writer,
        publish=publish,
        rejects=rejects,
        progress=watcher,
        prune=prune,
        prune_anyway=anyway,
        bound=WindowBound(documents=4, characters=10_000),
    )


def contents(store: MemoryStore) -> dict[str, tuple[str, list[tuple[int, int]], bytes]]:
    """Per document its hash, its spans and the bits of its vectors; chunk numbers may differ between runs."""
    snapshot = store.snapshot()
    rows: dict[str, tuple[str, list[tuple[int, int]], bytes]] = {}
    vectors = np.concatenate([batch.vectors for batch in snapshot.vectors()])
    for chunk, vector in zip(snapshot.chunks(snapshot.chunk_numbers()), vectors, strict=True):
        content_hash = snapshot.document(chunk.document_id).content_hash
        _, spans, bits = rows.get(chunk.document_id, (content_hash, [], b""))
        rows[chunk.document_id] = (content_hash, [*spans, (chunk.start, chunk.end)], bits + vector.tobytes())
    return rows


def written_to(rejects: Path) -> list[object] | None:
    """The rows of the rejects file, where there is one."""
    return [orjson.loads(line) for line in rejects.read_bytes().splitlines()] if rejects.exists() else None


async def test_the_report_adds_up(rejects: Path):
    """Read is added, changed, unchanged and rejected; the collection holds what it says."""
    store = MemoryStore()
    await index(ListCorpus(documents=documents(6)), store, rejects)
    second = [*documents(5), Document(id="d5", text="other"), None, Document(id="new", text="w " * 40)]
    report = await index(ListCorpus(documents=second), store, rejects)
    assert (report.read, report.added, report.changed, report.unchanged, report.rejected) == (8, 1, 1, 5, 1)
    assert (report.documents, report.chunks) == store.snapshot().counts() == (7, 9)
    assert report.chunks_written == 4
    assert report.tokens > 0
    assert report.generation == f"generation of version {store.snapshot().version}"
    assert report.store_version == store.snapshot().version
    assert report.documents_per_second > 0
    assert report.peak_memory_bytes > 10_000_000
    assert orjson.loads(orjson.dumps(asdict(report))) == asdict(report)


async def test_an_unchanged_corpus_costs_nothing(rejects: Path):
    """The second run embeds nothing and writes nothing."""
    store = MemoryStore()
    corpus = ListCorpus(documents=documents(6))
    await index(corpus, store, rejects)
    version = store.snapshot().version
    report = await index(corpus, store, rejects, embedder=CompanyEmbedder(calls_max=0))
    assert (report.unchanged, report.chunks_written, report.tokens) == (6, 0, 0)
    assert store.snapshot().version == version


@pytest.mark.parametrize("calls", range(6))
async def test_a_run_that_fails_anywhere_goes_on_to_the_same_bits(rejects: Path, calls: int):
    """Whichever window fails, running again gives the documents, spans and vectors of an undisturbed run."""
    corpus = ListCorpus(documents=[*documents(10), None, *documents(18)[10:], *documents(2)])
    undisturbed, disturbed = MemoryStore(), MemoryStore()
    for store in (undisturbed, disturbed):  # something is there already, some of it about to change
        await index(ListCorpus(documents=[Document(id="d3", text="old"), *documents(8)[6:]]), store, rejects)
    await index(corpus, undisturbed, rejects)
    if calls < 4:
        with pytest.raises(Overloaded):
            await index(corpus, disturbed, rejects, embedder=CompanyEmbedder(calls_max=calls))
    report = await index(corpus, disturbed, rejects)
    assert contents(disturbed) == contents(undisturbed)
    assert (report.rejected, report.read) == (3, 21)


async def test_a_cancelled_run_leaves_whole_windows(rejects: Path):
    """Ctrl-C is a cancellation: the error comes through, committed windows stay, and the next run goes on."""
    store, watcher = MemoryStore(), Watcher()
    corpus = ListCorpus(documents=documents(18))
    running = asyncio.ensure_future(index(corpus, store, rejects, watcher=watcher))
    await watcher.wrote.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert store.snapshot().counts()[0] % 4 == 0
    assert watcher.shown[-1].state is State.STOPPED
    assert not watcher.ended
    await index(corpus, store, rejects)
    assert store.snapshot().counts()[0] == 18


async def test_rejects_are_written_and_the_rest_goes_in(rejects: Path):
    """Line, source, id and reason; those of the run before are forgotten."""
    store = MemoryStore()
    bad = ListCorpus(
        documents=[None, Document(id="a", text="x"), Document(id="a", text="y"), Document(id="b", text=" ")]
    )
    report = await index(bad, store, rejects)
    assert report.rejects == str(rejects)
    assert written_to(rejects) == [
        {"line": 1, "source": "list", "id": None, "reason": "bad"},
        {"line": 3, "source": "list", "id": "a", "reason": "the id is already used by list:2"},
        {"line": 4, "source": "list", "id": "b", "reason": "no text"},
    ]
    assert store.snapshot().counts()[0] == 1
    report = await index(ListCorpus(documents=documents(1)), store, rejects)
    assert report.rejects is None
    assert written_to(rejects) is None


async def test_prune_removes_what_is_gone_and_nothing_else(rejects: Path):
    """A document whose record is refused now is not gone; without prune nothing is."""
    store = MemoryStore()
    await index(ListCorpus(documents=documents(4)), store, rejects)
    fewer = ListCorpus(documents=[*documents(2), Document(id="d2", text=" ")])
    report = await index(fewer, store, rejects)
    assert (report.removed, report.documents) == (0, 4)
    report = await index(fewer, store, rejects, prune=True)
    assert (report.removed, report.documents) == (1, 3)
    assert set(store.snapshot().content_hashes()) == {"d0", "d1", "d2"}


@pytest.mark.parametrize("empty", [[], [None, None]], ids=["empty", "all bad"])
async def test_prune_by_an_empty_corpus_is_refused(rejects: Path, empty: list[None]):
    """A wrong path must not empty a collection."""
    store = MemoryStore()
    await index(ListCorpus(documents=documents(4)), store, rejects)
    with pytest.raises(CorpusUnreadable, match="nothing was removed"):
        await index(ListCorpus(documents=empty), store, rejects, prune=True)
    assert store.snapshot().counts()[0] == 4


@pytest.mark.parametrize(
    ("bad", "unread", "reason"),
    [
        ([None], (), "1 records were refused without a readable id"),
        ([Document(id=" ", text="x")], (), "1 records were refused"),
        ([], ("mail", "notes"), "mail and 1 more could not be read"),
    ],
    ids=["a record that cannot be read", "an id of blanks", "a folder"],
)
async def test_nothing_is_pruned_by_a_corpus_that_was_not_read_completely(
    rejects: Path, bad: list[Document | None], unread: tuple[str, ...], reason: str
):
    """The document may still be there, unread. The report says so, the rest goes in, and a person may insist."""
    store = MemoryStore()
    await index(ListCorpus(documents=documents(4)), store, rejects)
    corpus = ListCorpus(documents=[*documents(2), *bad, Document(id="new", text="w")], unread=unread)
    report = await index(corpus, store, rejects, prune=True)
    assert re.search(reason, report.not_pruned or "")
    assert "2 documents that were not seen" in (report.not_pruned or "")
    assert (report.removed, report.added) == (0, 1)
    assert set(store.snapshot().content_hashes()) == {"d0", "d1", "d2", "d3", "new"}
    report = await index(corpus, store, rejects, anyway=True)
    assert (report.removed, report.not_pruned) == (2, None)
    assert set(store.snapshot().content_hashes()) == {"d0", "d1", "new"}


async def test_a_torn_corpus_keeps_its_whole_windows_and_prunes_nothing(rejects: Path):
    """What was read before the tear in whole windows is there; the run is an error, and removes nothing."""
    store, watcher = MemoryStore(), Watcher()
    await index(ListCorpus(documents=[Document(id="old", text="old")]), store, rejects)
    with pytest.raises(CorpusUnreadable, match="torn"):
        await index(ListCorpus(documents=documents(12), broken_after=6), store, rejects, watcher=watcher, prune=True)
    assert set(store.snapshot().content_hashes()) == {"old", "d0", "d1", "d2", "d3"}
    assert watcher.shown[-1].state is State.FAILED


async def test_an_empty_corpus_publishes_nothing(rejects: Path):
    """There is no generation of nothing."""
    report = await index(ListCorpus(documents=[]), MemoryStore(), rejects)
    assert (report.generation, report.documents, report.seconds >= 0) == (None, 0, True)


async def test_progress_is_shown_after_every_window(rejects: Path):
    """States in order, figures that grow, and an estimate once there is something to estimate from."""
    watcher = Watcher()
    await index(ListCorpus(documents=documents(10)), MemoryStore(), rejects, watcher=watcher)
    assert watcher.begun == [("list", 10)]
    states = [figures.state for figures in watcher.shown]
    assert states == [
        State.COMPARING, State.WRITING, State.WRITING, State.WRITING, State.WRITING,
        State.REMOVING, State.PUBLISHING, State.DONE,
    ]  # fmt: skip
    assert [figures.written for figures in watcher.shown] == [0, 0, 4, 8, 10, 10, 10, 10]
    assert [figures.eta_seconds is None for figures in watcher.shown[:3]] == [True, True, False]
    assert watcher.shown[-1].eta_seconds == 0
    assert watcher.ended[0].tokens == watcher.shown[-1].tokens


def test_rates_leave_out_what_was_skipped():
    """A resumed run tells how fast it embeds, not how fast it skips."""
    figures = Figures(
        state=State.WRITING, position=900, size=1_000, read=900, written=100, unchanged=800, rejected=0, chunks=200,
        tokens=50_000, writing_seconds=10.0, writing_from=800,
    )  # fmt: skip
    assert figures.documents_per_second == 10
    assert figures.tokens_per_second == 5_000
    assert figures.eta_seconds == 10


async def test_a_rejects_file_that_cannot_be_written_stops_the_run(tmp_path: Path):
    """Rejects that nobody can read about are not dropped silently."""
    with pytest.raises(WriteFailed, match=r"rejects\.jsonl"):
        await index(ListCorpus(documents=[None]), MemoryStore(), tmp_path / "missing" / "rejects.jsonl")
