"""retrieval/index/gpu_index.py: on the device what fits and may be believed, on the host the rest, never silently."""

from __future__ import annotations

import gc
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from tests.builders import unit_vectors
from tests.fake_device import FakeCard
from tests.fakes import MemoryStore
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import SettingInvalid
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.open import open_newest
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.index import gpu_index as device_index
from winnow.retrieval.index.backend_probe import find_faults
from winnow.retrieval.index.faiss_flat import FaissFlatIndex
from winnow.retrieval.index.faiss_gpu import FaissGpu, missing
from winnow.retrieval.index.filtered_search import GATHERED_BESIDE_DEVICE_MAX, Way, search_allowed
from winnow.retrieval.index.gpu_index import DEVICE_K_MAX, DeviceFlatIndex, IndexDevice, Seat
from winnow.retrieval.index.planner import DEVICE_COUNT_MIN, IndexWish, Recipe, device_bytes
from winnow.retrieval.index.vector_index import Hits
from winnow.retrieval.records import Document, EmbeddedDocument, Span, Vectors
from winnow.retrieval.search.reader import IndexReader
from winnow.retrieval.store.contract import VectorBatch

DIMENSION = 16
COUNT = DEVICE_COUNT_MIN
NEEDED = device_bytes(count=COUNT, dimension=DIMENSION)
IDENTITY = EmbedderIdentity(name="hash", revision="r1", dimension=DIMENSION)
QUERIES = unit_vectors(5, dimension=DIMENSION, seed=9)


def host(count: int = COUNT, *, seed: int = 0) -> FaissFlatIndex:
    numbers = 3 * np.arange(count, dtype=np.int64) + 1
    vectors = unit_vectors(count, dimension=DIMENSION, seed=seed)
    return FaissFlatIndex.build([VectorBatch(numbers=numbers, vectors=vectors)], dimension=DIMENSION)


def on(card: FakeCard, index: FaissFlatIndex | None = None) -> DeviceFlatIndex:
    place, seat = IndexDevice(card).place(index or host(), Recipe.EXACT)
    assert isinstance(place, DeviceFlatIndex), seat
    return place


def assert_same(found: Hits, expected: Hits) -> None:
    """Of vectors that are as near but for the last bit, either may come first."""
    assert sorted(found.numbers.tolist()) == sorted(expected.numbers.tolist())
    np.testing.assert_allclose(found.similarities, expected.similarities, atol=1e-6)


def stored(count: int, *, seed: int = 0, store: MemoryStore | None = None) -> MemoryStore:
    """`count` more chunks, of one document."""
    store = store or MemoryStore()
    document = Document(id=f"d{seed}", text="x" * count)
    spans = tuple(Span(start=at, end=at + 1) for at in range(count))
    vectors = unit_vectors(count, dimension=DIMENSION, seed=seed)
    store.replace([EmbeddedDocument(document=document, spans=spans, vectors=vectors)])
    return store


@pytest.mark.parametrize("share", [None, 0.9, 0.5, 0.01])
def test_what_is_found_on_the_device_has_the_similarities_of_the_host(share: float | None) -> None:
    """To the order and the value, filtered or not; half precision decides only what is compared again."""
    index, card = host(), FakeCard()
    there = on(card, index)
    allowed = None if share is None else index.numbers[np.random.default_rng(1).random(COUNT) < share]
    for query in QUERIES:
        for k in (1, 100, 1_000):
            assert_same(there.search(query, k, allowed=allowed), index.search(query, k, allowed=allowed))
    assert card.searches > 15
    assert there.seat == Seat(
        device="cuda:0", reason=f"10,000 vectors in half precision, {NEEDED / 1e6:,.0f} MB on the device"
    )
    assert (there.is_exact, there.selects, index.is_exact) == (False, True, True)
    np.testing.assert_array_equal(there.vectors_of(index.numbers[5:9]), index.vectors_of(index.numbers[5:9]))


def test_what_the_device_cannot_select_is_compared_on_the_host() -> None:
    """FAISS refuses to select more than some thousands there; nobody who asks for them is refused."""
    index, card = host(), FakeCard()
    there = on(card, index)
    before = card.searches
    for k in (0, -1, DEVICE_K_MAX, COUNT, COUNT + 5):
        assert_same(there.search(QUERIES[0], k), index.search(QUERIES[0], k))
    assert (card.searches, there.seat.fault) == (before, None)


def test_more_equal_vectors_than_the_device_can_select_come_in_order_of_number() -> None:
    """The lists grow until they end below the equal ones, and from then on on the host."""
    vectors = np.repeat(unit_vectors(4, dimension=DIMENSION), COUNT // 4, axis=0)
    index = FaissFlatIndex.build(
        [VectorBatch(numbers=np.arange(COUNT, dtype=np.int64), vectors=vectors)], dimension=DIMENSION
    )
    hits = on(FakeCard(), index).search(vectors[-1], 7)
    assert hits.numbers.tolist() == list(range(3 * COUNT // 4, 3 * COUNT // 4 + 7))


@pytest.mark.parametrize(
    ("allowed", "way"),
    [(GATHERED_BESIDE_DEVICE_MAX, Way.GATHERED), (GATHERED_BESIDE_DEVICE_MAX + 1, Way.SELECTED)],
)
def test_few_allowed_vectors_are_gathered_and_more_are_selected_there(allowed: int, way: Way) -> None:
    """Both give the same."""
    index = host()
    hits, taken = search_allowed(on(FakeCard(), index), QUERIES[0], 50, index.numbers[:allowed])
    assert taken is way
    assert_same(hits, index.search(QUERIES[0], 50, allowed=index.numbers[:allowed]))


def test_one_thread_at_a_time_searches_there() -> None:
    """FAISS has no lock; without ours the fake tells that two were in it."""
    index, card = host(), FakeCard()
    there = on(card, index)
    expected = [index.search(query, 20) for query in QUERIES]
    with ThreadPoolExecutor(8) as threads:
        for found, right in zip(threads.map(lambda query: there.search(query, 20), [*QUERIES] * 40), expected * 40):  # noqa: B905
            assert_same(found, right)
    assert not card.overlapped
    assert there.seat.fault is None


def test_the_classic_index_is_refused_and_that_over_cuvs_is_not() -> None:
    """One does not listen to who may answer; the other fills up only if more is asked for than may answer."""
    index = host()
    same, seat = IndexDevice(FakeCard(deaf=True)).place(index, Recipe.EXACT)
    assert (same, seat.device) == (index, "cpu")
    assert "returns vectors that are excluded" in str(seat.fault)
    assert find_faults(lambda rows: _unbounded(FakeCard().flat(rows)))
    IndexDevice(FakeCard()).require_correct()


def _unbounded(index: Any) -> Any:
    """Asks for as much as it is told to, as winnow does not."""

    def raw_search(query: Vectors, k: int, held: Any) -> Any:
        similarities, positions = index.search(query.reshape(1, -1), k, params=device_index.search_parameters(held))
        return similarities[0], positions[0]

    return raw_search


@pytest.mark.parametrize("fault", ["fails", "lies"])
def test_a_device_that_fails_later_is_left_for_good_and_the_answer_is_the_hosts(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The search that found it out is answered like any other; the log and the seat tell why."""
    index, card = host(), FakeCard()
    there = on(card, index)
    setattr(card, fault, "CUDA error 700" if fault == "fails" else True)
    assert_same(there.search(QUERIES[0], 10), index.search(QUERIES[0], 10))
    assert there.seat.device == "cpu"
    assert "CUDA error 700" in str(there.seat.fault) if fault == "fails" else "or the same one twice" in str(there.seat)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "an index was moved from cuda:0" in caplog.text
    gc.collect()
    assert card.taken == 0
    before = card.searches
    assert_same(there.search(QUERIES[1], 10), index.search(QUERIES[1], 10))
    assert card.searches == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"total": NEEDED - 1}, r"10,000 vectors with 16 dimensions needs .* MB; cuda:0 has .* MB of .* MB free"),
        ({"fails": "cudaMalloc"}, "cannot search on cuda:0: cudaMalloc"),
        ({"lies": True}, "returns"),
    ],
)
def test_what_cannot_be_placed_stays_on_the_host_and_says_why(change: dict[str, Any], said: str) -> None:
    """With figures, before anything is copied; a service goes on with what it has."""
    card, index = FakeCard(), host()
    for name, value in change.items():
        setattr(card, name, value)
    device = IndexDevice(card)
    same, seat = device.place(index, Recipe.EXACT)
    assert (same, seat.device) == (index, "cpu")
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(seat.fault)
    assert device.predict_placement(Recipe.EXACT, count=COUNT, dimension=DIMENSION) == seat
    gc.collect()
    assert card.taken == 0


def test_vectors_that_the_device_has_lost_are_found_out_before_it_serves() -> None:
    """The probe of a tiny index passes; the copy of this one is not what was copied."""

    class Forgetful(FakeCard):
        def flat(self, vectors: Vectors) -> Any:
            return super().flat(vectors if len(vectors) < COUNT else -vectors)

    _, seat = IndexDevice(Forgetful()).place(host(), Recipe.EXACT)
    assert "misses that chunk" in str(seat.fault)


def test_memory_that_nobody_knows_is_tried() -> None:
    """FAISS tells when it is not enough, and then it is not."""
    card = FakeCard()
    card.is_known = False
    assert on(card).seat.device == "cuda:0"


def test_few_vectors_and_other_recipes_stay_on_the_host_and_nothing_is_wrong() -> None:
    """There is nothing to gain, and nothing to look into."""
    small, device = host(COUNT - 1), IndexDevice(FakeCard())
    index, seat = device.place(small, Recipe.EXACT)
    assert (index, seat) == (small, Seat(device="cpu", reason="9,999 vectors are compared as fast on the CPU"))
    assert (
        device.predict_placement(Recipe.HNSW, count=10**6, dimension=8).reason == "hnsw indexes are searched on the CPU"
    )


def opened_on(card: FakeCard, folder: CollectionFolder, store: MemoryStore) -> IndexReader:
    return IndexReader(folder=folder, store=store, identity=IDENTITY, device=IndexDevice(card))


def test_a_generation_is_put_on_the_device_when_it_is_opened_and_not_changed_by_it(tmp_path: Path) -> None:
    """What is published opens anywhere; removed chunks are not found, newer ones are."""
    folder, store, card = CollectionFolder(tmp_path / "c"), stored(COUNT), FakeCard()
    manifest = publish(folder, store.snapshot(), IDENTITY, wish=IndexWish(device="cuda:0"))
    assert (manifest.index.recipe, manifest.index.recall) == (Recipe.EXACT, 1.0)
    assert manifest.index.reason == "cuda:0 compares 10,000 vectors in a few milliseconds"
    stored(40, seed=1, store=store)
    with_device, without = opened_on(card, folder, store), IndexReader(folder=folder, store=store, identity=IDENTITY)
    view = with_device.view()
    assert (view.seat.device, without.view().seat.device, view.fallback_from) == ("cuda:0", "cpu", None)
    for query in QUERIES:
        assert_same(view.search(query, 60), without.view().search(query, 60))
    store.delete(["d0"])
    assert len(with_device.follow().search(QUERIES[0], 100).numbers) == 40
    opened = open_newest(folder, IDENTITY, store)
    assert opened is not None
    assert opened.index.is_exact


def test_the_old_copy_is_freed_once_the_next_generation_serves(tmp_path: Path) -> None:
    """Both fit for the moment of the swap; whoever still holds the old view can still search it."""
    folder, store, card = CollectionFolder(tmp_path / "c"), stored(COUNT), FakeCard()
    publish(folder, store.snapshot(), IDENTITY)
    searchable = opened_on(card, folder, store)
    old = searchable.view()
    stored(1, seed=1, store=store)
    publish(folder, store.snapshot(), IDENTITY)
    new = searchable.refresh()
    assert (new.generation, new.seat.device, old.seat.device) == ("g000002", "cuda:0", "cuda:0")
    assert card.taken > 2 * NEEDED
    assert len(old.search(QUERIES[0], 10).numbers) == 10
    del old
    gc.collect()
    assert card.taken == device_bytes(count=COUNT + 1, dimension=DIMENSION)


def test_where_both_do_not_fit_the_old_one_leaves_first_and_serves_from_the_host(tmp_path: Path) -> None:
    """A device that holds one generation is enough."""
    folder, store, card = CollectionFolder(tmp_path / "c"), stored(COUNT), FakeCard(total=NEEDED + 10_000)
    publish(folder, store.snapshot(), IDENTITY)
    searchable = opened_on(card, folder, store)
    old = searchable.view()
    assert old.seat.device == "cuda:0"
    expected = old.search(QUERIES[0], 10)
    stored(1, seed=1, store=store)
    publish(folder, store.snapshot(), IDENTITY)
    assert searchable.refresh().seat.device == "cuda:0"
    assert old.seat == Seat(device="cpu", reason="it left cuda:0 to make room for the next generation")
    assert_same(old.search(QUERIES[0], 10), expected)


def test_a_fallback_is_logged_and_shown_and_the_generation_serves_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no fault of the generation: nothing is built anew because of it."""
    folder, store = CollectionFolder(tmp_path / "c"), stored(COUNT)
    publish(folder, store.snapshot(), IDENTITY)
    view = opened_on(FakeCard(total=NEEDED - 1), folder, store).view()
    assert (view.generation, view.fallback_from, view.seat.device) == ("g000001", None, "cpu")
    assert " free" in str(view.seat.fault)
    assert "g000001 is searched on the cpu" in caplog.text


class Recorded:
    """What was asked of FAISS, by name."""

    def __init__(self, *given: Any) -> None:
        self.given = given
        self.added: Any = None

    ntotal = 3

    def setTempMemory(self, size: int) -> None:  # noqa: N802  its name in FAISS
        self.added = size

    def add(self, vectors: Vectors) -> None:
        self.added = vectors

    def search(self, rows: Vectors, k: int, *, params: Any) -> Any:
        return rows, k, params


def test_what_is_asked_of_faiss_is_half_precision_over_cuvs(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the device that is named; and a device that is not there is named in the refusal."""
    for name in ("StandardGpuResources", "GpuIndexFlatConfig", "GpuIndexFlatIP"):
        monkeypatch.setattr(faiss, name, type(name, (Recorded,), {}), raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2)
    made: list[Any] = []
    monkeypatch.setattr(faiss, "GpuIndexFlatIP", lambda *given: made.append(Recorded(*given)) or made[-1])
    vectors = unit_vectors(3)
    held = FaissGpu.named("cuda:1").flat(vectors)
    (index,) = made
    resources, dimension, config = index.given
    assert (dimension, config.device, config.useFloat16, config.use_cuvs) == (8, 1, True, True)
    assert resources.added > 0
    assert index.added is vectors
    assert (held.ntotal, held.search(vectors, 2, params=None)) == (3, (vectors, 2, None))
    assert FaissGpu.named("cuda").name == "cuda:0"
    with pytest.raises(SettingInvalid, match=r"index_device is cuda:2, but FAISS .* sees 2 GPUs"):
        FaissGpu.named("cuda:2")
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    with pytest.raises(SettingInvalid, match="sees no GPU on this machine: install faiss-gpu-cuvs"):
        FaissGpu.named("cuda")


def test_a_build_of_faiss_without_a_gpu_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start of whatever needs it."""
    monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)
    with pytest.raises(SettingInvalid, match=r"index_device is cuda, but this build of FAISS .* faiss-gpu-cuvs"):
        FaissGpu.named("cuda")


def test_every_vector_is_what_came_in() -> None:
    """Read where FAISS keeps it; also after it was written and read."""
    index = host(50, seed=4)
    np.testing.assert_array_equal(index.all_vectors(), unit_vectors(50, dimension=DIMENSION, seed=4))


@pytest.mark.skipif(missing() is not None, reason=f"no index can be on a GPU here: {missing()}")
def test_on_a_real_gpu_the_answers_are_those_of_the_host() -> None:
    """The probe passes; what is found is what the CPU finds; the memory comes back."""
    device = IndexDevice(FaissGpu.named("cuda"))
    device.require_correct()
    index = host(2 * COUNT)
    free = device.memory()
    there, seat = device.place(index, Recipe.EXACT)
    assert isinstance(there, DeviceFlatIndex), seat
    allowed = index.numbers[::2]
    for query in QUERIES:
        assert_same(there.search(query, 100), index.search(query, 100))
        assert_same(there.search(query, 100, allowed=allowed), index.search(query, 100, allowed=allowed))
    there.leave(reason="the test is over")
    assert free is None or (device.memory() or free).free_bytes >= free.free_bytes - 2**30
