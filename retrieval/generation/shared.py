"""Generations in a bucket: one host builds, and the others fetch what it built.

    generations/g000007              the folder of its files, and the manifest's SHA-256; written last, and only once
    generations/g000007.5f0c9a1e/    manifest.json and the files that it names, as in a folder

Rule 1: the short object is the publication. It is put on the condition that there is none of its name, so of two hosts
that built under one name, one learns that it came too late.
Rule 2: files are fetched into a folder that is not a generation yet. Each is compared with its SHA-256 in the manifest,
and the manifest with that in the short object, before the folder gets its name and becomes current.
Rule 3: each host has a pointer of its own, which follows the newest publication. After a rollback it stays until
something newer is published, as in a folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Final

from winnow.retrieval.errors import CollectionBusy, GenerationCorrupt
from winnow.retrieval.files.durable import DISK, make_folder, remove, write_errors, write_file
from winnow.retrieval.files.layout import (
    MANIFEST_FILE,
    MANIFEST_SUM_FILE,
    CollectionFolder,
    require_created_at,
)
from winnow.retrieval.files.lease import WriterLease
from winnow.retrieval.files.locks import folding
from winnow.retrieval.generation.manifest import Manifest, read_manifest
from winnow.retrieval.generation.open import check_files
from winnow.retrieval.generation.pointer import NAME, current_name, moving, names, ordinal, rolled_back
from winnow.retrieval.store.places.bucket import Bucket

_FOLDER: Final = "generations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A generation in the bucket."""

    name: str
    folder: str  # of its files
    sha256: str  # of its manifest


class SharedGenerations:
    """The generations of one collection in a bucket. Raises `StoreUnavailable`."""

    def __init__(self, bucket: Bucket, path: str, *, make_room: Callable[[int], object]) -> None:
        """`path` is the collection's, below the bucket's root. `make_room` is called with the bytes of each fetch."""
        self._bucket = bucket
        self._path = f"{path}/{_FOLDER}"
        self._make_room = make_room

    def newest(self) -> Publication | None:
        """Return the newest publication, or None."""
        published = self._names(each.name for each in self._bucket.listed(self._path))
        return self._publication(max(published, key=ordinal)) if published else None

    def publish(self, generation: Path, manifest: Manifest) -> None:
        """Upload a complete generation. Raises `CollectionBusy` if another host has published one of its name."""
        folder = f"{manifest.name}.{token_hex(4)}"
        for file in manifest.files:
            self._bucket.upload(f"{self._path}/{folder}/{file}", generation / file)
        content = (generation / MANIFEST_FILE).read_bytes()
        self._bucket.put(f"{self._path}/{folder}/{MANIFEST_FILE}", content)
        said = f"{folder} {hashlib.sha256(content).hexdigest()}\n"
        if not self._bucket.put_new(f"{self._path}/{manifest.name}", said.encode("ascii")):
            raise CollectionBusy(f"another host has published {manifest.name} first")

    def fetch(self, publication: Publication, into: Path) -> Manifest:
        """Download a generation into an empty folder, and check all of it. Raises `GenerationCorrupt`."""
        source = f"{self._path}/{publication.folder}"
        content = self._bucket.get(f"{source}/{MANIFEST_FILE}")
        if content is None or hashlib.sha256(content).hexdigest() != publication.sha256:
            raise GenerationCorrupt(f"{publication.name} in the bucket differs from what was published, or was removed")
        write_file(into / MANIFEST_FILE, content)
        write_file(into / MANIFEST_SUM_FILE, publication.sha256.encode("ascii"))
        manifest = read_manifest(into)
        self._make_room(sum(facts.bytes for facts in manifest.files.values()))
        for file in manifest.files:
            if not self._bucket.download(f"{source}/{file}", into / file):
                raise GenerationCorrupt(f"{file} of {publication.name} is missing in the bucket")
            DISK.sync(into / file)
        DISK.sync(into)
        return check_files(into)

    def keep(self, count: int) -> None:
        """Remove all but the newest publications, and files that belong to none. The caller builds generations."""
        objects = [each.name for each in self._bucket.listed(self._path)]
        published = sorted(self._names(objects), key=ordinal, reverse=True)
        kept = {found.folder for name in published[:count] if (found := self._publication(name)) is not None}
        self._bucket.remove([f"{self._path}/{name}" for name in published[count:]])
        newest = ordinal(published[0]) if published else 0
        self._bucket.remove(
            [
                name
                for name in objects
                if (folder := self._folder_of(name)) and folder not in kept and _ordinal_of(folder) <= newest
            ]
        )

    def _publication(self, name: str) -> Publication | None:
        content = self._bucket.get(f"{self._path}/{name}")
        if content is None:  # removed since it was listed
            return None
        folder, _, sha256 = content.decode("ascii", errors="replace").strip().partition(" ")
        return Publication(name=name, folder=folder, sha256=sha256)

    def _names(self, objects: Iterable[str]) -> list[str]:
        found = (name.removeprefix(f"{self._path}/") for name in objects)
        return [name for name in found if NAME.fullmatch(name)]

    def _folder_of(self, name: str) -> str:
        return name.removeprefix(f"{self._path}/").rpartition("/")[0]


def require_newest_here(folder: CollectionFolder, shared: SharedGenerations, *, is_damaged: bool = False) -> int:
    """Return the number of the newest generation, here or in the bucket.

    Raises `CollectionBusy` if another host has published one that is not here, unless that `is_damaged`: it must be
    fetched, not built again.
    """
    newest = shared.newest()
    if newest is not None and not is_damaged and _is_wanted(folder, newest):
        raise CollectionBusy(f"another host has just published {newest.name}")
    return max(0 if newest is None else ordinal(newest.name), *map(ordinal, names(folder)), _acknowledged(folder))


def fetch_newest(
    folder: CollectionFolder,
    shared: SharedGenerations,
    *,
    made_at: datetime,
    lease: WriterLease,
    wait_seconds: float = 0.0,
) -> Manifest | None:
    """Fetch the newest generation and make it current here; None if nothing newer is published.

    Raises `CollectionBusy` if another process of this host builds or fetches for longer than `wait_seconds`, or if the
    pointer was moved meanwhile; `GenerationCorrupt`, `StoreUnavailable`, `WriteFailed`.
    """
    newest = shared.newest()
    if newest is None or not _is_wanted(folder, newest):
        return None
    with folding(folder, wait_seconds=wait_seconds):
        if not _is_wanted(folder, newest):  # another process of this host has fetched it
            return None
        before = current_name(folder)
        make_folder(folder.generations)
        beside = folder.generations / f"{newest.name}.{token_hex(4)}.tmp"
        make_folder(beside)
        try:
            manifest = shared.fetch(newest, beside)
            with moving(folder, lease) as move:
                require_created_at(folder, made_at)
                if current_name(folder) != before or not _is_wanted(folder, newest):
                    raise CollectionBusy(
                        f"{folder.path.name} was rolled back or removed while {newest.name} was fetched"
                    )
                remove(folder.generations / newest.name)  # of a build that was never current
                with write_errors(folder.generations):
                    beside.rename(folder.generations / newest.name)
                DISK.sync(folder.generations)
                move.begin()
                move.point(newest.name)
        finally:
            remove(beside)
        return manifest


def _is_wanted(folder: CollectionFolder, newest: Publication) -> bool:
    """Whether it is newer than what was current here, or is current and its folder is gone."""
    known = _acknowledged(folder)
    is_gone = newest.name not in names(folder)
    return ordinal(newest.name) > known or (ordinal(newest.name) == known and is_gone)


def _acknowledged(folder: CollectionFolder) -> int:
    current, rollback = current_name(folder), rolled_back(folder)
    return max(ordinal(current) if current else 0, ordinal(rollback.newest) if rollback else 0)


def _ordinal_of(folder: str) -> int:
    name = folder.partition(".")[0]
    return ordinal(name) if NAME.fullmatch(name) else 0
