"""Asks a service mixed requests for some minutes, and fails if it grows after a warm-up.

    python -m tests.soak [--minutes 10] [--chunks 4000] [--clients 8]

Its caches are small, so that they are full after the warm-up, a third of the time: what grows from there on is held for
no reason. The requests come in turn: recall by words and meaning, by meaning alone, with a filter, with reranking, and
feedback on a result; and now and then a document is written, written again and removed. No query comes twice. Exits
with 1 if the resident set is more than 5 % above that after the warm-up, or a cache holds more than it may.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.peers.material import COLLECTION, GROUPS, Material, material_of
from bench.peers.memory import MEGABYTE, figures_of, resident_bytes
from bench.peers.servers import Winnow, winnow_server
from winnow.retrieval.limits import SEARCHES_REMEMBERED_BYTES_MAX

GROWTH_MAX: Final = 0.05
WARM_UP: Final = 1 / 3  # of the time
LOOKS: Final = 5  # after the warm-up
PAUSE_SECONDS: Final = 22.0  # before a look; every ten seconds the service looks whether freed memory can go back
WORDS: Final = 6  # in a query
SMALL_MB: Final = {"judgement": 1, "query": 1, "text": 2}  # by the cache's option
OPTIONS: Final = (*(f"--{name}-cache-mb={each}" for name, each in SMALL_MB.items()), "--fold-chunks=20")
BYTES_MAX: Final = {  # by the cache's name in /metrics
    "judgements": SMALL_MB["judgement"] * MEGABYTE,
    "queries": SMALL_MB["query"] * MEGABYTE,
    "texts": SMALL_MB["text"] * MEGABYTE,
    "searches": SEARCHES_REMEMBERED_BYTES_MAX,
}
DOCUMENTS: Final = f"/v1/collections/{COLLECTION}/documents"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Asks one request after the other, from several threads."""

    server: Winnow
    material: Material
    numbers: Iterator[int] = field(default_factory=itertools.count)
    writing: threading.Lock = field(default_factory=threading.Lock)

    def ask(self) -> None:
        """Ask the next request. Raises an error of the client if it is refused."""
        number = next(self.numbers)
        if number % 100 == 99:
            self._write(number)
            return
        query = self._query(number)
        asked: dict[str, Any] = {"query": query, "collection": COLLECTION, "top_k": 20, "rerank": False}
        match number % 20:
            case 0:
                asked |= {"rerank": True, "candidates": 20, "top_k": 10}
            case 1 | 2:
                asked |= {"filter": {"type": "eq", "key": "group", "value": number % GROUPS}}
            case each if each % 2:
                asked |= {"recall": "dense", "candidates": 100, "top_k": 100}
        found = self._post("/v1/search", asked)
        if number % 20 == 3 and found["results"]:
            document = found["results"][0]["document_id"]
            self._post("/v1/feedback", {"search_id": found["id"], "document_id": document, "grade": 1})

    def _query(self, number: int) -> str:
        """Other words for each number."""
        words = self.material.texts[number % len(self.material.texts)].split()
        first = number // len(self.material.texts) % max(1, len(words) - WORDS)
        return f"{' '.join(words[first : first + WORDS])} {number}"

    def _write(self, number: int) -> None:
        """Two documents are written, one of them twice, and removed again: the collection stays as large as it is."""
        with self.writing:
            for text in ("first", "second"):
                pair = [{"id": f"soak-{place}", "text": f"The {text} text of {number}."} for place in range(2)]
                self._post(DOCUMENTS, {"documents": pair})
            for place in range(2):
                self.server.client.delete(f"{DOCUMENTS}/soak-{place}").raise_for_status()

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.server.client.post(path, json=body).raise_for_status().json()
        return found


def ask_until(end: float, caller: Caller, *, clients: int) -> None:
    """Ask from so many threads until that time, by time.monotonic. Raises what the first failed request raised."""

    def ask() -> None:
        while time.monotonic() < end:
            caller.ask()

    with ThreadPoolExecutor(clients) as pool:
        for asking in [pool.submit(ask) for _ in range(clients)]:
            asking.result()


def look(when: str, server: Winnow) -> tuple[int, list[str]]:
    """Print the resident set and what is known of it; return it, and the caches that hold too much."""
    time.sleep(PAUSE_SECONDS)
    resident, figures = resident_bytes(server.process.pid), figures_of(server)
    shown = ", ".join(f"{name} {value / MEGABYTE:,.1f}" for name, value in figures.items())
    print(f"{when}: {resident / MEGABYTE:,.0f} MB ({shown})", flush=True)
    missing = BYTES_MAX.keys() - figures.keys()
    over = [name for name, most in BYTES_MAX.items() if figures.get(name, 0.0) > most]
    return resident, [
        *(f"/metrics does not have {name}" for name in missing),
        *(f"{name} holds too much" for name in over),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--chunks", type=int, default=4_000)
    parser.add_argument("--clients", type=int, default=8)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        material = material_of(Path(temporary), count=asked.chunks)
        with winnow_server(material, *OPTIONS) as server:
            caller = Caller(server=server, material=material)
            began, seconds = time.monotonic(), 60.0 * asked.minutes
            ask_until(began + WARM_UP * seconds, caller, clients=asked.clients)
            before, problems = look(f"after a warm-up of {next(caller.numbers):,} requests", server)
            after = before
            for turn in range(1, LOOKS + 1):
                end = began + seconds * (WARM_UP + (1 - WARM_UP) * turn / LOOKS)
                ask_until(end, caller, clients=asked.clients)
                after, found = look(f"after {next(caller.numbers):,} requests", server)
                problems += found
    growth = after / before - 1
    print(f"growth after the warm-up: {growth:+.1%}")
    if growth > GROWTH_MAX:
        problems.append(f"it grew by more than {GROWTH_MAX:.0%}")
    if problems:
        sys.exit("; ".join(dict.fromkeys(problems)))


if __name__ == "__main__":
    main()
