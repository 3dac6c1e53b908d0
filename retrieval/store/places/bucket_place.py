"""A prefix of a bucket as the place of a store. Implements `StorePlace`.

Rule 1: an object that was acknowledged is durable and has the store's own checksums; nothing is synced or summed here.
Rule 2: Lance never repeats a request. Sent twice, a conditional put may land, and then be taken for a conflict with
itself: Lance would commit the same rows again. Calls that commit nothing are repeated here instead.
Rule 3: each call has a wall clock. A commit that is late may still land; its writer never acknowledges it, gives up its
lease as one that failed, and its successor fences the store.
Rule 4: while the store is silent, calls fail at once, and one at a time asks (retrieval/concurrency/silence.py).
Rule 5: versions go hours after they were replaced, because readers on other hosts cannot be seen. Readers of this host
hold theirs by a lock in a local folder.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, TypeVar

import lance
import pyarrow as pa

from winnow.retrieval.errors import StoreCorrupt, StoreUnavailable, WinnowError, WriteFailed
from winnow.retrieval.files.durable import make_folder
from winnow.retrieval.files.layout import NEXT_NUMBER
from winnow.retrieval.store.fence import TRANSACTIONS, fence_files
from winnow.retrieval.store.lance_errors import FOREIGN, committing, panics
from winnow.retrieval.store.places.bucket import Bucket, Listed
from winnow.retrieval.store.places.object_store import hint_for, is_unanswered, options_of, said_by
from winnow.retrieval.store.places.wall_clock import CLOCK, Late
from winnow.retrieval.store.retention import holding, try_exclusive
from winnow.retrieval.store.torn_commits import VERSIONS, manifest_of, version_of

Result = TypeVar("Result")
Item = TypeVar("Item")

COMMIT_SECONDS: Final = 60.0  # a manifest and a transaction
WRITE_SECONDS: Final = 900.0  # a compaction, or a segment of the full-text index
TRIES_MAX: Final = 3  # of a call that commits nothing
PAUSE_SECONDS: Final = 0.2  # before the next try
SUPERSEDED_SECONDS: Final = 6 * 3_600.0  # longer than a build of an index takes, and than any other reader
_END: Final = object()


class BucketPlace:
    """A dataset below the root of a bucket, with a local folder for the locks of this host's readers."""

    def __init__(
        self, bucket: Bucket, path: str, *, collection: str, local: Path, clock: Callable[[], float] = time.time
    ) -> None:
        """`path` is relative to the bucket's root. `clock` gives seconds since 1970, for the age of old versions."""
        self._bucket = bucket
        self._path = path
        self._collection = collection
        self._local = local
        self._clock = clock
        self._seconds = bucket.root.answer_seconds
        self._secrets = bucket.root.access.secrets
        self._options = options_of(bucket.root.access) | {
            "timeout": f"{self._seconds:.0f}s",
            "connect_timeout": "5s",
            "client_max_retries": "0",
            "client_retry_timeout": "1",
            "download_retry_count": "0",
        }

    @property
    def name(self) -> str:
        return f"{self._bucket.root.url}/{self._path}"

    @property
    def collection(self) -> str:
        return self._collection

    @property
    def is_remote(self) -> bool:
        return True

    def read(self, call: Callable[[], Result]) -> Result:
        return self._run(call, seconds=self._seconds, tries=TRIES_MAX, failure=StoreCorrupt)

    def iterate(self, begin: Callable[[], Iterable[Item]]) -> Iterator[Item]:
        steps = self.read(lambda: iter(begin()))

        def step() -> Item | object:
            return next(steps, _END)

        while (item := self._run(step, seconds=self._seconds, tries=1, failure=StoreCorrupt)) is not _END:
            yield item  # type: ignore[misc]  # `_END` was just excluded

    def write(self, call: Callable[[], Result]) -> Result:
        return self._run(call, seconds=WRITE_SECONDS, tries=TRIES_MAX, failure=WriteFailed)

    def commit(self, call: Callable[[], Result]) -> Result:
        return self._run(call, seconds=COMMIT_SECONDS, tries=1, failure=WriteFailed)

    def is_created(self) -> bool:
        return self._bucket.get(f"{self._path}/{NEXT_NUMBER}") is not None

    def create(self, schema: pa.Schema) -> None:
        if not self._manifests():
            empty = schema.empty_table()
            self.commit(lambda: lance.write_dataset(empty, self.name, mode="create", storage_options=self._options))

    def open(self) -> lance.LanceDataset:
        make_folder(self._local)
        return self.read(lambda: lance.dataset(self.name, storage_options=self._options))

    def read_file(self, name: str) -> bytes:
        content = self._bucket.get(f"{self._path}/{name}")
        if content is None:
            raise StoreCorrupt(f"{self.name}/{name} is missing")
        return content

    def write_file(self, name: str, content: bytes) -> None:
        self._bucket.put(f"{self._path}/{name}", content)

    def require_files(self, names: Iterable[str]) -> None:
        wanted = list(names)
        folders = {name.partition("/")[0] for name in wanted}
        present = {each.name for folder in folders for each in self._bucket.listed(f"{self._path}/{folder}")}
        for name in wanted:
            if f"{self._path}/{name}" not in present:
                raise StoreCorrupt(f"{self.name}/{name} is missing")

    def sizes(self) -> Mapping[str, int]:
        return {each.name.removeprefix(f"{self._path}/"): each.bytes for each in self._bucket.listed(self._path)}

    def lost(self) -> Sequence[str]:
        return []

    def require_sound(self) -> None:
        """Nothing to check: an object is written or not."""

    def begin(self) -> None:
        """Nothing to prepare."""

    def sync(self) -> None:
        """Nothing to sync: an acknowledged object is durable."""

    def record(self) -> None:
        """Nothing to record: the object store has checksums."""

    def prune(self) -> None:
        """Nothing was recorded."""

    def publish_fence(self, version: int) -> bool:
        """Make the version in a local folder, and put its manifest under the next number unless there is one."""
        with (
            committing(Path(tempfile.gettempdir())),
            fence_files(self.read_file(manifest_of(version)), version) as made,
        ):
            for transaction in made.transactions:
                self.write_file(f"{TRANSACTIONS}/{transaction.name}", transaction.read_bytes())
            return self._bucket.put_new(f"{self._path}/{manifest_of(version + 1)}", made.manifest.read_bytes())

    def holding(self) -> AbstractContextManager[None]:
        return holding(self._local)

    def removing(self) -> AbstractContextManager[bool]:
        return try_exclusive(self._local)

    def superseded(self) -> Sequence[int]:
        now, found = self._clock(), self._manifests()
        return [
            version_of(each.name)
            for each, replaced_by in zip(found[1:], found, strict=False)
            if now - replaced_by.written_at > SUPERSEDED_SECONDS
        ]

    def require_room(self, names: Iterable[str]) -> None:
        """A bucket has no end."""

    def remove_torn(self) -> int:
        return 0

    def remove(self, names: Iterable[str]) -> None:
        assert not list(names), "only files with a recorded checksum can be damaged. This is a bug."

    def _manifests(self) -> list[Listed]:
        """Return the manifests, newest first."""
        return [each for each in self._bucket.listed(f"{self._path}/{VERSIONS}") if each.name.endswith(".manifest")]

    def _run(self, call: Callable[[], Result], *, seconds: float, tries: int, failure: type[WinnowError]) -> Result:
        until, silence = time.monotonic() + seconds, self._bucket.silence
        while True:
            tries -= 1
            self._bucket.require_answering()
            began = time.monotonic()
            try:
                with panics():
                    result = CLOCK.run(call, seconds=max(0.0, until - began))
            except Late as late:
                silence.unanswered(str(late), seconds=time.monotonic() - began)
                raise StoreUnavailable(f"{self._bucket.root.url}: {late}") from None
            except FOREIGN as error:
                said = said_by(str(error), self._secrets)
                if not is_unanswered(str(error)):
                    silence.answered()
                    raise failure(f"{self.name}: {said}") from error
                silence.unanswered(said, seconds=time.monotonic() - began)
                if tries == 0 or time.monotonic() + PAUSE_SECONDS > until:
                    # The cause would put the whole reply into a traceback.
                    raise StoreUnavailable(f"{self._bucket.root.url}: {said}{hint_for(said)}") from None
                time.sleep(PAUSE_SECONDS)
            else:
                silence.answered()
                return result
