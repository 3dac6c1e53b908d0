"""Requests about judgments: each tenant judges its own answers, and sees, keeps and deletes its own judgments."""

from __future__ import annotations

from typing import Any

from tests.tenants.requester import Asking
from tests.tenants.service import Operation
from tests.tenants.world import SHARED_COLLECTION, Tenant, words_of
from winnow.retrieval.catalog.judgments import digest_of

UNKNOWN = "req_00000000000000000000000000000000"


def give(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """About an answer of its own, or of another tenant, or of nobody."""
    asker = life.world.whose(tenant)
    found = _searched(life, asker)
    search_id = found["id"] if found else UNKNOWN
    shown = [each["document_id"] for each in found["results"]] if found else []
    document = life.chances.choice([*shown, life.world.document_id(tenant)])
    body, is_refused = life.widened(tenant, {"search_id": search_id, "document_id": document, "grade": 1})
    is_own = found is not None and asker is tenant
    expected = 422 if is_refused else 404 if not is_own else 200 if document in shown else 422
    answer = life.ask(tenant, operation, body, expect=expected)
    if answer.status_code == 200:
        said = answer.json()
        tenant.judged.add((said["query_sha256"], document))
        tenant.own_words |= words_of(document)
        life.same(f"a judgment of {tenant.name}", said["query_sha256"], digest_of(found["query"]))


def read(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Never a judgment that it did not give."""
    name = life.world.collection_name(tenant)
    query = f"?collection={name}" if life.chances.random() < 0.5 else ""
    said = life.ask(tenant, operation, expect=200, query=query).json()
    found = {(each["query_sha256"], each["document_id"]) for each in said["judgments"]}
    life.same(f"foreign judgments of {tenant.name}", found - tenant.judged, set())


def remove(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """By another tenant's key as judge, or those of a collection of anybody's name."""
    other = life.world.other(tenant)
    name = life.world.collection_name(tenant)
    life.ask(
        tenant,
        operation,
        expect=200,
        query=life.chances.choice([f"?judge=key:{other.key_id}", f"?collection={name}", "?source=model"]),
    )


def set_texts(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Now and then with another tenant's name, which is refused."""
    body, is_refused = life.widened(tenant, {"keep_queries": life.chances.random() < 0.5})
    life.ask(tenant, operation, body, expect=422 if is_refused else 200)


def _searched(life: Asking, asker: Tenant) -> dict[str, Any] | None:
    """An answer to this tenant, with the query; None if its collection is gone."""
    if SHARED_COLLECTION not in asker.collections:
        return None
    query = f"{life.world.canary(asker.number, 'qry')} waits"
    body = {"query": query, "collection": SHARED_COLLECTION, "recall": "dense"}
    answer = life.ask(asker, ("POST", "/v1/search"), body, expect=(200, 409))
    asker.searches += answer.status_code == 200
    return {**answer.json(), "query": query} if answer.status_code == 200 else None
