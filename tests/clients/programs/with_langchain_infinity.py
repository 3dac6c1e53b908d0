"""langchain-community: InfinityRerank, a document compressor over infinity-client."""

from __future__ import annotations

from infinity_client import AuthenticatedClient
from langchain_community.document_compressors.infinity_rerank import InfinityRerank
from langchain_core.documents import Document
from told import NO_NULLS, Wish, route, tell


def rerank(wish: Wish) -> list[str]:
    client = AuthenticatedClient(base_url=f"{wish.url}/v1", token=wish.key, raise_on_unexpected_status=True)
    compressor = InfinityRerank.model_construct(client=client, model=wish.model, top_n=3)
    documents = [Document(page_content=text, metadata={"id": name}) for name, text in wish.documents.items()]
    return [each.metadata["id"] for each in compressor.compress_documents(documents, wish.query)]


if __name__ == "__main__":
    tell(
        "langchain-community",
        route(
            "POST /v1/rerank",
            "rerank",
            rerank,
            by_model=True,
            skipped={"null fields": NO_NULLS},
            notes={
                "success": "`InfinityRerank`, its client with `raise_on_unexpected_status=True`",
                "422": "the client cannot read the reason, which is a text",
            },
        ),
    )
