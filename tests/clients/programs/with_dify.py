"""dify-plugin, the SDK of Dify's plugins: its OpenAI-compatible reranker and embeddings."""

from __future__ import annotations

from typing import Any

from dify_plugin.entities.model import EmbeddingInputType
from dify_plugin.interfaces.model.openai_compatible.rerank import OAICompatRerankModel
from dify_plugin.interfaces.model.openai_compatible.text_embedding import OAICompatEmbeddingModel
from told import NO_NULLS, Wish, route, tell


class Reranker(OAICompatRerankModel):
    """As a plugin declares it."""

    __module__ = "winnow.models.rerank"  # the SDK takes the provider's name from the place of the file


class Embedder(OAICompatEmbeddingModel):
    """As a plugin declares it, without its tokenizer, which is downloaded."""

    __module__ = "winnow.models.text_embedding"

    def _get_num_tokens_by_gpt2(self, text: str) -> int:
        return len(text)


def _credentials(wish: Wish) -> dict[str, Any]:
    return {"endpoint_url": f"{wish.url}/v1", "api_key": wish.key, "context_size": "8192", "max_chunks": "16"}


def rerank(wish: Wish) -> list[str]:
    answer = Reranker([]).invoke(wish.model, _credentials(wish), wish.query, wish.texts)
    return wish.ids([each.index for each in answer.docs])


def embed(wish: Wish) -> list[str]:
    model = Embedder([])

    def vectors(texts: list[str], kind: EmbeddingInputType) -> list[list[float]]:
        return model.invoke(wish.model, _credentials(wish), texts, input_type=kind).embeddings

    (query,) = vectors([wish.query], EmbeddingInputType.QUERY)
    return wish.by_similarity(query, vectors(wish.texts, EmbeddingInputType.DOCUMENT))


if __name__ == "__main__":
    tell(
        "dify_plugin",
        route(
            "POST /v1/rerank",
            "rerank",
            rerank,
            by_model=True,
            notes={
                "success": "scores are rescaled: the best is always 1 and the worst 0",
                "null fields": "sends an unset `top_n` as null",
            },
        ),
        route(
            "POST /v1/embeddings",
            "embeddings",
            embed,
            skipped={"null fields": NO_NULLS, "422": "the client sends nothing that is refused"},
        ),
    )
