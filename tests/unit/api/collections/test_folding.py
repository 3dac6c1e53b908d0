"""api/collections/folding.py: when an index is built anew beside the service, and what becomes of it where that
fails."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.collections.test_ingest import sent
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from winnow.api.assemble import Services
from winnow.api.collections.fold_process import Fold, Folded, FoldEnded, fold_in_process
from winnow.api.collections.folding import BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_MIN, BUSY_SECONDS, Folding, Outcome
from winnow.api.collections.open_collections import OpenCollection
from winnow.api.http.app import create_app
from winnow.retrieval.errors import CollectionBusy, CollectionNotFound, StoreCorrupt, WinnowError, WriteFailed
from winnow.retrieval.files.lease import WriterLease
from winnow.retrieval.files.locks import folding as held_for_folding
from winnow.retrieval.generation.history import fold as fold_here
from winnow.retrieval.generation.history import roll_back
from winnow.retrieval.generation.pointer import current_name, names
from winnow.retrieval.index.planner import IndexWish, Recipe
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.vector_format import VectorFormat

ON_CPU = {"device": "cpu", "device_fault": None}
CHUNKS_MAX = 2
SECONDS_MAX = 60.0


class Builder:
    """Builds in this process; fails as it is told to, and takes as long by the clock as it is told."""

    def __init__(self, parts: Services) -> None:
        self.parts = parts
        self.now = 1_000.0
        self.takes = 0.0
        self.failure: WinnowError | FoldEnded | None = None
        self.asked: list[Fold] = []

    def clock(self) -> float:
        return self.now

    async def __call__(self, fold: Fold) -> Folded:
        self.asked.append(fold)
        self.now += self.takes
        if self.failure is not None:
            raise self.failure
        opened = self.opened(fold.folder.name)
        manifest = fold_here(opened.folder, opened.store.snapshot(), fold.identity, kept=fold.kept)
        return Folded(generation=manifest.name, count=manifest.count, store_version=manifest.store_version)

    def opened(self, name: str = "docs") -> OpenCollection:
        return self.parts.collections.get("default", name)

    def generation(self) -> str | None:
        return self.opened().searchable.view().generation


@pytest.fixture
def builder(tmp_path: Path, tokenizer: PlainTokenizer) -> Builder:
    parts = parts_over(tmp_path, tokenizer, PrefersWord("a"))
    parts.ingest.make("default", "docs")
    return Builder(parts)


@pytest.fixture
def folding(builder: Builder) -> Folding:
    return Folding(
        collections=builder.parts.collections,
        chunks_max=CHUNKS_MAX,
        seconds_max=SECONDS_MAX,
        kept=2,
        build=builder,
        clock=builder.clock,
    )


def fold_of(opened: OpenCollection) -> Fold:
    return Fold(
        folder=opened.folder.path,
        tenant=opened.collection.tenant,
        identity=opened.collection.embedder,
        made_at=opened.collection.created_at,
        kept=2,
        seen=None,
    )


async def write(builder: Builder, **texts: str) -> None:
    await builder.parts.ingest.upsert("default", "docs", sent(**texts))


async def test_much_that_is_new_is_folded_and_little_waits(builder: Builder, folding: Folding) -> None:
    """Beyond the bound at once, below it after its time; an empty collection never."""
    await folding.look()
    await write(builder, a="one", b="two")
    await folding.look()
    assert builder.asked == []
    await write(builder, c="three")
    await folding.look()
    assert builder.generation() == "g000001"
    await write(builder, d="four")
    await folding.look()
    builder.now += SECONDS_MAX - 1
    await folding.look()
    assert builder.generation() == "g000001"
    builder.now += 1
    await folding.look()
    assert builder.generation() == "g000002"
    builder.now += 10 * SECONDS_MAX
    await folding.look()
    assert len(builder.asked) == 2
    assert folding.figures.outcomes[Outcome.FOLDED] == 2


async def test_removed_chunks_count_as_well(builder: Builder, folding: Folding) -> None:
    """Every search has to pass over them."""
    await write(builder, a="one", b="two", c="three", d="four")
    await folding.look()
    for name in "abc":
        await builder.parts.ingest.delete("default", "docs", name)
    await folding.look()
    view = builder.opened().searchable.view()
    assert (view.generation, view.unfolded) == ("g000002", 0)


async def test_a_write_waits_for_no_fold(builder: Builder, folding: Folding) -> None:
    """The service's own writes leave it to what looks after the indexes, however much they bring."""
    await write(builder, **{f"d{at}": "text" for at in range(50)})
    assert builder.generation() is None
    await folding.look()
    assert builder.generation() == "g000001"


async def test_it_rests_for_as_long_as_it_worked(builder: Builder, folding: Folding) -> None:
    """However fast somebody writes, half of the time no index is being built."""
    builder.takes = 7.0
    await write(builder, a="one", b="two", c="three")
    await folding.look()
    await write(builder, d="one", e="two", f="three")
    builder.now += 6.9
    await folding.look()
    assert len(builder.asked) == 1
    builder.now += 0.1
    await folding.look()
    assert len(builder.asked) == 2


@pytest.mark.parametrize(
    "failure", [WriteFailed("the disk is full"), FoldEnded("exit code -9")], ids=["told", "killed"]
)
async def test_what_fails_is_told_and_tried_again_later_and_later(
    builder: Builder, folding: Folding, failure: WinnowError | FoldEnded
) -> None:
    """Searches go on as before; the first success ends it."""
    builder.failure = failure
    await write(builder, a="one", b="two", c="three")
    pauses = []
    for _ in range(9):
        await folding.look()
        until = folding.standing(builder.opened()).rests_until
        pauses.append(until - builder.now)
        builder.now = until - 0.1
        await folding.look()
        builder.now = until
    assert pauses[:3] == [BACKOFF_SECONDS_MIN, 2 * BACKOFF_SECONDS_MIN, 4 * BACKOFF_SECONDS_MIN]
    assert pauses[-1] == BACKOFF_SECONDS_MAX
    assert len(builder.asked) == folding.standing(builder.opened()).failures == 9
    assert str(failure.args[0]) in str(folding.standing(builder.opened()).problem)
    assert builder.opened().searchable.view().delta_count == 3
    builder.failure = None
    await folding.look()
    standing = folding.standing(builder.opened())
    assert (standing.failures, standing.problem, builder.generation()) == (0, None, "g000001")


async def test_another_process_that_folds_is_no_failure(builder: Builder, folding: Folding) -> None:
    """It is left to it, and looked at again soon."""
    await write(builder, a="one", b="two", c="three")
    with held_for_folding(builder.opened().folder):
        await folding.look()
    assert (folding.standing(builder.opened()).failures, folding.figures.outcomes[Outcome.ELSEWHERE]) == (0, 1)
    builder.now += BUSY_SECONDS
    await folding.look()
    assert builder.generation() == "g000001"


async def test_a_rollback_is_left_alone_until_somebody_asks(builder: Builder, folding: Folding) -> None:
    """An automatic publication would undo what somebody did on purpose."""
    for at in range(2):
        await write(builder, **{f"{name}{at}": "text" for name in "abc"})
        await folding.look()
    roll_back(builder.opened().folder, builder.opened().collection.embedder)
    builder.opened().searchable.refresh()
    builder.now += 10 * SECONDS_MAX
    await folding.look()
    assert builder.generation() == "g000001"
    assert await folding.ask(builder.opened()) == "g000003"
    assert builder.generation() == "g000003"


async def test_a_damaged_index_is_built_anew(builder: Builder, folding: Folding, tmp_path: Path) -> None:
    """As soon as a process finds it damaged, whether or not anything was written."""
    await write(builder, a="one", b="two", c="three")
    await folding.look()
    (builder.opened().folder.generations / "g000001" / "vectors.sums").write_bytes(b"damaged")
    builder.parts = parts_over(tmp_path, builder.parts.embedding.tokenizer, PrefersWord("a"))
    assert builder.opened().searchable.view().fallback_from is not None
    folding = Folding(
        collections=builder.parts.collections, chunks_max=9, seconds_max=60, kept=2, build=builder, clock=builder.clock
    )
    await folding.look()
    view = builder.opened().searchable.view()
    assert (view.generation, view.fallback_from) == ("g000002", None)


async def test_the_kind_of_index_that_is_set_is_the_one_that_is_asked_for(builder: Builder) -> None:
    """In the process that builds, where nobody reads the settings."""
    wish = IndexWish(recipe=Recipe.HNSW, recall_target=0.9)
    folding = Folding(
        collections=builder.parts.collections, chunks_max=9, seconds_max=60, kept=2, wish=wish, build=builder
    )
    await folding.ask(builder.opened())
    assert [fold.wish for fold in builder.asked] == [wish]


async def test_a_collection_that_is_gone_is_nobodys_business(builder: Builder, folding: Folding) -> None:
    """It is removed while it is open and behind: no fold, and no failure that is tried again for ever."""
    await write(builder, a="one", b="two", c="three")
    builder.opened().searchable.view()
    builder.parts.disk.remove("default", "docs")
    await folding.look()
    assert builder.asked == []


async def test_a_fold_that_is_asked_for_twice_is_built_once(builder: Builder, folding: Folding) -> None:
    """Unless it has begun: then the second would miss what was written meanwhile."""
    await write(builder, a="one")
    opened = builder.opened()
    assert await asyncio.gather(folding.ask(opened), folding.ask(opened)) == ["g000001", "g000001"]
    builder.failure = CollectionBusy("docs")
    with pytest.raises(CollectionBusy):
        await folding.ask(opened)


async def test_a_process_of_its_own_builds_what_this_one_would(builder: Builder) -> None:
    """The real one; what goes wrong there comes back as it was raised, and what kills it is told."""
    await write(builder, a="one", b="two")
    opened = builder.opened()
    fold = fold_of(opened)
    version = opened.store.snapshot().version
    assert await fold_in_process(fold) == Folded(generation="g000001", count=2, store_version=version)
    with pytest.raises(CollectionBusy, match="docs has just been folded"):
        await fold_in_process(fold)
    assert current_name(opened.folder) == "g000001"


async def test_a_fold_that_was_meant_for_another_collection_of_that_name_builds_nothing(builder: Builder) -> None:
    """It was thought necessary, then the collection was deleted and made anew, then its process began."""
    await write(builder, a="one", b="two")
    meant = fold_of(builder.opened())
    builder.parts.disk.remove("default", "docs")
    builder.parts.ingest.make("default", "docs")
    await write(builder, c="three")
    with pytest.raises(CollectionBusy, match="docs has just been replaced"):
        await fold_in_process(meant)
    assert (names(builder.opened().folder), current_name(builder.opened().folder)) == ([], None)
    assert (await fold_in_process(fold_of(builder.opened()))).count == 1


async def test_what_was_read_before_a_collection_was_made_anew_is_never_published_into_it(builder: Builder) -> None:
    """The moment in which nothing but the time when it was made tells the two apart: neither has an index yet."""
    await write(builder, a="one", b="two")
    before = builder.opened()
    snapshot = before.store.snapshot()
    builder.parts.disk.remove("default", "docs")
    builder.parts.ingest.make("default", "docs")
    with pytest.raises(CollectionBusy, match="docs has just been replaced"):
        fold_here(before.folder, snapshot, before.collection.embedder, made_at=before.collection.created_at)
    assert (names(before.folder), current_name(before.folder)) == ([], None)


async def test_nor_while_it_is_being_made(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The corpus of the earlier one is gone, and the new one is not in its place yet: nothing of the fold stays."""
    await write(builder, a="one")
    before = builder.opened()
    snapshot, create = before.store.snapshot(), LanceStore.create
    builder.parts.disk.remove("default", "docs")

    def interrupted(path: Path, *, dimension: int, vectors: VectorFormat, lease: WriterLease) -> LanceStore:
        with pytest.raises(CollectionBusy, match="docs has just been removed"):
            fold_here(before.folder, snapshot, before.collection.embedder, made_at=before.collection.created_at)
        return create(path, dimension=dimension, vectors=vectors, lease=lease)

    monkeypatch.setattr(LanceStore, "create", interrupted)
    builder.parts.ingest.make("default", "docs")
    assert (names(before.folder), current_name(before.folder)) == ([], None)


async def test_a_damaged_corpus_is_not_taken_for_a_removed_one(builder: Builder) -> None:
    """Its folder is gone, but what else the collection has is there."""
    await write(builder, a="one")
    opened = builder.opened()
    snapshot = opened.store.snapshot()
    shutil.rmtree(opened.folder.corpus)
    with pytest.raises(StoreCorrupt, match=r"corpus\.lance"):
        fold_here(opened.folder, snapshot, opened.collection.embedder, made_at=opened.collection.created_at)


@pytest.mark.parametrize("then", ["stays", "is removed", "is made again"])
async def test_files_that_go_with_their_collection_are_not_damaged(builder: Builder, then: str) -> None:
    """A process that builds finds them missing, as in a bucket, where no folder says why: the catalog knows."""
    await write(builder, a="one")

    async def build(fold: Fold) -> Folded:
        if then != "stays":
            builder.parts.disk.remove("default", "docs")
        if then == "is made again":
            builder.parts.ingest.make("default", "docs")
        raise StoreCorrupt("corpus.lance: Not found")

    folding = Folding(collections=builder.parts.collections, chunks_max=9, seconds_max=60, kept=2, build=build)
    opened = builder.opened()
    error = {"stays": StoreCorrupt, "is removed": CollectionNotFound, "is made again": CollectionBusy}[then]
    with pytest.raises(error):
        await folding.ask(opened)
    assert folding.standing(opened).failures == int(then == "stays")


async def test_a_fold_is_given_up_when_the_service_stops(builder: Builder) -> None:
    """Within moments, and without a trace but a folder that the next one removes."""
    await write(builder, **{f"d{at}": "text" for at in range(3)})
    folding = Folding(collections=builder.parts.collections, chunks_max=1, seconds_max=60, kept=2)
    began = asyncio.get_running_loop().time()
    async with folding.running():
        while not folding.is_building:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
    assert asyncio.get_running_loop().time() - began < 10
    assert current_name(builder.opened().folder) is None


def test_generations_over_http(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """Built when asked for, listed, rolled back; every answer holds the newest documents."""
    parts = parts_over(tmp_path, tokenizer, PrefersWord("退货"))
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        client.post("/v1/collections", json={"name": "docs"})
        for at in range(2):
            client.post("/v1/collections/docs/documents", json=DOCUMENTS[at])
            folded = client.post("/v1/collections/docs/fold")
            assert (folded.status_code, folded.json()) == (200, {"collection": "docs", "generation": f"g00000{at + 1}"})
        client.post("/v1/collections/docs/documents", json=DOCUMENTS[2])
        body = client.get("/v1/collections/docs/generations").json()
        assert [(each["name"], each["current"], each["chunks"]) for each in body["generations"]] == [
            ("g000002", True, 2),
            ("g000001", False, 1),
        ]
        assert body["serving"] == {"generation": "g000002", "fresh_chunks": 1, "fallback_from": None, **ON_CPU}
        back = client.post("/v1/collections/docs/generations/rollback")
        assert (back.status_code, back.json()["rolled_back_from"]) == (200, "g000002")
        assert back.json()["serving"] == {
            "generation": "g000001",
            "fresh_chunks": 2,
            "fallback_from": None,
            **ON_CPU,
        }
        search = {"query": "退货", "collection": "docs", "explain": True}
        found = client.post("/v1/search", json=search).json()
        assert {each["document_id"] for each in found["results"]} == {"refunds", "herons", "zh/退货"}
        assert found["index"] == {"generation": "g000001", "fresh_chunks": 2, "fallback_from": None, **ON_CPU}
        refused = client.post("/v1/collections/docs/generations/rollback", json={"to": "g000007"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_request")
        assert client.get("/v1/collections/none/generations").status_code == 404
