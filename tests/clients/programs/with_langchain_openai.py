"""langchain-openai: its embeddings."""

from __future__ import annotations

from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr
from told import NO_NULLS, Wish, route, tell


def embed(wish: Wish) -> list[str]:
    embeddings = OpenAIEmbeddings(
        model=wish.model,
        base_url=f"{wish.url}/v1",
        api_key=SecretStr(wish.key),
        check_embedding_ctx_length=False,
        dimensions=100_000 if wish.is_invalid else None,
        max_retries=0,
    )
    return wish.by_similarity(embeddings.embed_query(wish.query), embeddings.embed_documents(wish.texts))


if __name__ == "__main__":
    tell(
        "langchain-openai",
        route(
            "POST /v1/embeddings",
            "embeddings",
            embed,
            skipped={"null fields": NO_NULLS},
            notes={"success": "with `check_embedding_ctx_length=False`"},
        ),
    )
