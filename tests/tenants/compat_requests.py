"""Requests in the dialects of other services, and what the model expects of each."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from tests.tenants.collection_requests import WORDS, ready, searched_name, shown_of
from tests.tenants.requester import Asking
from tests.tenants.service import Operation
from tests.tenants.world import Collection, Tenant


def list_vector_stores(life: Asking, tenant: Tenant, operation: Operation) -> None:
    said = life.ask(tenant, operation, expect=200).json()
    found = {each["id"]: each["file_counts"]["total"] for each in said["data"]}
    expected = {name: _total(each) for name, each in tenant.collections.items()}
    life.same(f"vector stores of {tenant.name}", found, expected)


def get_vector_store(life: Asking, tenant: Tenant, operation: Operation) -> None:
    name = life.world.collection_name(tenant)
    known = tenant.collections.get(name)
    answer = life.ask(tenant, operation, expect=200 if known else 404, name=name)
    if known and answer.status_code == 200:
        life.same(f"{name} of {tenant.name}", answer.json()["file_counts"]["total"], _total(known))


def search_in_path(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """With the collection in the path: only its own can be there."""
    name = life.world.collection_name(tenant)
    known = tenant.collections.get(name)
    body = {"query": life.chances.choice([life.world.canary(tenant.number, "query"), *WORDS])}
    is_store = "vector_stores" in operation[1]  # one in which nothing is answers with nothing
    expected = 404 if known is None else 200 if is_store else ready(known, 200)
    answer = life.ask(tenant, operation, body, expect=expected, name=name, shown=shown_of(known))
    if answer.status_code == 200 and known:
        tenant.searches += not is_store or answer.json()["winnow"]["reason"] != "nothing_indexed"
        names = {each.partition("/")[0] if is_store else each for each in known.documents}
        life.same(f"found in {name} beyond what is there", _ids(answer.json()) - names, set())


def retrieve(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """As `owner/name`, too, where it was granted and where it was not."""
    name = searched_name(life, tenant)
    known = life.world.searched(tenant, name)
    body = {"query": life.chances.choice(WORDS), "knowledge_id": name, "retrieval_setting": {"top_k": 200}}
    expected = ready(known, 200) if known else 404
    answer = life.ask(tenant, operation, body, expect=expected, shown=shown_of(known))
    if answer.status_code == 200 and known:
        tenant.searches += 1
        found = {each["metadata"]["document_id"] for each in answer.json()["records"]}
        life.same(f"found in {name} beyond what is there", found - set(known.documents), set())


def call_tool(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """Reads documents of its own and of others, granted and not, and searches all of its own."""
    name, document_id = searched_name(life, tenant), life.world.document_id(tenant)
    known = life.world.searched(tenant, name)
    calls: tuple[tuple[str, dict[str, str]], ...] = (
        ("fetch", {"id": f"{quote(name, safe='')}/{document_id}"}),
        ("search_filtered", {"query": life.chances.choice(WORDS), "collection": name}),
        ("list_collections", {}),
    )
    tool, arguments = life.chances.choice(calls)
    body = {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments},
    }  # fmt: skip
    answer = life.ask(tenant, operation, body, expect=200, shown=shown_of(known))
    if answer.status_code != 200:
        return
    result = answer.json()["result"]
    if result.get("isError"):
        return
    said = json.loads(result["content"][0]["text"])
    if tool == "list_collections":
        life.same(f"tools of {tenant.name}", {each["name"] for each in said["collections"]}, set(tenant.collections))
    elif tool == "fetch":
        life.same(f"{document_id} of {name}", known is not None and document_id in known.documents, True)
    else:
        tenant.searches += 1


def score(life: Asking, tenant: Tenant, operation: Operation) -> None:
    texts = [life.world.canary(tenant.number, "txt"), *WORDS]
    said = life.ask(tenant, operation, {"text_1": texts[-1], "text_2": texts}, expect=200).json()
    life.same("texts that were scored", [each["index"] for each in said["data"]], list(range(len(texts))))


def embed(life: Asking, tenant: Tenant, operation: Operation) -> None:
    """The same text has the same vector, whoever else embedded it."""
    text = life.world.canary(tenant.number, "txt")
    said = life.ask(tenant, operation, {"input": [text, *WORDS, text]}, expect=200).json()
    life.same("vectors of one text", said["data"][0]["embedding"], said["data"][-1]["embedding"])


def read_model(life: Asking, tenant: Tenant, operation: Operation) -> None:
    life.ask(tenant, operation, expect=404, name=life.world.other(tenant).name)


def _total(known: Collection) -> int:
    """Files where there are any, else documents."""
    return len(known.files) or len(known.documents)


def _ids(body: Any) -> set[str]:
    """Of the documents of an answer, in any of the dialects that name them."""
    if isinstance(body, list):  # links hold the id quoted
        return set()
    rows = body["results"] if "results" in body else body["data"]
    return {each["document_id"] if "document_id" in each else each["file_id"] for each in rows}
