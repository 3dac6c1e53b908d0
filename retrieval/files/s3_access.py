"""Access to an S3-compatible object store, and the part of it that a deployment owns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

CACHE_BYTES_MAX: Final = 20_000_000_000
ANSWER_SECONDS: Final = 20.0  # for one read; a store that is silent for longer is reported as unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Access:
    """How to reach an S3-compatible store. Its client looks up whatever is None, as on AWS."""

    endpoint: str | None = None  # http://HOST:PORT; None means AWS
    region: str | None = None
    key_id: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets that no message may contain."""
        return tuple(each for each in (self.key_id, self.secret, self.session_token) if each)


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketRoot:
    """A prefix of a bucket that holds the collections of a deployment."""

    url: str  # s3://BUCKET/PREFIX
    access: S3Access = field(repr=False)
    answer_seconds: float = ANSWER_SECONDS
    cache_bytes_max: int = CACHE_BYTES_MAX  # of indexes in this host's cache

    def reached_by(self, access: S3Access) -> BucketRoot:
        """Return the same prefix with this access."""
        return replace(self, access=access)

    def caching(self, bytes_max: int) -> BucketRoot:
        """Return the same prefix with this bound of its local cache."""
        return replace(self, cache_bytes_max=bytes_max)

    def cache_in(self, folder: Path) -> Path:
        """Return the folder of this prefix's local cache among those of others."""
        return folder / hashlib.sha256(f"{self.access.endpoint or ''} {self.url}".encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return self.url

    @property
    def bucket(self) -> str:
        return self.url.removeprefix("s3://").partition("/")[0]

    @property
    def prefix(self) -> str:
        """Without slashes at its ends."""
        return self.url.removeprefix("s3://").partition("/")[2]
