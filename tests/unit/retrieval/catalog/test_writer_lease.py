"""One writer of all hosts holds a collection's lease; the others wait, and a superseded one learns it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sql

from tests.postgres import TEMPLATE, PostgresServer
from tests.unit.retrieval.files.turns import TURNS_MAX, turns_of_the_other
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.leases.writer_lease import NEXT, SqlWriterLease, WriterLeases
from winnow.retrieval.errors import CollectionBusy, DocumentNotFound, WriteFailed, WriterSuperseded
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.lease import ONE_HOST


@pytest.fixture
def catalog(postgres: PostgresServer) -> Iterator[SqlDatabase]:
    database = SqlDatabase.open(postgres.new(template=TEMPLATE))
    yield database
    database.close()


def lease(database: SqlDatabase, host: str, *, seconds: float = 9.0) -> SqlWriterLease:
    return SqlWriterLease(database, "default", "docs", host=host, lease_seconds=seconds)


def folder(tmp_path: Path, name: str) -> CollectionFolder:
    """Another lock file for each host."""
    (tmp_path / name).mkdir(exist_ok=True)
    return CollectionFolder(tmp_path / name)


def test_another_host_waits_until_the_lease_is_released(catalog: SqlDatabase, tmp_path: Path) -> None:
    one, two = lease(catalog, "one"), lease(catalog, "two")
    with one.writing(folder(tmp_path, "one")), pytest.raises(CollectionBusy), two.writing(folder(tmp_path, "two")):
        pass
    with two.writing(folder(tmp_path, "two")):
        assert not two.renew(), "nothing to fence after a release"


def test_a_host_that_asks_again_at_once_does_not_keep_the_lease(catalog: SqlDatabase, tmp_path: Path) -> None:
    one, two = lease(catalog, "one"), lease(catalog, "two")
    for _ in range(3):
        turns = turns_of_the_other(
            lambda seconds: one.writing(folder(tmp_path, "one"), wait_seconds=seconds),
            lambda seconds: two.writing(folder(tmp_path, "two"), wait_seconds=seconds),
        )
        assert turns <= TURNS_MAX


def test_a_host_that_stopped_waiting_keeps_nobody_out(catalog: SqlDatabase, tmp_path: Path) -> None:
    """Neither one that gave up, nor one that died: what it said expires."""
    one, two, three = (lease(catalog, host) for host in ("one", "two", "three"))
    in_vain = two.writing(folder(tmp_path, "two"), wait_seconds=0.1)
    with one.writing(folder(tmp_path, "one")), pytest.raises(CollectionBusy), in_vain:
        pass
    with three.writing(folder(tmp_path, "three")):
        pass
    with catalog.writing() as connection:
        soon = "extract(epoch from clock_timestamp()) * 1000 + 1500"
        died = f"UPDATE writer_leases SET expires_ms = {soon} WHERE collection = :name"  # noqa: S608
        connection.execute(sql.text(died), {"name": f"docs{NEXT}"})
    with pytest.raises(CollectionBusy), three.writing(folder(tmp_path, "three")):
        pass
    with three.writing(folder(tmp_path, "three"), wait_seconds=30.0):
        pass


def test_another_host_takes_an_expired_lease_and_fences(catalog: SqlDatabase, tmp_path: Path) -> None:
    """The first goes on until then, and learns of it at its next renewal."""
    one, two = lease(catalog, "one", seconds=0.0), lease(catalog, "two")
    with one.writing(folder(tmp_path, "one")):
        assert not one.renew(), "expired, but taken by nobody"
        with two.writing(folder(tmp_path, "two"), wait_seconds=30.0):
            assert two.renew()
            with pytest.raises(WriterSuperseded):
                one.renew()
            with pytest.raises(WriterSuperseded):
                one.take_numbers(1, least=0)
            two.fenced()
            assert not two.renew()


def test_a_process_of_the_same_host_need_not_wait_for_a_dead_one(catalog: SqlDatabase, tmp_path: Path) -> None:
    """It has the file lock, so the holder has ended: killed, for one."""
    dead, next_ = lease(catalog, "one"), lease(catalog, "one")
    with dead.writing(folder(tmp_path, "dead")), next_.writing(folder(tmp_path, "next")):
        assert next_.renew()


def test_a_failed_holder_leaves_a_fence_to_publish_until_one_did(catalog: SqlDatabase, tmp_path: Path) -> None:
    one, two, three = (lease(catalog, host) for host in ("one", "two", "three"))
    with pytest.raises(WriteFailed), one.writing(folder(tmp_path, "one")):
        raise WriteFailed
    with two.writing(folder(tmp_path, "two")):
        assert two.renew()
    with three.writing(folder(tmp_path, "three")):
        assert three.renew(), "the second released it without a fence"
        three.fenced()
    with one.writing(folder(tmp_path, "one")):
        assert not one.renew()


def test_a_refused_request_leaves_nothing_to_fence(catalog: SqlDatabase, tmp_path: Path) -> None:
    one = lease(catalog, "one")
    with suppress(DocumentNotFound), one.writing(folder(tmp_path, "one")):
        raise DocumentNotFound
    with one.writing(folder(tmp_path, "one")):
        assert not one.renew()


def test_a_chunk_number_is_reserved_once(catalog: SqlDatabase, tmp_path: Path) -> None:
    """Also where a file, which an earlier writer may still write, says less."""
    one, two = lease(catalog, "one"), lease(catalog, "two")
    with one.writing(folder(tmp_path, "one")):
        assert one.take_numbers(3, least=10) == 10
        assert one.take_numbers(2, least=0) == 13
    with two.writing(folder(tmp_path, "two")):
        assert two.take_numbers(1, least=11) == 15
        assert two.take_numbers(1, least=20) == 20


def test_a_catalog_in_a_file_has_no_leases(tmp_path: Path) -> None:
    assert WriterLeases(SqlDatabase.open(tmp_path / "catalog.sqlite")).of("default", "docs") is ONE_HOST


def test_one_host_builds_generations_while_another_writes(catalog: SqlDatabase, tmp_path: Path) -> None:
    one, two = lease(catalog, "one"), lease(catalog, "two")
    with one.folding(folder(tmp_path, "one")):
        one.still_folding()
        with pytest.raises(CollectionBusy), two.folding(folder(tmp_path, "two")):
            pass
        with two.writing(folder(tmp_path, "two")):
            assert two.take_numbers(1, least=7) == 7
    with two.folding(folder(tmp_path, "two")):
        two.still_folding()


def test_a_builder_that_lost_its_right_does_not_publish(catalog: SqlDatabase, tmp_path: Path) -> None:
    """It paused until the right expired and another host began to build."""
    one, two = lease(catalog, "one", seconds=0.0), lease(catalog, "two")
    with one.folding(folder(tmp_path, "one")):
        one.still_folding()
        with two.folding(folder(tmp_path, "two"), wait_seconds=30.0), pytest.raises(CollectionBusy):
            one.still_folding()
