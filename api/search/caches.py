"""The caches of a service between requests.

Only a service has caches: a command answers once, and measurements must compute. The caches belong to this process;
other processes of the deployment have their own, and all start empty.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final, Self

from winnow.api.settings import Settings
from winnow.rerank.judgement_cache import ScoreCache
from winnow.retrieval.embed.query_cache import QueryCache
from winnow.retrieval.store.row_cache import RowCache

MEGABYTE: Final = 1_000_000  # bytes
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Caches:
    """The caches; None if there is none."""

    judgements: ScoreCache | None = None
    queries: QueryCache | None = None
    rows: RowCache | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Create the configured caches, with a secret that is new in every process."""
        secret = secrets.token_bytes(_SECRET_BYTES)
        judgements, queries = settings.judgement_cache_mb * MEGABYTE, settings.query_cache_mb * MEGABYTE
        rows = settings.text_cache_mb * MEGABYTE
        seconds = settings.cache_seconds
        return cls(
            judgements=ScoreCache(bytes_max=judgements, seconds_max=seconds, secret=secret) if judgements else None,
            queries=QueryCache(bytes_max=queries, seconds_max=seconds, secret=secret) if queries else None,
            rows=RowCache(bytes_max=rows) if rows else None,
        )


NO_CACHES: Final = Caches()
