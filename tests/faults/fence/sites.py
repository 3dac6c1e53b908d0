"""Where the collection of two writers is: in a folder that both share, or in a bucket with a cache folder of each.

A site is that collection as one host sees it. A bucket's objects are copied from a prepared folder, file by file: Lance
writes the same files at both. The first host's clock is ahead, so that its clean-ups find old versions.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.faults.scripted import DIMENSION, folder_of
from winnow.api.collections.folder_moves import exchanging, take_away
from winnow.retrieval.errors import StorageError
from winnow.retrieval.files.durable import make_folder, remove
from winnow.retrieval.files.layout import CollectionFolder
from winnow.retrieval.files.lease import WriterLease
from winnow.retrieval.files.s3_access import BucketRoot
from winnow.retrieval.generation.manifest import read_manifest
from winnow.retrieval.generation.pointer import current_name, moving, names
from winnow.retrieval.generation.shared import SharedGenerations
from winnow.retrieval.store.checksums import checksum_fault, find_damage
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.store.places.bucket import Bucket
from winnow.retrieval.store.places.bucket_place import BucketPlace
from winnow.retrieval.store.succession import create_successor, pass_versions

AHEAD_SECONDS: Final = 7 * 3_600.0  # more than for how long a bucket keeps what was replaced
ANSWER_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The collection, from one host."""

    name: str  # of its lease
    root: Path  # the data folder; with a bucket, this host's cache
    bucket: BucketRoot | None = None
    made: str = "first"  # a collection that is made again has another prefix
    ahead_seconds: float = 0.0  # of this host's clock

    @property
    def folder(self) -> CollectionFolder:
        return folder_of(self.root)

    @property
    def path(self) -> str:
        """Below the bucket's root."""
        return f"{self.root.parent.name}/{self.made}"

    def open(self, lease: WriterLease) -> LanceStore:
        if self.bucket is None:
            return LanceStore.open(self.folder.corpus, dimension=DIMENSION, lease=lease)
        return LanceStore.open_at(self._place(self.bucket), dimension=DIMENSION, lease=lease)

    def fill(self, prepared: Path) -> None:
        """Copy a prepared data folder to here."""
        shutil.copytree(prepared, self.root)
        if self.bucket is not None:
            bucket = Bucket(self.bucket)
            for file in sorted(self.folder.corpus.rglob("*")):
                if file.is_file():
                    name = file.relative_to(self.folder.corpus).as_posix()
                    bucket.put(f"{self.path}/corpus.lance/{name}", file.read_bytes())
            remove(self.folder.corpus)
            shared = self.shared
            assert shared is not None
            for name in reversed(names(self.folder)):
                shared.publish(self.folder.generations / name, read_manifest(self.folder.generations / name))

    @property
    def shared(self) -> SharedGenerations | None:
        """The generations that all hosts share."""
        if self.bucket is None:
            return None
        return SharedGenerations(Bucket(self.bucket), self.path, make_room=lambda _: None)

    def seen_by_another(self) -> Site:
        """Return the site of the host that takes over."""
        if self.bucket is None:
            return self
        other = replace(self, root=self.root.with_name("another"), ahead_seconds=0.0)
        make_folder(other.folder.generations)
        return other

    def made_again(self, lease: WriterLease) -> Site:
        """Remove the collection, and create an empty one of its name."""
        if self.bucket is not None:
            again = replace(self, made="second")
            Bucket(self.bucket).remove_below(self.path)
            LanceStore.create_at(again._place(self.bucket), dimension=DIMENSION, lease=lease)
            return again
        pass_versions(self.folder.corpus, lease)
        remove(take_away(self.folder, lease))
        with exchanging(self.folder, lease) as exchange:
            create_successor(exchange.new.corpus, before=self.folder.corpus, dimension=DIMENSION, lease=lease)
            make_folder(exchange.new.generations)
            with moving(self.folder, lease):
                exchange.run()
        return self

    def faults(self, store: LanceStore) -> list[str]:
        """Return what is wrong with the files. In a bucket the object store has their checksums."""
        try:
            store.require_usable()
        except StorageError as error:
            return [error.message]
        if self.bucket is not None:
            return self._faults_of_shared()
        found = [damage.said for damage in find_damage(self.folder.corpus)]
        fault = checksum_fault(self.folder.corpus)
        return found if fault is None else [*found, fault]

    def _faults_of_shared(self) -> list[str]:
        """Fetch the newest generation: it must be the one that is current at this host."""
        assert self.shared is not None
        newest, current = self.shared.newest(), current_name(self.folder)
        if newest is None or newest.name != current:
            return [f"{newest} is the newest in the bucket instead of {current}"]
        into = self.root.with_name("fetched") / f"{newest.name}.tmp"
        make_folder(into)
        self.shared.fetch(newest, into)
        return []

    def through(self, endpoint: str) -> Site:
        """Return the same site, with the bucket reached at another address."""
        assert self.bucket is not None
        access = replace(self.bucket.access, endpoint=endpoint)
        return replace(self, bucket=self.bucket.reached_by(access))

    def _place(self, root: BucketRoot) -> BucketPlace:
        return BucketPlace(
            Bucket(root),
            f"{self.path}/corpus.lance",
            collection=self.name,
            local=self.folder.corpus,
            clock=lambda: time.time() + self.ahead_seconds,
        )
