"""api/collections/cleaning_up.py: the disk becomes free without another write, and nobody misses what went."""

from __future__ import annotations

import logging
import os
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.fakes import PrefersWord
from tests.unit.api.collections.test_ingest import sent
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.assemble import Services
from winnow.api.collections.cleaning_up import CleaningUp
from winnow.api.collections.open_collections import OpenCollection
from winnow.retrieval.errors import WriteFailed
from winnow.retrieval.files.locks import is_written, writing
from winnow.retrieval.generation.history import fold
from winnow.retrieval.generation.pointer import names
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.store.lance_store import LanceStore

KEPT = 2
TURNS = 4


@pytest.fixture
def parts(tmp_path: Path, tokenizer: PlainTokenizer) -> Services:
    return parts_over(tmp_path, tokenizer, PrefersWord("a"))


@pytest.fixture
async def opened(parts: Services) -> OpenCollection:
    """A collection with several versions and generations, and a view of the newest."""
    opened = parts.ingest.make("default", "docs")
    for turn in range(TURNS):
        await parts.ingest.upsert("default", "docs", sent(a=f"text {turn}", **{f"d{turn}": f"more {turn}"}))
        fold(opened.folder, opened.store.snapshot(), opened.collection.embedder, kept=KEPT)
    assert opened.searchable.refresh().generation == f"g00000{TURNS}"
    return opened


def age(opened: OpenCollection, *, seconds: float) -> None:
    """All that is there was written so long ago."""
    then = time.time() - seconds
    for path in (*opened.folder.corpus.rglob("*"), *opened.folder.generations.iterdir()):
        os.utime(path, (then, then))


def versions(opened: OpenCollection) -> int:
    return len(list((opened.folder.corpus / "_versions").glob("*.manifest")))


def texts(opened: OpenCollection) -> set[str]:
    snapshot = opened.searchable.view().snapshot
    return {chunk.text for chunk in snapshot.chunks(snapshot.chunk_numbers().tolist())}


async def test_what_nothing_reads_any_more_goes_without_a_write(parts: Services, opened: OpenCollection) -> None:
    """Versions and generations by the same rules as at a write; a second look finds nothing to do."""
    cleaning = CleaningUp(parts.collections, kept=KEPT)
    before = versions(opened)
    assert (await cleaning.look(), versions(opened), len(names(opened.folder))) == (0, before, TURNS)
    age(opened, seconds=3_600)
    assert await cleaning.look() > 0
    assert (versions(opened), names(opened.folder)) == (1, ["g000004", "g000003"])
    assert texts(opened) == {f"text {TURNS - 1}", *(f"more {turn}" for turn in range(TURNS))}
    assert await cleaning.look() == 0
    await parts.ingest.upsert("default", "docs", sent(b="after it"))
    assert "after it" in texts(opened)


async def test_a_search_that_begins_later_reads_the_newest_version(parts: Services, opened: OpenCollection) -> None:
    """Another process wrote, and this one has not looked since: what it would read is gone after the clean-up."""
    stale = opened.searchable.newest
    store = parts.disk.store(opened.collection)
    store.delete(["a"])
    age(opened, seconds=3_600)
    assert opened.searchable.newest is stale
    assert await CleaningUp(parts.collections, kept=KEPT).look() > 0
    assert opened.searchable.newest is not stale
    assert texts(opened) == {f"more {turn}" for turn in range(TURNS)}


async def test_a_writer_or_a_reader_that_takes_long_is_left_alone(parts: Services, opened: OpenCollection) -> None:
    """An index run holds the lock, a fold or a snapshot holds the versions; the next look finds the work again."""
    cleaning = CleaningUp(parts.collections, kept=KEPT)
    age(opened, seconds=3_600)
    before = versions(opened)
    with writing(opened.folder):
        await cleaning.look()
    assert versions(opened) == before
    with opened.store.holding():
        await cleaning.look()
    assert versions(opened) == before
    await cleaning.look()
    assert versions(opened) == 1


async def test_a_long_clean_up_lets_writers_in(
    parts: Services, opened: OpenCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It removes few versions at once, and holds no lock in between."""
    defaults = LanceStore._remove_old_versions.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "at_most", 2)
    age(opened, seconds=3_600)
    has_superseded, seen = opened.store.has_superseded, []

    def looked() -> bool:
        seen.append((is_written(opened.folder), versions(opened)))
        return has_superseded()

    monkeypatch.setattr(opened.store, "has_superseded", looked)
    assert await CleaningUp(parts.collections, kept=KEPT).look() > 0
    assert {is_held for is_held, _ in seen} == {False}
    left = [count for _, count in seen]
    assert left[0] > 4
    assert left[-1] == 1
    assert {before - after for before, after in pairwise(left)} <= {1, 2}


async def test_a_problem_is_told_once_and_a_removed_collection_not_made_again(
    parts: Services, opened: OpenCollection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are still cleaned up."""
    age(opened, seconds=3_600)

    def fails() -> int:
        raise WriteFailed("the disk is read-only")

    monkeypatch.setattr(opened.store, "remove_old_versions", fails)
    cleaning = CleaningUp(parts.collections, kept=KEPT)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await cleaning.look()
    assert [each.message for each in caplog.records if "read-only" in each.message] == [caplog.records[-1].message]
    parts.disk.remove("default", "docs")
    await cleaning.look()
    assert not opened.folder.path.exists()
