"""The versions of a Lance dataset: the newest one for readers, and the chain of commits of one writer.

Rule 1: a write reads the newest version once, renews its lease, and then builds only on versions that it made itself.
The renewal shows that no other writer had taken over when the version was read, so the version is older than any fence
of a successor, and the store refuses whatever is built on it after that fence.
Rule 2: each commit and each removal of files renews the lease first.
Rule 3: a commit whose version does not follow its base directly was rebased by Lance onto a commit of another writer.
It is reported and never acknowledged.
Rule 4: where the lease expires, it is renewed after a commit too, before that is acknowledged. If the collection was
removed and made again meanwhile, Lance accepts a late commit below the versions of the new store, which no one reads.
Rule 5: in an object store, looking for a newer version is a request. Writers announce versions with their lease before
they acknowledge them, and a reader that has what was announced does not look.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import lance
from lance.commit import CommitConflictError

from winnow.retrieval.errors import CatalogUnavailable, CollectionBusy, WriteFailed, WriterSuperseded
from winnow.retrieval.files.lease import WriterLease
from winnow.retrieval.store.lance_snapshot import LanceSnapshot
from winnow.retrieval.store.places.place import StorePlace

LOOK_SECONDS_MAX: Final = 30.0  # between two looks into the store, for commits that no writer announced
UNANSWERED_SECONDS: Final = 5.0  # for which a catalog that did not answer is not asked again
FENCE_TRIES_MAX: Final = 16  # each failed one means that a commit of an earlier writer landed just before it


class LanceCommits:
    """Reads and commits versions of one dataset. One thread writes at a time; any number of threads read."""

    def __init__(self, dataset: lance.LanceDataset, place: StorePlace, *, lease: WriterLease) -> None:
        self._place = place
        self._lease = lease
        self._newest = LanceSnapshot(dataset, place)
        self._base = self._newest  # what the next commit builds on
        self._refreshing = threading.Lock()  # readers never wait for a write
        self._look_at = 0.0  # time.monotonic(): when to look for a newer version in any case
        self._ask_at = 0.0  # when to ask the catalog again

    @property
    def base(self) -> LanceSnapshot:
        """The version that the current write has made, or began with."""
        return self._base

    def newest(self) -> LanceSnapshot:
        """Return the newest version for a reader, with everything that was acknowledged before this call."""
        with self._refreshing:
            return self._newest if self._is_announced_newest() else self._look()

    def _is_announced_newest(self) -> bool:
        """Whether writers announce a version that is open already, which spares a request to an object store."""
        now = time.monotonic()
        if not self._place.is_remote or now >= self._look_at or now < self._ask_at:
            return False
        try:
            announced = self._lease.announced()
        except CatalogUnavailable:
            self._ask_at = now + UNANSWERED_SECONDS
            return False
        return announced is not None and announced <= self._newest.version

    def _look(self) -> LanceSnapshot:
        """Open the newest version that is there. The caller holds the lock for it."""
        newest = self._newest
        latest = self._place.read(lambda: int(newest.dataset.latest_version))
        if latest != newest.version:
            dataset = self._place.read(lambda: newest.dataset.checkout_version(latest))
            self._newest = LanceSnapshot(dataset, self._place, held=newest.held)
        self._look_at = time.monotonic() + LOOK_SECONDS_MAX
        return self._newest

    def begin(self) -> None:
        """Begin a write on the newest version, and fence the store if the lease requires it.

        Raises `WriterSuperseded`, `WriteFailed`, and `CollectionBusy` if earlier writers are too fast for the fence.
        """
        for _ in range(FENCE_TRIES_MAX):
            with self._refreshing:
                base = self._look()
            if not self._lease.renew(newest=self._to_announce(base.version)):
                self._base = base
                return
            if self._place.publish_fence(base.version):
                self._place.sync()
                self._lease.fenced()
        raise CollectionBusy(f"{self._place.collection}: earlier writers still commit to it; repeat the request")

    def own(self) -> lance.LanceDataset:
        """Return the base as a separate dataset, for calls that move their dataset to a new version."""
        base = self._base
        return self._place.read(lambda: base.dataset.checkout_version(base.version))

    def commit(self, operation: lance.LanceOperation.BaseOperation, dataset: lance.LanceDataset | None = None) -> int:
        """Sync what the operation names, commit it, and return the new version; `dataset` must be of the base."""
        self._place.sync()
        base = self._base
        with self.renewed():
            committed = self._place.commit(
                lambda: lance.LanceDataset.commit(
                    dataset or base.dataset, operation, read_version=base.version, max_retries=0
                )
            )
        if int(committed.version) != base.version + 1:
            raise WriterSuperseded(f"{self._place.collection}: another process committed at the same time")
        self._confirm(int(committed.version))
        self._move_to(committed)
        return self._base.version

    def change(self, changed: Callable[[lance.LanceDataset], object]) -> None:
        """Commit with calls of Lance that commit themselves, such as those that add columns."""
        dataset = self.own()
        with self.renewed():
            self._place.commit(lambda: changed(dataset))
        self._confirm(int(dataset.version))
        self._move_to(dataset)

    def _to_announce(self, version: int) -> int:
        return version if self._place.is_remote else 0

    def _confirm(self, version: int) -> None:
        """Acknowledge a commit only under the lease: it may have landed below the versions of the next collection.

        Raises `WriterSuperseded`; the next writer may have the commit all the same.
        """
        if self._lease.expires:
            self._lease.renew(newest=self._to_announce(version))

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the lease for a block that commits or removes files.

        Raises `WriterSuperseded` if another writer has taken over, also if that is why the block failed; otherwise
        `WriteFailed`.
        """
        self._lease.renew()
        try:
            yield
        except WriteFailed as failed:
            if isinstance(failed.__cause__, CommitConflictError):
                raise WriterSuperseded(f"{self._place.collection}: another process committed first") from failed
            with suppress(CatalogUnavailable):  # then the first failure is the one to report
                self._lease.renew()
            raise

    def _move_to(self, dataset: lance.LanceDataset) -> None:
        self._place.sync()
        self._base = LanceSnapshot(dataset, self._place, held=self._base.held)
        with self._refreshing:
            if self._newest.version < self._base.version:
                self._newest = self._base
