"""What every Collections promises. There is one, over two databases."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import pytest

from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.instructions import InstructionContent
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.instructions import SqlInstructions
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import CollectionExists, CollectionNotFound, InstructionNotFound, InvalidRequest
from winnow.retrieval.records import Collapse, Diversity


@pytest.fixture
def catalog(database: SqlDatabase) -> SqlCollections:
    return SqlCollections(database)


@pytest.fixture
def library(database: SqlDatabase) -> SqlInstructions:
    return SqlInstructions(database)


def collection(
    name: str, *, tenant: str = "default", instruction: str | None = None, reranker: str | None = None
) -> Collection:
    return Collection(
        tenant=tenant,
        name=name,
        embedder=EmbedderIdentity(name="winnow-embed", revision="abc", dimension=384),
        chunk_tokens=256,
        created_at=datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC),
        instruction=instruction,
        reranker=reranker,
    )


def test_a_collection_comes_back_as_it_was_added(catalog: SqlCollections) -> None:
    """With its embedder's whole identity, and a time that still knows its zone."""
    catalog.add(collection("laws", reranker="large"))
    catalog.add(collection("acts"))
    assert catalog.get("default", "laws") == collection("laws", reranker="large")
    assert catalog.get("default", "acts") == collection("acts")
    assert catalog.get("default", "laws").created_at.tzinfo is not None


def test_a_collections_diversity_comes_back_and_changes(catalog: SqlCollections) -> None:
    """To the last digit; both of its parts change alone, and nothing is what an older winnow wrote."""
    wanted = Diversity(collapse=Collapse(cosine=0.97, shingles=1 / 3), mmr_lambda=0.7)
    catalog.add(replace(collection("laws"), diversity=wanted))
    assert catalog.get("default", "laws").diversity == wanted
    assert catalog.change("default", "laws", reranker="small").diversity == wanted
    only = Collapse(cosine=0.9)
    assert catalog.change("default", "laws", collapse=only).diversity == replace(wanted, collapse=only)
    assert catalog.change("default", "laws", mmr_lambda=None).diversity == Diversity(collapse=only)
    assert catalog.change("default", "laws", collapse=Collapse()).diversity == Diversity()
    assert catalog.change("default", "laws", mmr_lambda=0.0).diversity == Diversity(mmr_lambda=0.0)


def test_a_name_is_taken_once_in_a_tenant(catalog: SqlCollections) -> None:
    """Two tenants may use the same name and never see each other's."""
    catalog.add(collection("laws"))
    with pytest.raises(CollectionExists, match="laws"):
        catalog.add(collection("laws"))
    catalog.add(collection("laws", tenant="other"))
    catalog.add(collection("acts"))
    assert [found.name for found in catalog.of_tenant("default")] == ["acts", "laws"]
    assert [found.tenant for found in catalog.of_tenant("other")] == ["other"]
    assert catalog.of_tenant("nobody") == []
    catalog.remove("other", "laws")
    assert catalog.get("default", "laws").tenant == "default"


def test_what_is_not_there_is_not_found(catalog: SqlCollections, library: SqlInstructions) -> None:
    """Every call that names a collection says so, also right after its removal."""
    catalog.add(collection("laws"))
    catalog.remove("default", "laws")
    library.publish("default", "newest first", InstructionContent(text="Prefer recent documents"))
    for attempt in (
        lambda: catalog.get("default", "laws"),
        lambda: catalog.remove("default", "laws"),
        lambda: catalog.change("default", "laws", instruction="newest first"),
        lambda: catalog.change("default", "laws", instruction=None),
        lambda: catalog.change("default", "laws", reranker="large"),
        lambda: catalog.change("default", "laws"),
    ):
        with pytest.raises(CollectionNotFound, match="laws"):
            attempt()


def test_a_collection_names_an_instruction_that_exists(catalog: SqlCollections, library: SqlInstructions) -> None:
    """It can be set, set back, and not be set to something unknown; a version of it, and one that comes with winnow."""
    catalog.add(collection("laws"))
    with pytest.raises(InstructionNotFound, match="recency"):
        catalog.change("default", "laws", instruction="recency")
    library.publish("default", "recency", InstructionContent(text="Prefer recent documents"))
    catalog.change("default", "laws", instruction="recency")
    assert catalog.get("default", "laws").instruction == "recency"
    for reference in ("recency@1", "builtin/legal-statutes"):
        assert catalog.change("default", "laws", instruction=reference).instruction == reference
    with pytest.raises(InstructionNotFound, match="recency, version 2"):
        catalog.change("default", "laws", instruction="recency@2")
    catalog.change("default", "laws", instruction=None)
    assert catalog.get("default", "laws").instruction is None


def test_a_change_touches_what_it_names_and_nothing_else(catalog: SqlCollections, library: SqlInstructions) -> None:
    """What is kept differs from what goes back to the default; a change that is refused changes nothing."""
    catalog.add(collection("laws", reranker="large"))
    catalog.add(collection("acts"))
    library.publish("default", "recency", InstructionContent(text="Prefer recent documents"))
    changed = catalog.change("default", "laws", instruction="recency")
    assert (changed.instruction, changed.reranker) == ("recency", "large")
    changed = catalog.change("default", "laws", reranker="small")
    assert (changed.instruction, changed.reranker) == ("recency", "small")
    with pytest.raises(InstructionNotFound):
        catalog.change("default", "laws", instruction="none", reranker=None)
    assert catalog.change("default", "laws") == changed == catalog.get("default", "laws")
    changed = catalog.change("default", "laws", instruction=None, reranker=None)
    assert (changed.instruction, changed.reranker) == (None, None)
    assert catalog.get("default", "acts") == collection("acts")


@pytest.mark.parametrize("hostile", ["'; DROP TABLE collections; --", '" OR 1=1', "%", "%s", ":name", "法律"])
def test_names_are_values(catalog: SqlCollections, hostile: str) -> None:
    """No name is ever part of a statement."""
    catalog.add(collection("laws"))
    catalog.add(collection(hostile))
    assert catalog.get("default", hostile).name == hostile
    catalog.remove("default", hostile)
    assert [found.name for found in catalog.of_tenant("default")] == ["laws"]


@pytest.mark.parametrize("impossible", ["a\x00b", "a\ud800"])
def test_what_no_text_holds_is_refused(catalog: SqlCollections, impossible: str) -> None:
    """PostgreSQL keeps no NUL, and neither keeps half a character: both say so in the same words."""
    for attempt in (
        lambda: catalog.add(collection(impossible)),
        lambda: catalog.get("default", impossible),
    ):
        with pytest.raises(InvalidRequest, match="NUL or half a surrogate pair"):
            attempt()
    assert catalog.of_tenant("default") == []


def test_names_stand_in_the_order_of_their_code_points(catalog: SqlCollections) -> None:
    """Whatever language the server was set up with."""
    names = ["a", "B", "_", "ä", "Z", "a-b", "ab", "法", "民", "é", "e", "\U0001f600", "\ufffd"]
    for name in names:
        catalog.add(collection(name))
    assert [found.name for found in catalog.of_tenant("default")] == sorted(names)


def test_what_was_added_is_there_after_reopening(place: Path | str) -> None:
    """All of it, to the microsecond."""
    first = SqlDatabase.open(place)
    SqlCollections(first).add(collection("laws"))
    first.close()
    second = SqlDatabase.open(place)
    assert SqlCollections(second).get("default", "laws") == collection("laws")
    second.close()


def _add_some(place: Path | str, worker: int) -> None:
    database = SqlDatabase.open(place)
    for turn in range(10):
        SqlCollections(database).add(collection(f"worker-{worker}-{turn}"))
    database.close()


def test_two_processes_create_and_write_at_once(place: Path | str) -> None:
    """Neither fails, and nothing is lost."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(_add_some, place, worker) for worker in range(2)]:
            done.result()
    database = SqlDatabase.open(place)
    found = len(SqlCollections(database).of_tenant("default"))
    database.close()
    assert found == 20


def test_many_threads_share_one_catalog(catalog: SqlCollections) -> None:
    """One of them adds the collection, the others are told that it exists."""

    def add(_: int) -> bool:
        try:
            catalog.add(collection("laws"))
        except CollectionExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(16))) == 1
