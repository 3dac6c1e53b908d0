"""What may be on the disk when the power goes? Every state that the system calls of an operation allow, opened.

    python -m tests.faults.power_cut                            every operation, cut after each of its calls
    python -m tests.faults.power_cut --operations upsert --every 3

A killed process loses nothing, because the kernel still writes its pages. A power cut loses what was not synced: the
content of a file written since its last fsync may be there, be gone, be zeros or be half; a name that was made, moved
or removed since its folder's last fsync may be as before or as after, each on its own. The calls of an undisturbed
operation are replayed on a picture of the disk that knows both, and after each call some of the states that were
possible then are made and looked at (tests/faults/checker.py):

    lost      nothing that was not synced is there
    empty     the names are, the contents are not: files are empty
    zeroed    the names are, the contents are zeros, as after a delayed allocation
    half      the names are, of each content the first half
    mixed     each name and each content by lot; the lots are the same in every run

A state that looks like one before it is not opened again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.faults.points import Bench
from tests.faults.scripted import OPERATIONS
from tests.faults.tracer import refused
from tests.faults.worker import Worker

LOTS: Final = 3  # mixed states after each call
ROOT: Final = "."


@dataclass(slots=True, eq=False)
class File:
    """What is written, and how much of it is surely on the disk."""

    written: bytes = b""
    synced: bytes = b""


@dataclass(slots=True, eq=False)
class Folder:
    """The entries now, those that are surely on the disk, and how the one became the other."""

    entries: dict[str, Node] = field(default_factory=dict)
    synced: dict[str, Node] = field(default_factory=dict)
    pending: list[dict[str, Node | None]] = field(default_factory=list)  # each a change that happens whole or not

    def change(self, change: dict[str, Node | None]) -> None:
        _apply(self.entries, change)
        self.pending.append(change)


Node: TypeAlias = File | Folder


class Disk:
    """A picture of a data folder."""

    def __init__(self, root: Path) -> None:
        """As it is there, all of it on the disk."""
        self._root = _pictured(root)

    def replay(self, call: dict[str, Any]) -> None:
        """One call of tests/faults/tracer.py that was made and did not fail."""
        if call["result"] is None or call["result"] < 0:
            return
        match call["name"]:
            case "write" | "copy_file_range":
                file = self._at(call["paths"][0])
                assert isinstance(file, File)
                file.written += bytes.fromhex(call["data"])[: call["result"]]
            case "openat" | "open":
                self._open(call["paths"][0], call["flags"])
            case "fsync":
                self._sync(self._at(call["paths"][0]))
            case "rename" | "renameat" | "renameat2":
                self._move(*call["paths"])
            case "link" | "linkat":
                self._folder(call["paths"][1]).change({_name(call["paths"][1]): self._at(call["paths"][0])})
            case "unlink" | "unlinkat" | "rmdir":
                self._folder(call["paths"][0]).change({_name(call["paths"][0]): None})
            case "mkdir":
                self._folder(call["paths"][0]).change({_name(call["paths"][0]): Folder()})
            case other:
                raise NotImplementedError(f"{other} is not replayed yet")

    def unsynced(self) -> list[str]:
        """The files and folders of which something may still be lost."""
        return [
            path
            for path, node in _walk(self._root, ROOT)
            if (node.written != node.synced if isinstance(node, File) else bool(node.pending))
        ]

    def survivors(self, choice: Choice) -> dict[str, bytes | None]:
        """The content of every file by its path, None for a folder: what this choice leaves."""
        return dict(_surviving(self._root, "", choice))

    def _at(self, path: str) -> Node:
        node: Node = self._root
        for name in Path(path).parts:
            assert isinstance(node, Folder)
            node = node.entries[name]
        return node

    def folder(self, path: str) -> Folder:
        found = self._at(path)
        assert isinstance(found, Folder)
        return found

    def _folder(self, path: str) -> Folder:
        return self.folder(str(Path(path).parent))

    def _open(self, path: str, flags: int) -> None:
        folder, name = self._folder(path), _name(path)
        if name not in folder.entries:
            folder.change({name: File()})
        file = folder.entries[name]
        if flags & os.O_TRUNC and isinstance(file, File):
            file.written = b""

    def _move(self, old: str, new: str) -> None:
        assert Path(old).parent == Path(new).parent, "moves within one folder only: others are two changes"
        folder = self._folder(old)
        folder.change({_name(old): None, _name(new): folder.entries[_name(old)]})

    def _sync(self, node: Node) -> None:
        if isinstance(node, File):
            node.synced = node.written
        else:
            node.synced = dict(node.entries)
            node.pending.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What becomes of everything that was not synced."""

    name: str
    keeps: Callable[[], bool]  # asked for each change of a folder
    content: Callable[[bytes], bytes]  # of what was written since the last sync of a file


def choices(seed: int) -> list[Choice]:
    fixed = [
        Choice(name="lost", keeps=lambda: False, content=lambda _: b""),
        Choice(name="empty", keeps=lambda: True, content=lambda _: b""),
        Choice(name="zeroed", keeps=lambda: True, content=lambda fresh: bytes(len(fresh))),
        Choice(name="half", keeps=lambda: True, content=lambda fresh: fresh[: len(fresh) // 2]),
    ]
    return fixed + [_mixed(random.Random(f"{seed} {lot}")) for lot in range(LOTS)]


def _mixed(lots: random.Random) -> Choice:
    def content(fresh: bytes) -> bytes:
        return lots.choice([b"", bytes(len(fresh)), fresh[: lots.randint(0, len(fresh))], fresh, fresh])

    return Choice(name="mixed", keeps=lambda: lots.random() < 0.5, content=content)


def _pictured(path: Path) -> Folder:
    entries: dict[str, Node] = {}
    for entry in path.iterdir():
        if entry.is_dir():
            entries[entry.name] = _pictured(entry)
        else:
            content = entry.read_bytes()
            entries[entry.name] = File(written=content, synced=content)
    return Folder(entries=entries, synced=dict(entries))


def _apply(entries: dict[str, Node], change: dict[str, Node | None]) -> None:
    for name, node in change.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def _surviving(folder: Folder, path: str, choice: Choice) -> Iterator[tuple[str, bytes | None]]:
    entries = dict(folder.synced)
    for change in folder.pending:
        if choice.keeps():
            _apply(entries, change)
    for name, node in sorted(entries.items()):
        if isinstance(node, Folder):
            yield f"{path}{name}", None
            yield from _surviving(node, f"{path}{name}/", choice)
        elif node.written.startswith(node.synced):
            yield f"{path}{name}", node.synced + choice.content(node.written[len(node.synced) :])
        else:  # it was emptied and written anew
            yield f"{path}{name}", choice.content(node.written) if choice.keeps() else node.synced


def _walk(folder: Folder, path: str) -> Iterator[tuple[str, Node]]:
    yield path, folder
    for name, node in folder.entries.items():
        if isinstance(node, Folder):
            yield from _walk(node, f"{path}/{name}")
        else:
            yield f"{path}/{name}", node


def _name(path: str) -> str:
    return Path(path).name


def made(root: Path, survivors: dict[str, bytes | None]) -> None:
    """A data folder of this content, where there may be another one."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name, content in survivors.items():
        if content is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One state after a power cut, and what was found in it."""

    operation: str
    after: int  # calls were made
    state: str
    found: str
    wrong: tuple[str, ...]


def cuts(bench: Bench, operation: str, *, every: int = 1) -> Iterator[Cut]:
    """After each so manieth call, and after the last: then everything has to be there."""
    calls = bench.calls(operation)
    before = bench.model(operation)
    after = bench.after(operation)
    disk = Disk(bench.prepared(operation))
    seen: set[str] = set()
    for place in range(len(calls) + 1):
        if place:
            disk.replay(calls[place - 1])
        is_acknowledged = place == len(calls)
        if place % every and not is_acknowledged:
            continue
        possible = [after] if is_acknowledged else [before, after]
        for choice in choices(place):
            survivors = disk.survivors(choice)
            digest = hashlib.sha256(repr((is_acknowledged, sorted(survivors.items()))).encode()).hexdigest()
            if digest in seen:
                continue
            seen.add(digest)
            made(bench.run, survivors)
            found, wrong = bench.looked(possible)
            yield Cut(
                operation=operation,
                after=place,
                state=choice.name,
                found="nothing that" if found is None else ("before" if possible[found] == before else "after"),
                wrong=tuple(wrong),
            )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", nargs="+", default=list(OPERATIONS), choices=list(OPERATIONS))
    parser.add_argument("--every", type=int, default=1, help="cut after each so manieth call only (1)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    reason = refused()
    if reason is not None:
        raise SystemExit(reason)
    states, wrong = 0, 0
    with (
        tempfile.TemporaryDirectory(prefix="winnow-power-") as name,
        Worker("tests.faults.tracer") as tracer,
        Worker("tests.faults.checker") as checker,
    ):
        bench = Bench(Path(name), tracer=tracer, checker=checker)
        for operation in options.operations:
            outcomes: Counter[str] = Counter()
            for cut in cuts(bench, operation, every=options.every):
                outcomes[f"{cut.state}: {cut.found} is there"] += 1
                states += 1
                wrong += bool(cut.wrong)
                for fault in cut.wrong:
                    print(f"{operation}, cut after {cut.after} calls, {cut.state}: {fault}", flush=True)
            said = "; ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
            print(f"{operation:>12} {sum(outcomes.values()):>5} states   {said}", flush=True)
    print(f"{states} states, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
