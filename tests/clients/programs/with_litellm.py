"""litellm: rerank by each provider whose base URL can be set, embeddings, and search in a vector store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import litellm
from told import Ask, Route, Wish, route, tell

PROVIDERS = {  # by the path of the base URL, and of what the provider's module makes of it
    "cohere": ("", "POST /v2/rerank"),
    "jina_ai": ("/v1", "POST /v1/rerank"),
    "voyage": ("/v1", "POST /v1/rerank"),
    "infinity": ("/v1", "POST /v1/rerank"),
    "hosted_vllm": ("/v1", "POST /v1/rerank"),
}


def rerank_as(provider: str, path: str) -> Ask:
    def rerank(wish: Wish) -> list[str]:
        more: dict[str, Any] = {} if wish.instruction is None else {"instruction": wish.instruction}
        if provider == "infinity":
            more["return_documents"] = False
        if wish.with_nulls:
            more |= {"top_n": None, "rank_fields": None, "max_chunks_per_doc": None, "max_tokens_per_doc": None}
        answer = litellm.rerank(
            model=f"{provider}/{wish.model}",
            query=wish.query,
            documents=wish.texts,
            api_base=wish.url + path,
            api_key=wish.key,
            max_retries=0,
            **more,
        )
        return wish.ids([each["index"] for each in answer.results])

    return rerank


def embed(wish: Wish) -> list[str]:
    options: dict[str, Any] = (
        {"dimensions": 100_000, "allowed_openai_params": ["dimensions"]} if wish.is_invalid else {}
    )
    if wish.with_nulls:
        options = {"dimensions": None, "user": None}

    def vectors(texts: list[str]) -> list[list[float]]:
        answer = litellm.embedding(
            model=f"openai/{wish.model}",
            input=texts,
            api_base=f"{wish.url}/v1",
            api_key=wish.key,
            max_retries=0,
            **options,
        )
        return [each["embedding"] for each in answer.data]

    return wish.by_similarity(vectors([wish.query])[0], vectors(wish.texts))


def search(wish: Wish) -> list[str]:
    more: dict[str, Any] = {"max_num_results": 100_000} if wish.is_invalid else {}
    if wish.instruction is not None:
        more = {"extra_body": {"instruction": wish.instruction}}
    answer = litellm.vector_stores.search(
        vector_store_id=wish.collection,
        query=wish.query,
        custom_llm_provider="openai",
        api_base=f"{wish.url}/v1",
        api_key=wish.key,
        **more,
    )
    return [each["file_id"] for each in answer["data"]]


def routes_of(make: Callable[[str, str], Ask]) -> list[Route]:
    found = []
    for provider, (path, called) in PROVIDERS.items():
        by_model = provider != "hosted_vllm"
        notes = {"success": "with `return_documents=False`"} if provider == "infinity" else {}
        skipped = {"404": "the client replaces the path of the base URL"} if provider == "jina_ai" else {}
        name = f"{called} as {provider}"
        found.append(route(name, "rerank", make(provider, path), by_model=by_model, skipped=skipped, notes=notes))
    return found


if __name__ == "__main__":
    tell(
        "litellm",
        *routes_of(rerank_as),
        route(
            "POST /v1/embeddings as openai",
            "embeddings",
            embed,
            notes={"422": 'with `allowed_openai_params=["dimensions"]`; without it the client itself refuses them'},
        ),
        route(
            "POST /v1/vector_stores/ID/search as openai",
            "search",
            search,
            notes={
                "null fields": "always sends its four options as null",
                "instruction": "the client drops `extra_body` here; the collection's own instruction applies",
            },
        ),
    )
