"""`{today}` in an instruction: the date in UTC when the search begins, over HTTP, with a clock of the test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import CountingJudge, HashEmbedder, PrefersWord
from tests.real_models import bundled_model
from tests.unit.api.http.routes.test_routes import DOCUMENTS
from winnow.api.assemble import wire
from winnow.api.assemble_search import Storage
from winnow.api.http.app import create_app
from winnow.api.library.instructions import Instructions
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.search.caches import Caches
from winnow.api.settings import Settings
from winnow.rerank.judgement_cache import ScoreCache
from winnow.rerank.prompt import PromptBuilder
from winnow.rerank.prompted_reranker import PromptedReranker
from winnow.retrieval.catalog.sql.instructions import SqlInstructions
from winnow.retrieval.model.tokenizer import PlainTokenizer

RECENT = {"name": "recent", "text": "Prefer what was written shortly before {today}"}
SEARCH = {"query": "how may I return it?", "collection": "docs", "instruction": {"name": "recent"}}


@dataclass(slots=True)
class Calendar:
    day: date

    def __call__(self) -> date:
        return self.day


@pytest.fixture
def calendar() -> Calendar:
    return Calendar(date(2026, 2, 28))


def storage_of(settings: Settings, calendar: Calendar) -> Storage:
    """A data folder whose instructions have the test's clock."""
    storage = Storage.of(settings)
    catalog = storage.disk.catalog
    library = Instructions(
        SqlInstructions(catalog.database), built_in=lambda: catalog.instructions.built_in, today=calendar
    )
    return replace(storage, disk=replace(storage.disk, catalog=replace(catalog, instructions=library)))


@pytest.fixture
def client(tmp_path: Path, tokenizer: PlainTokenizer, calendar: Calendar) -> Iterator[TestClient]:
    settings = Settings(data=tmp_path)
    storage = storage_of(settings, calendar)
    caches = Caches(judgements=ScoreCache(bytes_max=1_000_000, seconds_max=60, secret=b"s" * 16))
    prompts = PromptBuilder.load(bundled_model("reranker").path, tokens_max=512)
    reranker = PromptedReranker(CountingJudge(), prompts, name="counting", revision="1", cache=caches.judgements)
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=reranker, runs_on="fingers", device="cpu")
    parts = wire(settings, embedding, judging, caches=caches, storage=storage)
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        client.post("/v1/collections", json={"name": "docs"})
        client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS})
        assert client.post("/v1/instructions", json=RECENT).status_code == 201
        yield client


def found(client: TestClient, **asked: Any) -> Any:
    answer = client.post("/v1/search", json=SEARCH | asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_another_day_is_another_instruction(client: TestClient, calendar: Calendar) -> None:
    """Its digest names the text of the day, and scores of one day never answer another."""
    first = found(client)
    said = b"Prefer what was written shortly before 2026-02-28"
    assert first["instruction"]["sha256"] == sha256(said).hexdigest()
    assert (first["usage"]["remembered"], found(client)["usage"]["remembered"]) == (0, 3)
    calendar.day = date(2026, 3, 1)
    second = found(client)
    assert second["instruction"]["sha256"] == sha256(said.replace(b"02-28", b"03-01")).hexdigest()
    assert second["usage"]["remembered"] == 0
    calendar.day = date(2026, 2, 28)
    assert found(client)["usage"]["remembered"] == 3
    assert found(client, instruction={"name": "recent", "version": 1})["usage"]["remembered"] == 3


def test_a_default_has_the_date_too(client: TestClient) -> None:
    """It needs no value, so an instruction that uses it can be a default."""
    assert client.patch("/v1/collections/docs", json={"instruction": "recent"}).status_code == 200
    named = found(client)["instruction"]
    assert found(client, instruction=None)["instruction"] == named | {"source": "collection"}


def test_a_shadow_has_the_date_of_its_search(tmp_path: Path, tokenizer: PlainTokenizer, calendar: Calendar) -> None:
    """Although it is compared later, perhaps past midnight."""
    settings, judge = Settings(data=tmp_path), PrefersWord("x")
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=judge, runs_on="words", device="cpu")
    parts = wire(settings, embedding, judging, storage=storage_of(settings, calendar))
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        client.post("/v1/collections", json={"name": "docs"})
        client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS})
        client.post("/v1/instructions", json=RECENT)
        client.post("/v1/instructions", json=RECENT | {"text": "draft of {today}", "draft": True})
        assert client.put("/v1/instructions/recent/shadow", json={"version": 2, "share": 1.0}).status_code == 200
        portal = client.portal
        assert portal is not None
        with parts.shadowing.held():  # work of shadows waits
            found(client)
            calendar.day = date(2026, 3, 1)
        portal.call(parts.shadowing.settle)
        assert judge.instructions[-1] == "draft of 2026-02-28"


def test_a_preview_shows_the_date(client: TestClient) -> None:
    for asked in ({"instruction": {"name": "recent"}}, {"content": {"text": RECENT["text"]}}):
        shown = client.post("/v1/instructions/preview", json=asked).json()
        assert shown["text"] == "Prefer what was written shortly before 2026-02-28"
        assert "<Instruct>: Prefer what was written shortly before 2026-02-28\n" in shown["prompt"]


def test_the_name_is_reserved(client: TestClient) -> None:
    """For variables, and for values; a text in the request is no template and keeps its braces."""
    mine = RECENT | {"variables": [{"name": "today"}]}
    refused = client.post("/v1/instructions", json=mine)
    assert (refused.status_code, "reserved for the date in UTC" in refused.json()["detail"]) == (422, True)
    valued = SEARCH | {"instruction": {"name": "recent", "variables": {"today": "2020-01-01"}}}
    refused = client.post("/v1/search", json=valued)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "variable_refused")
    assert found(client, instruction="since {today}")["instruction"]["sha256"] == sha256(b"since {today}").hexdigest()
