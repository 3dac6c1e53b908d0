"""Every route x everybody who may not: taken from the app's own table of routes, so that none is forgotten."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import Route
from starlette.testclient import TestClient

from tests.answers import CheckingClient, routes_of
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from winnow.api.collections.data_folder import DataFolder
from winnow.api.http.app import create_app
from winnow.api.http.auth import AuthorizedRoute
from winnow.api.http.routes.access import FIRST_KEY
from winnow.api.http.scopes import NEEDED, OPEN
from winnow.retrieval.catalog.instructions import InstructionContent
from winnow.retrieval.catalog.keys import ALL_SCOPES, KeyScope, KeyWish, new_key_text
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT, TenantName

OTHER = TenantName("other")
PUBLIC = {  # what the interface is: the same for everybody
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/openapi-tools.json"),
    ("GET", "/"),
    ("GET", "/ui"),
    ("GET", "/ui/{path:path}"),
}
FILTER = {"type": "eq", "key": "line", "value": "legal"}
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/v1/search"): {"query": "refund", "collection": "docs"},
    ("POST", "/v1/rerank"): {"query": "q", "documents": ["a"]},
    ("POST", "/v2/rerank"): {"query": "q", "documents": ["a"]},
    ("POST", "/rerank"): {"query": "q", "documents": ["a"]},
    ("POST", "/score"): {"text_1": "q", "text_2": "a"},
    ("POST", "/v1/score"): {"text_1": "q", "text_2": "a"},
    ("POST", "/v1/embeddings"): {"input": "a"},
    ("POST", "/v1/vector_stores/{name}/search"): {"query": "refund"},
    ("POST", "/v1/vector_stores"): {"name": "fresh-store"},
    ("POST", "/v1/vector_stores/{name}/files"): {"file_id": "file-none"},
    ("POST", "/v1/vector_stores/{name}/files/{file_id}"): {"attributes": {}},
    ("POST", "/v1/collections/{name}/search"): {"query": "refund"},
    ("POST", "/v1/collections/{name}/web_search"): {"query": "refund"},
    ("POST", "/retrieval"): {"query": "refund", "knowledge_id": "docs"},
    ("POST", "/mcp"): {"jsonrpc": "2.0", "id": 1, "method": "ping"},
    ("POST", "/v1/feedback"): {"search_id": "req_none", "document_id": "a", "grade": 1},
    ("PUT", "/v1/judgments/settings"): {"keep_queries": False},
    ("POST", "/v1/collections"): {"name": "fresh"},
    ("POST", "/v1/collections/{name}/documents"): {"id": "a", "text": "b"},
    ("POST", "/v1/collections/{name}/delete"): {"filter": FILTER, "dry_run": True},
    ("POST", "/v1/instructions"): {"name": "house", "text": "Prefer"},
    ("PUT", "/v1/instructions/default"): {"instruction": None},
    ("PUT", "/v1/instructions/{name}/draft"): {"text": "Prefer"},
    ("POST", "/v1/instructions/preview"): {"content": {"text": "{x}"}},
    ("POST", "/v1/instructions/try"): {"query": "q", "collection": "docs", "versions": ["none"]},
    ("POST", "/v1/stability/golden"): {"name": "golden", "collection": "none", "queries": [{"query": "q"}]},
    ("PUT", "/v1/stability/golden/{name}/schedule"): {"daily_hour": 3},
    ("POST", "/v1/stability/runs"): {"name": "none"},
    ("PUT", "/v1/stability/sampling"): {"share": 0.0},
    ("PUT", "/v1/stability/thresholds"): {"rbo_min": 0.5},
    ("PUT", "/v1/stability/webhook"): {"url": "https://hooks.example.org/"},
    ("POST", "/v1/tenants"): {"name": "fresh"},
    ("PATCH", "/v1/tenants/{name}"): {"disabled": False},
}  # what is sent where a body is wanted; {} elsewhere

Operation = tuple[str, str]


@dataclass(frozen=True)
class World:
    """A service with two tenants, of which one has everything and the other nothing."""

    client: TestClient
    disk: DataFolder
    whole: str  # a key of the default tenant that may do everything
    others: str  # one of the other tenant, with all scopes of a tenant
    key_id: str  # of the default tenant

    def ask(self, operation: Operation, key: str | None, *, name: str = "docs") -> Any:
        method, path = operation
        url = path.replace(":path", "").format_map({
            "name": "default" if path.startswith("/v1/tenants") else name,
            "document_id": "refunds", "key_id": self.key_id, "reader": "reader", "version": "1", "number": "1",
            "file_id": "file-none",
        })  # fmt: skip
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return self.client.request(method, url, json=BODIES.get(operation, {}), headers=headers)

    def key(self, wish: KeyWish, tenant: TenantName = DEFAULT_TENANT) -> str:
        return self.disk.catalog.keys.make(tenant, wish, by=COMMAND_LINE).text


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer) -> Iterator[World]:
    parts = parts_over(tmp_path_factory.mktemp("data"), tokenizer, PrefersWord("a"))
    disk = parts.disk
    disk.catalog.tenants.make("other", by=COMMAND_LINE)
    whole = disk.catalog.keys.make(DEFAULT_TENANT, KeyWish(scopes=ALL_SCOPES), by=COMMAND_LINE)
    others = disk.catalog.keys.make(OTHER, FIRST_KEY, by=COMMAND_LINE).text
    spare = disk.catalog.keys.make(DEFAULT_TENANT, KeyWish(scopes=frozenset({KeyScope.SEARCH})), by=COMMAND_LINE)
    with CheckingClient(create_app(parts), base_url="http://search.example.org") as client:
        world = World(client=client, disk=disk, whole=whole.text, others=others, key_id=spare.key.id)
        with_key = {"authorization": f"Bearer {whole.text}"}
        assert client.post("/v1/collections", json={"name": "docs"}, headers=with_key).status_code == 201
        filled = client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}, headers=with_key)
        assert filled.status_code == 200
        yield world


def operations_of(app: Any) -> set[Operation]:
    return {
        (method, route.path)
        for route in routes_of(app)
        for method in route.methods - {"HEAD"}
        if isinstance(route, Route)
    }


GUARDED = sorted(operation for operation, needed in NEEDED.items() if needed != OPEN)
NOT_ACCEPTED = ("none", "wrong", "wrong secret", "wrong prefix", "id alone", "expired", "revoked", "disabled tenant")


@pytest.fixture(scope="module")
def refused(world: World) -> dict[str, str | None]:
    """A key for each way of not being accepted."""
    expired = world.key(KeyWish(scopes=ALL_SCOPES, lifetime=timedelta(microseconds=1)))
    revoked = world.disk.catalog.keys.make(DEFAULT_TENANT, KeyWish(scopes=ALL_SCOPES), by=COMMAND_LINE)
    world.disk.catalog.keys.revoke(DEFAULT_TENANT, revoked.key.id, by=COMMAND_LINE)
    gone = world.disk.catalog.tenants.make("gone", by=COMMAND_LINE)
    of_gone = world.key(KeyWish(scopes=ALL_SCOPES), gone.name)
    world.disk.catalog.tenants.disable("gone", by=COMMAND_LINE)
    _, key_id, secret = world.whole.split("_")
    return {
        "none": None,
        "wrong": new_key_text(),
        "wrong secret": f"wk_{key_id}_{new_key_text().split('_')[2]}",
        "wrong prefix": f"sk_{key_id}_{secret}",
        "id alone": f"wk_{key_id}",
        "expired": expired,
        "revoked": revoked.text,
        "disabled tenant": of_gone,
    }


def test_the_table_of_scopes_is_the_table_of_routes(world: World) -> None:
    """No route without a scope, no scope without a route, and no route that does not ask."""
    assert operations_of(world.client.app) == set(NEEDED) | PUBLIC
    unguarded = [route for route in routes_of(world.client.app) if not isinstance(route, AuthorizedRoute)]
    assert {route.path for route in unguarded} == {path for _, path in PUBLIC}
    assert not any(isinstance(route, APIRoute) for route in unguarded)


def test_a_route_that_is_not_in_the_table_cannot_be_made() -> None:
    """Whoever adds one is told where its scope belongs."""

    async def endpoint() -> None: ...

    with pytest.raises(AssertionError, match=r"/v1/new has no entry in api/http/scopes\.py"):
        AuthorizedRoute("/v1/new", endpoint, methods=["GET"])


@pytest.mark.parametrize("why", NOT_ACCEPTED)
@pytest.mark.parametrize("operation", GUARDED, ids=" ".join)
def test_a_key_that_is_not_accepted_opens_nothing(
    world: World, refused: dict[str, str | None], operation: Operation, why: str
) -> None:
    answered = world.ask(operation, refused[why])
    assert answered.status_code == 401
    assert answered.headers["www-authenticate"] == "Bearer"
    assert answered.json()["error"]["code"] == "key_refused"


@pytest.mark.parametrize("operation", GUARDED, ids=" ".join)
def test_every_scope_but_the_right_one_is_not_enough(world: World, operation: Operation) -> None:
    """All others together, and each alone, are refused before the body is looked at; the right one alone is let in."""
    needed = NEEDED[operation]
    others = [scope for scope in KeyScope if scope != needed]
    for scopes in (others, *([scope] for scope in others)):
        key = world.key(KeyWish(scopes=frozenset(scopes), lifetime=timedelta(hours=1)))
        answered = world.ask(operation, key)
        assert (answered.status_code, answered.json()["error"]["code"]) == (403, "not_permitted"), scopes
        assert f"'{needed}'" in answered.json()["detail"]


@pytest.mark.parametrize("operation", sorted(NEEDED), ids=" ".join)
def test_the_right_scope_alone_is_enough(world: World, operation: Operation) -> None:
    """On a collection that is not there, where one is named: so that nothing is destroyed."""
    needed = NEEDED[operation]
    key = None if needed == OPEN else world.key(KeyWish(scopes=frozenset({KeyScope(needed)})))
    expected = {200, 201, 404, 422, 503} | ({415} if operation == ("POST", "/v1/files") else set())
    if operation == ("PATCH", "/v1/tenants/{name}"):
        expected = {200}
    assert world.ask(operation, key, name="none").status_code in expected


def without_id(answered: Any) -> tuple[int, dict[str, str], bytes]:
    """All that tells one answer from another, but for the number that every problem has."""
    body = answered.content.replace(answered.json()["id"].encode(), b"ID")
    return answered.status_code, {**answered.headers} | {"x-request-id": "*"}, body


NAMED = [
    operation
    for operation in GUARDED
    if ("/collections/{name}" in operation[1] or "/vector_stores/{name}" in operation[1])
    and not operation[1].endswith("/file_batches")  # refused before anything is looked up
]


@pytest.mark.parametrize("operation", [*NAMED, ("POST", "/v1/search")], ids=" ".join)
def test_another_tenants_collection_is_as_one_that_is_not_there(world: World, operation: Operation) -> None:
    """404, byte for byte what is said of a name that nobody has (of the same length)."""
    if operation == ("POST", "/v1/search"):
        url, key = "/v1/search", {"authorization": f"Bearer {world.others}"}
        answers = [
            world.client.post(url, json={"query": "refund", "collection": name}, headers=key)
            for name in ("docs", "nope", "default/docs", "default/nope")
        ]
        there, missing, qualified, nowhere = (without_id(each) for each in answers)
        assert nowhere == (404, qualified[1], qualified[2].replace(b"/docs", b"/nope"))
    else:
        there = without_id(world.ask(operation, world.others, name="docs"))
        missing = without_id(world.ask(operation, world.others, name="nope"))
    assert there[0] == 404
    assert missing == (404, there[1], there[2].replace(b"docs", b"nope"))


OF_INSTRUCTION = [operation for operation in GUARDED if "/instructions/{name}" in operation[1]]


@pytest.mark.parametrize("operation", OF_INSTRUCTION, ids=" ".join)
def test_another_tenants_instruction_is_as_one_that_is_not_there(world: World, operation: Operation) -> None:
    """Read, published, retired, deleted; a draft of that name is the asker's own. The owner's stays as it is."""
    world.disk.catalog.instructions.publish(DEFAULT_TENANT, "laws", InstructionContent(text="Prefer laws"))
    before = world.disk.catalog.instructions.versions(DEFAULT_TENANT, "laws")
    if operation[0] == "PUT":
        key = {"authorization": f"Bearer {world.others}"}
        world.client.put("/v1/instructions/laws/draft", json={"text": "mine"}, headers=key)
        assert world.disk.catalog.instructions.versions(OTHER, "laws")[0].text == "mine"
        world.disk.catalog.instructions.delete_draft(OTHER, "laws")
    else:
        query = "?before=1&after=1" if operation[1].endswith("/diff") else ""
        asked = (operation[0], operation[1] + query)
        there, missing = (without_id(world.ask(asked, world.others, name=name)) for name in ("laws", "nope"))
        assert there[0] == 404
        assert missing == (404, there[1], there[2].replace(b"laws", b"nope"))
    assert world.disk.catalog.instructions.versions(DEFAULT_TENANT, "laws") == before


@pytest.mark.parametrize(
    "operation", [("POST", "/v1/keys/{key_id}/rotate"), ("DELETE", "/v1/keys/{key_id}")], ids=" ".join
)
def test_another_tenants_key_is_as_one_that_is_not_there(world: World, operation: Operation) -> None:
    """And stays as it is."""
    before = world.disk.catalog.keys.keys(DEFAULT_TENANT)
    foreign = without_id(world.ask(operation, world.others))
    nobodys = world.client.request(
        operation[0], operation[1].format(key_id="0" * 12), headers={"authorization": f"Bearer {world.others}"}
    )
    assert foreign[0] == 404
    assert foreign[2].replace(world.key_id.encode(), b"0" * 12) == without_id(nobodys)[2]
    assert world.disk.catalog.keys.keys(DEFAULT_TENANT) == before


def test_what_is_listed_is_the_tenants_own(world: World) -> None:
    """Collections, instructions, keys, grants, audit log, and what /readyz names."""
    headers = {"authorization": f"Bearer {world.others}"}
    listed = {
        path: world.client.get(path, headers=headers).json()
        for path in ("/v1/collections", "/v1/instructions", "/v1/keys", "/v1/grants", "/v1/audit", "/readyz")
    }
    assert listed["/v1/collections"] == {"collections": []}
    assert (listed["/v1/instructions"]["instructions"], listed["/v1/instructions"]["default"]) == ([], None)
    assert listed["/v1/grants"] == {"given": [], "received": []}
    assert {each["tenant"] for each in listed["/v1/keys"]["keys"]} == {"other"}
    assert {each["tenant"] for each in listed["/v1/audit"]["entries"]} == {"other"}
    assert (listed["/readyz"]["collections"], listed["/readyz"]["problems"]) == ([], None)
    assert world.client.get("/readyz").json()["collections"] is None
    of_operator = world.client.get("/readyz", headers={"authorization": f"Bearer {world.whole}"}).json()
    assert "docs" in {each["name"] for each in of_operator["collections"]}
    assert of_operator["problems"] is not None


def test_a_key_is_checked_before_the_body_is_read(world: World) -> None:
    """Nobody unknown makes the service parse anything."""
    for body in (b"{", b"\xff" * 100, b"[" * 100_000):
        answered = world.client.post("/v1/search", content=body, headers={"content-type": "application/json"})
        assert answered.status_code == 401


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=200).filter(lambda raw: not set(raw) & set(b"\r\n\0")))
def test_any_bytes_for_a_key_are_refused(world: World, raw: bytes) -> None:
    """401, and never 500."""
    for header in (raw, b"Bearer " + raw):
        assert world.client.get("/v1/collections", headers={b"authorization": header}).status_code == 401


def test_another_instance_of_the_app_hears_of_a_revocation(world: World, tokenizer: PlainTokenizer) -> None:
    """Over the same catalog; a second is the promise, which only its key's memory could break."""
    key = world.key(KeyWish(scopes=ALL_SCOPES))
    key_id = key.split("_")[1]
    second = create_app(parts_over(world.disk.layout.root, tokenizer, PrefersWord("a")))
    with CheckingClient(second, base_url="http://search.example.org") as client:
        headers = {"authorization": f"Bearer {key}"}
        assert client.get("/v1/collections", headers=headers).status_code == 200
        revoked = world.client.delete(f"/v1/keys/{key_id}", headers={"authorization": f"Bearer {world.whole}"})
        assert revoked.json()["standing"] == "revoked"
        deadline = (
            time.monotonic() + 10
        )  # of a machine that is very busy; what may be remembered is a fake clock's test
        while client.get("/v1/collections", headers=headers).status_code != 401:
            assert time.monotonic() < deadline
