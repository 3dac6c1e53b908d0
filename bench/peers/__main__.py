"""Measures winnow and its peers in turn, on this machine, with the same chunks and vectors.

    python -m bench.peers [--chunks 20000] [--rounds 5] [--folder FOLDER] [--index-recall 0.92] [--no-libraries]
        [--json]

Over HTTP: winnow and Chroma, with one client and with eight, at Chroma's default, and where it finds 0.92 and 0.99 of
the nearest; ratios above 1 are in winnow's favour. Beside them: disk, and LanceDB as a library. Queries are the same
64; winnow has their vectors in its cache, and Chroma is sent them. A folder that has the chunks of an earlier run is
used again: writing 200,000 takes minutes. `--index-recall` lets winnow, too, find only this share of the nearest.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.peers.environment import PROJECT, peers_python
from bench.peers.material import GROUPS, QUERIES, WIDTH, Material, material_of
from bench.peers.servers import Chroma, Server, Winnow, bytes_of, chroma_server, cpu_seconds, winnow_server

REQUESTS: Final = 2 * QUERIES  # in a round
RECALLS_WANTED: Final = (0.92, 0.99)
EF_SEARCH: Final = (150, 200, 250, 300, 400, 600, 900, 1_400, 2_000)  # of Chroma, tried until its recall is one of them
CASES: Final = (
    ("top 100", 100, 1, False),
    ("top 100", 100, 8, False),
    ("top 10", 10, 1, False),
    ("filter", 100, 1, True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one store did in one case: medians over the rounds."""

    p50_ms: float
    p99_ms: float
    each_second: float
    cpu_ms: float  # of the server, a request


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case, side by side."""

    case: str
    clients: int
    ef_search: int  # of Chroma
    recall: float  # of Chroma; winnow's is 1 where it compares all
    winnow_recall: float
    winnow: Figures
    chroma: Figures

    @property
    def ratio(self) -> float:
        return self.chroma.p50_ms / self.winnow.p50_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="for what the stores write; a temporary one by default")
    parser.add_argument("--index-recall", type=float, help="of winnow's index; by default the service's own default")
    parser.add_argument("--no-libraries", action="store_true", help="leave out LanceDB")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    python = peers_python()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        material = material_of(folder, count=asked.chunks)
        if asked.index_recall is not None:
            material.rebuild_index(recall=asked.index_recall)
        with winnow_server(material) as winnow:
            started = partial(chroma_server, material, python, folder / "chroma")
            rows = list(measured(winnow, started, rounds=asked.rounds))
        folders = {"winnow": material.data, "Chroma": folder / "chroma"}
        sizes = {name: bytes_of(each) / len(material.ids) for name, each in folders.items()}
        libraries = {} if asked.no_libraries else measured_libraries(material, python, folder)
    if asked.json:
        print(json.dumps({"rows": [asdict(row) for row in rows], "bytes a chunk": sizes, "libraries": libraries}))
    else:
        print(as_text(rows, sizes, libraries))


def measured_libraries(material: Material, python: Path, folder: Path) -> dict[str, Any]:
    """Measure in the peers' Python, which reads the vectors from files."""
    material.save(folder)
    command = [str(python), "-m", "bench.peers.libraries", str(folder)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=PROJECT).stdout)
    return found


def measured(winnow: Winnow, start: Callable[..., AbstractContextManager[Chroma]], *, rounds: int) -> Iterator[Row]:
    """Measure all cases at Chroma's default, and those without a filter again at each recall that is wanted."""
    with start() as chroma:
        yield from _cases(winnow, chroma, CASES, rounds=rounds)
    wider = iter(EF_SEARCH)
    for wanted in RECALLS_WANTED:
        for ef_search in wider:
            with start(ef_search=ef_search) as chroma:
                if recall_of(chroma) < wanted:
                    continue
                yield from _cases(winnow, chroma, CASES[:3], rounds=rounds)
                break
        else:
            print(f"Chroma does not reach a recall of {wanted} with ef_search {EF_SEARCH[-1]}", file=sys.stderr)


def _cases(
    winnow: Winnow, chroma: Chroma, cases: Sequence[tuple[str, int, int, bool]], *, rounds: int
) -> Iterator[Row]:
    recalls = recall_of(chroma), recall_of(winnow)
    for case, k, clients, filtered in cases:
        servers: tuple[Server, Server] = (winnow, chroma)
        for server in servers:
            once(server, k, clients, filtered=filtered)
        turns: dict[str, list[Figures]] = {winnow.name: [], chroma.name: []}
        for _, server in itertools.product(range(rounds), servers):
            turns[server.name].append(once(server, k, clients, filtered=filtered))
        ours, theirs = (middle(turns[server.name]) for server in servers)
        yield Row(
            case=case,
            clients=clients,
            ef_search=chroma.ef_search,
            recall=recalls[0],
            winnow_recall=recalls[1],
            winnow=ours,
            chroma=theirs,
        )


def recall_of(server: Winnow | Chroma) -> float:
    """Return which share of the nearest it finds."""
    material = server.material
    found = [len(material.nearest(query) & set(server.search(query, WIDTH))) for query in range(QUERIES)]
    return sum(found) / (QUERIES * WIDTH)


def once(server: Server, k: int, clients: int, *, filtered: bool) -> Figures:
    """Run one round."""

    def ask(number: int) -> float:
        began = time.perf_counter()
        server.search(number % QUERIES, k, group=number % GROUPS if filtered else None)
        return 1000.0 * (time.perf_counter() - began)

    used, began = cpu_seconds(server.process), time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        durations = sorted(pool.map(ask, range(REQUESTS)))
    seconds = time.perf_counter() - began
    return Figures(
        p50_ms=statistics.median(durations),
        p99_ms=durations[int(0.99 * REQUESTS)],
        each_second=REQUESTS / seconds,
        cpu_ms=1000.0 * (cpu_seconds(server.process) - used) / REQUESTS,
    )


def middle(rounds: Sequence[Figures]) -> Figures:
    """Return the median of each figure."""
    return Figures(**{name: statistics.median(asdict(each)[name] for each in rounds) for name in asdict(rounds[0])})


def as_text(rows: Sequence[Row], sizes: dict[str, float], libraries: dict[str, Any]) -> str:
    """Return a Markdown table."""
    lines = [
        "| | clients | ef_search | recall Chroma / winnow | winnow p50 / p99 ms, 1/s, CPU ms | Chroma | ratio of p50 "
        "| of CPU |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours, theirs = (
            f"{each.p50_ms:.1f} / {each.p99_ms:.1f}, {each.each_second:.0f}, {each.cpu_ms:.1f}"
            for each in (row.winnow, row.chroma)
        )
        recalls = f"{row.recall:.3f} / {row.winnow_recall:.3f}"
        of_cpu = row.chroma.cpu_ms / row.winnow.cpu_ms
        lines.append(
            f"| {row.case} | {row.clients} | {row.ef_search} | {recalls} | {ours} | {theirs} | {row.ratio:.2f} "
            f"| {of_cpu:.2f} |"
        )
    lines += ["", *(f"{name}: {size:,.0f} bytes a chunk on disk" for name, size in sizes.items())]
    for name, figures in libraries.items():
        lines.append(f"{name}, as a library: " + ", ".join(f"{key} {value:,.1f}" for key, value in figures.items()))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
