"""llama-index-embeddings-openai-like: its embeddings."""

from __future__ import annotations

from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from told import NO_NULLS, Wish, route, tell


def embed(wish: Wish) -> list[str]:
    model = OpenAILikeEmbedding(
        model_name=wish.model,
        api_base=f"{wish.url}/v1",
        api_key=wish.key,
        max_retries=0,
        dimensions=100_000 if wish.is_invalid else None,
    )
    return wish.by_similarity(model.get_query_embedding(wish.query), model.get_text_embedding_batch(wish.texts))


if __name__ == "__main__":
    tell(
        "llama-index-embeddings-openai-like",
        route("POST /v1/embeddings", "embeddings", embed, skipped={"null fields": NO_NULLS}),
    )
