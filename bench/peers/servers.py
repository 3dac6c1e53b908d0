"""Starts winnow and Chroma as servers, and asks both over HTTP with one client."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import httpx2
import orjson

from bench.peers.material import COLLECTION, GROUPS, Material

READY_SECONDS_MAX: Final = 120
TIMEOUT_SECONDS: Final = 120.0
EF_SEARCH: Final = 100  # neighbours that Chroma looks at by default
BATCH: Final = 500  # chunks written to Chroma at once
CHROMA: Final = "/api/v2/tenants/default_tenant/databases/default_database/collections"


class Server(Protocol):
    """A store behind HTTP."""

    @property
    def name(self) -> str: ...

    @property
    def process(self) -> subprocess.Popen[bytes]: ...

    def search(self, query: int, k: int, *, group: int | None = None) -> list[str]:
        """Return the ids of the `k` nearest chunks, with texts and attributes in the answer. Thread-safe."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Winnow:
    """`winnow serve`: recall only, by meaning, as Chroma does."""

    process: subprocess.Popen[bytes]
    folder: Path
    client: httpx2.Client
    material: Material
    name: str = "winnow"

    def search(self, query: int, k: int, *, group: int | None = None) -> list[str]:
        body: dict[str, Any] = {
            "query": self.material.queries[query],
            "collection": COLLECTION,
            "recall": "dense",
            "rerank": False,
            "top_k": k,
            "candidates": k,
        }
        if group is not None:
            body["filter"] = {"type": "eq", "key": "group", "value": group}
        answer = self.client.post("/v1/search", json=body).raise_for_status().json()
        return [f"{each['document_id']}:{each['chunk']['ordinal']}" for each in answer["results"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chroma:
    """One collection of `chroma run`, which is sent vectors."""

    process: subprocess.Popen[bytes]
    folder: Path
    client: httpx2.Client
    material: Material
    collection: str  # its id
    ef_search: int = EF_SEARCH
    name: str = "Chroma"

    def search(self, query: int, k: int, *, group: int | None = None) -> list[str]:
        body: dict[str, Any] = {
            "query_embeddings": [self.material.query_vectors[query].tolist()],
            "n_results": k,
            "include": ["documents", "metadatas", "distances"],
        }
        if group is not None:
            body["where"] = {"group": group}
        answer = self.client.post(f"{CHROMA}/{self.collection}/query", json=body).raise_for_status().json()
        found: list[str] = answer["ids"][0]
        return found


@contextlib.contextmanager
def winnow_server(material: Material, *options: str) -> Iterator[Winnow]:
    """Start it with these options of the command line."""
    port = free_port()
    place = ["--data", str(material.data), "--port", str(port)]
    command = [sys.executable, "-m", "winnow.api.cli", "serve", *place, *options]
    with _running(command, f"http://127.0.0.1:{port}", "/readyz") as (process, client):
        yield Winnow(process=process, folder=material.data, client=client, material=material)


@contextlib.contextmanager
def chroma_server(material: Material, python: Path, folder: Path, *, ef_search: int = EF_SEARCH) -> Iterator[Chroma]:
    """Start it over a folder with the chunks, which are written if they are missing.

    It is started twice: an index in memory keeps the `ef_search` that it was opened with.
    """
    port = free_port()
    command = [str(python.with_name("chroma")), "run", "--path", str(folder), "--port", str(port)]
    url, ready = f"http://127.0.0.1:{port}", "/api/v2/heartbeat"
    with _running(command, url, ready) as (_, client):
        collection = _write(client, material)
        wanted = {"new_configuration": {"hnsw": {"ef_search": ef_search}}}
        client.put(f"{CHROMA}/{collection}", json=wanted).raise_for_status()
    with _running(command, url, ready) as (process, client):
        yield Chroma(
            process=process, folder=folder, client=client, material=material, collection=collection, ef_search=ef_search
        )


def _write(client: httpx2.Client, material: Material) -> str:
    """Create a collection of all chunks, or find the one of an earlier run; return its id."""
    wanted = {"name": COLLECTION, "get_or_create": True, "configuration": {"hnsw": {"space": "ip"}}}
    collection: str = client.post(CHROMA, json=wanted).raise_for_status().json()["id"]
    written = client.get(f"{CHROMA}/{collection}/count").raise_for_status().json()
    for start in range(written, len(material.ids), BATCH):
        batch = slice(start, start + BATCH)
        body = {
            "ids": material.ids[batch],
            "embeddings": material.vectors[batch],
            "documents": material.texts[batch],
            "metadatas": [{"group": int(each.partition(":")[0]) % GROUPS} for each in material.ids[batch]],
        }
        client.post(
            f"{CHROMA}/{collection}/add",
            content=orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY),
            headers={"content-type": "application/json"},
        ).raise_for_status()
    return collection


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bytes_of(folder: Path) -> int:
    """Return the size of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@contextlib.contextmanager
def _running(command: list[str], url: str, ready: str) -> Iterator[tuple[subprocess.Popen[bytes], httpx2.Client]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = httpx2.Client(base_url=url, timeout=TIMEOUT_SECONDS)
    try:
        end = time.monotonic() + READY_SECONDS_MAX
        while not _answers(client, ready):
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"{command[0]} does not answer")
            time.sleep(0.2)
        yield process, client
    finally:
        client.close()
        process.terminate()
        process.wait(60)


def _answers(client: httpx2.Client, path: str) -> bool:
    try:
        return bool(client.get(path).is_success)
    except httpx2.TransportError:
        return False


def free_port() -> int:
    """Return a port on which nothing listens now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
