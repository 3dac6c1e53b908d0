"""A writer that lost its lease during a pause does not reach the collection that took its collection's name.

The catalog is on PostgreSQL, and both hosts share the folder. Their file locks are not seen by the other host: whoever
takes over removes them.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.builders import DIMENSION, written
from tests.postgres import TEMPLATE, PostgresServer
from winnow.api.collections.data_folder import DataFolder
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.leases.writer_lease import SqlWriterLease, WriterLeases
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import StorageMoved, WinnowError, WriterSuperseded
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.lease import WriterLease
from winnow.retrieval.store.fence import newest_version
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.tenancy import DEFAULT_TENANT

NAME = "docs"
DOCS = Collection(
    tenant=DEFAULT_TENANT,
    name=NAME,
    embedder=EmbedderIdentity(name="hash", revision="r1", dimension=DIMENSION),
    chunk_tokens=64,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)
AGAIN = replace(DOCS, created_at=DOCS.created_at + timedelta(days=1))


class PausingLease(SqlWriterLease):
    """Calls `pause` after the renewal of this number."""

    at: int = 0
    pause: Callable[[], object] = staticmethod(lambda: None)
    renewals: int = 0

    def renew(self, *, newest: int = 0) -> bool:
        must_fence = super().renew(newest=newest)
        self.renewals += 1
        if self.renewals == self.at:
            self.pause()
        return must_fence


@dataclass(frozen=True)
class Hosts:
    """Two that share a folder and a catalog; the first may pause."""

    disk: DataFolder
    first: PausingLease

    @property
    def folder(self) -> CollectionFolder:
        return self.disk.layout.collection(DEFAULT_TENANT, NAME)

    def pausing(self, at: int, pause: Callable[[], object]) -> None:
        def paused() -> None:
            for lock in self.folder.locks:
                lock.unlink(missing_ok=True)
            pause()

        self.first.at, self.first.pause, self.first.renewals = at, paused, 0

    def first_store(self) -> LanceStore:
        return LanceStore.open(self.folder.corpus, dimension=DIMENSION, lease=self.first)

    def first_writing(self) -> AbstractContextManager[None]:
        """Under a file lock that the other host does not see."""
        return self.first.writing(CollectionFolder(self.disk.layout.root / "lock-of-host-one"))

    def write(self, name: str, text: str) -> None:
        with self.disk.writing(DEFAULT_TENANT, NAME, wait_seconds=20):
            self.disk.store(self.disk.catalog.collections.get(DEFAULT_TENANT, NAME)).replace([written(name, text)])

    def texts(self) -> dict[str, str]:
        snapshot = self.disk.store(self.disk.catalog.collections.get(DEFAULT_TENANT, NAME)).snapshot()
        return {name: snapshot.document(name).text for name in snapshot.content_hashes()}


@pytest.fixture
def hosts(tmp_path: Path, postgres: PostgresServer) -> Iterator[Hosts]:
    url = postgres.new(template=TEMPLATE)
    disk = DataFolder.open(tmp_path / "data", url)
    first = PausingLease(disk.catalog.database, DEFAULT_TENANT, NAME)  # of the same host: it is taken over at once
    yield Hosts(disk=disk, first=first)
    disk.catalog.database.close()


class OneLease(WriterLeases):
    """Always the same one."""

    def __init__(self, database: SqlDatabase, lease: WriterLease) -> None:
        super().__init__(database)
        self._lease = lease

    def of(self, tenant: str, collection: str) -> WriterLease:
        return self._lease


def first_host(hosts: Hosts) -> DataFolder:
    """The same folder, with the lease that pauses."""
    catalog = hosts.disk.catalog
    return replace(hosts.disk, catalog=replace(catalog, leases=OneLease(catalog.database, hosts.first)))


WRITES: dict[str, Callable[[LanceStore], object]] = {
    "insert": lambda store: store.replace([written("late", "late")]),
    "replace": lambda store: store.replace([written("a", "late")]),
    "delete": lambda store: store.delete(["a"]),
    "words": lambda store: store.renew_words([]),
}


@pytest.mark.parametrize(("write", "commits"), [*((write, 0) for write in WRITES), ("insert", 12)])
def test_a_late_commit_does_not_reach_the_next_collection_of_the_name(hosts: Hosts, write: str, commits: int) -> None:
    """Which has fewer versions than the removed one had, or more."""
    hosts.disk.make(DOCS)
    for at in range(6):
        hosts.write("a", f"text {at}")
    store = hosts.first_store()
    before = newest_version(hosts.folder.corpus)

    def take_over() -> None:
        hosts.write("a", "by the next writer")  # after its fence
        hosts.disk.remove(DEFAULT_TENANT, NAME)
        hosts.disk.make(AGAIN)
        for at in range(commits):
            hosts.write("n", f"new {at}")

    hosts.pausing({"words": 2}.get(write, 3), take_over)
    with pytest.raises((WriterSuperseded, StorageMoved)), hosts.first_writing():
        WRITES[write](store)
    assert hosts.texts() == ({"n": f"new {commits - 1}"} if commits else {})
    assert newest_version(hosts.folder.corpus) > before
    hosts.write("z", "goes on")
    assert hosts.texts()["z"] == "goes on"


def test_without_ascending_versions_a_late_commit_reaches_it(hosts: Hosts) -> None:
    """The control: a store whose versions begin at 1."""
    hosts.disk.make(DOCS)
    for at in range(6):
        hosts.write("a", f"text {at}")
    store = hosts.first_store()
    before = newest_version(hosts.folder.corpus)

    def take_over() -> None:
        shutil.rmtree(hosts.folder.corpus)
        LanceStore.create(hosts.folder.corpus, dimension=DIMENSION)
        assert newest_version(hosts.folder.corpus) < before

    hosts.pausing(3, take_over)
    with contextlib.suppress(WriterSuperseded, StorageMoved), hosts.first_writing():
        store.replace([written("late", "late")])
    assert newest_version(hosts.folder.corpus) == before + 1


def test_a_late_commit_where_a_collection_was_removed_does_not_block_its_name(hosts: Hosts) -> None:
    """Lance creates the folder again, with a version whose data is gone."""
    hosts.disk.make(DOCS)
    hosts.write("a", "text")
    store = hosts.first_store()
    hosts.pausing(3, lambda: hosts.disk.remove(DEFAULT_TENANT, NAME))
    with pytest.raises((WriterSuperseded, StorageMoved)), hosts.first_writing():
        store.replace([written("late", "late")])
    assert hosts.folder.corpus.is_dir(), "the control: something arrived"
    hosts.disk.make(AGAIN)
    assert hosts.texts() == {}
    hosts.write("b", "text")
    assert hosts.texts() == {"b": "text"}


def test_a_late_commit_does_not_reach_a_restored_collection(hosts: Hosts) -> None:
    """Not even if the store was fenced before, by a writer that took over earlier."""
    hosts.disk.make(DOCS)
    for at in range(6):
        hosts.write("a", f"text {at}")
    store = hosts.first_store()

    def restored(folder: CollectionFolder) -> None:
        LanceStore.create(folder.corpus, dimension=DIMENSION).replace([written("r", "restored")])

    def take_over() -> None:
        hosts.write("a", "by the next writer")
        hosts.disk.bring_in(AGAIN, restored, replace=True)

    hosts.pausing(3, take_over)
    with pytest.raises((WriterSuperseded, StorageMoved)), hosts.first_writing():
        store.replace([written("late", "late")])
    assert hosts.texts() == {"r": "restored"}


def test_a_late_removal_does_not_take_the_next_collection(hosts: Hosts) -> None:
    """It paused right before it renames the folder. What it had announced stays blocked until a repair."""
    hosts.disk.make(DOCS)
    hosts.write("a", "text")

    def take_over() -> None:
        hosts.disk.make(AGAIN)
        hosts.write("b", "acknowledged")

    hosts.pausing(2, take_over)
    with pytest.raises(WinnowError):
        first_host(hosts).remove(DEFAULT_TENANT, NAME)
    assert hosts.first.renewals >= 2
    assert hosts.texts() == {"b": "acknowledged"}
    assert hosts.disk.catalog.collections.get(DEFAULT_TENANT, NAME).created_at == AGAIN.created_at


def test_a_removal_takes_everything_along(hosts: Hosts) -> None:
    """And the next collection of the name is new, but for its numbers and versions."""
    hosts.disk.make(DOCS)
    hosts.write("a", "text")
    hosts.disk.remove(DEFAULT_TENANT, NAME)
    assert not list(hosts.folder.path.parent.glob(f".{NAME}*"))
    assert not hosts.folder.path.exists()
    hosts.disk.make(AGAIN)
    hosts.write("a", "again")
    assert hosts.texts() == {"a": "again"}
    assert not list(hosts.folder.path.glob("*.tmp"))
