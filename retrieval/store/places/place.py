"""The contract of a store's place: where the files of its Lance dataset are, and what differs with that.

    local_place.py     a local folder: Lance syncs nothing there, so each write is synced and gets checksums
    bucket_place.py    a bucket: what was acknowledged is durable, but a call may never return

The store itself knows no path: it asks the place to open the dataset, and to run Lance's calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

import lance
import pyarrow as pa

Result = TypeVar("Result")
Item = TypeVar("Item")


class StorePlace(Protocol):
    """The files of one store. Names are relative to it, with slashes."""

    @property
    def name(self) -> str:
        """The location as users write it, for messages."""
        ...

    @property
    def collection(self) -> str:
        """The name of the collection, for messages."""
        ...

    @property
    def is_remote(self) -> bool:
        """Whether each look for a newer version is a request to another machine."""
        ...

    def read(self, call: Callable[[], Result]) -> Result:
        """Run a call that changes nothing. Errors of Lance become `StoreCorrupt`.

        Like all that follow, over a bucket it also raises `StoreUnavailable`.
        """
        ...

    def iterate(self, begin: Callable[[], Iterable[Item]]) -> Iterator[Item]:
        """Like `read`, for each step of what `begin` returns."""
        ...

    def write(self, call: Callable[[], Result]) -> Result:
        """Run a call that writes files which no version names yet, or removes some. Errors become `WriteFailed`."""
        ...

    def commit(self, call: Callable[[], Result]) -> Result:
        """Run a call that makes a new version. Errors become `WriteFailed`."""
        ...

    def is_created(self) -> bool:
        """Whether a store was completely created here."""
        ...

    def create(self, schema: pa.Schema) -> None:
        """Create an empty dataset, unless an interrupted call has."""
        ...

    def open(self) -> lance.LanceDataset:
        """Open the newest version; what the place knows of earlier writes is forgotten."""
        ...

    def read_file(self, name: str) -> bytes:
        """Return the content of a small file of our own. Raises `StoreCorrupt`."""
        ...

    def write_file(self, name: str, content: bytes) -> None:
        """Replace a small file of our own, durably and at once. Raises `WriteFailed`."""
        ...

    def require_files(self, names: Iterable[str]) -> None:
        """Raise `StoreCorrupt` if a file is missing. Reads none."""
        ...

    def sizes(self) -> Mapping[str, int]:
        """Return the bytes of each file that is there, by name."""
        ...

    def lost(self) -> Sequence[str]:
        """Return the files that were recorded, and are missing."""
        ...

    def require_sound(self) -> None:
        """Raise `WriteFailed` or `StorageMoved` if nothing may be written, or acknowledged, any more."""
        ...

    def begin(self) -> None:
        """Begin a write. Raises what `require_sound` raises."""
        ...

    def sync(self) -> None:
        """Bring everything written since the last call to the disk. Raises `WriteFailed`, also for a truncated file."""
        ...

    def record(self) -> None:
        """Record the checksums of the write's files: it may be acknowledged afterwards."""
        ...

    def prune(self) -> None:
        """Drop the records of files that no longer exist."""
        ...

    def publish_fence(self, version: int) -> bool:
        """Publish the content of `version` again as the next version; False if there is a newer one already."""
        ...

    def holding(self) -> AbstractContextManager[None]:
        """Keep all versions during the block."""
        ...

    def removing(self) -> AbstractContextManager[bool]:
        """Yield whether versions may be removed during the block, because no reader holds any."""
        ...

    def superseded(self) -> Sequence[int]:
        """Return the versions that were replaced long enough ago to be removed."""
        ...

    def require_room(self, names: Iterable[str]) -> None:
        """Raise `WriteFailed` unless there is room for copies of these files, and for what names them."""
        ...

    def remove_torn(self) -> int:
        """Remove what commits left that were torn; return the bytes."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Remove damaged files. Raises `WriteFailed`."""
        ...
