"""langchain-voyageai: its document compressor, and its embeddings."""

from __future__ import annotations

from langchain_core.documents import Document
from langchain_voyageai import VoyageAIEmbeddings, VoyageAIRerank
from pydantic import SecretStr
from told import Wish, route, tell


def rerank(wish: Wish) -> list[str]:
    compressor = VoyageAIRerank(api_key=SecretStr(wish.key), base_url=f"{wish.url}/v1", model=wish.model)
    documents = [Document(page_content=text, metadata={"id": name}) for name, text in wish.documents.items()]
    return [each.metadata["id"] for each in compressor.compress_documents(documents, wish.query)]


def embed(wish: Wish) -> list[str]:
    embeddings = VoyageAIEmbeddings(
        api_key=SecretStr(wish.key),
        base_url=f"{wish.url}/v1",
        model=wish.model,
        batch_size=8,
        output_dimension=2048 if wish.is_invalid else None,
    )
    return wish.by_similarity(embeddings.embed_query(wish.query), embeddings.embed_documents(wish.texts))


if __name__ == "__main__":
    nulls = {"null fields": "sends every unset option as null"}
    tell(
        "langchain-voyageai",
        route("POST /v1/rerank", "rerank", rerank, by_model=True, notes=nulls),
        route("POST /v1/embeddings", "embeddings", embed, notes=nulls),
    )
