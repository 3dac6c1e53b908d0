"""What every client, proxy and generator of clients expects of HTTP."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import orjson
import pytest
from pydantic import BaseModel, ValidationError
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from winnow.api.fields import NAME_SAID, PATTERNS_SAID, Strict, parsed
from winnow.api.http.app import create_app
from winnow.api.http.log_redaction import without_places
from winnow.api.http.problems import MEDIA_TYPE, STATUS
from winnow.api.http.scopes import NEEDED
from winnow.api.schemas.compat.rerank import RerankBody
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import RERANK_DOCUMENTS_MAX
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import COMMAND_LINE

BEARER = {"authorization": "Bearer secret"}


@pytest.fixture
def own_client(tmp_path: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    """For a test that changes what is stored."""
    yield from serving(tmp_path, tokenizer)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    yield from serving(tmp_path_factory.mktemp("service"), tokenizer)


@pytest.fixture
def client(service: TestClient) -> Iterator[TestClient]:
    """For all others: one service, with the headers as they were."""
    headers = dict(service.headers)
    yield service
    service.headers = headers


def serving(folder: Path, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    parts = parts_over(folder, tokenizer, PrefersWord("refund"), api_key="secret")
    with CheckingClient(create_app(parts), base_url="http://search.example.org", headers=BEARER) as client:
        assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
        assert client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}).status_code == 200
        yield client


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/v1/collections", "/v1/collections/docs", "/docs", "/v1/none"]
)
def test_head_is_get_without_the_body(client: TestClient, path: str) -> None:
    """The same status and the same headers."""
    got, headed = client.get(path), client.head(path)
    assert (headed.status_code, headed.content) == (got.status_code, b"")
    assert headed.headers["content-type"] == got.headers["content-type"]
    if "id" not in got.text:
        assert headed.headers["content-length"] == got.headers["content-length"]


def test_a_method_that_is_not_allowed_is_told_which_are(client: TestClient) -> None:
    """All of the path, not only those of the first route that has it."""
    refused = client.put("/v1/collections/docs/documents/refunds", json={})
    assert (refused.status_code, refused.headers["allow"]) == (405, "DELETE, GET, HEAD")
    assert client.delete("/healthz").headers["allow"] == "GET, HEAD"
    for path in {path for _, path in NEEDED}:
        url = path.replace(":path", "").format_map(
            dict.fromkeys(("name", "document_id", "key_id", "reader", "file_id"), "x") | {"version": "1", "number": "1"}
        )
        assert client.request("TRACE", url).headers["allow"], path


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/search/", "/nothing", "/v1/search"])
def test_who_sends_no_key_learns_nothing_of_what_is_there(client: TestClient, path: str) -> None:
    """401 before 404, 405 and 307."""
    del client.headers["authorization"]
    for method in ("GET", "HEAD", "POST", "DELETE"):
        answered = client.request(method, path, follow_redirects=False)
        assert (answered.status_code, answered.headers["www-authenticate"]) == (401, "Bearer"), method
    assert client.get("/healthz").status_code == 200
    assert client.get("/openapi.json").status_code == 200


def test_a_redirect_names_no_host(client: TestClient) -> None:
    """The Host header is the caller's word."""
    answered = client.get("/v1/collections/?a=b", headers={"host": "evil.example.org"}, follow_redirects=False)
    assert (answered.status_code, answered.headers["location"]) == (307, "/v1/collections?a=b")
    doubled = client.get("//evil.example.org/", follow_redirects=False)
    assert (doubled.status_code, doubled.headers["location"]) in {(307, "ui"), (307, "docs")}  # of /, without a host


@pytest.mark.parametrize(
    ("content", "headers", "said"),
    [
        (
            gzip.compress(b"{}"),
            {"content-encoding": "gzip", "content-type": "application/json"},
            "compressed (Content-Encoding: gzip)",
        ),
        (b"{}", {}, "the Content-Type is missing; send 'Content-Type: application/json'"),
        (b"{}", {"content-type": "text/plain"}, "the Content-Type is text/plain"),
    ],
    ids=["gzip", "missing", "text"],
)
@pytest.mark.parametrize("path", ["/v1/search", "/v1/rerank", "/v1/collections", "/v1/collections/docs/documents"])
def test_a_body_of_another_kind_is_refused_with_what_to_send(
    client: TestClient, path: str, content: bytes, headers: dict[str, str], said: str
) -> None:
    """415 on every route that takes JSON."""
    refused = client.post(path, content=content, headers=headers)
    assert refused.status_code == 415
    assert said in refused.json()["detail"]


@pytest.mark.parametrize(
    ("path", "content", "code"),
    [
        ("/v1/search", b"{", "invalid_request"),
        ("/v1/collections/docs/documents", b"{", "invalid_request"),
        ("/v1/collections/docs/documents", b'{"text": "no id"}', "invalid_request"),
        ("/v1/collections/docs/documents", b'{"documents": [{"text": "a"}, {"id": "b"}]}', "invalid_request"),
        ("/v1/collections/docs/documents", b"[" * 1_000_000, "limit_exceeded"),
        ("/v1/search", b'{"a":' * 5_000, "limit_exceeded"),
        ("/v1/none", b"{}", "not_found"),
    ],
)
def test_every_error_has_the_same_shape(client: TestClient, path: str, content: bytes, code: str) -> None:
    """Whoever found it."""
    refused = client.post(path, content=content, headers={"content-type": "application/json"})
    body = refused.json()
    assert refused.headers["content-type"] == MEDIA_TYPE
    assert (body["status"], body["error"]["code"]) == (refused.status_code, code)
    assert body["detail"] == body["error"]["message"]


def test_documents_that_are_all_refused_are_told_one_by_one_too(client: TestClient) -> None:
    """The problem's fields beside the route's own."""
    body = client.post("/v1/collections/docs/documents", json={"documents": [{"text": "a"}, {"id": "b"}]}).json()
    assert body["detail"].endswith("line 1 is rejected: no id (field 'id'); all 2 are rejected, see `rejected`")
    assert [each["line"] for each in body["rejected"]] == [1, 2]


def test_the_description_declares_problems_keys_and_every_status(client: TestClient) -> None:
    """What can occur somewhere is declared wherever tenants' data is."""
    described = client.get("/openapi.json").json()
    assert described["servers"] == [{"url": "/", "description": "The server of this description."}]
    assert described["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            is_open = path in {"/healthz", "/readyz", "/v1/models", "/v1/models/{name}"}
            assert operation["security"] == ([] if is_open else [{"bearer": []}]), path
            refusals = {status: each for status, each in operation["responses"].items() if status >= "400"}
            kinds = {kind for each in refusals.values() for kind in each["content"]}
            assert kinds - ({"application/json"} if path in {"/readyz", "/mcp"} else set()) == {MEDIA_TYPE}, (
                method,
                path,
            )
            assert {"400", "405", "408", "431", "500"} <= set(refusals), (method, path)
            if path.startswith("/v") and not is_open:
                assert {str(int(status)) for status in STATUS.values()} <= set(refusals), (method, path)


def test_every_status_that_a_route_answers_is_declared(own_client: TestClient) -> None:
    """Of requests as they should be, and with another method, a slash too many, no key, another type or body."""
    described = own_client.get("/openapi.json").json()["paths"]
    seen = set()
    for method, path in sorted(NEEDED, key=lambda each: (each[0] == "DELETE", each)):
        known = path.replace(":path", "")
        url = known.format_map(
            dict.fromkeys(("name", "document_id", "key_id", "reader", "file_id"), "docs")
            | {"version": "1", "number": "1"}
        )
        if known not in described:  # what is only refused, with a reason
            continue
        declared = set(described[known][method.lower()]["responses"])
        answered = [
            own_client.request(method, url, content=b"[]", headers={"content-type": "application/json"}),
            own_client.request(method, url, json={}),
            own_client.request(method, url, content=b"a", headers={"content-type": "text/plain"}),
            own_client.request(method, url, headers={"authorization": "Bearer other"}),
            own_client.request("TRACE", url),
        ]
        slashed = own_client.request(method, f"{url}/", follow_redirects=False)
        statuses = {str(each.status_code) for each in (*answered, slashed)}
        assert statuses <= declared, (method, path, statuses - declared)
        assert ("307" in declared) == (slashed.status_code == 307), (method, path)
        seen |= statuses
    assert {"200", "307", "401", "404", "405", "415", "422"} <= seen
    assert {"200", "503"} <= set(described["/readyz"]["get"]["responses"])
    assert "application/json" in described["/readyz"]["get"]["responses"]["503"]["content"]


@pytest.mark.parametrize("value", ["yes", "true", 1, 0, "false"])
def test_what_is_no_boolean_is_not_taken_for_one(client: TestClient, value: object) -> None:
    """`rerank: "no"` would be true in some languages."""
    body = {"query": "refund", "collection": "docs", "explain": value}
    refused = client.post("/v1/search", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "explain")


def bodies(model: type[BaseModel] = Strict) -> Iterator[type[BaseModel]]:
    """Every model of a body of our own routes."""
    for each in model.__subclasses__():
        yield each
        yield from bodies(each)


@pytest.mark.parametrize("value", ["yes", "true", 1, 0])
def test_no_field_of_a_body_takes_something_else_for_a_boolean(value: object) -> None:
    """Of all models, so that a new field is strict too."""
    seen = set()
    for model in bodies():
        for name, field in model.model_fields.items():
            if "bool" in str(field.annotation):
                seen.add(name)
                with pytest.raises(ValidationError) as refused:
                    model.model_validate({name: value})
                assert name in {each["loc"][0] for each in refused.value.errors()}, (model, name)
    assert {"explain", "demote_query_echo", "dry_run", "disabled", "keep_queries", "draft"} <= seen


@pytest.mark.parametrize("value", [True, False, "1", "3"])
def test_no_field_of_a_body_takes_something_else_for_a_number(value: object) -> None:
    """Of all models, so that a new field is strict too; also of the rerankers' clients' body."""
    seen = set()
    for model in (*bodies(), RerankBody):
        for name, field in model.model_fields.items():
            if re.search(r"\b(int|float)\b|Literal\[\d", str(field.annotation)):
                seen.add(name)
                with pytest.raises(ValidationError) as refused:
                    model.model_validate({name: value})
                assert name in {each["loc"][0] for each in refused.value.errors()}, (model, name)
                for number in (1, 1.0):
                    told = errors_of(model, {name: number})
                    assert not any(each.startswith(f"'{name}': a number") for each in told), (model, name)
    assert {"top_k", "top_n", "min_relevance", "timeout_ms", "share", "version", "weight", "documents"} <= seen
    assert {"max_length", "expires_in_days", "overlap_seconds", "winnow_instructions"} <= seen


def errors_of(model: type[BaseModel], body: object) -> list[str]:
    """What a caller is told of each field, as in a problem's detail."""
    try:
        parsed(model, body)
    except InvalidRequest as refused:
        return refused.detail.split("; ")
    return []


def test_a_number_without_a_fraction_is_a_whole_one(client: TestClient) -> None:
    """JSON has one kind of number."""
    body = {"query": "refund", "collection": "docs", "top_k": 1.0}
    assert len(client.post("/v1/search", json=body).json()["results"]) == 1
    refused = client.post("/v1/search", json=body | {"top_k": 1.5})
    assert refused.json()["detail"].endswith("'top_k': a whole number is expected")


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/keys", {"scopes": ["zzz"]}, "'scopes.0': 'search', 'write', 'admin' or 'operator' is expected"),
        ("/v1/keys", {"scopes": "search"}, "'scopes': a list is expected"),
        ("/v1/keys", {"scopes": []}, "'scopes': the minimum number of entries is 1"),
        ("/v1/search", [], "an object is expected"),
        (
            "/v1/search",
            {"query": "q", "collection": "CO"},
            f"'collection': {NAME_SAID}; OWNER/NAME names a granted collection",
        ),
        ("/v1/search", {"query": 1, "collection": "docs"}, "'query': a text is expected"),
        ("/v1/search", {"query": "q", "collection": "docs", "recall": "x"}, "'dense', 'hybrid' or 'lexical' is exp"),
        ("/v1/search", {"query": "q", "collection": "docs", "explain": "x"}, "'explain': true or false is expected"),
        ("/v1/search", {"query": "q", "collection": "docs", "instruction": 1}, "'instruction': a text or an object is"),
        ("/v1/rerank", {"query": "q", "documents": ["a", None]}, "'documents.1': a text or an object is expected"),
        ("/v1/rerank", {"query": "q", "documents": [{"title": "a"}]}, "the field 'documents.0.text' is missing"),
        (
            "/v1/rerank",
            {"query": "q", "documents": ["a"] * (RERANK_DOCUMENTS_MAX + 1)},
            "the maximum number of entries",
        ),
        ("/v1/collections", {"name": "CO"}, f"'name': {NAME_SAID}"),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(client: TestClient, path: str, body: object, said: str) -> None:
    """Neither in Python's nor in those of regular expressions."""
    refused = client.post(path, json=body)
    assert refused.status_code == 422
    assert said in refused.json()["detail"]


def test_every_pattern_that_a_caller_can_miss_is_told_in_words(client: TestClient) -> None:
    """Also of path parameters: whatever the description declares."""
    declared = set(re.findall(r'"pattern":("(?:[^"\\]|\\.)*")', client.get("/openapi.json").text))
    assert {orjson.loads(each) for each in declared} == set(PATTERNS_SAID)


def test_a_grant_to_nobody_is_answered_alike_and_stored_nowhere(own_client: TestClient) -> None:
    """A tenant cannot find out which other tenants there are."""
    parts = own_client.app.state.parts  # type: ignore[attr-defined]
    parts.disk.catalog.tenants.make("reader", by=COMMAND_LINE)
    there, nobody = (own_client.put(f"/v1/collections/docs/grants/{name}") for name in ("reader", "nobody"))
    assert there.status_code == nobody.status_code == HTTPStatus.OK
    assert there.json().keys() == nobody.json().keys()
    given = own_client.get("/v1/grants")
    assert len(given.json()["given"]) == 1
    assert "nobody" not in given.text
    assert own_client.put("/v1/collections/none/grants/nobody").status_code == 404


def test_other_origins_are_let_in_by_a_setting_only(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """Off by default."""
    asked = {"origin": "https://app.example.org", "access-control-request-method": "POST"}
    for origins, allowed in (((), None), (("https://app.example.org",), "https://app.example.org")):
        parts = parts_over(tmp_path / str(len(origins)), tokenizer, PrefersWord("a"), api_key="k", cors_origins=origins)
        with CheckingClient(create_app(parts), base_url="http://search.example.org") as client:
            answered = client.options("/v1/search", headers=asked)
            assert answered.headers.get("access-control-allow-origin") == allowed
            refused = client.post("/v1/search", json={}, headers={"origin": "https://evil.example.org"})
            assert "access-control-allow-origin" not in refused.headers


def test_no_answer_tells_where_things_lie(tmp_path: Path) -> None:
    """Neither the data folder nor a model's; addresses and routes are no places."""
    said = f"cannot write {tmp_path}/collections/a/corpus.lance: /opt/models/q/winnow.json, http://h:1/v1/x, /v1"
    shown = without_places(said, data=tmp_path, all_=True)
    assert str(tmp_path) not in shown
    assert "/opt" not in shown
    assert "http://h:1/v1/x" in shown
    assert without_places(f"in {tmp_path}", data=tmp_path, all_=False) == "in (data folder)"


def test_broken_storage_is_told_without_its_place(own_client: TestClient) -> None:
    """Over HTTP; the log has all of it."""
    parts = own_client.app.state.parts  # type: ignore[attr-defined]
    data = parts.settings.data
    (data / "collections").rename(data / "moved")
    for path in ("/v1/collections/docs", "/v1/collections", "/readyz", "/v1/collections/docs/documents/refunds"):
        answered = own_client.get(path)
        assert str(data).lstrip("/") not in answered.text, path
        assert orjson.loads(answered.content)
