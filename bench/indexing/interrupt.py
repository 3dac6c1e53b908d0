"""Tests that `winnow index`, killed at any moment and run again, ends as if nothing had happened.

    python -m bench.indexing.interrupt --kills 20

Runs the real command, kills it (SIGKILL, by its process id) at moments spread over the time that an undisturbed run
works on its collection, runs it again, and compares the results: documents, spans, the bits of every vector, the
generation that serves them, the rejects file. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Final

import numpy as np
import orjson

from winnow.indexer.corpus import Record
from winnow.indexer.readers.python_docs import PythonDocsCorpus
from winnow.retrieval.catalog.sql.collections import SqlCollections
from winnow.retrieval.catalog.sql.database import SqlDatabase
from winnow.retrieval.errors import CollectionNotFound, StoreCorrupt
from winnow.retrieval.files.layout import Layout
from winnow.retrieval.generation.open import open_newest
from winnow.retrieval.records import Document
from winnow.retrieval.store.lance_store import LanceStore
from winnow.retrieval.tenancy import DEFAULT_TENANT

COLLECTION: Final = "interrupted"
SECONDS_MAX: Final = 600  # per run; a run that takes longer hangs
BAD_LINES: Final = (b"not JSON\n", b'{"id": "no text"}\n', b'{"id": "bad \xff utf-8", "text": "t"}\n')


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDocument:
    """What must be identical."""

    content_hash: str
    spans: tuple[tuple[int, int], ...]
    vectors: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A collection after a run."""

    documents: dict[str, StoredDocument]
    chunks: int
    generation_serves_all: bool
    rejects: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One kill and its outcome."""

    killed_after_seconds: float  # since the run began to work on its collection
    documents_then: int  # committed
    was_over: bool  # the run ended before it could be killed
    skipped_by_resumed: int
    is_equal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One corpus and one model, indexed into many folders."""

    corpus: Path
    embed_model: str

    def start(self, data: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "winnow.api.cli", "index", str(self.corpus), "--collection", COLLECTION]
        command += ["--data", str(data), "--embed-model", self.embed_model, "--json", "--allow-rejects"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, data: Path) -> dict[str, object]:
        """Run to the end. Returns the report that the command prints."""
        process = self.start(data)
        printed, complaints = process.communicate(timeout=SECONDS_MAX)
        if process.returncode:
            raise SystemExit(f"winnow index failed with {process.returncode}: {complaints.decode()}")
        report: dict[str, object] = orjson.loads(printed)
        return report

    def working_seconds(self, data: Path) -> float:
        """Time that an undisturbed run works on its collection."""
        process = self.start(data)
        began = await_work(process, data)
        process.communicate(timeout=SECONDS_MAX)
        return time.monotonic() - began

    def trial(self, data: Path, undisturbed: Outcome, *, kill_after: float) -> Trial:
        process = self.start(data)
        await_work(process, data)
        was_over = _ends_within(process, kill_after)
        process.kill()
        process.communicate(timeout=SECONDS_MAX)
        documents_then = _documents_in(data)
        report = self.run(data)
        return Trial(
            killed_after_seconds=round(kill_after, 3),
            documents_then=documents_then,
            was_over=was_over,
            skipped_by_resumed=int(str(report["unchanged"])),
            is_equal=outcome(data) == undisturbed,
        )


def outcome(data: Path) -> Outcome:
    """Everything in the collection that must not depend on a kill. Chunk numbers may: none is ever reused."""
    folder = Layout(data).collection(DEFAULT_TENANT, COLLECTION)
    identity = SqlCollections(SqlDatabase.open(Layout(data).catalog)).get(DEFAULT_TENANT, COLLECTION).embedder
    store = LanceStore.open(folder.corpus, dimension=identity.dimension)
    snapshot = store.snapshot()
    numbers = snapshot.chunk_numbers()
    vectors = np.concatenate([batch.vectors for batch in snapshot.vectors()])
    spans: dict[str, list[tuple[int, int]]] = {}
    bits: dict[str, bytes] = {}
    for chunk, vector in zip(snapshot.chunks(numbers.tolist()), vectors, strict=True):
        spans.setdefault(chunk.document_id, []).append((chunk.start, chunk.end))
        bits[chunk.document_id] = bits.get(chunk.document_id, b"") + vector.tobytes()
    documents = {
        name: StoredDocument(content_hash=content_hash, spans=tuple(spans[name]), vectors=bits[name])
        for name, content_hash in snapshot.content_hashes().items()
    }
    generation = open_newest(folder, identity, store)
    return Outcome(
        documents=documents,
        chunks=len(numbers),
        generation_serves_all=generation is not None
        and generation.fallback_from is None
        and np.array_equal(generation.index.numbers, numbers),
        rejects=folder.rejects.read_bytes(),
    )


def write_corpus(path: Path, *, documents: int) -> None:
    """Documentation that every machine has, as often as needed, with records that must be rejected."""
    with path.open("wb") as stream:
        for number, document in enumerate(islice(_documentation(), documents)):
            if number < len(BAD_LINES):
                stream.write(BAD_LINES[number])
            row = {"id": document.id, "title": document.title, "text": document.text, **document.metadata}
            stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def _documentation() -> Iterator[Document]:
    """Python's documentation without end; each time around with other ids and texts."""
    for turn in count():
        for entry in PythonDocsCorpus().entries():
            assert isinstance(entry, Record)
            document = entry.document
            yield replace(document, id=f"{document.id}#{turn}", text=f"{turn} {document.text}") if turn else document


def await_work(process: subprocess.Popen[bytes], data: Path) -> float:
    """Wait until the run works on its collection: models are loaded, the lock is taken."""
    lock = Layout(data).collection(DEFAULT_TENANT, COLLECTION).lock
    while not lock.exists() and process.poll() is None:
        time.sleep(0.002)
    return time.monotonic()


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _documents_in(data: Path) -> int:
    layout = Layout(data)
    try:
        identity = SqlCollections(SqlDatabase.open(layout.catalog)).get(DEFAULT_TENANT, COLLECTION).embedder
        store = LanceStore.open(layout.collection(DEFAULT_TENANT, COLLECTION).corpus, dimension=identity.dimension)
    except (CollectionNotFound, StoreCorrupt):  # killed before it existed
        return 0
    documents, _ = store.snapshot().counts()
    return documents


def _show_head(undisturbed: Outcome, *, working: float) -> None:
    print(f"undisturbed: {len(undisturbed.documents)} documents, {undisturbed.chunks} chunks, {working:.1f} s of work")
    print(f"{'killed after':>14} {'documents then':>15} {'skipped then':>13}  outcome", flush=True)


def _show(trial: Trial) -> None:
    moment = f"{trial.killed_after_seconds:.2f} s"
    said = "equal" if trial.is_equal else "DIFFERENT"
    print(f"{moment:>14} {trial.documents_then:>15} {trial.skipped_by_resumed:>13}  {said}", flush=True)


def _as_json(undisturbed: Outcome, trials: Sequence[Trial], *, working: float) -> str:
    return json.dumps(
        {
            "documents": len(undisturbed.documents),
            "chunks": undisturbed.chunks,
            "working_seconds": working,
            "generation_serves_all": undisturbed.generation_serves_all,
            "equal": sum(trial.is_equal for trial in trials),
            "trials": [asdict(trial) for trial in trials],
        }
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="number of kills (20)")
    parser.add_argument("--documents", type=int, default=1_500, help="size of the corpus (1500)")
    parser.add_argument("--embed-model", default="winnow-embed", help="name or folder (winnow-embed)")
    parser.add_argument("--seed", type=int, default=20, help="of the moments (20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="winnow-interrupt-") as name:
        folder = Path(name)
        bench = Bench(corpus=folder / "corpus.jsonl", embed_model=options.embed_model)
        write_corpus(bench.corpus, documents=options.documents)
        working = bench.working_seconds(folder / "undisturbed")
        undisturbed = outcome(folder / "undisturbed")
        if not options.json:
            _show_head(undisturbed, working=working)
        trials: list[Trial] = []
        while len(trials) < options.kills:
            data = folder / "killed"
            trial = bench.trial(data, undisturbed, kill_after=moments.uniform(0, working))
            shutil.rmtree(data)
            if trial.was_over and trial.is_equal:
                working *= 0.8  # the machine is less busy than before; a run that was not killed shows nothing
                continue
            trials.append(trial)
            if not options.json:
                _show(trial)
    if options.json:
        print(_as_json(undisturbed, trials, working=working))
    else:
        print(f"{sum(trial.is_equal for trial in trials)} of {len(trials)} ended as the undisturbed run")
    return 0 if undisturbed.generation_serves_all and all(trial.is_equal for trial in trials) else 1


if __name__ == "__main__":
    sys.exit(main())
