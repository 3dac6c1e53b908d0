"""CPU time of `winnow index` with the local engine and with Ray, side by side, with the bundled embedder.

    OMP_NUM_THREADS=1 python -m bench.indexing.engines --documents 5000 20000 60000

Ray runs in a cluster of this machine that starts and ends with the command, with as many workers as it takes by
default. Counts all processes, of Ray too. Needs the extra `ray`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.indexing.cpu_time import CpuTime, counted
from bench.indexing.interrupt import COLLECTION, write_corpus

KINDS: Final = {
    "ray::_Process": "worker",
    "ray::": "Ray",  # agents, and processes that no task has used
    "winnow.api.cli": "command",
    "/ray/": "Ray",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[5_000, 20_000])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="winnow-engines-") as base:
        for documents in asked.documents:
            corpus = Path(base) / f"{documents}.jsonl"
            write_corpus(corpus, documents=documents)
            local = measure(corpus, Path(base) / f"local-{documents}")
            remote = measure(corpus, Path(base) / f"ray-{documents}", "--engine", "ray")
            parts = ", ".join(f"{name or 'other'} {seconds:.1f}" for name, seconds in remote.by_kind(KINDS).items())
            print(
                f"{documents} documents: local {local.seconds:.1f} CPU s, ray {remote.seconds:.1f} ({parts}), "
                f"{remote.seconds / local.seconds:.2f} times as much",
                flush=True,
            )
    return 0


def measure(corpus: Path, data: Path, *flags: str) -> CpuTime:
    command = [sys.executable, "-m", "winnow.api.cli", "index", str(corpus), "--collection", COLLECTION]
    command += ["--data", str(data), "--allow-rejects", *flags]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with counted({process.pid}) as time:
        code = process.wait()
    assert code == 0, f"the command ended with {code}"
    return time


if __name__ == "__main__":
    sys.exit(main())
