"""A folder that all services share, or a bucket with a cache folder of each service."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.faults.replicas.services import Place
from tests.postgres import PostgresServer
from tests.s3_server import BUCKET, serving

PLACES: Final = ("folder", "bucket")


@contextlib.contextmanager
def place_at(kind: str, folder: Path, server: PostgresServer) -> Iterator[Place]:
    """One of `PLACES`, with a new catalog."""
    url = server.new()
    if kind == "folder":
        yield Place(data=str(folder / "data"), catalog_url=url)
        return
    with serving() as s3:
        yield Place(data=f"s3://{BUCKET}/replicas", catalog_url=url, variables=s3.variables, server=s3.pid)
