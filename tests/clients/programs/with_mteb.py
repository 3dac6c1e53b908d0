"""mteb: its wrappers of OpenAI-compatible services, for rerankers and for embeddings."""

from __future__ import annotations

from typing import Any

import mteb
from mteb.models import OpenAIAPIEncodeWrapper, OpenAIAPIRerankWrapper
from told import NO_NULLS, Wish, route, tell

TASK: Any = mteb.get_task("SciFact").metadata  # names the prompts, of which there are none


def rerank(wish: Wish) -> list[str]:
    wrapper = OpenAIAPIRerankWrapper(
        endpoint_url=wish.url, model_name=wish.model, api_key=wish.key, max_retries=1, modalities=["text"]
    )
    scores = wrapper.predict(
        [{"text": [wish.query] * len(wish.texts)}],
        [{"text": wish.texts}],
        task_metadata=TASK,
        hf_split="test",
        hf_subset="default",
    )
    return wish.ids(sorted(range(len(scores)), key=lambda index: -scores[index]))


def embed(wish: Wish) -> list[str]:
    wrapper = OpenAIAPIEncodeWrapper(
        endpoint_url=wish.url,
        model_name=wish.model,
        api_key=wish.key,
        max_retries=1,
        modalities=["text"],
        use_chat_template=wish.is_invalid,
    )

    def vectors(texts: list[str]) -> list[list[float]]:
        return wrapper.encode([{"text": texts}], task_metadata=TASK, hf_split="test", hf_subset="default").tolist()

    return wish.by_similarity(vectors([wish.query])[0], vectors(wish.texts))


if __name__ == "__main__":
    models = "`GET` of the models without a key, which other paths than ours answer with 401"
    tell(
        "mteb",
        route(
            "POST /v1/rerank",
            "rerank",
            rerank,
            by_model=True,
            skipped={"null fields": NO_NULLS},
            notes={"success": '`OpenAIAPIRerankWrapper(…, modalities=["text"])`', "404": models},
        ),
        route(
            "POST /v1/embeddings",
            "embeddings",
            embed,
            skipped={"null fields": NO_NULLS},
            notes={
                "success": '`OpenAIAPIEncodeWrapper(…, modalities=["text"], use_chat_template=False)`',
                "404": models,
                "422": "with `use_chat_template=True`, its default, it sends `messages` instead of `input`",
            },
        ),
    )
