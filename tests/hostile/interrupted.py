"""Tests that `winnow index` of a folder of all formats, killed at any moment and run again, ends as if undisturbed.

    python -m tests.hostile.interrupted --kills 20 --seed 1

Also looks for what a killed run leaves: its process that parses must end with it, its temporary files must be gone
after the next run. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.indexing.interrupt import Bench, Outcome, await_work, outcome
from tests.hostile.broken_files import broken_files
from tests.hostile.samples import SAMPLES
from tests.tiny_models import write_embedder
from winnow.indexer.readers.formats import Readability, format_of_name

COPIES: Final = 6
GONE_SECONDS_MAX: Final = 30.0


def write_mixed_folder(folder: Path, *, copies: int = COPIES) -> None:
    """Sound files of each format in several folders, with different texts, and some broken ones."""
    readability = Readability()
    for number in range(copies):
        place = folder / f"part-{number}"
        place.mkdir(parents=True)
        (place / "note.md").write_text(f"# Note {number}\n\nThe note of part {number}.\n", encoding="utf-8")
        for ending, made in SAMPLES.items():
            named = format_of_name(f"x.{ending}")
            if named is not None and readability.can_read(named):
                (place / f"sample.{ending}").write_bytes(made())
    for broken in broken_files():
        named = format_of_name(broken.name)
        if broken.is_quick and named is not None and readability.can_read(named):
            broken.make(folder / broken.name)


@dataclass(slots=True)
class Watched:
    """A bench whose killed processes are followed."""

    bench: Bench
    left: list[str] = field(default_factory=list)

    def trial(self, data: Path, undisturbed: Outcome, *, share: float, seconds: float) -> bool:
        """Kill a run after a share of the time that it works on its collection, and run again.

        Returns whether the collection is that of an undisturbed run.
        """
        process = self.bench.start(data)
        await_work(process, data)
        deadline = time.monotonic() + share * seconds
        parsers: set[str] = set()
        while time.monotonic() < deadline and process.poll() is None:
            parsers |= _children(process.pid)
            time.sleep(0.005)
        process.kill()
        process.communicate()
        if not _gone(parsers):
            self.left.append(f"processes {sorted(parsers)} outlive {process.pid}")
        self.bench.run(data)
        temporary = list(Path(tempfile.gettempdir()).glob(f"winnow-parse-{process.pid}-*"))
        if temporary:
            self.left.append(f"temporary files {temporary}")
        return outcome(data) == undisturbed


def _children(process_id: int) -> set[str]:
    found: set[str] = set()
    for path in Path(f"/proc/{process_id}/task").glob("*/children"):
        try:
            found.update(path.read_text(encoding="ascii").split())
        except OSError:
            continue
    return found


def _gone(process_ids: set[str]) -> bool:
    """Whether all of them end within a bound."""
    end = time.monotonic() + GONE_SECONDS_MAX
    while any(Path(f"/proc/{each}").exists() for each in process_ids):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Kill an indexer that reads a mixed folder.")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    moments, wrong = random.Random(asked.seed), 0
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_mixed_folder(folder / "mixed")
        watched = Watched(Bench(corpus=folder / "mixed", embed_model=str(write_embedder(folder / "embed"))))
        seconds = watched.bench.working_seconds(folder / "undisturbed")
        expected = outcome(folder / "undisturbed")
        print(f"{len(expected.documents)} documents, {len(expected.rejects.splitlines())} rejects in {seconds:.1f} s")
        for number in range(asked.kills):
            share = moments.uniform(0, 1)
            is_equal = watched.trial(folder / "data", expected, share=share, seconds=seconds)
            print(
                f"{number + 1:3} killed after {share * seconds:6.2f} s: {'equal' if is_equal else 'DIFFERENT'}",
                flush=True,
            )
            wrong += not is_equal
            shutil.rmtree(folder / "data")
    for left in watched.left:
        print(left)
    print(f"{asked.kills} kills, {wrong} different, {len(watched.left)} left something")
    return 1 if wrong or watched.left else 0


if __name__ == "__main__":
    sys.exit(main())
