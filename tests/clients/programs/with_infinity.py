"""infinity-client: rerank."""

from __future__ import annotations

from infinity_client import AuthenticatedClient
from infinity_client.api.default import rerank
from infinity_client.models import RerankInput
from told import Wish, route, tell


def ask(wish: Wish) -> list[str]:
    client = AuthenticatedClient(base_url=f"{wish.url}/v1", token=wish.key, raise_on_unexpected_status=True)
    body = RerankInput(query=wish.query, documents=wish.texts, model=wish.model)
    if wish.with_nulls:
        body.top_n = None
    if wish.instruction is not None:
        body["instruction"] = wish.instruction
    answer = rerank.sync(client=client, body=body)
    return wish.ids([each.index for each in answer.results])


UNREAD = "the client cannot read the reason, which is a text"

if __name__ == "__main__":
    raises = "with `raise_on_unexpected_status=True`; without it the client returns None"
    notes = dict.fromkeys(("401", "404", "429", "503"), raises)
    tell(
        "infinity-client",
        route(
            "POST /v1/rerank",
            "rerank",
            ask,
            notes={**notes, "422": UNREAD, "instruction": '`body["instruction"]`, or the model'},
        ),
    )
