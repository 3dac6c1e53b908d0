"""In a bucket, a reader learns of new versions from the catalog, and asks the object store only when there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import sqlalchemy as sql

from tests.builders import DIMENSION, written
from tests.faults.fence.wire import Wire, held_on_the_wire
from tests.postgres import TEMPLATE, PostgresServer
from tests.s3_server import BUCKET, S3, serving
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.leases.writer_lease import SqlWriterLease
from winnow.retrieval.errors import CatalogUnavailable
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.lease import ONE_HOST, WriterLease
from winnow.retrieval.files.s3_access import BucketRoot
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.places.bucket import Bucket
from winnow.retrieval.store.places.bucket_place import BucketPlace


class SilentLease(SqlWriterLease):
    """A catalog that does not answer this question."""

    asked: int = 0

    def announced(self) -> int | None:
        self.asked += 1
        raise CatalogUnavailable("no answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """Two hosts with one store in a bucket; what the reading one requests is counted."""

    folder: Path
    database: SqlDatabase
    s3: S3
    wire: Wire

    def lease(self, kind: type[SqlWriterLease] = SqlWriterLease) -> SqlWriterLease:
        return kind(self.database, "default", str(self.folder))

    def open(self, lease: WriterLease, *, is_counted: bool = False) -> LanceStore:
        access = self.s3.access
        root = BucketRoot(url=f"s3://{BUCKET}/announced", access=access, answer_seconds=60)
        if is_counted:
            root = root.reached_by(replace(access, endpoint=self.wire.url))
        path = f"{self.folder.name}/corpus.lance"
        place = BucketPlace(Bucket(root), path, collection="docs", local=self.folder / "locks")
        return LanceStore.create_at(place, dimension=DIMENSION, lease=lease)

    def write(self, lease: SqlWriterLease, name: str) -> None:
        with lease.writing(CollectionFolder(self.folder), wait_seconds=5):
            self.open(lease).replace([written(name, name)])

    def documents(self, reader: LanceStore) -> list[str]:
        return sorted(reader.snapshot().content_hashes())

    def requests(self) -> int:
        """How often the reader has listed versions since the last call."""
        listings = sum("list-type=2" in each for each in self.wire.seen)
        self.wire.seen.clear()
        return listings


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> SqlDatabase:
    return SqlDatabase.open(postgres.new(template=TEMPLATE))


@pytest.fixture(scope="module")
def wired() -> Iterator[tuple[S3, Wire]]:
    with serving() as s3, held_on_the_wire(s3.url) as wire:
        yield s3, wire


@pytest.fixture
def hosts(tmp_path: Path, database: SqlDatabase, wired: tuple[S3, Wire]) -> Hosts:
    s3, wire = wired
    found = Hosts(folder=tmp_path, database=database, s3=s3, wire=wire)
    lease = found.lease()
    with lease.writing(CollectionFolder(tmp_path)):
        found.open(lease)
    found.write(lease, "a")
    return found


def test_a_reader_lists_versions_only_after_a_write(hosts: Hosts) -> None:
    """And finds what was acknowledged with its next look."""
    reader = hosts.open(hosts.lease(), is_counted=True)
    assert hosts.documents(reader) == ["a"]
    hosts.requests()
    for _ in range(5):
        reader.snapshot()
    assert hosts.requests() == 0
    for name in ("b", "c"):
        hosts.write(hosts.lease(), name)
        assert name in hosts.documents(reader)
        assert hosts.requests() > 0
        reader.snapshot()
        assert hosts.requests() == 0


def test_a_catalog_that_does_not_answer_is_not_waited_for(hosts: Hosts) -> None:
    """The reader lists versions instead, and does not ask again at once."""
    lease = hosts.lease(SilentLease)
    assert isinstance(lease, SilentLease)
    reader = hosts.open(lease, is_counted=True)
    reader.snapshot()
    hosts.write(hosts.lease(), "b")
    assert hosts.documents(reader) == ["a", "b"]
    hosts.requests()
    reader.snapshot()
    assert hosts.requests() > 0
    assert lease.asked == 1


def test_writers_that_announce_nothing_are_found_as_well(hosts: Hosts) -> None:
    """As in a rolling upgrade: an earlier winnow takes the lease, and commits without an announcement."""
    reader = hosts.open(hosts.lease(), is_counted=True)
    assert hosts.documents(reader) == ["a"]
    with hosts.database.reading() as connection:
        mine = {"collection": str(hosts.folder)}
        connection.execute(sql.text("UPDATE writer_leases SET token = token + 1 WHERE collection = :collection"), mine)
        connection.commit()
    hosts.open(ONE_HOST).replace([written("b", "b")])
    assert hosts.documents(reader) == ["a", "b"]
    hosts.requests()
    hosts.write(hosts.lease(), "c")
    assert hosts.documents(reader) == ["a", "b", "c"]
    hosts.requests()
    reader.snapshot()
    assert hosts.requests() == 0
