"""voyageai: rerank and embeddings."""

from __future__ import annotations

import voyageai
from told import Wish, route, tell


def _client(wish: Wish) -> voyageai.Client:
    return voyageai.Client(api_key=wish.key, base_url=f"{wish.url}/v1")


def rerank(wish: Wish) -> list[str]:
    answer = _client(wish).rerank(wish.query, wish.texts, model=wish.model, top_k=None)
    return wish.ids([each.index for each in answer.results])


def embed(wish: Wish) -> list[str]:
    dimension = 100_000 if wish.is_invalid else None
    client = _client(wish)
    texts = client.embed(wish.texts, model=wish.model, input_type="document", output_dimension=dimension)
    query = client.embed([wish.query], model=wish.model, input_type="query", output_dimension=dimension)
    return wish.by_similarity(query.embeddings[0], texts.embeddings)


if __name__ == "__main__":
    nulls = {"null fields": "sends every unset option as null"}
    tell(
        "voyageai",
        route("POST /v1/rerank", "rerank", rerank, by_model=True, notes=nulls),
        route("POST /v1/embeddings", "embeddings", embed, notes=nulls),
    )
