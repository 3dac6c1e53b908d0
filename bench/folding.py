"""Tests whether searches slow down or lose anything while an index is built.

    python -m bench.folding [--seconds 60] [--chunks 100000] [--fold-chunks 300] [--searchers 8] [--json]

A real `winnow serve` on loopback over a collection of this many random vectors; searchers and a writer, each with its
own connection. The writer inserts and deletes. Every other search is for the text of a document whose write was
acknowledged before the search began and whose delete has not begun when it ends: it must be among the first ten. The
service folds by itself whenever `--fold-chunks` are unfolded. A search counts as "during a fold" if it overlaps a fold
reported in /metrics, including the opening of the new generation; the writer's pace does not depend on it. At the end
every acknowledged document is searched for, the service is stopped, and the disk is verified. Exits with 1 if anything
is missing, wrong or has failed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from winnow.api.collections.data_folder import DataFolder
from winnow.api.diagnostics.verify import verified
from winnow.retrieval.catalog.collections import Collection
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.generation.history import fold
from winnow.retrieval.model.folder import BUNDLED_EMBEDDER, find_model
from winnow.retrieval.records import Document, EmbeddedDocument, Span
from winnow.retrieval.tenancy import DEFAULT_TENANT

COLLECTION: Final = "living"
WINDOW: Final = 2_000  # documents per write while the collection is created
BATCH: Final = 4  # documents per write
DELETED_SHARE: Final = 0.2  # of the writes
LOOK_SECONDS: Final = 0.02  # between checks whether a fold is running
FIRST: Final = 10  # a document must be among so many results of a search for its own text
WORDS: Final = (
    "heron", "kettle", "violin", "glacier", "walnut", "lantern", "copper", "meadow", "turbine", "saffron", "anchor",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One search."""

    began: float
    ended: float

    @property
    def ms(self) -> float:
        return 1000 * (self.ended - self.began)


@dataclass(slots=True)
class Seen:
    """Results of all threads."""

    searches: list[Timed] = field(default_factory=list)
    folds: list[tuple[float, float]] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)  # text by id
    writes: int = 0
    deleted: set[str] = field(default_factory=set)  # or about to be
    faults: list[str] = field(default_factory=list)
    checked: int = 0


class Caller:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        content = None if body is None else json.dumps(body).encode()
        self._connection.request(method, path, content, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def found(self, query: str) -> list[str]:
        body = {"query": query, "collection": COLLECTION, "rerank": False, "top_k": FIRST}
        status, content = self.ask("POST", "/v1/search", body)
        if status != 200:
            raise AssertionError(f"a search failed with {status}: {content.decode()}")
        return [each["document_id"] for each in json.loads(content)["results"]]


class Load:
    """Searchers, a writer and an observer, until time is up."""

    def __init__(self, port: int, options: argparse.Namespace) -> None:
        self.seen = Seen()
        self._port, self._options = port, options
        self._over = threading.Event()

    def run(self) -> Seen:
        work = [self._guarded(self._write), self._guarded(self._watch)]
        work += [self._guarded(self._search, number) for number in range(self._options.searchers)]
        threads = [threading.Thread(target=each) for each in work]
        for thread in threads:
            thread.start()
        self._over.wait(self._options.seconds)
        self._over.set()
        for thread in threads:
            thread.join()
        return self.seen

    def _guarded(self, work: Callable[..., None], *arguments: int) -> Callable[[], None]:
        def guarded() -> None:
            try:
                work(*arguments)
            except (AssertionError, OSError, http.client.HTTPException) as error:
                self.seen.faults.append(f"{work.__name__}: {error!r}")
                self._over.set()

        return guarded

    def _search(self, number: int) -> None:
        caller, chance, seen = Caller(self._port), random.Random(number), self.seen
        while not self._over.wait(self._options.pause_ms / 1000):
            wanted = chance.choice(list(seen.acknowledged)) if seen.acknowledged and chance.random() < 0.5 else None
            query = seen.acknowledged.get(wanted or "") or " ".join(chance.sample(WORDS, 4))
            began = time.monotonic()
            found = caller.found(query)
            seen.searches.append(Timed(began=began, ended=time.monotonic()))
            if wanted is not None and wanted not in seen.deleted:
                seen.checked += 1
                if wanted not in found:
                    seen.faults.append(f"{wanted} was acknowledged but not found")

    def _write(self) -> None:
        caller, chance, seen = Caller(self._port), random.Random(-1), self.seen
        while not self._over.wait(self._options.write_pause_ms / 1000):
            if len(seen.acknowledged) > 50 and chance.random() < DELETED_SHARE:
                gone = chance.choice(sorted(seen.acknowledged))
                seen.deleted.add(gone)
                status, content = caller.ask("DELETE", f"/v1/collections/{COLLECTION}/documents/{gone}")
                del seen.acknowledged[gone]
            else:
                fresh = {f"w{seen.writes:06}-{at}": text_of(f"{seen.writes}-{at}", chance) for at in range(BATCH)}
                documents = [{"id": name, "text": text} for name, text in fresh.items()]
                path = f"/v1/collections/{COLLECTION}/documents"
                status, content = caller.ask("POST", path, {"documents": documents})
                seen.acknowledged = {**seen.acknowledged, **fresh}  # a copy: readers see no half update
            assert status == 200, f"a write failed with {status}: {content.decode()}"
            seen.writes += 1

    def _watch(self) -> None:
        caller, began = Caller(self._port), None
        while not self._over.wait(LOOK_SECONDS):
            is_folding = b"winnow_folding 1.0" in caller.ask("GET", "/metrics")[1]
            if is_folding and began is None:
                began = time.monotonic() - LOOK_SECONDS
            elif not is_folding and began is not None:
                self.seen.folds.append((began, time.monotonic()))
                began = None
        if began is not None:
            self.seen.folds.append((began, time.monotonic()))


def text_of(name: str, chance: random.Random) -> str:
    """A unique text: it contains the digits of the name, as words."""
    return f"{' '.join(chance.sample(WORDS, 5))} number {name} {chance.getrandbits(64):x}"


def make(data: Path, *, chunks: int) -> None:
    """Create a collection with a generation of this many chunks, in random directions that no question is near to."""
    embedder = QwenEmbedder.load(find_model(BUNDLED_EMBEDDER, kind="embedder"), device="cpu")
    disk, identity = DataFolder.open(data), embedder.identity
    collection = Collection(
        tenant=DEFAULT_TENANT, name=COLLECTION, embedder=identity, chunk_tokens=256, created_at=datetime.now(UTC)
    )
    disk.make(collection)
    store, directions = disk.store(collection), np.random.default_rng(4)
    for start in range(0, chunks, WINDOW):
        store.replace([_random(f"r{at}", directions, identity) for at in range(start, min(start + WINDOW, chunks))])
    fold(disk.layout.collection(DEFAULT_TENANT, COLLECTION), store.snapshot(), identity)


def _random(name: str, directions: np.random.Generator, identity: EmbedderIdentity) -> EmbeddedDocument:
    vector = directions.normal(size=(1, identity.dimension)).astype(np.float32)
    text = f"A text of no meaning, called {name}."
    return EmbeddedDocument(
        document=Document(id=name, text=text),
        spans=(Span(start=0, end=len(text)),),
        vectors=vector / np.linalg.norm(vector),
    )


def start(data: Path, options: argparse.Namespace) -> tuple[subprocess.Popen[str], int, list[str]]:
    """Start the service. Returns it, its port, and its growing output."""
    command = [sys.executable, "-m", "winnow.api.cli", "serve", "--port", "0", "--data", str(data)]
    command += ["--fold-chunks", str(options.fold_chunks), "--query-cache-mb", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said: list[str] = []
    for line in process.stderr:
        if found := re.search(r"Listening\s+http://\S+:(\d+)", line):
            threading.Thread(target=said.extend, args=(process.stderr,), daemon=True).start()
            return process, int(found[1]), said
    raise SystemExit(f"winnow serve exited with {process.wait()} before it listened")


def end(process: subprocess.Popen[str], data: Path, seen: Seen, said: Sequence[str], port: int) -> None:
    """Search for everything that was acknowledged, stop the service and verify the disk."""
    caller = Caller(port)
    for name, text in seen.acknowledged.items():
        if name not in caller.found(text):
            seen.faults.append(f"{name} was acknowledged but is not found at the end")
    for name in seen.deleted:
        if caller.ask("GET", f"/v1/collections/{COLLECTION}/documents/{name}")[0] != 404:
            seen.faults.append(f"{name} was deleted but is still there")
    process.terminate()
    code = process.wait(timeout=60)
    if code:
        seen.faults.append(f"the service exited with {code}")
    seen.faults += [line.strip() for line in said if "Traceback" in line or " ERROR " in line]
    seen.faults += [f"{check.part}: {check.fault}" for check in verified(DataFolder.existing(data)) if check.fault]


def report_of(seen: Seen, options: argparse.Namespace) -> dict[str, Any]:
    during = [each for each in seen.searches if any(each.began < to and each.ended > since for since, to in seen.folds)]
    chosen = {id(each) for each in during}
    without = [each for each in seen.searches if id(each) not in chosen]
    quiet, folding = percentiles(without), percentiles(during)
    return {
        "seconds": options.seconds,
        "chunks": options.chunks,
        "searchers": options.searchers,
        "searches": len(seen.searches),
        "writes": seen.writes,
        "documents_checked": seen.checked,
        "folds": len(seen.folds),
        "fold_seconds": round(sum(to - since for since, to in seen.folds), 1),
        "without": quiet,
        "during": folding,
        "p99_ratio": round(folding["p99_ms"] / quiet["p99_ms"], 2) if during and without else None,
        "faults": seen.faults,
    }


def percentiles(searches: Sequence[Timed]) -> dict[str, float]:
    if not searches:
        return {"searches": 0}
    p50, p99 = np.percentile([each.ms for each in searches], [50, 99])
    return {"searches": len(searches), "p50_ms": round(float(p50), 1), "p99_ms": round(float(p99), 1)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="duration of the load; the target is 300")
    parser.add_argument("--chunks", type=int, default=100_000, help="in the index")
    parser.add_argument("--fold-chunks", type=int, default=300, help="the service's setting of that name")
    parser.add_argument("--searchers", type=int, default=8)
    parser.add_argument("--pause-ms", type=float, default=50, help="pause of a searcher between two searches")
    parser.add_argument("--write-pause-ms", type=float, default=100, help="pause of the writer between two writes")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="winnow-folding-") as name:
        data = Path(name)
        make(data, chunks=options.chunks)
        process, port, said = start(data, options)
        try:
            seen = Load(port, options).run()
            end(process, data, seen, said, port)
        finally:
            process.kill()
            process.wait()
    report = report_of(seen, options)
    if options.json:
        print(json.dumps(report))
    else:
        for key, figure in report.items():
            print(f"{key:18} {figure}")
    return 1 if seen.faults else 0


if __name__ == "__main__":
    sys.exit(main())
