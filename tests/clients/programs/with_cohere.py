"""cohere 7 and 5: rerank over v2 and v1."""

from __future__ import annotations

from typing import Any

import cohere
from told import Wish, route, tell


def _options(wish: Wish) -> dict[str, Any]:
    more = {} if wish.instruction is None else {"additional_body_parameters": {"instruction": wish.instruction}}
    return {"max_retries": 0, **more}


def rerank_v2(wish: Wish) -> list[str]:
    client = cohere.ClientV2(api_key=wish.key, base_url=wish.url)
    nulls: dict[str, Any] = {"top_n": None, "max_tokens_per_doc": None} if wish.with_nulls else {}
    answer = client.rerank(
        model=wish.model, query=wish.query, documents=wish.texts, request_options=_options(wish), **nulls
    )
    return wish.ids([each.index for each in answer.results])


def rerank_v1(wish: Wish) -> list[str]:
    client = cohere.Client(api_key=wish.key, base_url=wish.url)
    names = ("top_n", "rank_fields", "return_documents", "max_chunks_per_doc")
    nulls: dict[str, Any] = dict.fromkeys(names) if wish.with_nulls else {}
    answer = client.rerank(
        model=wish.model, query=wish.query, documents=wish.texts, request_options=_options(wish), **nulls
    )
    return wish.ids([each.index for each in answer.results])


NOTES = {
    "429": "by default the client waits as `Retry-After` says; shown with `max_retries: 0`",
    "503": "by default the client tries twice more; shown with `max_retries: 0`",
    "instruction": '`request_options={"additional_body_parameters": {"instruction": …}}`, or the model\'s name',
}

if __name__ == "__main__":
    tell(
        "cohere",
        route("POST /v2/rerank", "rerank", rerank_v2, notes=NOTES),
        route("POST /v1/rerank", "rerank", rerank_v1, notes=NOTES),
    )
