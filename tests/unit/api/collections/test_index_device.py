"""api/collections/index_device.py and what shows it: a device is refused at the start, used where it can be, and told
of."""

from __future__ import annotations

from pathlib import Path

import faiss
import pytest

from tests.answers import CheckingClient
from tests.fake_device import FakeCard
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from tests.unit.retrieval.index.test_gpu_index import COUNT, DIMENSION, IDENTITY, NEEDED, stored
from winnow.api.assemble import Services, assemble, wire
from winnow.api.collections.index_device import index_device, index_wish
from winnow.api.diagnostics.doctor import index_device_found
from winnow.api.diagnostics.explain import explained, explained_said
from winnow.api.http.app import create_app
from winnow.api.settings import Settings
from winnow.retrieval.errors import SettingInvalid
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.generation.publish import publish
from winnow.retrieval.index import gpu_index as device_index
from winnow.retrieval.index import planner as recipes
from winnow.retrieval.index.gpu_index import IndexDevice
from winnow.retrieval.index.planner import DEVICE_WORK_BYTES
from winnow.retrieval.model.tokenizer import PlainTokenizer

WITHOUT_GPU = Settings(index_device="cuda", embed_model="no-such-model")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)


@pytest.mark.usefixtures("no_gpu")
def test_a_gpu_that_faiss_has_not_is_refused_before_anything_is_loaded() -> None:
    """With the cause and what to install; by the doctor as well, which goes on with the rest."""
    assert index_device(Settings()) is None
    with pytest.raises(SettingInvalid, match=r"index_device is cuda, but this build of FAISS .*faiss-gpu-cuvs"):
        assemble(WITHOUT_GPU)
    found = index_device_found(WITHOUT_GPU)
    assert (found.what, found.found) == ("index device", "cuda")
    assert "install faiss-gpu-cuvs" in str(found.problem)
    assert index_device_found(Settings()).problem is None


def test_a_build_is_planned_with_all_the_memory_of_the_device() -> None:
    """What is there now leaves when the next one comes; without a device nothing changes."""
    card = FakeCard()
    card.taken = card.total
    wish = index_wish(Settings(), IndexDevice(card))
    assert (wish.device, wish.device_memory_bytes, wish.recipe) == ("cuda:0", card.total, None)
    assert index_wish(Settings(), None) == Settings().index_wish
    assert index_wish(Settings(), IndexDevice(FakeCard(deaf=True))) == Settings().index_wish


def parts_on(card: FakeCard, folder: Path, tokenizer: PlainTokenizer) -> Services:
    parts = parts_over(folder, tokenizer, PrefersWord("退货"))
    return wire(parts.settings, parts.embedding, parts.judging, device=IndexDevice(card))


@pytest.mark.parametrize("fits", [True, False])
def test_where_an_index_is_searched_is_shown_wherever_its_generation_is(
    tmp_path: Path, tokenizer: PlainTokenizer, monkeypatch: pytest.MonkeyPatch, *, fits: bool
) -> None:
    """And why it is not where it should be; the answers are the same, and nothing is built anew."""
    for module in (device_index, recipes):
        monkeypatch.setattr(module, "DEVICE_COUNT_MIN", 1)
    card = FakeCard(total=80 * 10**9 if fits else DEVICE_WORK_BYTES)
    with CheckingClient(create_app(parts_on(card, tmp_path, tokenizer)), base_url="http://localhost") as client:
        client.post("/v1/collections", json={"name": "docs"})
        client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS})
        assert client.post("/v1/collections/docs/fold").status_code == 200
        found = client.post("/v1/search", json={"query": "退货", "collection": "docs", "explain": True}).json()
        serving = client.get("/v1/collections/docs/generations").json()["serving"]
        (ready,) = client.get("/readyz").json()["collections"]
    assert len(found["results"]) == 3
    device = "cuda:0" if fits else "cpu"
    assert (found["index"]["device"], serving["device"], ready["index_device"]) == (device, device, device)
    assert found["index"]["device_fault"] == serving["device_fault"] == ready["problem"]
    if fits:
        assert ready["problem"] is None
    else:
        assert "1,000 MB of 1,000 MB free" in ready["problem"]
    assert (found["index"]["fallback_from"], serving["generation"]) == (None, "g000001")


def test_explain_tells_device_memory_and_reason(tmp_path: Path) -> None:
    """Of the current generation, of the next, and of the device as it is."""
    folder, store, card = CollectionFolder(tmp_path / "c"), stored(COUNT), FakeCard()
    device = IndexDevice(card)
    wish = index_wish(Settings(), device)
    publish(folder, store.snapshot(), IDENTITY, wish=wish)
    said = explained_said("c", explained(folder, store.snapshot(), DIMENSION, wish, device=device))
    assert said["current"]["recipe"] == "exact"
    reason = f"10,000 vectors in half precision, {NEEDED / 1e6:,.0f} MB on the device"
    assert said["current"]["searched_on"] == {"device": "cuda:0", "reason": reason, "fault": None}
    then = said["next"]
    assert (then["recipe"], then["stored_as"], then["device_bytes"]) == ("gpu-flat", "exact", NEEDED)
    assert said["device"]["total_bytes"] == card.total
    assert said["device"]["fault"] is None
    deaf = FakeCard(deaf=True)
    said = explained_said("c", explained(folder, store.snapshot(), DIMENSION, wish, device=IndexDevice(deaf)))
    assert said["current"]["searched_on"]["device"] == "cpu"
    assert "returns vectors that are excluded" in said["device"]["fault"]
    without = explained_said("c", explained(folder, store.snapshot(), DIMENSION, Settings().index_wish))
    assert (without["device"], without["current"]["searched_on"]["device"]) == (None, "cpu")
    assert (without["next"]["recipe"], without["next"]["device_bytes"]) == ("exact", 0)
