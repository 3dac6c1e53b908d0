"""langchain-voyageai: its document compressor, and its embeddings."""

from __future__ import annotations

from collections.abc import Generator

from langchain_core.documents import Document
from langchain_voyageai import VoyageAIEmbeddings, VoyageAIRerank
from pydantic import SecretStr
from told import Wish, route, tell


class Embeddings(VoyageAIEmbeddings):
    """Without the tokenizer of the model, which the client downloads to count tokens."""

    def _build_batches(self, texts: list[str]) -> Generator[tuple[list[str], int], None, None]:
        yield texts, len(texts)


def rerank(wish: Wish) -> list[str]:
    compressor = VoyageAIRerank(api_key=SecretStr(wish.key), base_url=f"{wish.url}/v1", model=wish.model)
    documents = [Document(page_content=text, metadata={"id": name}) for name, text in wish.documents.items()]
    return [each.metadata["id"] for each in compressor.compress_documents(documents, wish.query)]


def embed(wish: Wish) -> list[str]:
    embeddings = Embeddings(
        api_key=SecretStr(wish.key),
        base_url=f"{wish.url}/v1",
        model=wish.model,
        batch_size=8,
        output_dimension=2048 if wish.is_invalid else None,
    )
    return wish.by_similarity(embeddings.embed_query(wish.query), embeddings.embed_documents(wish.texts))


if __name__ == "__main__":
    nulls = {"null fields": "sends every unset option as null"}
    downloads = "the client downloads the tokenizer of its model: name one of Voyage's; tried without it"
    tell(
        "langchain-voyageai",
        route("POST /v1/rerank", "rerank", rerank, by_model=True, notes=nulls),
        route("POST /v1/embeddings", "embeddings", embed, notes={"success": downloads, **nulls}),
    )
