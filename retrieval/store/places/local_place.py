"""A folder of this machine as the place of a store. Implements `StorePlace`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import lance
import pyarrow as pa

from winnow.retrieval.errors import StoreCorrupt
from winnow.retrieval.files.durable import DISK, StrictSyncer, SyncedTree, Syncer, make_folder, remove, write_file
from winnow.retrieval.files.layout import NEXT_NUMBER
from winnow.retrieval.files.sizes import size_of
from winnow.retrieval.store.checksums import StoreSums, checksums_without_file
from winnow.retrieval.store.fence import publish_fence
from winnow.retrieval.store.lance_errors import committing, reading
from winnow.retrieval.store.lance_files import require_room
from winnow.retrieval.store.retention import find_superseded, holding, try_exclusive
from winnow.retrieval.store.torn_commits import VERSIONS, manifests, set_torn_commits_aside

Result = TypeVar("Result")
Item = TypeVar("Item")


class LocalPlace:
    """A folder with a dataset. Its writer syncs what Lance writes, and records checksums."""

    def __init__(self, path: Path, *, syncer: Syncer = DISK) -> None:
        self._path = path
        self._disk = syncer
        self._start()

    def _start(self) -> None:
        self._syncer = StrictSyncer(self._disk, root=self._path)
        self._sums = StoreSums(self._path, syncer=self._syncer)
        self._tree = SyncedTree(self._path, arrived=self._sums.arrived, syncer=self._syncer)

    @property
    def name(self) -> str:
        return str(self._path)

    @property
    def collection(self) -> str:
        return self._path.parent.name

    @property
    def is_remote(self) -> bool:
        return False

    def read(self, call: Callable[[], Result]) -> Result:
        with reading(self._path):
            return call()

    def iterate(self, begin: Callable[[], Iterable[Item]]) -> Iterator[Item]:
        with reading(self._path):
            yield from begin()

    def write(self, call: Callable[[], Result]) -> Result:
        with committing(self._path):
            return call()

    def commit(self, call: Callable[[], Result]) -> Result:
        with committing(self._path):
            return call()

    def is_created(self) -> bool:
        return (self._path / NEXT_NUMBER).exists()  # written last

    def create(self, schema: pa.Schema) -> None:
        make_folder(self._path, syncer=self._disk)
        if not manifests(self._path):
            with committing(self._path):
                lance.write_dataset(schema.empty_table(), self.name, mode="create")
        SyncedTree(self._path, syncer=self._disk).sync()

    def open(self) -> lance.LanceDataset:
        self._start()
        set_torn_commits_aside(self._path)
        with reading(self._path):
            return lance.dataset(self.name)

    def read_file(self, name: str) -> bytes:
        try:
            return (self._path / name).read_bytes()
        except OSError as error:
            raise StoreCorrupt(f"{self._path / name}: {error.strerror}") from error

    def write_file(self, name: str, content: bytes) -> None:
        write_file(self._path / name, content, syncer=self._syncer)

    def require_files(self, names: Iterable[str]) -> None:
        with reading(self._path):
            for name in names:
                (self._path / name).stat()

    def sizes(self) -> Mapping[str, int]:
        return {path.relative_to(self._path).as_posix(): size_of(path) for path in self._path.rglob("*")}

    def lost(self) -> Sequence[str]:
        return checksums_without_file(self._path)

    def require_sound(self) -> None:
        self._syncer.require_sound()

    def begin(self) -> None:
        self._syncer.require_sound()
        self._sums.begin()

    def sync(self) -> None:
        self._tree.sync()

    def record(self) -> None:
        self._sums.write()

    def prune(self) -> None:
        self._sums.prune()

    def publish_fence(self, version: int) -> bool:
        return publish_fence(self._path, version)

    def holding(self) -> AbstractContextManager[None]:
        return holding(self._path)

    def removing(self) -> AbstractContextManager[bool]:
        return try_exclusive(self._path)

    def superseded(self) -> Sequence[int]:
        found = manifests(self._path)
        return find_superseded(found, now=time.time()) if found else []

    def require_room(self, names: Iterable[str]) -> None:
        require_room(self._path, [self._path / name for name in names])

    def remove_torn(self) -> int:
        removed = 0
        for torn in (self._path / VERSIONS).glob("*.torn"):
            removed += torn.stat().st_size
            torn.unlink()
        return removed

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            remove(self._path / name)
