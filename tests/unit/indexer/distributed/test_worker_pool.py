"""Windows over workers: committed in order, to the same bits, whichever workers are lost; and bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import MemoryStore
from tests.unit.indexer.distributed.scripted import IDENTITY, ScriptedCluster, other_dimension
from tests.unit.indexer.test_chunking import Words
from tests.unit.indexer.test_pipeline import CompanyEmbedder, ListCorpus, Watcher, documents, publish
from winnow.indexer.batches import WindowBound
from winnow.indexer.chunking import Chunker
from winnow.indexer.distributed.worker_pool import LOSSES_MAX, STARTS_MAX, WINDOWS_PER_WORKER, WorkerPool
from winnow.indexer.pipeline import index_corpus
from winnow.indexer.report import IndexReport
from winnow.indexer.writer import DocumentWriter
from winnow.retrieval.errors import EmbedderUnavailable, ModelUnusable, Overloaded, SettingInvalid

CORPUS = [*documents(9), None, *documents(27)[9:]]  # seven windows of four


async def index(
    embedder: WorkerPool | CompanyEmbedder,
    store: MemoryStore,
    folder: Path,
    *,
    windows_max: int = 1,
    watcher: Watcher | None = None,
    corpus: ListCorpus | None = None,
) -> IndexReport:
    writer = DocumentWriter(store=store, embedder=embedder, chunker=Chunker(tokenizer=Words(), tokens_max=16))
    return await index_corpus(
        corpus=corpus or ListCorpus(documents=CORPUS),
        store=store,
        writer=writer,
        publish=publish,
        rejects=folder / "rejects.jsonl",
        progress=watcher,
        bound=WindowBound(documents=4, characters=10_000),
        windows_max=windows_max,
    )


async def index_with(cluster: ScriptedCluster, workers: int, store: MemoryStore, folder: Path) -> WorkerPool:
    async with cluster.pool(workers) as pool:
        await index(pool, store, folder, windows_max=pool.windows_max)
    return pool


def rows(store: MemoryStore) -> list[tuple[int, str, int, int, bytes]]:
    """Chunk number, document, span and the bits of the vector, of every chunk in order."""
    snapshot = store.snapshot()
    vectors = np.concatenate([batch.vectors for batch in snapshot.vectors()])
    return [
        (chunk.number, chunk.document_id, chunk.start, chunk.end, vector.tobytes())
        for chunk, vector in zip(snapshot.chunks(snapshot.chunk_numbers()), vectors, strict=True)
    ]


@settings(max_examples=15, deadline=None)
@given(
    workers=st.integers(1, 4),
    lost=st.lists(st.integers(0, 14), unique=True, max_size=LOSSES_MAX - 1),
    fail=st.integers(0, STARTS_MAX - 1),
)
def test_whichever_workers_are_lost_the_result_is_the_local_engines(workers: int, lost: list[int], fail: int):
    """Documents, chunk numbers and the bits of the vectors; no worker ever holds more than its two windows."""

    async def run() -> None:
        local, remote = MemoryStore(), MemoryStore()
        cluster = ScriptedCluster(script=lambda call, _: "lose" if call in lost else "embed", lost_at_start=fail)
        with TemporaryDirectory() as folder:
            await index(CompanyEmbedder(), local, Path(folder))
            pool = await index_with(cluster, workers, remote, Path(folder))
        assert rows(remote) == rows(local)
        report = pool.report("scripted", None)
        fallen = [call for call in lost if call < cluster.calls]
        assert sum(each.lost for each in report.workers) == len(fallen)
        assert len(fallen) <= report.windows_sent_again <= WINDOWS_PER_WORKER * len(fallen)
        assert sum(each.windows for each in report.workers) == 7
        assert max(worker.most_held for worker in cluster.workers) <= WINDOWS_PER_WORKER
        assert all(worker.stopped for worker in cluster.workers)

    asyncio.run(run())


WORDS = Words()


@pytest.mark.parametrize(
    ("models", "tokens"),
    [pytest.param(WORDS, WORDS.ids, id="the chunker's"), pytest.param(Words(), lambda _: None, id="another")],
)
async def test_what_the_chunker_tokenised_is_not_tokenised_again(
    models: Words, tokens: Callable[[str], list[int] | None]
):
    """Workers receive the tokens of each passage if the model has the chunker's tokenizer, and none otherwise."""
    cluster = ScriptedCluster()
    async with cluster.pool(1, tokenizer=models) as pool:
        chunker = Chunker(tokenizer=WORDS, tokens_max=16)
        await DocumentWriter(store=MemoryStore(), embedder=pool, chunker=chunker).upsert(documents(4))
    assert len(cluster.received) >= 4
    assert [passage.ids for passage in cluster.received] == [tokens(passage.text) for passage in cluster.received]


async def test_the_windows_of_a_lost_worker_go_first(tmp_path: Path):
    """All later commits wait for them, so they overtake windows that have not been sent yet."""
    store = MemoryStore()
    cluster = ScriptedCluster(room=1, script=lambda call, _: "hang" if call == 0 else "embed")
    async with cluster.pool(1) as pool:
        running = asyncio.create_task(index(pool, store, tmp_path, windows_max=6))
        while cluster.workers[0].held < WINDOWS_PER_WORKER:
            await asyncio.sleep(0.001)
        cluster.workers[0].gone.set()
        cluster.add_room(1)
        await running
    firsts = [passages[0].split("x")[0] for passages in cluster.begun]
    assert firsts[:3] == ["w0", "w0", "w4"]
    assert pool.describe() == "1 worker · 2 windows sent again"


async def test_a_slow_first_window_bounds_what_is_read_ahead(tmp_path: Path):
    """Nothing can be committed before it; the rest of the corpus waits on the disk, not in memory."""
    corpus = _Counting(documents=documents(400))
    cluster = ScriptedCluster(script=lambda call, _: "hang" if call == 0 else "embed")
    async with cluster.pool(2) as pool:
        running = asyncio.create_task(index(pool, MemoryStore(), tmp_path, windows_max=pool.windows_max, corpus=corpus))
        held = WINDOWS_PER_WORKER  # the worker that hangs holds two windows; the other one has done all that it may
        while cluster.calls < pool.windows_max - held + 1:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)  # time in which a run without a bound would have read everything
        assert corpus.given <= 4 * (pool.windows_max + 2)
        assert cluster.calls <= pool.windows_max
        cluster.workers[0].gone.set()
        report = await running
    assert report.added == 400


async def test_a_run_goes_on_when_all_workers_were_lost_and_others_come(tmp_path: Path):
    """The run waits for room; nothing is lost."""
    local, remote = MemoryStore(), MemoryStore()
    await index(CompanyEmbedder(), local, tmp_path)
    cluster = ScriptedCluster(room=2, script=lambda call, _: "lose" if call in (1, 2) else "embed")
    async with cluster.pool(2) as pool:
        running = asyncio.create_task(index(pool, remote, tmp_path, windows_max=pool.windows_max))
        for worker in cluster.workers:
            await worker.gone.wait()
        assert pool.describe().startswith("0 of 2 workers")
        cluster.add_room(1)
        await running
    assert rows(remote) == rows(local)


async def test_a_run_without_any_worker_left_fails_and_keeps_its_commits(tmp_path: Path):
    """After a while, with the reason of the last loss; the local engine resumes to the same bits."""
    local, remote = MemoryStore(), MemoryStore()
    await index(CompanyEmbedder(), local, tmp_path)
    cluster = ScriptedCluster(room=1, script=lambda call, _: "lose" if call == 3 else "embed")
    with pytest.raises(EmbedderUnavailable, match=r"no worker within .* each one needs 1 CPU.*its node was killed"):
        async with cluster.pool(1, patience_seconds=0.05) as pool:
            await index(pool, remote, tmp_path, windows_max=pool.windows_max)
    assert remote.snapshot().counts()[0] == 12
    await index(CompanyEmbedder(), remote, tmp_path)
    assert rows(remote) == rows(local)


async def test_a_cluster_without_room_fails_at_the_start():
    with pytest.raises(EmbedderUnavailable, match="room for no worker"):
        async with ScriptedCluster(room=0).pool(2, patience_seconds=0.05):
            pytest.fail("there is no worker")


async def test_workers_that_never_load_end_the_run():
    """A model that does not fit into memory kills worker after worker; the run says why."""
    cluster = ScriptedCluster(lost_at_start=1_000)
    with pytest.raises(EmbedderUnavailable, match="no worker can start: it fell while it rose"):
        async with cluster.pool(2):
            pytest.fail("there is no worker")
    assert len(cluster.workers) >= STARTS_MAX * 2
    assert all(worker.stopped for worker in cluster.workers)


async def test_a_window_that_kills_every_worker_ends_the_run(tmp_path: Path):
    """The error names the window; those before it are committed."""
    store = MemoryStore()
    cluster = ScriptedCluster(script=lambda _, passages: "lose" if passages[0].startswith("w8x") else "embed")
    with pytest.raises(EmbedderUnavailable, match=f"window 3 of this run lost {LOSSES_MAX} workers"):
        await index_with(cluster, 2, store, tmp_path)
    assert store.snapshot().counts()[0] == 8


async def test_an_error_of_the_model_is_raised_as_it_is(tmp_path: Path):
    """Another worker would raise it again, so no worker counts as lost."""
    cluster = ScriptedCluster(refuses=Overloaded("told to fail"))
    with pytest.raises(Overloaded, match="told to fail"):
        await index_with(cluster, 2, MemoryStore(), tmp_path)
    assert len(cluster.workers) == 2


async def test_workers_with_another_version_or_model_are_refused():
    """Their vectors might differ; both sides are named."""
    with pytest.raises(SettingInvalid, match=r"worker w0 has winnow 0\.9 and this command 1\.2\.3"):
        async with ScriptedCluster(version="0.9").pool(1):
            pytest.fail("it was accepted")
    other = other_dimension()
    with pytest.raises(ModelUnusable, match=f"{other.dimension} dimensions.*{IDENTITY.dimension} dimensions"):
        async with ScriptedCluster(identity=other).pool(1):
            pytest.fail("it was accepted")


async def test_a_cancelled_run_stops_its_workers_and_keeps_whole_windows(tmp_path: Path):
    """Ctrl-C: the commit is finished, the windows at the workers are dropped."""
    store, watcher, cluster = MemoryStore(), Watcher(), ScriptedCluster()

    async def run() -> None:
        async with cluster.pool(2) as pool:
            await index(pool, store, tmp_path, windows_max=pool.windows_max, watcher=watcher)

    running = asyncio.create_task(run())
    await watcher.wrote.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert store.snapshot().counts()[0] % 4 == 0
    assert all(worker.stopped and not worker.held for worker in cluster.workers)


async def test_a_cancelled_window_gives_its_place_back():
    """Also one whose turn came in the very moment."""
    cluster = ScriptedCluster(script=lambda _, passages: "hang" if passages[0] == "slow" else "embed")
    async with cluster.pool(1) as pool:
        slow = [asyncio.create_task(pool.embed_passages(["slow"])) for _ in range(4)]
        while not cluster.calls:
            await asyncio.sleep(0)
        for task in slow:
            task.cancel()
        await asyncio.wait(slow)
        found = await pool.embed_passages(["quick"])
    assert len(found.vectors) == 1


class _Counting(ListCorpus):
    given = 0

    def entries(self):  # type: ignore[no-untyped-def]
        for entry in super().entries():
            self.given += 1
            yield entry
