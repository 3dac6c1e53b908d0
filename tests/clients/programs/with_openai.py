"""openai: embeddings, and search in a vector store."""

from __future__ import annotations

from typing import Any

from openai import OpenAI
from told import Wish, route, tell


def _client(wish: Wish) -> OpenAI:
    return OpenAI(api_key=wish.key, base_url=f"{wish.url}/v1", max_retries=0)


def embed(wish: Wish) -> list[str]:
    options: dict[str, Any] = {"dimensions": None, "user": None} if wish.with_nulls else {}
    if wish.is_invalid:
        options = {"dimensions": 100_000}
    client = _client(wish)
    texts = client.embeddings.create(model=wish.model, input=wish.texts, **options)
    asked = {"input_type": "query"}
    query = client.embeddings.create(model=wish.model, input=wish.query, extra_body=asked, **options)
    return wish.by_similarity(query.data[0].embedding, [each.embedding for each in texts.data])


def search(wish: Wish) -> list[str]:
    options: dict[str, Any] = {"max_num_results": 100_000} if wish.is_invalid else {}
    if wish.with_nulls:
        options = dict.fromkeys(("filters", "max_num_results", "ranking_options", "rewrite_query"))
    if wish.instruction is not None:
        options = {"extra_body": {"instruction": wish.instruction}}
    page = _client(wish).vector_stores.search(wish.collection, query=wish.query, **options)
    return [each.file_id for each in page.data]


RETRIES = "by default the client tries twice more; shown with `max_retries=0`"
NOTES = {"429": RETRIES, "503": RETRIES}

if __name__ == "__main__":
    degraded = '`winnow.judged_by` of the page is "recall-order"'
    tell(
        "openai",
        route("POST /v1/embeddings", "embeddings", embed, notes=NOTES),
        route(
            "POST /v1/vector_stores/ID/search",
            "search",
            search,
            notes={**NOTES, "degraded": degraded, "instruction": '`extra_body={"instruction": …}`'},
        ),
    )
