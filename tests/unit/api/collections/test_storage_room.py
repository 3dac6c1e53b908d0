"""A limit of what is stored holds whoever writes at once; room that a killed writer had reserved is free again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.answers import CheckingClient
from tests.fakes import HashEmbedder, PrefersWord
from winnow.api.assemble import Services, wire
from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.storage_room import StorageRoom
from winnow.api.http.app import create_app
from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.settings import Settings
from winnow.api.tenancy.quotas import Quotas
from winnow.retrieval.catalog.quotas import Held, TenantLimits
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.reservations import SqlReservations
from winnow.retrieval.files.locks import writing
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.tenancy import DEFAULT_TENANT

NAMES = ("one", "two")


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres").new()
    return Settings(data=tmp_path / "data", catalog_url=url, limit_documents=100)


@contextmanager
def service(settings: Settings, tokenizer: PlainTokenizer) -> Iterator[tuple[TestClient, Services]]:
    embedding = LoadedEmbedder(embedder=HashEmbedder(), tokenizer=tokenizer, runs_on="hash", device="cpu")
    judging = LoadedReranker(reranker=PrefersWord("a"), runs_on="words", device="cpu")
    parts = wire(settings, embedding, judging)
    with CheckingClient(create_app(parts), base_url="http://localhost") as client:
        yield client, parts


def put(client: TestClient, name: str, count: int, *, of: str) -> int:
    documents = [{"id": f"{of}-{number}", "text": f"text {number} of {of}"} for number in range(count)]
    return client.post(f"/v1/collections/{name}/documents", json={"documents": documents}).status_code


def stored(client: TestClient) -> int:
    return sum(each["documents"] for each in client.get("/v1/collections").json()["collections"])


@pytest.mark.parametrize("count", [60, 30])
def test_writers_at_once_store_what_one_after_the_other_would(
    settings: Settings, tokenizer: PlainTokenizer, count: int
) -> None:
    """Eight writers over two collections and two services: as many are let in as there is room for, no more, no fewer.

    A collection whose writers wait too long is busy, and its writer asks again.
    """
    with ExitStack() as stack:
        services = [stack.enter_context(service(settings, tokenizer)) for _ in range(2)]
        for name in NAMES:
            assert services[0][0].post("/v1/collections", json={"name": name}).status_code == 201

        def written(writer: int) -> int:
            client, _ = services[writer % 2]
            while (status := put(client, NAMES[writer // 2 % 2], count, of=f"w{writer}")) == 503:
                pass
            return status

        with ThreadPoolExecutor(8) as pool:
            statuses = sorted(pool.map(written, range(8)))
        room = 100 // count
        assert statuses == [200] * room + [403] * (8 - room)
        assert stored(services[0][0]) == room * count
        book = SqlReservations(services[0][1].disk.catalog.database)
        assert book.reservations(DEFAULT_TENANT).held == {}


def test_room_is_reserved_as_long_as_its_writer_lives(settings: Settings, tokenizer: PlainTokenizer) -> None:
    """Its lock says so: the kernel drops it, however the writer ends."""
    with service(settings, tokenizer) as (client, parts):
        for name in NAMES:
            client.post("/v1/collections", json={"name": name})
        book = SqlReservations(parts.disk.catalog.database)
        assert book.reserve(DEFAULT_TENANT, "one", Held(documents=60), turn=0)
        with writing(parts.disk.layout.collection(DEFAULT_TENANT, "one")):
            assert put(client, "two", 41, of="late") == 403
            assert put(client, "two", 40, of="early") == 200
        assert put(client, "two", 60, of="now") == 200  # who had reserved is gone, and has written nothing
        assert put(client, "one", 1, of="more") == 403
        assert stored(client) == 100


def test_what_a_writer_has_written_of_its_reservation_counts_once(
    settings: Settings, tokenizer: PlainTokenizer
) -> None:
    with service(settings, tokenizer) as (client, parts):
        for name in NAMES:
            client.post("/v1/collections", json={"name": name})
        assert put(client, "one", 50, of="half") == 200
        book = SqlReservations(parts.disk.catalog.database)
        turn = book.reservations(DEFAULT_TENANT).turn
        assert book.reserve(DEFAULT_TENANT, "one", Held(documents=60), turn=turn)
        with writing(parts.disk.layout.collection(DEFAULT_TENANT, "one")):
            assert put(client, "two", 40, of="rest") == 200
        assert stored(client) == 90


def test_a_reservation_needs_the_turn_that_was_counted_at(database: SqlDatabase) -> None:
    """Of two that counted at once, the second counts again; tenants do not disturb each other."""
    book = SqlReservations(database)
    assert book.reservations(DEFAULT_TENANT).turn == 0
    assert book.reserve(DEFAULT_TENANT, "one", Held(documents=1), turn=0)
    assert not book.reserve(DEFAULT_TENANT, "two", Held(documents=1), turn=0)
    assert book.reserve(DEFAULT_TENANT, "one", Held(documents=2, bytes=3), turn=1)
    book.release(DEFAULT_TENANT, "two")
    found = book.reservations(DEFAULT_TENANT)
    assert (found.turn, found.held) == (2, {"one": Held(documents=2, bytes=3)})
    book.release(DEFAULT_TENANT, "one")
    assert (book.reservations(DEFAULT_TENANT).turn, book.reservations(DEFAULT_TENANT).held) == (2, {})


def test_that_many_reserve_at_once_is_decided_by_the_database(database: SqlDatabase) -> None:
    book = SqlReservations(database)

    def reserved(number: int) -> bool:
        return book.reserve(DEFAULT_TENANT, f"c{number}", Held(documents=1), turn=0)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(reserved, range(8))).count(True) == 1


async def test_without_a_limit_nothing_is_counted_and_nothing_reserved(tmp_path: Path) -> None:
    """To count costs reads, and the catalog has one writer at a time."""

    def never() -> Held:
        raise AssertionError("nobody wanted to know")

    disk = DataFolder.open(tmp_path)
    room = StorageRoom(disk, Quotas(disk.catalog.limits, TenantLimits()), SqlReservations(disk.catalog.database))
    async with room.reserved(DEFAULT_TENANT, "one", never):
        assert SqlReservations(disk.catalog.database).reservations(DEFAULT_TENANT).held == {}
    disk.catalog.database.close()


def test_the_larger_of_both_is_taken_of_each() -> None:
    assert Held(documents=1, bytes=9) | Held(documents=5, bytes=2) == Held(documents=5, bytes=9)
