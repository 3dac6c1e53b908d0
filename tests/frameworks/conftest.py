"""The service that tests.frameworks.run serves, and one by script for what a healthy service does not answer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.frameworks.json_server import answering

CORPUS: Final = Path(__file__).resolve().parents[2] / "data" / "corpus"
QUESTION: Final = "moved out more than two months ago and the landlord still keeps my deposit without any explanation"
ANSWER: Final = "legal-en-015"
MIXED: Final = "error 429"  # documents of both languages answer it
CHINESE_FIRST: Final = "Retrieve passages that answer the query, preferring documents in Chinese."


@pytest.fixture(scope="session")
def url() -> str:
    """The address of a service that has data/corpus as the collection `corpus`; its key is in WINNOW_API_KEY."""
    found = os.environ.get("FRAMEWORKS_URL")  # noqa: TID251
    if found is None:
        pytest.skip("no service to ask: `python -m tests.frameworks.run` starts one, and runs these tests")
    return found


@pytest.fixture(scope="session")
def chat_url() -> str:
    found = os.environ.get("FRAMEWORKS_CHAT_URL")  # noqa: TID251
    if found is None:
        pytest.skip("no chat model: `python -m tests.frameworks.run` starts one, and runs these tests")
    return found


class Scripted:
    """A service that gives one answer to everything, and keeps what it was sent."""

    def __init__(self) -> None:
        self.status = 200
        self.answer: Mapping[str, Any] = {}
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.url = ""


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    service = Scripted()

    def answer(body: dict[str, Any], headers: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        service.bodies.append(body)
        service.keys.append(headers.get("authorization"))
        return service.status, service.answer

    with answering(answer) as service.url:
        yield service


def found(**changes: Any) -> dict[str, Any]:
    """Return an answer of POST /v1/search with one result, and these changes to the result or the answer."""
    result = {
        "rank": 1,
        "score": 0.5,
        "document_id": "d",
        "chunk": {"ordinal": 2, "start": 0, "end": 4},
        "title": "Title",
        "url": None,
        "text": "text",
        "section": ["Heading"],
        "header": "",
        "location": {"page": 3},
        "metadata": {"lang": "en"},
        "similarity": 0.25,
        "lexical_score": None,
        "recall_rank": 1,
        "relevance": 0.75,
        "truncated": False,
        "demoted": False,
    }
    answer = {
        "id": "req_1",
        "collection": "docs",
        "degraded": None,
        "instruction_applied": True,
        "judged_by": "reranker",
        "ranked_by": "blend",
        "results": [result],
    }
    for key, value in changes.items():
        (answer if key in answer else result)[key] = value
    return answer


DEGRADED: Final = found(
    degraded={"stage": "rerank", "reason": "timeout"},
    instruction_applied=False,
    judged_by="recall-order",
    ranked_by="recall-order",
    relevance=None,
)
