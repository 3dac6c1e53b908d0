"""/readyz says how things are, as they are, and to whom it may say it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from tests.answers import CheckingClient
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import DOCUMENTS, parts_over
from winnow.api.diagnostics.readiness import Readiness
from winnow.api.http.app import create_app
from winnow.rerank.vllm_reranker import RERANKER_FAILURES
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.vllm.client import VllmClient
from winnow.retrieval.vllm.pool import VllmPool
from winnow.retrieval.vllm.replica import Patience


async def test_readiness_follows_the_servers(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """It is asked for as things are, not as they were at the start; and it names addresses to nobody without a key."""
    problem = "start it with --runner=pooling"

    async def proof(_client: VllmClient, _deadline: Deadline) -> None:
        if problem:
            raise RerankUnavailable(problem)

    pool = VllmPool(["http://127.0.0.1:1"], RERANKER_FAILURES, proof=proof, patience=Patience(pause_seconds_max=0.01))
    parts = parts_over(tmp_path, tokenizer, PrefersWord("a"))
    embedding, judging = (replace(each, pool=pool) for each in (parts.embedding, parts.judging))
    readiness = Readiness(replace(parts, embedding=embedding, judging=judging, pools=(pool,)))
    await readiness.prepare()
    assert readiness.problems == (problem,)
    told = await readiness.report(None)
    assert (told["status"], told["problems"]) == ("not ready", None)
    assert told["models"]["servers"] == [
        {"url": None, "standing": "left alone", "problem": None, "tokens_in_flight": 0}
    ]
    problem = ""
    async with asyncio.timeout(5):
        await readiness.awaited()
    await pool.close()


def test_readiness_tells_what_is_open_and_what_the_models_said(tmp_path: Path, tokenizer: PlainTokenizer) -> None:
    """Collections with their generation and version; each probe with its figures."""
    with CheckingClient(
        create_app(parts_over(tmp_path, tokenizer, PrefersWord("heron"))), base_url="http://localhost"
    ) as client:
        client.post("/v1/collections", json={"name": "docs"})
        client.post("/v1/collections/docs/documents", json={"documents": DOCUMENTS})
        told = client.get("/readyz").json()
    assert told["status"] == "not ready"
    assert any("prefers-word did not separate the known pair in en and zh" in problem for problem in told["problems"])
    probes = [each for each in told["models"]["probes"] if each["model"] == "prefers-word"]
    assert [(each["language"], each["separated"]) for each in probes] == [
        ("en", False),  # it likes the heron best, whatever is asked
        ("en", True),
        ("zh", False),
        ("zh", False),
    ]
    assert told["collections"] == [  # 1 is empty, 2 has words, 3 the columns of the attributes, 4 the documents
        {
            "name": "docs",
            "open": True,
            "generation": None,
            "rolled_back_from": None,
            "store_version": 4,
            "unfolded_chunks": 3,
            "fold": {"building": None, "failures": 0, "problem": None},
            "index_device": "cpu",
            "problem": None,
        }
    ]
