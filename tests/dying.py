"""Takes and restores snapshots in processes that kill themselves at the n-th chance.

A chance is every sync and every portion that is copied. As a script it reads numbers from standard input and says for
each how its process ended. It forks, so that each starts in milliseconds; Lance, which is not fork-safe, has not
started anything at that time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.snapshots import IDENTITY
from winnow.api.collections.backups import restore, snapshot
from winnow.api.collections.data_folder import DataFolder
from winnow.retrieval.backup.place import FolderPlace
from winnow.retrieval.files.durable import DISK
from winnow.retrieval.tenancy import DEFAULT_TENANT


@dataclass(slots=True)
class Dying:
    """Implements `Watcher` and `Syncer`."""

    left: int  # chances

    def started(self, doing: str, size: int | None) -> None:
        self._chance()

    def advanced(self, size: int) -> None:
        self._chance()

    def sync(self, path: Path) -> None:
        self._chance()
        DISK.sync(path)

    def _chance(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Processes:
    """Starts one after the other."""

    asking: IO[str]
    answering: IO[str]

    def died(self, doing: str, data: Path, place: Path, *, at: int) -> bool:
        """False: it came to its end before."""
        self.asking.write(f"{doing}\t{data}\t{place}\t{at}\n")
        self.asking.flush()
        status = int(self.answering.readline())
        assert status in {0, -signal.SIGKILL}, "it ended in another way"
        return status != 0


@contextmanager
def processes() -> Iterator[Processes]:
    command = [sys.executable, "-m", "tests.dying"]
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Processes(process.stdin, process.stdout)
        process.stdin.close()


def work(doing: str, data: Path, place: Path, dying: Dying) -> None:
    disk = DataFolder.open(data)
    there = FolderPlace(place, syncer=dying)
    if doing == "snapshot":
        snapshot(disk, DEFAULT_TENANT, "docs", there, watcher=dying)
    else:
        restore(
            disk,
            DEFAULT_TENANT,
            "docs",
            there,
            embedder=IDENTITY,
            replace=doing == "replace",
            watcher=dying,
            syncer=dying,
        )


def main() -> None:
    for line in sys.stdin:
        doing, data, place, at = line.rstrip("\n").split("\t")
        child = os.fork()
        if not child:
            work(doing, Path(data), Path(place), Dying(int(at)))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
