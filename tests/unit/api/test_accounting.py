"""api/accounting.py: every route that costs is charged for exactly what it computed, and none can forget it."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response
from starlette.testclient import TestClient

from tests.fakes import HashEmbedder, PrefersWord
from winnow.api.accounting import Accounting, Costly, usage_of
from winnow.api.assemble import Services, wire
from winnow.api.collections.ingest import Upserted
from winnow.api.http.app import create_app
from winnow.api.http.auth import MeteredRoute, bill_of
from winnow.api.http.request_body import Intake
from winnow.api.http.request_limits import Gate
from winnow.api.http.scopes import COSTLY
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.settings import Settings
from winnow.api.tenancy.quotas import REFRESH_SECONDS
from winnow.rerank.reranker import RankedBy, Ranking
from winnow.retrieval.catalog.quotas import TenantLimits, Usage
from winnow.retrieval.catalog.sql.quotas import SqlLimitBook
from winnow.retrieval.catalog.stability import Run
from winnow.retrieval.embed.embedder import DEFAULT_TASK, Embeddings
from winnow.retrieval.errors import QuotaExceeded
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Candidate
from winnow.retrieval.tenancy import DEFAULT_TENANT

DAY = date(2026, 2, 28)
ROUTES = Path(__file__).resolve().parents[3] / "api" / "http" / "routes"
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/v1/search"): {"query": "heron", "collection": "docs"},
    ("POST", "/v1/rerank"): {"query": "heron", "documents": ["a", "b heron"]},
    ("POST", "/v2/rerank"): {"query": "heron", "documents": ["a", "b heron"]},
    ("POST", "/rerank"): {"query": "heron", "texts": ["a", "b heron"]},
    ("POST", "/score"): {"text_1": "heron", "text_2": ["a", "b heron"]},
    ("POST", "/v1/score"): {"queries": ["heron", "egret"], "documents": ["a", "b heron"]},
    ("POST", "/v1/embeddings"): {"input": ["heron", "egret"]},
    ("POST", "/v1/vector_stores/{name}/search"): {"query": "heron"},
    ("POST", "/v1/vector_stores/{name}/files"): {"attributes": {"lang": "en"}},
    ("POST", "/v1/vector_stores/{name}/files/{file_id}"): {"attributes": {"lang": "de"}},
    ("POST", "/v1/collections/{name}/search"): {"query": "heron"},
    ("POST", "/v1/collections/{name}/web_search"): {"query": "heron"},
    ("POST", "/retrieval"): {"query": "heron", "knowledge_id": "docs"},
    ("POST", "/mcp"): {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "search", "arguments": {"query": "heron"}},
    },
    ("POST", "/v1/collections/{name}/documents"): {"documents": [{"id": "new", "text": "An egret."}]},
    ("POST", "/v1/instructions/try"): {
        "query": "heron",
        "collection": "docs",
        "versions": ["default", "builtin/legal-statutes"],
    },
    ("POST", "/v1/stability/runs"): {"name": "golden"},
}


SHARED = {
    "judge_texts",
    "_documents",
    "embedder.embed_passages",
    "answer_question",
    "search_as",
    "_attach",
}  # what compatible routes call, and it the services


class CountingEmbedder(HashEmbedder):
    """Adds up the tokens that it computes."""

    tokens = 0

    async def embed_queries(self, texts: Sequence[str], task: str = DEFAULT_TASK) -> Embeddings:
        return self._counted(await super().embed_queries(texts, task))

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings:
        return self._counted(await super().embed_passages(texts))

    def _counted(self, embeddings: Embeddings) -> Embeddings:
        self.tokens += embeddings.tokens
        return embeddings


class CountingReranker(PrefersWord):
    """Adds up the tokens that it computes."""

    tokens = 0

    async def rank(self, query: str, candidates: Sequence[Candidate], **more: Any) -> Ranking:
        ranking = await super().rank(query, candidates, **more)
        self.tokens += ranking.tokens
        return ranking


@pytest.fixture
def parts(tmp_path: Path, tokenizer: PlainTokenizer) -> Services:
    embedding = LoadedEmbedder(embedder=CountingEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=CountingReranker("heron"), runs_on="words", device="cpu")
    return wire(Settings(data=tmp_path), embedding, judging)


@pytest.fixture
def client(parts: Services) -> Iterator[TestClient]:
    with TestClient(create_app(parts), base_url="http://localhost") as client:
        assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
        documents = [{"id": str(number), "text": f"The heron stands {number}."} for number in range(3)]
        assert client.post("/v1/collections/docs/documents", json={"documents": documents}).status_code == 200
        golden = {"name": "golden", "collection": "docs", "queries": [{"query": "heron"}]}
        assert client.post("/v1/stability/golden", json=golden).status_code == 200
        yield client


def used(client: TestClient) -> dict[str, int]:
    (row,) = client.get("/v1/usage").json()["usage"]
    return {name: amount for name, amount in row.items() if isinstance(amount, int)}


def metric(client: TestClient, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("operation", sorted(COSTLY))
def test_every_costly_route_is_charged_what_the_models_computed(
    client: TestClient, parts: Services, operation: tuple[str, str]
) -> None:
    """Usage and metrics grow by the tokens that embedder and reranker counted themselves."""
    embedder, reranker = parts.embedding.embedder, parts.judging.reranker
    assert isinstance(embedder, CountingEmbedder)
    assert isinstance(reranker, CountingReranker)
    method, path = operation
    body, places = BODIES[operation], {"name": "docs"}
    if "/files" in path:
        form = {"data": {"purpose": "assistants"}, "files": {"file": ("egret.txt", b"The egret wades.")}}
        places["file_id"] = client.post("/v1/files", **form).json()["id"]
        body = body | {"file_id": places["file_id"]}
        if path.endswith("{file_id}"):
            client.post("/v1/vector_stores/docs/files", json={"file_id": places["file_id"]})
    before, embedded, reranked = used(client), embedder.tokens, reranker.tokens
    told = metric(client, "winnow_rerank_tokens_total")
    headers = {"accept": "application/json, text/event-stream"} if path == "/mcp" else {}
    said = client.request(method, path.format(**places), json=body, headers=headers)
    assert said.status_code == 200, said.text
    after = used(client)
    grown = {name: after[name] - before[name] for name in after}
    assert embedder.tokens + reranker.tokens > embedded + reranked
    assert grown["embedded_tokens"] == embedder.tokens - embedded
    assert grown["rerank_tokens"] == reranker.tokens - reranked
    assert metric(client, "winnow_rerank_tokens_total") - told == reranker.tokens - reranked
    assert grown["searches"] == (path in ("/retrieval", "/mcp", "/v1/stability/runs") or path.endswith("search"))
    assert grown["documents_written"] == (path.endswith("/documents") or "/files" in path)


async def test_what_was_computed_is_charged_even_if_the_request_fails(parts: Services) -> None:
    """The models did the work; usage, quota and metrics show it."""
    SqlLimitBook(parts.disk.catalog.database).set_limits(DEFAULT_TENANT, TenantLimits(rerank_tokens_per_minute=50))
    ranking = Ranking(ranked=(), judged_by="words", ranked_by=RankedBy.RELEVANCE, tokens=70)
    accounting = Accounting(meter=parts.usage, quotas=parts.quotas)
    await parts.quotas.require_tokens(DEFAULT_TENANT)
    with pytest.raises(ZeroDivisionError):
        await failing(accounting, ranking)
    with pytest.raises(QuotaExceeded):
        await parts.quotas.require_tokens(DEFAULT_TENANT)
    today = datetime.now(UTC).date()
    expected = Usage(tenant=DEFAULT_TENANT, day=today, requests=1, rerank_tokens=70)
    assert list(parts.usage._used.values()) == [expected]
    assert accounting.figures.tokens == 70


def test_a_long_request_feels_its_own_quota(client: TestClient, parts: Services) -> None:
    """A run of a golden set stops at the first query for which no tokens are left; what it computed is charged."""
    reranker = parts.judging.reranker
    assert isinstance(reranker, CountingReranker)
    queries = [{"query": f"heron {number}"} for number in range(5)]
    golden = {"name": "golden", "collection": "docs", "queries": queries}
    assert client.post("/v1/stability/golden", json=golden).status_code == 200
    began = used(client)["rerank_tokens"]
    assert client.post("/v1/search", json={"query": "heron 0", "collection": "docs"}).status_code == 200
    before, computed = used(client)["rerank_tokens"], reranker.tokens
    one = before - began
    SqlLimitBook(parts.disk.catalog.database).set_limits(DEFAULT_TENANT, TenantLimits(rerank_tokens_per_minute=2 * one))
    parts.quotas._read_at -= 2 * REFRESH_SECONDS
    refused = client.post("/v1/stability/runs", json={"name": "golden"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (429, "rerank_tokens_per_minute")
    assert used(client)["rerank_tokens"] - before == reranker.tokens - computed < 4 * one
    assert client.get("/v1/stability/runs").json()["runs"] == []


async def failing(accounting: Accounting, ranking: Ranking) -> None:
    async with accounting.admitted(DEFAULT_TENANT) as bill:
        bill.add(ranking)
        raise ZeroDivisionError


def test_writes_cost_what_was_embedded_and_stored() -> None:
    """Unchanged documents cost nothing."""
    upserted = Upserted(
        accepted=5, unchanged=2, chunks=9, tokens=400, bytes=1_234, rejects=(), store_version=1, cosine_loss=None
    )
    assert usage_of(upserted, tenant=DEFAULT_TENANT, day=DAY) == Usage(
        tenant="default", day=DAY, embedded_tokens=400, documents_written=3, bytes_written=1_234
    )


def costly_calls() -> set[str]:
    """The methods of the services that return something to charge for, as `service.method`."""
    kinds = {*get_args(Costly), Run}  # a run is many answers
    return {
        f"{service}.{name}"
        for service, kind in get_type_hints(Services).items()
        if inspect.isclass(kind)
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and get_type_hints(method).get("return") in kinds
    }


def test_a_new_route_that_costs_needs_its_line_in_the_table(client: TestClient) -> None:
    """Read from the routes: who calls what returns an answer, a ranking, a trial or a write is in `COSTLY`."""
    calls = costly_calls()
    assert calls == {
        "search.answer", "search.rank_texts", "search.highlight_texts", "trials.run", "ingest.upsert", "ingest.put",
        "replays.run",
    }  # fmt: skip
    found = {
        (method.upper(), path)
        for file in ROUTES.rglob("*.py")
        for function in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(function, ast.AsyncFunctionDef) and names_any(function, calls)
        for method, path in paths_of(function)
    }
    assert found == COSTLY == set(BODIES)


def names_any(function: ast.AsyncFunctionDef, calls: set[str]) -> bool:
    """Itself, or through the functions that the routes of all dialects share."""
    names = [ast.unparse(each) for each in ast.walk(function) if isinstance(each, ast.Attribute | ast.Name)]
    return not SHARED.isdisjoint(names) or any(name.endswith(f".{call}") for name in names for call in calls)


def paths_of(function: ast.AsyncFunctionDef) -> Iterator[tuple[str, str]]:
    """What the decorators of a route say."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute):
            path = decorator.args[0]
            assert isinstance(path, ast.Constant)
            yield decorator.func.attr, str(path.value)


@pytest.mark.parametrize(("path", "charges"), [("/v1/rerank", False), ("/v1/instructions/preview", True)])
def test_a_route_that_forgets_its_bill_does_not_answer(parts: Services, *, path: str, charges: bool) -> None:
    """Nor does one that charges without a line in the table."""
    router = APIRouter(route_class=MeteredRoute)

    @router.post(path)
    async def answer(request: Request) -> Response:
        if charges:
            bill_of(request).add(Ranking(ranked=(), judged_by="words", ranked_by=RankedBy.RELEVANCE))
        return Response()

    app = FastAPI()
    app.state.parts, app.state.gate, app.state.intake = parts, Gate(), Intake()
    app.include_router(router)
    with pytest.raises(AssertionError, match=r"scopes\.py"):
        TestClient(app, base_url="http://localhost").post(path, json={})
