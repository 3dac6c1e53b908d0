"""Searches judged a second time: never in the caller's way, bounded, and of nobody else."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from tests.answers import CheckingClient
from tests.fakes import FakeReranker, PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.assemble import Services
from winnow.api.cli.main import app
from winnow.api.http.app import create_app
from winnow.api.http.routes.access import FIRST_KEY
from winnow.api.search.shadowing import WAITING_MAX, ShadowOutcome
from winnow.rerank.rank_correlation import rank_biased_overlap
from winnow.rerank.reranker import Ranking
from winnow.retrieval.catalog.keys import ALL_SCOPES, KeyWish
from winnow.retrieval.catalog.sql.shadows import SqlShadowBook
from winnow.retrieval.errors import InstructionConflict, InstructionNotFound, InvalidRequest, RerankUnavailable
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Candidate
from winnow.retrieval.tenancy import COMMAND_LINE, DEFAULT_TENANT, TenantName

SEARCH = {"query": "birds", "collection": "docs", "instruction": {"name": "house"}}
DOCUMENTS = [{"id": name, "text": f"birds: the {name} stands"} for name in ("heron", "stork", "crane", "gull")]


class ByInstruction(FakeReranker):
    """Prefers the word that its instruction ends with.

    Under the word `stork`, which is only ever the draft's, it waits for `gate` first, and raises `failure` if there is
    one.
    """

    name = "by-instruction"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.begun = threading.Event()
        self.asked: list[tuple[str, str, int]] = []  # tenant, word, passages

    async def rank(self, query: str, candidates: Sequence[Candidate], **how: Any) -> Ranking:
        word = how["instruction"].rsplit(maxsplit=1)[-1]
        self.asked.append((how["tenant"], word, len(candidates)))
        if word == "stork":
            self.begun.set()
            while not self.gate.is_set():
                await asyncio.sleep(0.001)
            if self.failure is not None:
                raise self.failure
        return await PrefersWord(word, name=self.name).rank(query, candidates, **how)


@pytest.fixture
def reranker() -> ByInstruction:
    return ByInstruction()


@pytest.fixture
def parts(tmp_path: Path, tokenizer: PlainTokenizer, reranker: ByInstruction) -> Services:
    return parts_over(tmp_path / "data", tokenizer, reranker)


@pytest.fixture
def client(parts: Services) -> Iterator[TestClient]:
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
        assert client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}).status_code == 200
        publish(client, "house", "prefer heron")
        publish(client, "house", "prefer stork", draft=True)
        yield client


def publish(client: TestClient, name: str, text: str, *, draft: bool = False) -> None:
    assert client.post("/v1/instructions", json={"name": name, "text": text, "draft": draft}).status_code == 201


def shadow(client: TestClient, *, name: str = "house", version: int = 2, **wish: Any) -> Any:
    said = client.put(f"/v1/instructions/{name}/shadow", json={"version": version, "share": 1.0, **wish})
    assert said.status_code == 200, said.text
    return said.json()


def search(client: TestClient, **changed: Any) -> Any:
    found = client.post("/v1/search", json=SEARCH | changed)
    assert found.status_code == 200, found.text
    return found


def settled(client: TestClient, parts: Services) -> dict[ShadowOutcome, int]:
    """What became of what was chosen, once nothing waits any more."""
    portal = client.portal
    assert portal is not None
    portal.call(parts.shadowing.settle)
    return dict(parts.shadowing.figures.outcomes)


def report(client: TestClient, name: str = "house") -> Any:
    found = client.get(f"/v1/instructions/{name}/shadow")
    assert found.status_code == 200, found.text
    return found.json()


def judged(count: int, *, failed: int = 0, dropped: int = 0) -> dict[ShadowOutcome, int]:
    return {ShadowOutcome.JUDGED: count, ShadowOutcome.FAILED: failed, ShadowOutcome.DROPPED: dropped}


def without_accidents(found: Any) -> Any:
    """The body without its number and its milliseconds."""
    return {key: value for key, value in found.json().items() if key not in ("id", "timings_ms")}


def test_both_orders_are_kept_and_told(client: TestClient, parts: Services) -> None:
    """The heron was first, under the draft the stork would be."""
    shadow(client)
    live = [each["document_id"] for each in search(client).json()["results"]]
    assert settled(client, parts) == judged(1)
    (pair,) = report(client)["pairs"]
    (example,) = pair["most_changed"]
    first, second = ([each["document_id"] for each in example[order]] for order in ("live_order", "shadow_order"))
    assert first == live
    assert first[0] == "heron"
    assert second[0] == "stork"
    assert (pair["live"], pair["shadow"], pair["searches"], pair["top_changed"]) == ("house@1", "house@2", 1, 1.0)
    assert pair["overlap"]["mean"] == 1.0
    assert pair["rbo"]["mean"] == rank_biased_overlap(first, second) < 1.0
    # heron (.9, .1), stork (.1, .9), crane and gull (.1, .1): each order has three untied pairs; the only one that is
    # untied in both, heron and stork, stands the other way round.
    assert pair["tau"]["mean"] == pytest.approx(-1 / 3)
    assert (example["candidates"], example["query"]) == (4, None)
    assert example["collection"] == "docs"
    assert b"birds" not in json.dumps(report(client)).encode()


def test_the_answer_is_the_same_and_does_not_wait(client: TestClient, parts: Services, reranker: ByInstruction) -> None:
    """The shadow's judgement is stuck; every answer still comes, as it is without one, but for number and times."""
    before = [without_accidents(search(client, explain=True)) for _ in range(2)]
    reranker.gate.clear()
    shadow(client)
    assert without_accidents(search(client, explain=True)) == before[0]
    assert reranker.begun.wait(30)
    assert without_accidents(search(client, explain=True)) == before[1]
    assert report(client)["pairs"] == []
    reranker.gate.set()
    assert settled(client, parts) == judged(2)
    assert {tenant for tenant, word, _ in reranker.asked if word == "stork"} == {DEFAULT_TENANT}  # its memory, its salt


def test_nothing_is_begun_while_a_request_is_answered(
    client: TestClient, parts: Services, reranker: ByInstruction
) -> None:
    """What waits in the queue waits on, and goes on when nobody is there any more."""
    shadow(client)
    held, portal = parts.shadowing.held(), client.portal
    assert portal is not None
    portal.call(held.__enter__)  # in the event loop, as a request does
    search(client)
    search(client)
    assert not reranker.begun.is_set()
    assert parts.shadowing.waiting >= 1  # of the other one the worker has taken hold
    portal.call(held.__exit__, None, None, None)
    assert settled(client, parts) == judged(2)


@pytest.mark.parametrize("failure", [RerankUnavailable("scripted"), ValueError("a bug")])
def test_what_fails_is_counted_and_harms_nobody(
    client: TestClient, parts: Services, reranker: ByInstruction, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even the next one."""
    shadow(client)
    reranker.failure = failure
    assert search(client).json()["results"][0]["document_id"] == "heron"
    assert settled(client, parts) == judged(0, failed=1)
    assert "birds" not in caplog.text
    reranker.failure = None
    search(client)
    assert settled(client, parts) == judged(1, failed=1)
    text = client.get("/metrics").text
    assert 'winnow_shadows_total{outcome="judged"} 1.0' in text
    assert 'winnow_shadows_total{outcome="failed"} 1.0' in text
    assert "winnow_shadow_tokens_total 40.0" in text  # four passages of ten each


def test_what_waits_is_bounded(client: TestClient, parts: Services, reranker: ByInstruction) -> None:
    """One in hand and as many as may wait; the others are dropped and counted."""
    shadow(client)
    reranker.gate.clear()
    search(client)
    assert reranker.begun.wait(30)
    for _ in range(WAITING_MAX + 3):
        search(client)
    assert parts.shadowing.waiting == WAITING_MAX
    reranker.gate.set()
    assert settled(client, parts) == judged(WAITING_MAX + 1, dropped=3)


def test_the_share_is_of_the_searches(client: TestClient, parts: Services) -> None:
    """None, all, and those that the draw falls on."""
    chosen = 0
    for share, draws, more in ((0.0, [0.0, 0.5], 0), (1.0, [0.0, 0.999], 2), (0.5, [0.49, 0.5], 1)):
        parts.shadowing._draw = iter(draws).__next__
        shadow(client, share=share)
        for _ in draws:
            search(client)
        chosen += more
        assert settled(client, parts) == judged(chosen), share


NOT_COMPARED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"collection": "laws"}, {}),
    ({"live": "builtin/legal-statutes"}, {}),
    ({}, {"instruction": "prefer heron"}),
    ({}, {"instruction": None}),
    ({}, {"rerank": False}),
]
COMPARED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({}, {"instruction": {"name": "house", "version": 1}}),
    ({"live": "house@1"}, {}),
    ({"collection": "docs"}, {}),
    ({"live": "default"}, {"instruction": None}),
    ({"live": "builtin/technical-evaluation"}, {"instruction": {"name": "builtin/technical-evaluation"}}),
]


def test_only_what_was_judged_under_the_live_version_is_compared(client: TestClient, parts: Services) -> None:
    """Named, or by version, or the model card's; not a text, another instruction, or what nobody judged."""
    for wish, asked in NOT_COMPARED:
        shadow(client, **wish)
        search(client, **asked)
        assert settled(client, parts) == judged(0), (wish, asked)
    for number, (wish, asked) in enumerate(COMPARED, start=1):
        shadow(client, **wish)
        search(client, **asked)
        assert settled(client, parts) == judged(number), (wish, asked)


def test_a_default_that_means_it_counts(client: TestClient, parts: Services) -> None:
    """The tenant's; a search names nothing."""
    assert client.put("/v1/instructions/default", json={"instruction": "house"}).status_code == 200
    shadow(client)
    search(client, instruction=None)
    assert settled(client, parts) == judged(1)


def test_a_degraded_answer_is_not_compared(client: TestClient, parts: Services, reranker: ByInstruction) -> None:
    """Nobody judged it: there are no two orders. The live version fails here, which is the word of the draft."""
    publish(client, "other", "prefer stork")
    publish(client, "other", "prefer gull", draft=True)
    shadow(client, name="other")
    reranker.failure = RerankUnavailable("scripted")
    assert search(client, instruction={"name": "other"}).json()["degraded"] is not None
    assert settled(client, parts) == judged(0)


def test_queries_are_kept_only_where_somebody_asked_for_that(client: TestClient, parts: Services) -> None:
    shadow(client, keep_queries=True)
    search(client)
    settled(client, parts)
    assert report(client)["pairs"][0]["most_changed"][0]["query"] == "birds"


def test_a_draft_that_was_edited_is_another_pair(client: TestClient, parts: Services) -> None:
    """The newest first; neither's figures are the other's."""
    shadow(client)
    search(client)
    settled(client, parts)
    publish(client, "house", "prefer crane", draft=True)
    search(client)
    search(client)
    settled(client, parts)
    assert [each["searches"] for each in report(client)["pairs"]] == [2, 1]


def test_a_promotion_publishes_and_ends_the_shadow(client: TestClient, parts: Services) -> None:
    """From the next search on the name means it; repeated it changes nothing; an older one is refused."""
    shadow(client)
    promoted = client.post("/v1/instructions/house/versions/2/promote")
    assert (promoted.status_code, promoted.json()["state"]) == (200, "published")
    assert client.get("/v1/instructions/shadows").json() == {"shadows": []}
    assert report(client)["shadow"] is None
    found = search(client).json()
    assert (found["instruction"]["version"], found["results"][0]["document_id"]) == (2, "stork")
    assert settled(client, parts) == judged(0)
    assert client.post("/v1/instructions/house/versions/2/promote").status_code == 200
    assert client.post("/v1/instructions/house/versions/1/promote").status_code == 409
    assert client.post("/v1/instructions/house/versions/9/promote").status_code == 404
    actions = [each["action"] for each in client.get("/v1/audit").json()["entries"]]
    assert actions[:4] == ["instruction.promote", "instruction.promote", "instruction.publish", "shadow.start"]


def test_a_shadow_that_was_stopped_judges_no_more(client: TestClient, parts: Services, reranker: ByInstruction) -> None:
    """Not even what waited; and what is to be forgotten is gone."""
    shadow(client)
    search(client)
    settled(client, parts)
    reranker.begun.clear()
    reranker.gate.clear()
    search(client)
    assert reranker.begun.wait(30)
    search(client)
    assert client.delete("/v1/instructions/house/shadow", params={"forget": True}).status_code == 200
    reranker.gate.set()
    assert settled(client, parts) == judged(2, dropped=1)
    assert report(client)["pairs"] == []
    assert client.delete("/v1/instructions/house/shadow").status_code == 404


def test_what_there_is_nothing_to_compare_with_is_refused(client: TestClient) -> None:
    """A version with itself, one that is not there, a share that is none."""
    for body, status in (
        ({"version": 1}, 422),
        ({"version": 2, "live": "house@2"}, 422),
        ({"version": 7}, 404),
        ({"version": 2, "live": "nobody"}, 404),
        ({"version": 2, "share": 1.5}, 422),
        ({"version": 2, "share": -0.1}, 422),
    ):
        assert client.put("/v1/instructions/house/shadow", json=body).status_code == status, body
    assert client.get("/v1/instructions/nobody/shadow").status_code == 404


def test_tenants_do_not_meet(tmp_path: Path, tokenizer: PlainTokenizer, reranker: ByInstruction) -> None:
    """The same names in both; a search of the one, in what it was granted, too, is nothing to the other."""
    parts = parts_over(tmp_path / "data", tokenizer, reranker)
    parts.disk.catalog.tenants.make("other", by=COMMAND_LINE)
    keys = {
        DEFAULT_TENANT: parts.disk.catalog.keys.make(DEFAULT_TENANT, KeyWish(scopes=ALL_SCOPES), by=COMMAND_LINE).text,
        TenantName("other"): parts.disk.catalog.keys.make(TenantName("other"), FIRST_KEY, by=COMMAND_LINE).text,
    }
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        for key in keys.values():
            client.headers["authorization"] = f"Bearer {key}"
            assert client.post("/v1/collections", json={"name": "docs"}).status_code == 201
            assert client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS}).status_code == 200
            publish(client, "house", "prefer heron")
            publish(client, "house", "prefer stork", draft=True)
        mine, theirs = (f"Bearer {key}" for key in keys.values())
        client.headers["authorization"] = mine
        shadow(client)
        assert client.put("/v1/collections/docs/grants/other").status_code == 200
        client.headers["authorization"] = theirs
        assert client.get("/v1/instructions/shadows").json() == {"shadows": []}
        search(client)
        assert settled(client, parts) == judged(0)
        shadow(client)
        search(client, collection="default/docs")
        assert settled(client, parts) == judged(0)
        search(client)
        assert settled(client, parts) == judged(1)
        client.headers["authorization"] = mine
        assert report(client)["pairs"] == []
        assert {tenant for tenant, word, _ in reranker.asked if word == "stork"} == {"other"}
        client.headers["authorization"] = theirs
        assert report(client)["pairs"][0]["searches"] == 1


def test_what_waits_at_the_end_is_dropped_and_what_was_judged_is_written(
    tmp_path: Path, parts: Services, client: TestClient, reranker: ByInstruction
) -> None:
    """A service that ends does not wait for a shadow."""
    shadow(client)
    search(client)
    settled(client, parts)
    reranker.begun.clear()
    reranker.gate.clear()
    search(client)
    assert reranker.begun.wait(30)
    client.__exit__(None, None, None)
    assert len(SqlShadowBook(parts.disk.catalog.database).outcomes(DEFAULT_TENANT, "house")) == 1
    client.__enter__()  # the fixture leaves it


def run(folder: Path, *words: str, json_out: bool = True) -> Any:
    done = CliRunner().invoke(app, [*words, "--data", str(folder), *(["--json"] if json_out else [])])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout) if json_out else done.output


def test_the_commands_say_what_the_routes_say(tmp_path: Path, client: TestClient, parts: Services) -> None:
    """Start, list, report, promote, stop."""
    data = tmp_path / "data"
    started = run(data, "instructions", "shadow", "start", "house@2", "--share", "1")
    assert started["live"] == "house"
    listed = run(data, "instructions", "shadow", "list")
    assert listed == {"shadows": [started]} == client.get("/v1/instructions/shadows").json()
    client.portal.call(parts.shadowing.refresh)
    search(client)
    settled(client, parts)
    assert run(data, "instructions", "shadow", "report", "house") == report(client)
    table = run(data, "instructions", "shadow", "report", "house", json_out=False)
    assert table.splitlines()[1].split("\t")[:2] == ["house@1", "house@2"]
    assert run(data, "instructions", "promote", "house@2")["state"] == "published"
    assert run(data, "instructions", "shadow", "list", json_out=False).count("\n") == 1  # the header
    with pytest.raises(InstructionNotFound):
        run(data, "instructions", "shadow", "stop", "house")
    assert run(data, "instructions", "shadow", "stop", "house", "--forget") == {"deleted": "house"}
    for words, refusal in (
        (("shadow", "start", "house"), InvalidRequest),
        (("shadow", "start", "house@2", "--share", "2"), InvalidRequest),
        (("promote", "house"), InvalidRequest),
        (("promote", "house@1"), InstructionConflict),
    ):
        with pytest.raises(refusal):
            run(data, "instructions", *words)
