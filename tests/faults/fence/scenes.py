"""Makes the collections of rounds: in a folder that all hosts share, or in a bucket with a cache folder for each."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.fence.leases import lease
from tests.faults.fence.paths import PATHS, StoreScene, prepared
from tests.faults.fence.rounds import Scene
from tests.faults.fence.sites import AHEAD_SECONDS, ANSWER_SECONDS, Site
from tests.faults.fence.whole import WholeScene
from tests.faults.scripted import Model
from tests.postgres import running
from tests.s3_server import BUCKET, S3, serving
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.catalog.sql.leases.writer_lease import SqlWriterLease
from winnow.retrieval.files.s3_access import BucketRoot


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """Where rounds take place: a folder of temporary files, a catalog, and perhaps a bucket."""

    base: Path
    url: str  # of the catalog
    database: SqlDatabase
    s3: S3 | None = None
    prefix: str = "fence"  # in the bucket
    _prepared: dict[str, tuple[Path, Model]] = field(default_factory=dict)
    _names: Iterator[int] = field(default_factory=itertools.count)

    def scenes_of(self, path: str, *, has_failed: bool = False, replaces: bool = False) -> Callable[[], Scene]:
        """Return what makes a new collection for each round of this path."""
        if path in PATHS:
            return lambda: self.store_scene(path, has_failed=has_failed, replaces=replaces)
        bucket = self.bucket_root("-whole")
        return lambda: WholeScene(
            path=path, root=self.base / "whole", url=self.url, name=f"c{next(self._names)}", bucket=bucket
        )

    def store_scene(self, path: str, *, has_failed: bool = False, replaces: bool = False) -> StoreScene:
        if path not in self._prepared:
            folder = Path(tempfile.mkdtemp(prefix="prepared-", dir=self.base)) / "data"
            self._prepared[path] = folder, prepared(path, folder)
        folder, before = self._prepared[path]
        site = self.new_site()
        site.fill(folder)
        return StoreScene(path=path, site=site, before=before, has_failed=has_failed, replaces=replaces)

    def new_site(self) -> Site:
        root = Path(tempfile.mkdtemp(prefix="run-", dir=self.base)) / "data"
        ahead_seconds = 0.0 if self.s3 is None else AHEAD_SECONDS
        return Site(name=str(root), root=root, bucket=self.bucket_root(""), ahead_seconds=ahead_seconds)

    def lease(self, site: Site, *, host: str = "one") -> SqlWriterLease:
        return lease(SqlWriterLease, self.database, site.name, host=host)

    def bucket_root(self, suffix: str) -> BucketRoot | None:
        if self.s3 is None:
            return None
        return BucketRoot(
            url=f"s3://{BUCKET}/{self.prefix}{suffix}", access=self.s3.access, answer_seconds=ANSWER_SECONDS
        )


@contextmanager
def grounds_in(place: str) -> Iterator[Grounds]:
    """Start a PostgreSQL, and for the place "bucket" an S3 server."""
    with tempfile.TemporaryDirectory(prefix="fence-") as base, running() as server:
        url = server.new()
        database = SqlDatabase.open(url)
        if place == "folder":
            yield Grounds(base=Path(base), url=url, database=database)
            return
        with serving() as s3:
            yield Grounds(base=Path(base), url=url, database=database, s3=s3)
