"""langchain-cohere: its document compressor."""

from __future__ import annotations

import cohere
from langchain_cohere import CohereRerank
from langchain_core.documents import Document
from told import NO_NULLS, Wish, route, tell


def rerank(wish: Wish) -> list[str]:
    client = cohere.ClientV2(api_key=wish.key, base_url=wish.url)
    compressor = CohereRerank(client=client, model=wish.model, top_n=3)
    documents = [Document(page_content=text, metadata={"id": name}) for name, text in wish.documents.items()]
    return [each.metadata["id"] for each in compressor.compress_documents(documents, wish.query)]


if __name__ == "__main__":
    tell(
        "langchain-cohere",
        route("POST /v2/rerank", "rerank", rerank, by_model=True, skipped={"null fields": NO_NULLS}),
    )
