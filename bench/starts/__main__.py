"""Measures starts: `winnow --help`, `winnow search` in process, and `winnow serve` until /readyz, of trees in turn.

    python -m bench.starts [--tree NAME=FOLDER ...] [--rounds 7] [--chunks 20000] [--folder FOLDER] [--json]

Without `--tree` only this tree is measured; a tree is a checkout, such as one that `git worktree add` made. Every tree
gets a copy of one data folder, which this tree indexed. A round starts each command once per tree, in changing order,
so that other load on the machine affects all of them; figures are medians. CPU is what the process and its children
used (of `serve`: until ready), and says more than wall time on a machine that does other work. Python keeps each
tree's bytecode, as pip does at an installation; compiling it takes half a second. After `serve` is ready, a search
and a list of collections are timed, which must not wait for what the start has left out, and the CPU that is used in
the two seconds after that is printed, too.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.peers.material import COLLECTION, material_of
from bench.peers.memory import MEGABYTE, resident_bytes
from bench.peers.servers import free_port

PROJECT: Final = Path(__file__).resolve().parents[2]
QUERY: Final = "read a file line by line"
POLL_SECONDS: Final = 0.01
READY_SECONDS_MAX: Final = 300.0
SETTLED_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A checkout of winnow, and its own copy of the data folder."""

    name: str
    folder: Path
    data: Path

    def command(self, *arguments: str) -> list[str]:
        environment = (f"PYTHONPATH={self.folder}", "PYTHONDONTWRITEBYTECODE=")
        return ["env", *environment, sys.executable, "-c", "from winnow.api.cli.main import main; main()", *arguments]


Figures = dict[str, float]  # by name and unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", action="append", default=[], metavar="NAME=FOLDER", help="the first is compared with")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--chunks", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="for data folders, used again by later runs; by default temporary")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        trees = list(_trees(folder, asked.tree or [f"this={PROJECT}"], chunks=asked.chunks))
        found = measured(trees, rounds=asked.rounds)
    print(json.dumps(found) if asked.json else as_text(found))


def _trees(folder: Path, named: Sequence[str], *, chunks: int) -> Iterator[Tree]:
    original = material_of(folder, count=chunks).data
    for each in named:
        name, _, place = each.partition("=")
        data = folder / f"data-{name}"
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(original, data)
        yield Tree(name=name, folder=Path(place).resolve(), data=data)


def measured(trees: Sequence[Tree], *, rounds: int) -> dict[str, dict[str, Figures]]:
    """Return the medians by command and tree. One round before the first fills caches and is not counted."""
    ways: dict[str, Callable[[Tree], Figures]] = {"--help": help_shown, "search": searched, "serve": served}
    turns: dict[tuple[str, str], list[Figures]] = {}
    for round_ in range(rounds + 1):
        order = trees if round_ % 2 else trees[::-1]
        for (command, way), tree in itertools.product(ways.items(), order):
            figures = way(tree)
            print(f"{round_} {command} {tree.name}: {_shown(figures)}", file=sys.stderr, flush=True)
            if round_:
                turns.setdefault((command, tree.name), []).append(figures)
    return {
        command: {tree.name: _medians(turns[command, tree.name]) for tree in trees if (command, tree.name) in turns}
        for command in ways
    }


def help_shown(tree: Tree) -> Figures:
    return _run(tree, "--help")


def searched(tree: Tree) -> Figures:
    return _run(tree, "search", QUERY, "--collection", COLLECTION, "--data", str(tree.data), "--json")


def _run(tree: Tree, *arguments: str) -> Figures:
    """Run a command to its end."""
    began = time.perf_counter()
    process = subprocess.Popen(tree.command(*arguments), cwd="/", stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{tree.name}: winnow {arguments[0]} exited with {process.returncode}")
    return {"wall s": wall, "CPU s": used.ru_utime + used.ru_stime}


def served(tree: Tree) -> Figures:
    """Start the service, wait until it is ready, ask it twice, and stop it."""
    port = free_port()
    command = tree.command("serve", "--data", str(tree.data), "--port", str(port))
    began = time.perf_counter()
    with _running(command) as process:
        ask = partial(_ask, port)
        while not _is_ready(ask):
            if process.poll() is not None or time.perf_counter() - began > READY_SECONDS_MAX:
                sys.exit(f"{tree.name}: winnow serve is not ready")
            time.sleep(POLL_SECONDS)
        wall, used, resident = time.perf_counter() - began, cpu_seconds(process.pid), resident_bytes(process.pid)
        search = json.dumps({"query": QUERY, "collection": COLLECTION})
        first = [_timed(ask, "POST", "/v1/search", search), _timed(ask, "GET", "/v1/collections", None)]
        asked = cpu_seconds(process.pid)
        time.sleep(SETTLED_SECONDS)
        return {
            "wall s": wall,
            "CPU s": used,
            "resident MB": resident / MEGABYTE,
            "first search ms": first[0],
            "first list ms": first[1],
            "CPU s afterwards": cpu_seconds(process.pid) - asked,
        }


@contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    quiet: Any = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd="/", stdout=quiet, stderr=quiet)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _ask(port: int, method: str, path: str, body: str | None) -> int:
    """Send a request on a connection of its own, read the answer, and return its status. Raises `OSError`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS_MAX)
    try:
        connection.request(method, path, body, {"content-type": "application/json"} if body else {})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def _is_ready(ask: Callable[[str, str, str | None], int]) -> bool:
    try:
        return ask("GET", "/readyz", None) == http.HTTPStatus.OK
    except OSError:  # it does not listen yet
        return False


def _timed(ask: Callable[[str, str, str | None], int], method: str, path: str, body: str | None) -> float:
    began = time.perf_counter()
    status = ask(method, path, body)
    if status != http.HTTPStatus.OK:
        sys.exit(f"{method} {path} was answered with {status}")
    return 1e3 * (time.perf_counter() - began)


def cpu_seconds(process: int) -> float:
    """Return the CPU time that a process and those children of it that ended have used."""
    fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _medians(turns: Sequence[Figures]) -> Figures:
    return {name: statistics.median(each[name] for each in turns) for name in turns[0]}


def _shown(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())


def as_text(found: dict[str, dict[str, Figures]]) -> str:
    """Return a Markdown table; a ratio above 1 is in favour of the tree beside the first."""
    lines = []
    for command, by_tree in found.items():
        first, *others = by_tree
        names = list(by_tree)
        heads = [*names, *(f"{first} / {other}" for other in others)]
        lines += ["", f"| {command} | {' | '.join(heads)} |", f"|---{'|---' * len(heads)}|"]
        for figure, value in by_tree[first].items():
            cells = [f"{by_tree[name][figure]:.2f}" for name in names]
            cells += [f"{value / by_tree[other][figure]:.2f}" for other in others]
            lines.append(f"| {figure} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
