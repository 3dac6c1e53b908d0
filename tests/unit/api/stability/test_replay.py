"""Golden sets: a change that moves rankings is found and attributed to its cause; nothing else is reported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.fakes import FailingReranker, HashEmbedder
from tests.unit.api.stability.watched import (
    QUERIES,
    Scripted,
    causes,
    documents,
    fill,
    fold,
    run,
    services,
    serving,
    upsert,
)
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.model.tokenizer import PlainTokenizer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def client(folder: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    with serving(services(folder, tokenizer, Scripted(), Scripted("second", seed=1))) as client:
        fill(client)
        first = run(client)
        assert first["is_baseline"]
        assert first["measures"] is None
        yield client


def publish(client: TestClient, text: str) -> None:
    assert client.post("/v1/instructions", json={"name": "house", "text": text}).status_code == 201


def use(client: TestClient, **change: str) -> None:
    assert client.patch("/v1/collections/docs", json=change).status_code == 200


def test_undisturbed_replays_raise_nothing(folder: Path, tokenizer: PlainTokenizer) -> None:
    """Over restarts and folds every answer stays where it was."""
    for restart in range(2):
        with serving(services(folder, tokenizer, Scripted())) as client:
            if not restart:
                fill(client)
                run(client)
            for _ in range(2):
                again = run(client)
                assert (again["causes"], again["measures"]["moved"], again["measures"]["overlap_at_10"]) == ([], 0, 1.0)
                assert again["measures"]["rbo"] == pytest.approx(1.0)
                assert again["measures"]["tau_b"] == pytest.approx(1.0)
            fold(client)
            again = run(client)
            assert (again["causes"], again["measures"]["top1_change_rate"]) == ([], 0.0)


def test_another_reranker_is_the_cause(client: TestClient) -> None:
    """The old one is still loaded: with it, every answer is as before."""
    use(client, reranker="second")
    found = run(client)
    assert causes(found) == {"model": "replay"}
    assert found["causes"][0]["share"] == 1.0
    assert found["measures"]["moved"] == len(QUERIES)
    assert found["measures"]["overlap_at_10"] < 1.0
    assert found["changed"] == ["model"]


def test_a_reranker_replaced_in_place_is_the_cause(client: TestClient, folder: Path, tokenizer: PlainTokenizer) -> None:
    """Under the same name, with other weights: the old one is gone, and nothing else changed."""
    client.close()
    with serving(services(folder, tokenizer, Scripted(seed=5), revision="b")) as restarted:
        assert causes(run(restarted)) == {"model": "elimination"}


def test_an_instruction_version_is_the_cause(client: TestClient) -> None:
    """The old version never changes, so it can be replayed."""
    publish(client, "Prefer lakes")
    use(client, instruction="house")
    run(client, rebase=True)
    publish(client, "Prefer towers")
    found = run(client)
    assert causes(found) == {"instruction": "replay"}
    assert found["causes"][0]["before"].startswith("house@1")
    assert found["causes"][0]["after"].startswith("house@2")


def test_replaced_documents_are_the_cause(client: TestClient) -> None:
    """5 % of them have another text."""
    upsert(client, documents(3, edition="second", begin=57))
    found = run(client)
    assert causes(found) == {"documents": "elimination"}
    assert found["measures"]["moved"] > 0


def test_documents_that_no_answer_shows_are_no_cause(client: TestClient) -> None:
    """The collection changed, the instruction as well; only the instruction moved the answers."""
    client.post("/v1/collections/docs/documents", json={"id": "far", "text": "xyzzy"})
    unmoved = run(client)
    assert unmoved["changed"] == ["documents"]
    publish(client, "Prefer lakes")
    use(client, instruction="house")
    assert causes(run(client))["instruction"] == "replay"


def test_two_causes_at_once_are_told_apart(client: TestClient) -> None:
    """Another reranker and other documents: each gets its part."""
    use(client, reranker="second")
    upsert(client, documents(3, edition="second", begin=57))
    found = run(client)
    assert causes(found) == {"model": "replay", "documents": "elimination"}
    shares = {each["kind"]: each["share"] for each in found["causes"]}
    assert 0.0 <= shares["model"] < 1.0


def test_an_instruction_and_a_reranker_at_once_are_told_apart(client: TestClient) -> None:
    """Each of the old ones alone does not bring the answers back, both together do."""
    publish(client, "Prefer lakes")
    use(client, instruction="house", reranker="second")
    found = run(client)
    assert causes(found) == {"model": "replay", "instruction": "replay"}


def test_other_numbers_of_the_same_model_are_numerics(
    client: TestClient, folder: Path, tokenizer: PlainTokenizer
) -> None:
    """A server computes in another number type, and says nothing of it."""
    client.close()
    with serving(services(folder, tokenizer, Scripted(noise=0.02))) as restarted:
        found = run(restarted)
        assert causes(found) == {"numerics": "elimination"}
        assert found["changed"] == []
        assert 0.0 < found["measures"]["score_shift_max"] < 0.02
        upsert(restarted, documents(3, edition="second", begin=57))
        assert causes(run(restarted)) == {"documents": "elimination", "numerics": "elimination"}


def test_what_nothing_explains_is_called_so(client: TestClient, folder: Path, tokenizer: PlainTokenizer) -> None:
    """The embedder gives other vectors under the same identity: other candidates, but the same relevance of each."""
    assert client.post("/v1/stability/golden", json={
        "name": "narrow", "collection": "docs", "queries": [{"query": each} for each in QUERIES], "candidates": 5,
        "recall": "dense",
    }).status_code == 200  # fmt: skip
    assert client.post("/v1/stability/runs", json={"name": "narrow"}).status_code == 200
    client.close()

    class Drifted(HashEmbedder):
        async def embed_queries(self, texts, task="other"):  # type: ignore[no-untyped-def]
            return await super().embed_queries([f"owl {text[::-1]}" for text in texts], task)

    with serving(services(folder, tokenizer, Scripted(), embedder=Drifted())) as restarted:
        found = restarted.post("/v1/stability/runs", json={"name": "narrow"}).json()["run"]
        assert causes(found) == {"unexplained": "elimination"}


def test_degraded_answers_are_counted_not_compared(folder: Path, tokenizer: PlainTokenizer) -> None:
    """A reranker that is down moves nothing; the share of degraded answers says so."""
    with serving(services(folder, tokenizer, Scripted())) as client:
        fill(client)
        run(client)
    down = FailingReranker(RerankUnavailable("down"))
    down.name = "scripted"
    with serving(services(folder, tokenizer, down)) as client:
        found = run(client)
        assert found["causes"] == []
        measures = found["measures"]
        assert (measures["queries"], measures["degraded"], measures["degraded_before"]) == (0, 1.0, 0.0)


def test_judgments_show_whether_it_became_better(client: TestClient) -> None:
    """nDCG@10 of both runs, over the judged queries."""
    judged = {"query": QUERIES[0], "judgments": {f"d{number}": number for number in range(60)}}
    body = {"name": "everyday", "collection": "docs", "queries": [judged]}
    assert client.post("/v1/stability/golden", json=body).json()["judged"] == 1
    use(client, reranker="second")
    measures = run(client)["measures"]
    assert measures["ndcg_at_10"] != measures["ndcg_at_10_before"]


def test_an_index_of_another_recipe_is_the_cause(folder: Path, tokenizer: PlainTokenizer) -> None:
    """The exact index is still there: with it, every answer is as before."""
    with serving(services(folder, tokenizer, Scripted(), index_recipe="exact", fold_chunks=0)) as client:
        fill(client, 1_000, recall="dense", candidates=20)
        fold(client)
        run(client)
    with serving(
        services(folder, tokenizer, Scripted(), index_recipe="ivf-pq", index_recall=0.5, fold_chunks=0)
    ) as client:
        upsert(client, [{"id": "far", "text": "xyzzy"}])
        fold(client)
        found = run(client)
        assert causes(found) == {"index": "replay"}, found
