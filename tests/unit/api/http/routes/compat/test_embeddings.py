"""Embeddings and the list of models, as the clients of OpenAI read them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.assemble import Services
from winnow.api.http.app import create_app
from winnow.retrieval.limits import EMBEDDED_TEXTS_MAX
from winnow.retrieval.model.tokenizer import PlainTokenizer

TEXTS = ["a heron", "一只苍鹭", ""]


@pytest.fixture
def parts(tmp_path: Path, tokenizer: PlainTokenizer) -> Services:
    return parts_over(tmp_path, tokenizer, PrefersWord("a"), api_key="secret")


@pytest.fixture
def client(parts: Services) -> Iterator[TestClient]:
    with CheckingClient(create_app(parts)) as client:
        client.headers["authorization"] = "Bearer secret"
        yield client


def embedded(client: TestClient, **body: Any) -> Any:
    answer = client.post("/v1/embeddings", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_vectors_are_the_embedders_own(client: TestClient, parts: Services) -> None:
    """As documents unless a query is said to be one."""
    embedder = parts.embedding.embedder
    for kind, expected in (
        (None, await embedder.embed_passages(TEXTS)),
        ("", await embedder.embed_passages(TEXTS)),
        ("document", await embedder.embed_passages(TEXTS)),
        ("query", await embedder.embed_queries(TEXTS)),
    ):
        said = embedded(client, input=TEXTS, input_type=kind, model="text-embedding-3-small", user="u")
        np.testing.assert_array_equal(
            np.array([each["embedding"] for each in said["data"]], dtype=np.float32), expected.vectors
        )
        assert [each["index"] for each in said["data"]] == [0, 1, 2]
        assert (said["model"], said["usage"]["total_tokens"]) == (embedder.identity.name, expected.tokens)
    one = embedded(client, input=TEXTS[0])
    assert one["data"] == embedded(client, input=TEXTS)["data"][:1]


def test_base64_is_float32_little_endian(client: TestClient) -> None:
    plain = embedded(client, input=TEXTS)["data"]
    packed = embedded(client, input=TEXTS, encoding_format="base64")["data"]
    for one, other in zip(plain, packed, strict=True):
        read = np.frombuffer(base64.b64decode(other["embedding"]), dtype="<f4")
        np.testing.assert_array_equal(read, np.array(one["embedding"], dtype=np.float32))


def test_dimensions_have_two_names(client: TestClient) -> None:
    """Voyage's client says `output_dimension`, and asks for whole numbers by `output_dtype`."""
    assert embedded(client, input="a", output_dimension=4) == embedded(client, input="a", dimensions=4)
    assert len(embedded(client, input="a", output_dimension=4, dimensions=5)["data"][0]["embedding"]) == 5
    refused = client.post("/v1/embeddings", json={"input": "a", "output_dimension": 100_000})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "output_dimension")
    refused = client.post("/v1/embeddings", json={"input": "a", "output_dtype": "int8"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "output_dtype")


def test_fewer_dimensions_have_unit_length_again(client: TestClient) -> None:
    whole = np.array([each["embedding"] for each in embedded(client, input=TEXTS[:2])["data"]])
    short = np.array([each["embedding"] for each in embedded(client, input=TEXTS[:2], dimensions=4)["data"]])
    kept = whole[:, :4]
    np.testing.assert_allclose(short, kept / np.linalg.norm(kept, axis=1, keepdims=True), rtol=0, atol=1e-6)
    refused = client.post("/v1/embeddings", json={"input": "a", "dimensions": whole.shape[1] + 1})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "dimensions")


def test_no_text_is_refused_as_such(client: TestClient) -> None:
    refused = client.post("/v1/embeddings", json={"input": []})
    assert refused.status_code == 422
    assert "at least one text is expected" in refused.json()["detail"]


@pytest.mark.parametrize("ids", [[1, 2], [[1, 2], [3]], [[]]])
def test_token_ids_are_refused_with_the_switch_of_the_client(client: TestClient, ids: Any) -> None:
    refused = client.post("/v1/embeddings", json={"input": ids})
    assert refused.status_code == 422
    assert "check_embedding_ctx_length=False" in refused.json()["detail"]


def test_many_texts_are_embedded_in_order_and_too_many_refused(client: TestClient) -> None:
    texts = [f"text {place}" for place in range(150)]
    said = embedded(client, input=texts)["data"]
    assert said[149]["embedding"] == embedded(client, input="text 149")["data"][0]["embedding"]
    refused = client.post("/v1/embeddings", json={"input": ["a"] * (EMBEDDED_TEXTS_MAX + 1)})
    assert refused.status_code in {413, 422}


def test_names_of_models_are_told_without_a_key(client: TestClient, parts: Services) -> None:
    """And nothing else is."""
    names = [parts.embedding.embedder.identity.name, *parts.rerankers.names]
    client.headers.pop("authorization")
    listed = client.get("/v1/models")
    assert [each["id"] for each in listed.json()["data"]] == names
    assert client.get(f"/v1/models/{names[0]}").json() == listed.json()["data"][0]
    assert [each["model_type"] for each in listed.json()["data"]] == ["embedding"] + ["rerank"] * (len(names) - 1)
    instructed = f"{names[-1]}@builtin/legal-statutes@1"
    read = client.get(f"/v1/models/{instructed}").json()
    assert (read["id"], read["model_name"], read["model_type"]) == (instructed, names[-1], "rerank")
    unknown = client.get("/v1/models/gpt")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert client.post("/v1/embeddings", json={"input": "a"}).status_code == 401
