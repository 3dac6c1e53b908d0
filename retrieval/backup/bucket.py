"""A bucket as the location of a snapshot, through the object store that Lance includes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lance.file import LanceFileSession

from winnow.retrieval.backup.place import Advanced
from winnow.retrieval.errors import SnapshotCorrupt, SnapshotUnreachable, WriteFailed
from winnow.retrieval.files.durable import FileFacts, facts_of
from winnow.retrieval.files.s3_access import S3Access
from winnow.retrieval.store.lance_errors import FOREIGN, panics
from winnow.retrieval.store.places.object_store import hint_for, options_of, said_by


class BucketPlace:
    """`s3://BUCKET/PREFIX`. Implements `Place`."""

    def __init__(self, url: str, access: S3Access) -> None:
        self._url = url.rstrip("/")
        self._access = access
        with self._translate_errors("cannot be opened"):
            self._files = LanceFileSession(self._url, storage_options=options_of(access))

    @property
    def name(self) -> str:
        return self._url

    def names(self) -> list[str]:
        with self._translate_errors("cannot be listed"):
            return sorted(self._files.list())

    def put(self, name: str, source: Path, advanced: Advanced) -> FileFacts:
        try:
            facts = facts_of(source)
        except OSError as error:
            raise WriteFailed(f"{source}: {error.strerror}") from error
        with self._translate_errors(f"{name} cannot be written"):
            self._files.upload_file(source, name)
        advanced(facts.bytes)
        return facts

    def get(self, name: str, target: Path, advanced: Advanced) -> FileFacts:
        with self._translate_errors(f"{name} cannot be read"):
            if not self._files.contains(name):
                raise SnapshotCorrupt(f"{self.name}: {name} is missing")
            self._files.download_file(name, target)
        try:
            facts = facts_of(target)
        except OSError as error:
            raise WriteFailed(f"{target}: {error.strerror}") from error
        advanced(facts.bytes)
        return facts

    def remove(self, name: str) -> None:
        with self._translate_errors(f"{name} cannot be removed"):
            self._files.delete_file(name)

    @contextmanager
    def _translate_errors(self, what: str) -> Iterator[None]:
        try:
            with panics():
                yield
        except FOREIGN as error:
            said = said_by(str(error), self._access.secrets)
            # The cause would put the whole reply into a traceback.
            raise SnapshotUnreachable(f"{self.name}: {what} ({said}){hint_for(said)}") from None
