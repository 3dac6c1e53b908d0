"""Measures the memory of `winnow serve`: at rest, and whether it grows under searches after a warm-up.

    python -m bench.peers.memory [--chunks 20000] [--recalls 20000] [--reranks 500] [--clients 8] [--folder FOLDER]

Every query is asked once. The warm-up is 7,000 recalls and 100 reranks, so that the cache of query vectors is full
(16 MB by default) and the embedder's table of tokens nearly; of a shorter run it is a half. Memory is the resident set
in megabytes, and the service's own figures from /metrics beside it.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bench.peers.material import COLLECTION, Material, material_of
from bench.peers.servers import Winnow, winnow_server

WORDS: Final = 6  # in a query
TOP_K: Final = 10
RERANKED: Final = 30  # candidates
RECALLED: Final = 100
LOOKS: Final = 4  # measurements while it runs
WARM_UP: Final = 7_000, 100  # recalls and reranks
WARM_UP_SHARE_MAX: Final = 0.5
PAUSE_SECONDS: Final = 22.0  # for what a request leaves to the background, and two looks at freed memory
MEGABYTE: Final = 1_000_000
_SAMPLE: Final = re.compile(
    r'^winnow_(?:cache|index|model|allocator)_bytes\{(?:.+,)?(?:cache|part|state)="([^"]+)"\} (\S+)$', re.MULTILINE
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--recalls", type=int, default=20_000)
    parser.add_argument("--reranks", type=int, default=500)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="for the data folder; a temporary one by default")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        material = material_of(asked.folder or Path(temporary), count=asked.chunks)
        with winnow_server(material) as server:
            show("ready", server)
            count = asked.recalls + asked.reranks
            recalls, reranks = (
                min(most, int(WARM_UP_SHARE_MAX * each))
                for most, each in zip(WARM_UP, (asked.recalls, asked.reranks), strict=True)
            )
            warm_up = requests_of(material, recalls=recalls, reranks=reranks)
            bodies = requests_of(material, recalls=asked.recalls, reranks=asked.reranks, begin=recalls + reranks)
            send(
                server,
                (body(text, is_reranked=bool(place)) for place, text in enumerate(material.queries[:2])),
                clients=1,
            )
            show("at rest, after one search and one with reranking", server)
            send(server, islice(warm_up, recalls + reranks), clients=asked.clients)
            before = show("after the warm-up", server)
            for look in range(LOOKS):
                send(server, islice(bodies, count // LOOKS), clients=asked.clients)
                after = show(f"after {(look + 1) * (count // LOOKS):,} more", server)
            print(f"growth after the warm-up: {after / before - 1:+.1%}")


def requests_of(material: Material, *, recalls: int, reranks: int, begin: int = 0) -> Iterator[dict[str, Any]]:
    """Yield requests without end from number `begin`; each has another query, and both kinds come in their shares."""
    every = (recalls + reranks) // max(1, reranks)
    place = begin
    while True:
        text = material.texts[place % len(material.texts)].split()
        first = place // len(material.texts)
        place += 1
        query = " ".join(text[first : first + WORDS]) or str(place)
        yield body(query, is_reranked=bool(reranks) and place % every == 0)


def body(query: str, *, is_reranked: bool) -> dict[str, Any]:
    """Return the body of a search."""
    return {
        "query": query,
        "collection": COLLECTION,
        "rerank": is_reranked,
        "top_k": TOP_K if is_reranked else RECALLED,
        "candidates": RERANKED if is_reranked else RECALLED,
    }


def send(server: Winnow, bodies: Iterator[dict[str, Any]], *, clients: int) -> None:
    """Send all of them, from as many threads."""

    def ask(body: dict[str, Any]) -> None:
        server.client.post("/v1/search", json=body).raise_for_status()

    with ThreadPoolExecutor(clients) as pool:
        for _ in pool.map(ask, bodies):
            pass


def show(when: str, server: Winnow) -> int:
    """Print the memory of the server, and return its resident set in bytes."""
    time.sleep(PAUSE_SECONDS)
    resident = resident_bytes(server.process.pid)
    known = ", ".join(f"{name} {value / MEGABYTE:,.0f}" for name, value in figures_of(server).items())
    print(f"{when}: {resident / MEGABYTE:,.0f} MB ({known})", flush=True)
    return resident


def figures_of(server: Winnow) -> dict[str, float]:
    """Return the service's own figures, in bytes: of caches, indexes, models and the allocator."""
    parts: dict[str, float] = {}
    for name, value in _SAMPLE.findall(server.client.get("/metrics").text):
        parts[name] = parts.get(name, 0.0) + float(value)
    return parts


def resident_bytes(process: int) -> int:
    """Return the resident set of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
