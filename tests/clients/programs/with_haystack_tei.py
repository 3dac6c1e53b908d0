"""huggingface-api-haystack: its TEI ranker."""

from __future__ import annotations

from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker
from told import NO_NULLS, Wish, route, tell


def rerank(wish: Wish) -> list[str]:
    ranker = HuggingFaceTEIRanker(url=wish.url, token=Secret.from_token(wish.key), max_retries=1)
    documents = [Document(id=name, content=text) for name, text in wish.documents.items()]
    query = "" if wish.is_invalid else wish.query
    return [each.id for each in ranker.run(query=query, documents=documents)["documents"]]


if __name__ == "__main__":
    tell(
        "huggingface-api-haystack",
        route(
            "POST /rerank",
            "rerank",
            rerank,
            skipped={
                "404": "the client always asks /rerank of the host",
                "null fields": NO_NULLS,
                "instruction": "the client sends neither a model nor other fields",
            },
        ),
    )
