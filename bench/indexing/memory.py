"""Measures the memory of an indexing run against the size of its corpus.

    python -m bench.indexing.memory lines --gigabytes 20    JSON lines through a pipe: reader, checks, chunker
    python -m bench.indexing.memory walk --files 1000000    a folder of that many files

The embedder and the store of the first do nothing, so the corpus need not lie on the disk and the model takes no time.
The walk makes its files in a temporary folder and removes them. Both measure the process that reads, in resident
megabytes at steps of the corpus, and print one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

import numpy as np

from winnow.indexer.batches import WindowBound, make_steps
from winnow.indexer.changes import Changes
from winnow.indexer.chunking import Chunker, Uncut
from winnow.indexer.corpus import check_entries
from winnow.indexer.id_tables import IN_MEMORY_MAX, KnownDocuments, SeenIds
from winnow.indexer.readers.folder_walk import Choice, walk_folder
from winnow.indexer.readers.open_corpus import open_corpus

WORDS: Final = ("refund", "invoice", "delivery", "退款", "发票", "请在七天内提交", "address", "login", "error", "order")
RESIDENT_MB_MAX: Final = 400  # MB; a run that takes more fails
STEPS: Final = 20  # measurements of a run


class CharacterTokenizer:
    """Four characters are a token. Implements the chunker's `Tokenizer` at the speed of slicing."""

    def ids(self, text: str) -> list[int]:
        return [0] * (-(-len(text) // 4))

    def ids_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.ids(text) for text in texts]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return [(start, min(start + 4, len(text))) for start in range(0, len(text), 4)]


def resident_mb() -> float:
    fields = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in fields if line.startswith("VmRSS")) / 1024


def write_lines(size: int, characters: int) -> None:
    """Write that many bytes of JSON lines to standard output."""
    chance = np.random.default_rng(20)
    texts = [" ".join(chance.choice(WORDS, characters // 6)) for _ in range(64)]
    written, number = 0, 0
    while written < size:
        block = "".join(
            json.dumps(
                {"docid": f"document-{number + more}", "contents": texts[(number + more) % 64]}, ensure_ascii=False
            )
            + "\n"
            for more in range(64)
        ).encode()
        sys.stdout.buffer.write(block)
        written += len(block)
        number += 64


def read_lines(size: int, ids_in_memory: int) -> Mapping[str, object]:
    """Read, check, compare and cut standard input; measure at steps."""
    chunker = Chunker(tokenizer=CharacterTokenizer(), tokens_max=480)
    with tempfile.TemporaryDirectory() as folder:
        seen = SeenIds(Path(folder), in_memory_max=ids_in_memory)
        changes = Changes(KnownDocuments({}))
        steps = make_steps(check_entries(open_corpus("-").entries(), seen), changes, WindowBound())
        read, chunks, documents, marks = 0, 0, 0, [resident_mb()]
        began = time.monotonic()
        for step in steps:
            documents += len(step.window)
            read += sum(len(document.text.encode()) for document in step.window)
            if step.window:
                chunks += sum(
                    map(len, chunker.spans_of([Uncut(text=each.text, title=each.title) for each in step.window]))
                )
            if read > size / STEPS * len(marks):
                marks.append(resident_mb())
        seen.close()
    return _answer(
        marks, since=len(marks) // 2, seconds=time.monotonic() - began, bytes=read, documents=documents, chunks=chunks
    )


def walk(count: int, per_folder: int) -> Mapping[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, count, per_folder):
            below = Path(folder) / f"{start // per_folder:07}"
            below.mkdir()
            for number in range(start, min(start + per_folder, count)):
                (below / f"{number:07}.txt").touch()
        marks, began = [resident_mb()], time.monotonic()
        walked = walk_folder(Path(folder), Choice())
        marks.append(resident_mb())
        counted, found = time.monotonic() - began, 0
        for found, _ in enumerate(walked.files(), start=1):
            if found % (count // STEPS) == 0:
                marks.append(resident_mb())
        return _answer(marks, since=0, seconds=time.monotonic() - began, files=found, counting_seconds=counted)


def _answer(marks: list[float], *, since: int, **counts: float) -> Mapping[str, object]:
    """`since` is the measurement from which on memory must not grow."""
    return {
        **{name: round(value, 1) for name, value in counts.items()},
        "resident_mb": [round(mark) for mark in marks],
        "grown_mb": round(max(marks) - max(marks[: since + 1]), 1),
    }


def measure_lines(gigabytes: float, characters: int, ids_in_memory: int) -> Mapping[str, object]:
    """Run writer and reader as two processes with a pipe between them."""
    size = int(gigabytes * 1e9)
    words = [sys.executable, "-m", "bench.indexing.memory"]
    with subprocess.Popen(
        [*words, "write", "--bytes", str(size), "--characters", str(characters)], stdout=subprocess.PIPE
    ) as writer:
        done = subprocess.run(
            [*words, "read", "--bytes", str(size), "--ids-in-memory", str(ids_in_memory)],
            stdin=writer.stdout,
            stdout=subprocess.PIPE,
            check=True,
        )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("lines", "walk", "write", "read"))
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--characters", type=int, default=1_000, help="about the length of a document")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--per-folder", type=int, default=1_000)
    parser.add_argument("--ids-in-memory", type=int, default=IN_MEMORY_MAX)
    parser.add_argument("--bytes", type=int, default=0)
    asked = parser.parse_args(words)
    if asked.what == "write":
        write_lines(asked.bytes, asked.characters)
        return
    runs: dict[str, Callable[[], Mapping[str, object]]] = {
        "lines": lambda: measure_lines(asked.gigabytes, asked.characters, asked.ids_in_memory),
        "walk": lambda: walk(asked.files, asked.per_folder),
        "read": lambda: read_lines(asked.bytes, asked.ids_in_memory),
    }
    answer = runs[asked.what]()
    sys.stdout.write(json.dumps(answer) + "\n")
    if max(cast("list[float]", answer["resident_mb"])) >= RESIDENT_MB_MAX:
        sys.exit(f"the run took {RESIDENT_MB_MAX} MB or more")


if __name__ == "__main__":
    main()
