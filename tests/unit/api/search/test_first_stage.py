"""api/search/first_stage.py: searches and trials read the catalog as often as they need to, and no more."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.assemble import Services
from winnow.api.search.records import Question, TrialQuestion
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import CollectionNotFound
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import DEFAULT_TENANT

NEVER = Deadline.never()


@pytest.fixture
async def parts(tmp_path: Path, tokenizer: PlainTokenizer) -> Services:
    parts = parts_over(tmp_path, tokenizer, PrefersWord("heron"))
    parts.ingest.make(DEFAULT_TENANT, "docs")
    await write(parts, "docs", "heron")
    return parts


async def write(parts: Services, name: str, text: str) -> None:
    documents = [{"id": f"d{number}", "text": f"{text} {number}"} for number in range(3)]
    await parts.ingest.upsert(DEFAULT_TENANT, name, enumerate(documents))


@contextlib.contextmanager
def statements_of(database: SqlDatabase) -> Iterator[list[str]]:
    """The SQL statements that run inside the block."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(database._engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database._engine, "before_cursor_execute", note)


def tables(statements: list[str]) -> list[str]:
    return [statement.split("FROM", 1)[1].split()[0] for statement in statements]


async def test_a_search_reads_its_collection_once_for_each_change_of_the_catalog(parts: Services) -> None:
    """One read for the collection, one for the tenant's default instruction; the open index needs none."""
    question = Question(tenant=DEFAULT_TENANT, collection="docs", query="heron", top_k=3)
    await parts.search.answer(question, NEVER)
    parts.disk.catalog.collections.change(DEFAULT_TENANT, "docs", demote_query_echo=True)
    for read in (["collections", "default_instructions"], []):
        with statements_of(parts.disk.catalog.database) as seen:
            await parts.search.answer(question, NEVER)
        assert tables(seen) == read


async def test_a_trial_reads_its_collection_once(parts: Services) -> None:
    """As a search does."""
    question = TrialQuestion(tenant=DEFAULT_TENANT, collection="docs", query="heron", top_k=3, wanted=(None,))
    await parts.trials.run(question, NEVER)
    with statements_of(parts.disk.catalog.database) as seen:
        await parts.trials.run(question, NEVER)
    assert tables(seen) == ["collections", "default_instructions"]


async def test_a_collection_that_was_replaced_is_opened_again(parts: Services) -> None:
    """The index that is open belongs to the collection that was removed; its documents must not be found."""
    question = Question(tenant=DEFAULT_TENANT, collection="docs", query="heron", top_k=3)
    assert len((await parts.search.answer(question, NEVER)).results) == 3
    parts.disk.remove(DEFAULT_TENANT, "docs")
    with pytest.raises(CollectionNotFound):
        await parts.search.answer(question, NEVER)
    parts.ingest.make(DEFAULT_TENANT, "docs")
    await write(parts, "docs", "egret")
    texts = [each.best.candidate.chunk.text for each in (await parts.search.answer(question, NEVER)).results]
    assert sorted(texts) == ["egret 0", "egret 1", "egret 2"]
