"""jina-haystack: its ranker."""

from __future__ import annotations

from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.jina import JinaRanker
from told import Wish, route, tell


def rerank(wish: Wish) -> list[str]:
    ranker = JinaRanker(model=wish.model, api_key=Secret.from_token(wish.key), base_url=f"{wish.url}/v1/rerank")
    documents = [Document(id=name, content=text) for name, text in wish.documents.items()]
    return [each.id for each in ranker.run(query=wish.query, documents=documents)["documents"]]


if __name__ == "__main__":
    tell(
        "jina-haystack",
        route(
            "POST /v1/rerank",
            "rerank",
            rerank,
            by_model=True,
            notes={"null fields": "sends an unset `top_k` as null"},
        ),
    )
