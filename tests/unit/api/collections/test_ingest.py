"""Documents that somebody sends: searchable when acknowledged, refused by name, and folded into the index in time."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fakes import HashEmbedder, PrefersWord
from tests.tiny_models import write_embedder
from winnow.api.assemble import Services, wire
from winnow.api.collections.ingest import LOOKING_MAX, Ingest, records_of_lines
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.settings import Settings
from winnow.indexer.corpus import Refused
from winnow.retrieval.errors import (
    CollectionBusy,
    CollectionExists,
    DocumentNotFound,
    InstructionNotFound,
    LimitExceeded,
    ModelMismatch,
)
from winnow.retrieval.files.layout import stamp_created
from winnow.retrieval.files.locks import writing
from winnow.retrieval.model.tokenizer import PlainTokenizer


@pytest.fixture
def parts(tmp_path: Path) -> Services:
    return parts_with(tmp_path, HashEmbedder())


def parts_with(folder: Path, embedder: HashEmbedder) -> Services:
    models = folder / "models"
    tokenizer = PlainTokenizer.load(models if models.exists() else write_embedder(models))
    embedding = LoadedEmbedder(embedder=embedder, tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=PrefersWord("a"), runs_on="words", device="cpu")
    return wire(replace(Settings(), data=folder / "data"), embedding, judging)


def sent(**texts: str):
    return enumerate([{"id": name, "text": text} for name, text in texts.items()], start=1)


async def test_much_that_is_new_is_folded_into_the_index(parts: Services) -> None:
    """Chunks beside the index are compared one by one; beyond the bound a generation takes them up."""
    ingest = Ingest(
        disk=parts.disk,
        collections=parts.collections,
        embedder=parts.embedding.embedder,
        tokenizer=parts.embedding.tokenizer,
        chunk_tokens_default=64,
        delta_chunks_max=2,
    )
    opened = ingest.make("default", "docs")
    await ingest.upsert("default", "docs", sent(a="one", b="two"))
    before = opened.searchable.view()
    assert (before.generation, before.delta_count) == (None, 2)
    await ingest.upsert("default", "docs", sent(c="three"))
    after = opened.searchable.view()
    assert (after.generation, after.delta_count) == ("g000001", 0)


async def test_writers_of_one_process_take_turns(parts: Services) -> None:
    """Nobody is refused because of a neighbour in the same process, and nothing is lost."""
    parts.ingest.make("default", "docs")
    calls = [parts.ingest.upsert("default", "docs", sent(**{f"d{number}": "text"})) for number in range(5)]
    upserted = await asyncio.gather(*calls)
    assert [each.accepted for each in upserted] == [1] * 5
    assert parts.disk.describe(parts.disk.catalog.collections.get("default", "docs")).documents == 5


async def test_a_writer_of_another_process_is_waited_for_and_then_told(parts: Services) -> None:
    """An index run takes longer than a request should hang."""
    opened = parts.ingest.make("default", "docs")
    with writing(opened.folder), pytest.raises(CollectionBusy):
        await parts.ingest.upsert("default", "docs", sent(a="text"))
    assert (await parts.ingest.upsert("default", "docs", sent(a="text"))).accepted == 1


async def test_a_long_document_comes_back_whole(parts: Services) -> None:
    """It is cut for the models, and put together for whoever asks for it."""
    parts.ingest.make("default", "docs", chunk_tokens=32)
    text = "A sentence of some words. 一句中文。\n\n" * 40
    upserted = await parts.ingest.upsert("default", "docs", sent(long=text))
    assert upserted.chunks > 5
    assert parts.ingest.document("default", "docs", "long").text == text


async def test_what_is_not_there_is_named(parts: Services) -> None:
    """Deleting it twice, making it twice, choosing an instruction that nobody published."""
    parts.ingest.make("default", "docs")
    with pytest.raises(DocumentNotFound):
        await parts.ingest.delete("default", "docs", "none")
    with pytest.raises(CollectionExists):
        parts.ingest.make("default", "docs")
    with pytest.raises(InstructionNotFound):
        parts.ingest.make("default", "other", instruction="none")


async def test_a_collection_that_was_made_anew_is_opened_anew(parts: Services) -> None:
    """What was deleted by another process is not served from an old handle."""
    parts.ingest.make("default", "docs")
    await parts.ingest.upsert("default", "docs", sent(old="text"))
    parts.disk.remove("default", "docs")
    parts.ingest.make("default", "docs")
    with pytest.raises(DocumentNotFound):
        parts.ingest.document("default", "docs", "old")


async def test_vectors_of_another_model_are_not_compared(parts: Services, tmp_path: Path) -> None:
    """The message says which model the collection wants."""
    parts.ingest.make("default", "docs")
    other = parts_with(tmp_path, HashEmbedder(name="other", revision="2"))
    with pytest.raises(ModelMismatch, match="Start with --embed-model hash-embedder"):
        other.collections.get("default", "docs")


def test_lines_keep_their_numbers() -> None:
    """Blank lines are passed over, and counted."""
    records = list(records_of_lines(b'\n{"id": 1}\r\n\n{oops\n'))
    assert records[0] == (2, {"id": 1})
    assert records[1][0] == 4
    assert isinstance(records[1][1], Refused)


def test_too_many_lines_are_refused_before_one_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as are allowed are read, with or without an end of the last one."""
    monkeypatch.setattr("winnow.api.collections.ingest.NDJSON_LINES_MAX", 2)
    for allowed in (b"1\n2\n", b"1\n2"):
        assert len(list(records_of_lines(allowed))) == 2
    monkeypatch.setattr("winnow.api.collections.ingest.parse_record", lambda _: pytest.fail("a line was parsed"))
    for refused in (b"1\n2\n3", b"\n" * 3, b"1\n" * 100_000):
        with pytest.raises(LimitExceeded, match="more than 2 lines"):
            list(records_of_lines(refused))


async def test_reads_of_documents_leave_threads_to_searches(parts: Services) -> None:
    """Of several at once, no more run than may."""
    running = most = 0
    counting, both = threading.Lock(), threading.Barrier(LOOKING_MAX)

    def look() -> None:
        nonlocal running, most
        with counting:
            running += 1
            most = max(most, running)
        both.wait(timeout=30)
        with counting:
            running -= 1

    await asyncio.gather(*(parts.ingest.looked(look) for _ in range(5 * LOOKING_MAX)))
    assert most == LOOKING_MAX


async def test_who_waits_for_the_lock_does_not_write_to_what_came_in_its_place(parts: Services) -> None:
    """A collection that was replaced meanwhile is another one: the caller is told to ask again, and then it works."""
    opened = parts.ingest.make("default", "docs")
    with writing(opened.folder):
        waiting = asyncio.create_task(parts.ingest.upsert("default", "docs", sent(a="one")))
        await asyncio.sleep(0.2)
        parts.disk.catalog.collections.remove("default", "docs")
        later = replace(opened.collection, created_at=datetime.now(UTC))
        stamp_created(opened.folder, later.created_at)
        parts.disk.catalog.collections.add(later)
    with pytest.raises(CollectionBusy, match="has just been replaced"):
        await waiting
    assert (await parts.ingest.upsert("default", "docs", sent(a="one"))).accepted == 1
