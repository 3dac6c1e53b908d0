"""Nobody reaches what is another tenant's: by types where the program is written, by answers where it runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import HashEmbedder, PrefersWord
from winnow.api.assemble import wire
from winnow.api.http.app import create_app
from winnow.api.http.routes.access import FIRST_KEY
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.search.caches import Caches
from winnow.api.settings import Settings
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import COMMAND_LINE

ROOT = Path(__file__).resolve().parents[2]
CANARY = {"alice": "canaryofalice", "bob": "canaryofbob"}
MAY_NAME_TENANTS = {
    "retrieval/tenancy.py",  # the default one
    "retrieval/catalog/tenants.py",  # one that is being made
    "retrieval/catalog/sql/audit.py", "retrieval/catalog/sql/keys.py", "retrieval/catalog/sql/tenants.py",  # from rows
    "retrieval/catalog/sql/calibrations.py", "retrieval/catalog/sql/judgments.py", "retrieval/catalog/sql/shadows.py",
    "retrieval/catalog/sql/stability.py", "retrieval/catalog/sql/collections.py",  # likewise
    "retrieval/catalog/sql/stability_samples.py", "retrieval/catalog/sql/alerts/outbox.py",
}  # fmt: skip


def test_only_the_catalog_makes_the_name_of_a_tenant() -> None:
    """Everywhere else the type checker asks where it came from; no text of a request can become one."""
    makers = {
        path.relative_to(ROOT).as_posix()
        for folder in ("api", "indexer", "rerank", "retrieval")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "TenantName"
    }
    assert makers <= MAY_NAME_TENANTS


@dataclass(frozen=True)
class Deployment:
    """A service of two tenants whose collections have the same names."""

    client: TestClient
    keys: dict[str, str]

    def ask(self, tenant: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        headers["authorization"] = f"Bearer {self.keys[tenant]}"
        return self.client.request(method, path, json=body, headers=headers)

    def search(self, tenant: str, collection: str, **more: Any) -> Any:
        body = {"query": f"{CANARY['alice']} {CANARY['bob']}", "collection": collection, **more}
        return self.ask(tenant, "POST", "/v1/search", body)


@pytest.fixture
def deployment(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[Deployment]:
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=PrefersWord("canary"), runs_on="words", device="cpu")
    parts = wire(Settings(data=tmp_path), embedding, judging, caches=Caches.of(Settings()))
    keys = {}
    for tenant in CANARY:
        made = parts.disk.catalog.tenants.make(tenant, by=COMMAND_LINE)
        keys[tenant] = parts.disk.catalog.keys.make(made.name, FIRST_KEY, by=COMMAND_LINE).text
    with CheckingClient(create_app(parts), base_url="http://search.example.org") as client:
        deployment = Deployment(client=client, keys=keys)
        for tenant, canary in CANARY.items():
            assert deployment.ask(tenant, "POST", "/v1/collections", {"name": "docs"}).status_code == 201
            other = next(each for each in CANARY if each != tenant)
            document = {"id": f"of-{tenant}", "text": f"Text of {canary}.", "metadata": {"tenant": other, canary: 1}}
            written = deployment.ask(tenant, "POST", "/v1/collections/docs/documents", document)
            assert written.status_code == 200
        yield deployment


@pytest.mark.parametrize(
    "widened",
    [
        {},
        {"filter": {"type": "eq", "key": "tenant", "value": "alice"}},
        {"filter": {"type": "eq", "key": "tenant", "value": "bob"}},
        {"filter": {"type": "ne", "key": "tenant", "value": "x"}},
        {"recall": "lexical"},
        {"recall": "hybrid", "group_by_document": True, "neighbours": 5, "explain": True},
        {"rerank": False, "candidates": 1000, "top_k": 200},
    ],
)
def test_a_search_finds_the_tenants_own_whatever_it_asks_for(deployment: Deployment, widened: dict[str, Any]) -> None:
    """Metadata that are called tenant mean nothing."""
    for tenant, canary in CANARY.items():
        said = deployment.search(tenant, "docs", **widened)
        assert said.status_code == 200
        foreign = next(each for each in CANARY.values() if each != canary)
        assert foreign not in said.text
    everything = deployment.search("alice", "docs").text
    assert CANARY["alice"] in everything


def test_no_request_says_whose_it_is(deployment: Deployment) -> None:
    """A field is refused, headers and parameters do nothing."""
    body = {"query": "q", "collection": "docs"}
    assert deployment.ask("alice", "POST", "/v1/search", body | {"tenant": "bob"}).status_code == 422
    assert deployment.ask("alice", "POST", "/v1/keys", {"scopes": ["search"], "tenant": "bob"}).status_code == 422
    said = deployment.ask("alice", "GET", "/v1/collections/docs/documents/of-bob?tenant=bob")
    assert said.status_code == 404
    told = {"x-tenant": "bob", "winnow-tenant": "bob", "host": "bob"}
    wrong = deployment.ask("alice", "POST", "/v1/search?tenant=bob", body, **told)
    assert [each["document_id"] for each in wrong.json()["results"]] == ["of-alice"]


@pytest.mark.parametrize("name", ["bob/docs", "../bob/docs", "bob%2Fdocs", "alice/../bob/docs", "BOB/docs", "/docs"])
def test_no_name_leads_to_another_tenant(deployment: Deployment, name: str) -> None:
    """Neither in a body nor in a path."""
    assert deployment.search("alice", name).status_code in {404, 422}
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/documents/of-bob"), ("GET", "/generations")):
        said = deployment.ask("alice", method, f"/v1/collections/{name}{path}")
        assert said.status_code in {404, 405, 422}
        assert CANARY["bob"] not in said.text
    assert deployment.search("bob", "docs").json()["results"] != []


def test_a_grant_lets_search_and_nothing_else(deployment: Deployment) -> None:
    """From the next search on, until it is taken back; the reader's own collection of that name is another one."""
    assert deployment.search("bob", "alice/docs").status_code == 404
    given = deployment.ask("alice", "PUT", "/v1/collections/docs/grants/bob")
    assert (given.status_code, given.json()["tenant"]) == (200, "bob")
    said = deployment.search("bob", "alice/docs")
    assert [each["document_id"] for each in said.json()["results"]] == ["of-alice"]
    assert said.json()["collection"] == "alice/docs"
    assert [each["document_id"] for each in deployment.search("bob", "docs").json()["results"]] == ["of-bob"]
    assert deployment.ask("alice", "GET", "/v1/grants").json()["given"][0]["collection"] == "docs"
    assert deployment.ask("bob", "GET", "/v1/grants").json()["received"][0]["collection"] == "alice/docs"
    for method, path, body in (
        ("POST", "/documents", {"id": "x", "text": "y"}), ("GET", "/documents/of-alice", None),
        ("DELETE", "/documents/of-alice", None), ("DELETE", "", None), ("PATCH", "", {"reranker": None}),
        ("POST", "/fold", None), ("PUT", "/grants/carol", None), ("GET", "", None),
    ):  # fmt: skip
        for name in ("alice/docs", "alice%2Fdocs"):
            refused = deployment.ask("bob", method, f"/v1/collections/{name}{path}", body)
            assert refused.status_code in {404, 405, 422}, (method, path, name)
            assert CANARY["alice"] not in refused.text
    listed = deployment.ask("bob", "GET", "/v1/collections").json()["collections"]
    assert [each["documents"] for each in listed] == [1]
    assert deployment.search("alice", "bob/docs").status_code == 404
    assert deployment.ask("alice", "DELETE", "/v1/collections/docs/grants/bob").status_code == 200
    assert deployment.search("bob", "alice/docs").status_code == 404


def test_a_granted_collection_is_ranked_as_its_owner_says(deployment: Deployment) -> None:
    """Under the owner's instruction of the collection, and by the reader's own where it names one."""
    for tenant in CANARY:
        deployment.ask(tenant, "POST", "/v1/instructions", {"name": "house", "text": f"As {tenant} likes it"})
    deployment.ask("alice", "PATCH", "/v1/collections/docs", {"instruction": "house"})
    deployment.ask("alice", "PUT", "/v1/collections/docs/grants/bob")
    of_owner, of_reader = (
        deployment.search(tenant, name, **more).json()["instruction"]
        for tenant, name, more in (
            ("alice", "docs", {}),
            ("bob", "alice/docs", {"instruction": {"name": "house"}}),
        )
    )
    assert deployment.search("bob", "alice/docs").json()["instruction"] == of_owner
    assert of_owner["source"] == "collection"
    assert of_reader["sha256"] != of_owner["sha256"]


def test_a_trial_tells_no_reader_the_text_of_the_owners_instruction(deployment: Deployment) -> None:
    """A grant lets search, under it, and nothing else; the owner reads its own."""
    deployment.ask("alice", "POST", "/v1/instructions", {"name": "house", "text": "As alice likes it"})
    deployment.ask("alice", "PATCH", "/v1/collections/docs", {"instruction": "house"})
    deployment.ask("alice", "PUT", "/v1/collections/docs/grants/bob")
    said = {
        tenant: deployment.ask(
            tenant, "POST", "/v1/instructions/try", {"query": "q", "collection": name, "versions": ["default"]}
        )
        for tenant, name in (("alice", "docs"), ("bob", "alice/docs"))
    }
    assert said["alice"].json()["columns"][0]["text"] == "As alice likes it"
    assert said["bob"].json()["columns"][0]["text"] is None
    assert "likes" not in said["bob"].text


def test_what_one_tenant_asked_no_other_can_find_out(deployment: Deployment) -> None:
    """A cache that both ask would tell by the time that an answer takes, also of the same collection."""
    deployment.ask("alice", "PUT", "/v1/collections/docs/grants/bob")
    assert [deployment.search("alice", "docs").json()["usage"]["query_remembered"] for _ in range(2)] == [False, True]
    remembered = [deployment.search("bob", "alice/docs").json()["usage"]["query_remembered"] for _ in range(2)]
    assert remembered == [False, True]


def test_an_admin_does_not_become_an_operator(deployment: Deployment) -> None:
    """Neither by making a key nor by replacing one; and no tenant reads the metrics."""
    for scopes in (["operator"], ["search", "operator"]):
        made = deployment.ask("alice", "POST", "/v1/keys", {"scopes": scopes})
        assert (made.status_code, made.json()["error"]["code"]) == (403, "not_permitted")
    assert deployment.ask("alice", "GET", "/metrics").status_code == 403
    assert deployment.ask("alice", "GET", "/v1/tenants").status_code == 403


def test_the_audit_log_names_the_key_that_changed_a_collection(deployment: Deployment) -> None:
    """What was made, changed and removed over HTTP; what changed nothing is not told."""
    deployment.ask("alice", "POST", "/v1/collections", {"name": "more"})
    deployment.ask("alice", "POST", "/v1/instructions", {"name": "house", "text": "As alice likes it"})
    for _ in range(2):
        deployment.ask("alice", "PATCH", "/v1/collections/more", {"instruction": "house"})
    deployment.ask("alice", "DELETE", "/v1/collections/more")
    entries = deployment.ask("alice", "GET", "/v1/audit?limit=4").json()["entries"]
    assert [(each["action"], each["subject"]) for each in entries] == [
        ("collection.remove", "more"), ("collection.change", "more"),
        ("instruction.publish", "house@1"), ("collection.create", "more"),
    ]  # fmt: skip
    assert {each["actor"] for each in entries} == {f"key:{deployment.keys['alice'].split('_')[1]}"}
    assert (entries[1]["before"]["instruction"], entries[1]["after"]["instruction"]) == (None, "house")
    assert "As alice likes it" not in str(entries)
