"""cohere-haystack: its ranker."""

from __future__ import annotations

from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker
from told import NO_NULLS, Wish, route, tell


def rerank(wish: Wish) -> list[str]:
    ranker = CohereRanker(model=wish.model, api_key=Secret.from_token(wish.key), api_base_url=wish.url)
    documents = [Document(id=name, content=text) for name, text in wish.documents.items()]
    return [each.id for each in ranker.run(query=wish.query, documents=documents)["documents"]]


if __name__ == "__main__":
    tell(
        "cohere-haystack",
        route("POST /v2/rerank", "rerank", rerank, by_model=True, skipped={"null fields": NO_NULLS}),
    )
