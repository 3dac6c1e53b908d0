"""`collapse` and `mmr_lambda` over HTTP: of a search, of a collection, of POST /v1/rerank, and in what answers say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import FailingReranker, HashEmbedder, PrefersWord
from winnow.api.assemble import wire
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.settings import Settings
from winnow.rerank.reranker import Reranker
from winnow.retrieval.errors import RerankTimeout
from winnow.retrieval.model.tokenizer import PlainTokenizer

QUERY = "how does the heron catch fish"
HERON = "The heron stands on 2 legs in shallow water, waits for a fish to pass, and strikes with its long bill."
OTTER = "An otter catches fish under water: it dives, follows the fish, and brings it ashore to eat."
DOCUMENTS = [
    {"id": "heron", "text": HERON, "title": "Herons"},
    {"id": "loud", "text": HERON.upper().replace(",", ";"), "title": "HERONS", "url": "https://example.org/loud"},
    {"id": "muddy", "text": HERON.replace("shallow", "muddy"), "title": "Herons", "metadata": {"year": 2020}},
    {"id": "otter", "text": OTTER, "metadata": {"year": 2020}},
    {"id": "soup", "text": "On Fridays the canteen has fish soup, on Mondays it has lentils."},
]
ALIKE = {"heron", "loud", "muddy"}


def client_of(data: Path, tokenizer: PlainTokenizer, reranker: Reranker) -> TestClient:
    embedding = LoadedEmbedder(
        embedder=HashEmbedder(dimension=2_048), tokenizer=tokenizer, runs_on="hash", device="cpu"
    )
    parts = wire(Settings(data=data), embedding, LoadedReranker(reranker=reranker, runs_on="words", device="cpu"))
    return CheckingClient(create_app(parts), base_url="http://localhost")


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    with client_of(tmp_path, tokenizer, PrefersWord("2")) as client:
        client.post("/v1/collections", json={"name": "docs", "chunk_tokens": 512})
        assert client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}).status_code == 200
        yield client


def answer(client: TestClient, **asked: Any) -> dict[str, Any]:
    found = client.post("/v1/search", json={"query": QUERY, "collection": "docs", **asked})
    assert found.status_code == 200, found.text
    body: dict[str, Any] = found.json()
    return body


def ids(body: dict[str, Any]) -> list[str]:
    return [each["document_id"] for each in body["results"]]


@pytest.mark.parametrize("rerank", [False, True, "always"])
def test_off_by_default(client: TestClient, rerank: Any) -> None:
    """Every copy is a result, and the answer has no field about it."""
    body = answer(client, rerank=rerank)
    assert set(ids(body)) == {each["id"] for each in DOCUMENTS}
    assert not {"diversity", "collapsed", "mmr"} & {*body, *(key for each in body["results"] for key in each)}
    assert "diversify" not in body["timings_ms"]


@pytest.mark.parametrize("rerank", [False, True])
@pytest.mark.parametrize("limits", [{"shingles": 0.6}, {"cosine": 0.95}, {"shingles": 0.6, "cosine": 0.95}])
def test_copies_are_left_out_and_listed(client: TestClient, *, rerank: bool, limits: dict[str, float]) -> None:
    """The highest copy stands for the others, by every measure that was asked for; the rest keep their order."""
    before = answer(client, rerank=rerank)
    body = answer(client, rerank=rerank, collapse=limits)
    first = next(name for name in ids(before) if name in ALIKE)
    assert ids(body) == [name for name in ids(before) if name == first or name not in ALIKE]
    assert [each["rank"] for each in body["results"]] == [1, 2, 3]
    stands_for = {each["document_id"]: each["collapsed"] for each in body["results"]}
    assert {each["document_id"] for each in stands_for.pop(first)} == ALIKE - {first}
    assert set(map(len, stands_for.values())) == {0}
    assert body["diversity"] == {
        "collapse": {"cosine": None, "shingles": None, **limits},
        "mmr_lambda": None,
        "candidates": 5,
        "kept": 3,
        "collapsed": 2,
    }
    assert body["timings_ms"]["diversify"] >= 0
    for each in next(each["collapsed"] for each in body["results"] if each["collapsed"]):
        place = next(place for place in before["results"] if place["document_id"] == each["document_id"])
        assert {key: each[key] for key in ("chunk", "title", "url", "score", "relevance")} == {
            key: place[key] for key in ("chunk", "title", "url", "score", "relevance")
        }
        assert each["rank_before"] == place["rank"]
        assert {key for key in ("cosine", "shingles") if each[key] is not None} == limits.keys()
        assert each["by"]
        assert all(each[measure] >= limits[measure] for measure in each["by"])


def test_deeper_candidates_fill_what_is_shown(client: TestClient) -> None:
    """`top_k` is cut afterwards, reranked or not; by default more candidates are recalled than are shown."""
    for asked in ({"rerank": False}, {"depth": "adaptive", "rerank": "always"}, {"rerank": "always"}):
        body = answer(client, top_k=2, collapse={"shingles": 0.6}, **asked)
        assert len(ids(body)) == 2
        assert len(ALIKE & set(ids(body))) == 1
        assert body["diversity"]["candidates"] == 5


def test_a_candidate_too_few_is_not_made_up_for(client: TestClient) -> None:
    """Only what was recalled can fill; a collapse does not rerank more than `candidates`."""
    body = answer(client, top_k=3, candidates=3, collapse={"shingles": 0.6})
    assert len(ids(body)) == body["diversity"]["kept"] < 3


def test_explain_keeps_all_candidates(client: TestClient) -> None:
    """In their order before the collapse, each with the passage that stands for it."""
    plain, body = (answer(client, explain=True, **asked) for asked in ({}, {"collapse": {"shingles": 0.6}}))
    first = next(name for name in ids(body) if name in ALIKE)
    assert [each["document_id"] for each in body["explain"]] == [each["document_id"] for each in plain["explain"]]
    assert all("collapsed_into" not in each for each in plain["explain"])
    assert {each["document_id"]: each["collapsed_into"] for each in body["explain"]} == {
        each["id"]: {"document_id": first, "ordinal": 0} if each["id"] in ALIKE - {first} else None
        for each in DOCUMENTS
    }


def test_mmr_moves_what_resembles_the_first(client: TestClient) -> None:
    """Lambda 1 keeps the order; lower, another subject comes second, and each place is explained."""
    before = ids(answer(client, rerank="always"))
    assert ids(answer(client, rerank="always", mmr_lambda=1)) == before
    assert set(before[:3]) == ALIKE
    body = answer(client, rerank="always", mmr_lambda=0.1)
    assert sorted(ids(body)) == sorted(before)
    assert ids(body)[0] == before[0]
    assert ids(body)[1] not in ALIKE
    assert [before[each["mmr"]["rank_before"] - 1] for each in body["results"]] == ids(body)
    assert [each["mmr"]["similarity"] is None for each in body["results"]] == [True, *[False] * 4]
    assert body["diversity"]["mmr_lambda"] == 0.1
    assert body["diversity"]["collapse"] is None
    assert "collapsed" not in body["results"][0]


def test_mmr_orders_what_a_collapse_kept(client: TestClient) -> None:
    """And fills `top_k` from all of it."""
    body = answer(client, collapse={"shingles": 0.6}, mmr_lambda=0.5, top_k=3)
    assert len(ids(body)) == 3
    assert len(ALIKE & set(ids(body))) == 1
    assert sorted(each["mmr"]["rank_before"] for each in body["results"]) == [1, 2, 3]


def test_a_filter_is_applied_before(client: TestClient) -> None:
    """What does not match neither stands for others nor is listed."""
    where = {"type": "eq", "key": "year", "value": 2020}
    body = answer(client, filter=where, collapse={"shingles": 0.6}, mmr_lambda=0.5)
    assert set(ids(body)) == {"muddy", "otter"}
    assert body["diversity"]["collapsed"] == 0


def test_a_minimum_relevance_is_applied_before(client: TestClient) -> None:
    """What is not relevant enough is neither shown nor listed."""
    body = answer(client, min_relevance=0.5, collapse={"shingles": 0.6})
    listed = {each["document_id"] for result in body["results"] for each in result["collapsed"]}
    assert listed | set(ids(body)) == ALIKE
    assert body["diversity"]["candidates"] == 3


def test_a_degraded_answer_is_collapsed_too(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """In recall's order, from the stored vectors and texts."""
    with client_of(tmp_path, tokenizer, FailingReranker(RerankTimeout("scripted"))) as client:
        client.post("/v1/collections", json={"name": "docs"})
        client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS})
        body = answer(client, collapse={"cosine": 0.95, "shingles": 0.6}, mmr_lambda=0.9)
        assert body["degraded"]["reason"] == "timeout"
        assert body["diversity"]["kept"] == 3
        assert {each["relevance"] for result in body["results"] for each in result["collapsed"]} == {None}


LONG = [
    {"id": "one", "text": f"{HERON}\n\n{OTTER}"},
    {"id": "two", "text": f"{HERON}\n\nHerons nest in high trees, often many of them together, near a lake or river."},
    {"id": "three", "text": HERON},
    {"id": "four", "text": "Fish swim in shoals. A shoal turns at once, as if it were one large animal."},
]


def test_grouped_answers_collapse_chunks(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """A document whose only passages were left out is none of the results; its place is filled. Other chunks of a
    document stay, and list what they stand for.
    """
    with client_of(tmp_path, tokenizer, PrefersWord("2")) as client:
        client.post("/v1/collections", json={"name": "docs", "chunk_tokens": 40})
        client.post("/v1/collections/docs/documents", json={"documents": LONG})
        grouped = answer(client, group_by_document=True, top_k=3)
        assert len(ids(grouped)) == 3
        body = answer(client, group_by_document=True, top_k=3, collapse={"shingles": 0.6}, explain=True)
        left_out = {(each["document_id"], each["ordinal"]) for each in body["explain"] if each["collapsed_into"]}
        shown = {
            (each["document_id"], chunk["chunk"]["ordinal"])
            for each in body["results"]
            for chunk in (each, *each["other_chunks"])
        }
        assert left_out
        assert not left_out & shown
        assert len(ids(body)) == 3
        assert "collapsed" in body["results"][0]
        assert all("collapsed" in other for each in body["results"] for other in each["other_chunks"])
        mmr = answer(client, group_by_document=True, mmr_lambda=0.5)
        assert all("mmr" in each for each in mmr["results"])


def test_context_surrounds_what_was_kept(client: TestClient) -> None:
    """`neighbours` reads around the results only."""
    body = answer(client, neighbours=1, collapse={"shingles": 0.6})
    assert all("context" in each for each in body["results"])
    assert len(body["results"]) == 3


def test_a_collection_may_have_both(client: TestClient) -> None:
    """Chosen once for all searches; one that chooses otherwise is obeyed, and null is off again."""
    limits = {"cosine": None, "shingles": 0.6}
    changed = client.patch("/v1/collections/docs", json={"collapse": {"shingles": 0.6}, "mmr_lambda": 0.7}).json()
    assert (changed["collapse"], changed["mmr_lambda"]) == (limits, 0.7)
    assert answer(client)["diversity"] | {"candidates": 0} == {
        "collapse": limits, "mmr_lambda": 0.7, "candidates": 0, "kept": 3, "collapsed": 2,
    }  # fmt: skip
    assert answer(client, collapse=False)["diversity"]["collapsed"] == 0
    assert answer(client, collapse=False)["diversity"]["collapse"] is None
    assert answer(client, collapse={"cosine": 1})["diversity"]["collapse"] == {"cosine": 1.0, "shingles": None}
    assert answer(client, mmr_lambda=1)["diversity"]["mmr_lambda"] == 1.0
    kept = client.patch("/v1/collections/docs", json={"mmr_lambda": None}).json()
    assert (kept["collapse"], kept["mmr_lambda"]) == (limits, None)
    assert client.patch("/v1/collections/docs", json={}).json()["collapse"] == limits
    for off in (None, False):
        client.patch("/v1/collections/docs", json={"collapse": {"cosine": 0.9}})
        assert client.patch("/v1/collections/docs", json={"collapse": off}).json()["collapse"] is None
    assert "diversity" not in answer(client)
    made = client.post("/v1/collections", json={"name": "other", "collapse": {"cosine": 0.97}, "mmr_lambda": 0.5})
    assert (made.json()["collapse"], made.json()["mmr_lambda"]) == ({"cosine": 0.97, "shingles": None}, 0.5)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"collapse": True}, "'collapse': false or an object is expected"),
        ({"collapse": 0.9}, "'collapse': false or an object is expected"),
        ({"collapse": {}}, "'collapse': it needs cosine, shingles or both"),
        ({"collapse": {"cosine": 0}}, "'collapse.cosine': Input should be greater than 0"),
        ({"collapse": {"shingles": 1.1}}, "'collapse.shingles': Input should be less than or equal to 1"),
        ({"collapse": {"shingles": True}}, "'collapse.shingles': a number is expected, without quotes"),
        ({"collapse": {"similarity": 0.9}}, "the field 'collapse.similarity' is unknown"),
        ({"mmr_lambda": 1.5}, "'mmr_lambda': Input should be less than or equal to 1"),
        ({"mmr_lambda": -0.1}, "'mmr_lambda': Input should be greater than or equal to 0"),
    ],
)
def test_wrong_values_are_refused(client: TestClient, asked: dict[str, Any], said: str) -> None:
    """By name, once, with what is expected; for a search and for a collection alike."""
    for path, body in (
        ("/v1/search", {"query": "q", "collection": "docs"}),
        ("/v1/collections", {"name": "other"}),
    ):
        refused = client.post(path, json=body | asked)
        assert (refused.status_code, refused.json()["detail"]) == (422, f"Invalid request: {said}")


TEXTS = [HERON, OTTER, HERON.upper(), "Soup on Fridays.", HERON.replace("shallow", "muddy")]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_texts_of_the_caller_are_compared_by_shingles(client: TestClient, path: str) -> None:
    """Each result lists the documents it stands for, by their place in the request; `top_n` counts the kept ones."""
    asked = {"query": QUERY, "documents": TEXTS, "collapse": {"shingles": 0.6}, "top_n": 2}
    body = client.post(path, json=asked).json()
    assert [each["index"] for each in body["results"]] == [0, 1]
    assert [each["index"] for each in body["data"]] == [0, 1]
    assert {each["index"]: each["shingles"] for each in body["results"][0]["collapsed"]} == {
        2: 1.0,
        4: pytest.approx(16 / 22, abs=1e-6),
    }
    assert {each["relevance_score"] for each in body["results"][0]["collapsed"]} == {0.9}
    assert body["results"][1]["collapsed"] == []
    assert body["meta"]["winnow"]["collapsed"] == 2
    plain = client.post(path, json={**asked, "collapse": False}).json()
    assert "collapsed" not in plain["results"][0]
    assert "collapsed" not in plain["meta"]["winnow"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"collapse": {"cosine": 0.9}}, "collapse.cosine needs stored vectors"),
        ({"collapse": {"cosine": 0.9, "shingles": 0.6}}, "collapse.cosine needs stored vectors"),
        ({"mmr_lambda": 0.5}, "mmr_lambda needs stored vectors"),
    ],
)
def test_texts_of_the_caller_have_no_vectors(client: TestClient, asked: dict[str, Any], said: str) -> None:
    """So what needs vectors is refused, not ignored, and the message says what to use."""
    refused = client.post("/v1/rerank", json={"query": QUERY, "documents": TEXTS, **asked})
    assert refused.status_code == 422
    assert said in refused.json()["detail"]
    assert "collapse.shingles" in refused.json()["detail"]
