"""`winnow instructions tune`: finds a wording that is clearly better, and says none where none is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.fakes import FakeReranker
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.cli.terminal import Terminal
from winnow.api.cli.tuning.command import _content, _response
from winnow.api.cli.tuning.halving import halves
from winnow.api.cli.tuning.run import Plan, Tuned, Tuning, read_wordings
from winnow.api.http.app import create_app
from winnow.rerank.ranking import make_ranking
from winnow.rerank.reranker import Ranking
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.measures import parse
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Candidate
from winnow.retrieval.tenancy import DEFAULT_TENANT

QUERIES = 40
BIRDS = ("storks", "cranes", "herons", "gulls")
BEST = "Prefer {herons}"
WORDINGS = ("Prefer storks", "Prefer cranes", BEST, "Prefer gulls", "Prefer owls")


class FollowsWord(FakeReranker):
    """Puts passages first that hold the last word of the instruction; counts what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def ranking(self, query: str, candidates: Sequence[Candidate], instruction: str) -> Ranking:
        self.calls.append((instruction, query))
        word = instruction.rsplit(maxsplit=1)[-1].strip("{}")
        logits = [2.0 if word in each.chunk.text else -2.0 for each in candidates]
        return make_ranking(candidates, logits, judged_by=self.name)


def tuned(
    folder: Path,
    tokenizer: PlainTokenizer,
    *,
    relevant: Callable[[str], str],
    wordings: Sequence[str] = WORDINGS,
    seed: int = 1,
) -> tuple[Plan, Tuned, FollowsWord, list[str]]:
    """Tune a collection with a document for each lake and bird; `relevant` says which bird answers a query."""
    reranker, asked = FollowsWord(), list[str]()
    parts = parts_over(folder / "data", tokenizer, reranker)
    opened = parts.ingest.make(DEFAULT_TENANT, "docs")
    documents = [{"id": f"{n}-{bird}", "text": f"lake {n}: {bird}"} for n in range(10) for bird in BIRDS]
    with TestClient(create_app(parts), base_url="http://localhost") as client:
        assert client.post("/v1/collections/docs/documents", json={"documents": documents}).status_code == 200
    queries = {f"q{n}": f"lake {n % 10}, visit {n}" for n in range(QUERIES)}
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"id": each, "text": text}) + "\n" for each, text in queries.items()), encoding="utf-8"
    )
    grades = [f"q{n} 0 {n % 10}-{relevant(f'q{n}')} 1" for n in range(QUERIES)]
    (folder / "test.qrels").write_text("\n".join(grades), encoding="utf-8")
    plan = Plan(
        tenant=DEFAULT_TENANT,
        collection=opened.collection,
        instruction=None,
        wordings=tuple(wordings),
        queries=folder / "queries.jsonl",
        qrels=folder / "test.qrels",
        measure=parse("MRR@10"),
        seed=seed,
    )
    reranker.calls.clear()  # of the checks at start
    tuning = Tuning(Terminal(json=True), parts.settings, plan, asked.append, assembled=lambda _: parts)
    return plan, asyncio.run(tuning.run()), reranker, asked


def test_a_clearly_better_wording_is_confirmed(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """On queries that did not choose it; what it cost is what was announced before anything was asked."""
    plan, found, reranker, asked = tuned(tmp_path, tokenizer, relevant=lambda _: "herons")
    assert found.is_confirmed
    assert found.best.text == BEST
    assert found.difference is not None
    assert found.difference.queries == found.confirming == QUERIES - found.choosing
    assert found.difference.low > 0
    assert len(asked) == 1
    assert len(reranker.calls) == found.cost.rerankings + 1  # and one to measure the time
    body = _response(plan, found, "birds@1")
    assert (body["winner"], body["draft"], body["confirmed"]) == (BEST, "birds@1", True)
    assert {each["text"] for each in body["wordings"]} == set(WORDINGS)


def test_a_draft_reads_as_the_wording_that_was_tried(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """Its braces are no variables."""
    plan, found, *_ = tuned(tmp_path, tokenizer, relevant=lambda _: "herons")
    instructions = parts_over(tmp_path / "data", tokenizer, FollowsWord()).disk.catalog.instructions
    version = instructions.write_draft(DEFAULT_TENANT, "birds", _content(plan, found))
    assert (version.reference, version.state.value) == ("birds@1", "draft")
    assert instructions.preview(version.content, {}).text == BEST
    assert "queries that did not choose it" in version.content.note


def test_where_no_wording_helps_there_is_none(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """The words stand in no document, so that the order stays as it is."""
    wordings = ("Prefer owls", "Prefer swans")
    _, found, *_ = tuned(tmp_path, tokenizer, relevant=lambda _: "herons", wordings=wordings)
    assert not found.is_confirmed
    assert found.difference is None
    assert "no wording is better" in found.reason


def test_what_helps_only_the_queries_that_chose_it_is_not_confirmed(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """Herons answer the half that chooses, storks the other one."""
    choosing, _ = halves([f"q{n}" for n in range(QUERIES)], 1)
    _, found, *_ = tuned(
        tmp_path,
        tokenizer,
        relevant=lambda query: "herons" if query in choosing else "storks",
        wordings=("Prefer gulls", BEST),
    )
    assert found.best.text == BEST
    assert found.best.mean > found.before_mean
    assert found.difference is not None
    assert not found.is_confirmed
    assert "do not show" in found.reason


def test_wordings_are_read_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "wordings.txt"
    file.write_text("# tried in spring\nPrefer herons.\n\n  优先苍鹭。  \nPrefer herons.\n", encoding="utf-8")
    assert read_wordings(file) == ("Prefer herons.", "优先苍鹭。")
    file.write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(InvalidRequest, match="0 wordings; write 1 to 256, one a line"):
        read_wordings(file)
    with pytest.raises(InvalidRequest, match="No such file"):
        read_wordings(tmp_path / "none.txt")
