"""Reads a folder of hostile files, and compares what became of each with what is expected.

    python -m tests.hostile.reading [--only NAME]

Prints a line for each file, then what the reading cost. Exits with 1 if anything is not as expected.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile.archive_files import archive_files
from tests.hostile.broken_files import broken_files
from tests.hostile.document_files import document_files
from tests.hostile.kinds import CANARY, Hostile
from winnow.indexer.corpus import Entry, Record, Reject, check_entries
from winnow.indexer.readers.folder import FolderCorpus
from winnow.indexer.readers.formats import BY_NAME, Format, Readability, format_of_name
from winnow.indexer.sandbox.limits import ParseLimits

PARENT_BYTES_MAX = 500_000_000
LIMITS = ParseLimits(seconds=10)


@dataclass(slots=True)
class Outcome:
    """What became of one file."""

    documents: list[str] = field(default_factory=list)  # their texts, in short
    reasons: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the reading left and took."""

    memory_bytes: int  # of this process, above what it had before
    open_files: int
    children: int
    temporary_files: int
    connections: int  # calls to the port that the files name

    @property
    def wrong(self) -> list[str]:
        left = {
            "open files": self.open_files, "child processes": self.children, "temporary files": self.temporary_files,
            "connections": self.connections,
        }  # fmt: skip
        found = [f"{count} {name} left" for name, count in left.items() if count]
        return [*found, *([f"{self.memory_bytes} bytes more memory"] if self.memory_bytes > PARENT_BYTES_MAX else [])]


def hostile_files(canary: Path, port: int) -> list[Hostile]:
    """All files whose formats can be read here."""
    readability = Readability()
    made = [*broken_files(), *archive_files(), *document_files(canary, port)]
    return [each for each in made if all(readability.can_read(one) for one in _formats(each))]


def _formats(hostile: Hostile) -> set[Format]:
    """Those of its content and of its ending."""
    named = format_of_name(hostile.name)
    assert named is not None, f"{hostile.name} is not looked at"
    return {BY_NAME[hostile.format], named}


@contextmanager
def listening() -> Iterator[tuple[int, list[str]]]:
    """A port on loopback, and the calls to it."""
    calls: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                calls.append("called")
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], calls
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def read_each(folder: Path, chosen: Sequence[Hostile], measured: Measured) -> Iterator[tuple[Hostile, Outcome]]:
    """Read the files one by one, each as a folder of its own, and remove it."""
    for hostile in chosen:
        place = folder / "files"
        place.mkdir()
        hostile.make(place / hostile.name)
        began = time.monotonic()
        with measured.reading():
            entries = list(check_entries(FolderCorpus(root=place, limits=LIMITS).entries()))
        outcome = judge(hostile, entries)
        outcome.seconds = time.monotonic() - began
        (place / hostile.name).unlink()
        place.rmdir()
        yield hostile, outcome


def read_together(folder: Path, chosen: Sequence[Hostile], measured: Measured) -> Iterator[tuple[Hostile, Outcome]]:
    """Read the files as one folder: what one of them breaks must not touch another."""
    place = folder / "files"
    place.mkdir()
    for hostile in chosen:
        hostile.make(place / hostile.name)
    found: dict[str, list[Entry]] = {hostile.name: [] for hostile in chosen}
    with measured.reading():
        for entry in check_entries(FolderCorpus(root=place, limits=LIMITS).entries()):
            found[entry.place.source.partition("/")[0]].append(entry)
    shutil.rmtree(place)
    for hostile in chosen:
        yield hostile, judge(hostile, found[hostile.name])


def judge(hostile: Hostile, entries: Sequence[Entry]) -> Outcome:
    outcome = Outcome()
    for entry in entries:
        match entry:
            case Record():
                outcome.documents.append(entry.document.text)
                if CANARY in repr(entry.document):
                    outcome.wrong.append("it holds the file that its entity names")
            case Reject():
                outcome.reasons.append(entry.reason)
    if not entries:
        outcome.wrong.append("it is not accounted for")
    if hostile.reason is not None and not any(re.search(hostile.reason, reason) for reason in outcome.reasons):
        outcome.wrong.append(f"no reason matches {hostile.reason!r}")
    if hostile.holds is not None and not any(hostile.holds in text for text in outcome.documents):
        outcome.wrong.append(f"no document holds {hostile.holds!r}")
    if any("Traceback" in reason or not reason.strip() for reason in outcome.reasons):
        outcome.wrong.append("a reason is not a sentence")
    return outcome


class Measured:
    """Measures what reading takes and leaves; making the files takes more memory than that."""

    def __init__(self, calls: list[str]) -> None:
        self._calls = calls
        self._memory_bytes = 0
        self._files = open_files()
        self._children = children()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Compare the peak of memory within with the memory before."""
        gc.collect()
        before = resident_bytes("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins here
        yield
        self._memory_bytes = max(self._memory_bytes, resident_bytes("VmHWM") - before)

    def cost(self) -> Cost:
        temporary = list(Path(tempfile.gettempdir()).glob(f"winnow-parse-{os.getpid()}-*"))
        return Cost(
            memory_bytes=self._memory_bytes,
            open_files=open_files() - self._files,
            children=len(children() - self._children),
            temporary_files=len(temporary),
            connections=len(self._calls),
        )


def resident_bytes(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split())


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Read broken and hostile files.")
    parser.add_argument("--only", default="", help="those whose names contain this")
    asked = parser.parse_args(arguments)
    wrong = 0
    with tempfile.TemporaryDirectory() as made, listening() as (port, calls):
        folder = Path(made)
        canary = folder / "canary.txt"
        canary.write_text(CANARY, encoding="utf-8")
        chosen = [each for each in hostile_files(canary, port) if asked.only in each.name]
        measured = Measured(calls)
        for hostile, outcome in read_each(folder, chosen, measured):
            what = outcome.wrong or outcome.reasons[:1] or ["read"]
            counts = f"{len(outcome.documents)} documents, {len(outcome.reasons)} rejects"
            print(f"{outcome.seconds:6.2f} s {hostile.name:32} {counts}: {what[0][:150]}", flush=True)
            if outcome.wrong:
                print(f"  WRONG: {outcome.reasons[:3]}, {[text[:60] for text in outcome.documents[:2]]}", flush=True)
            wrong += bool(outcome.wrong)
        cost = measured.cost()
    print(f"{len(chosen)} files, {wrong} wrong; {cost}")
    return 1 if wrong or cost.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
