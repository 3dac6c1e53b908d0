"""Runs `winnow index` with the bundled embedder as a process, and reads what it left."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from bench.indexing.interrupt import COLLECTION
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.files.layout import Layout
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.tenancy import DEFAULT_TENANT

SECONDS_MAX: Final = 900  # per run; a run that takes longer hangs
LOOPBACK: Final = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0"  # else Ray replaces 127.0.0.1 by the machine's address


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that has ended well."""

    report: dict[str, Any]
    complaints: str


def start(corpus: Path, data: Path, *flags: str) -> subprocess.Popen[bytes]:
    command = [
        "env",
        LOOPBACK,
        "OMP_NUM_THREADS=1",  # as Ray gives a worker of one CPU: more threads round sums in another way
        sys.executable,
        "-m",
        "winnow.api.cli",
        "index",
        str(corpus),
        "--collection",
        COLLECTION,
    ]
    command += ["--data", str(data), "--json", "--allow-rejects", *flags]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes]) -> Ended:
    """Wait for the end of a run that was started a moment ago."""
    printed, complaints = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0, complaints.decode()
    return Ended(report=orjson.loads(printed), complaints=complaints.decode())


def rows(data: Path) -> list[tuple[int, str, int, int, bytes]]:
    """Chunk number, document, span and the bits of the vector, of every chunk in order."""
    folder = Layout(data).collection(DEFAULT_TENANT, COLLECTION)
    identity = SqlCollections(SqlDatabase.open(Layout(data).catalog)).get(DEFAULT_TENANT, COLLECTION).embedder
    snapshot = LanceStore.open(folder.corpus, dimension=identity.dimension).snapshot()
    vectors = np.concatenate([batch.vectors for batch in snapshot.vectors()])
    return [
        (chunk.number, chunk.document_id, chunk.start, chunk.end, vector.tobytes())
        for chunk, vector in zip(snapshot.chunks(snapshot.chunk_numbers().tolist()), vectors, strict=True)
    ]
