"""Nothing acknowledged is lost, nothing else is half there, at whatever call a process dies or the disk says no.

These take some of the points; `python -m tests.faults.points` and `python -m tests.faults.power_cut` take them all.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.points import FAULTS, Bench, enumerated
from tests.faults.power_cut import Disk, cuts

pytestmark = pytest.mark.faults

CALLS = "openat,write,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir"
EVERY = {"upsert": 25, "delete": 32, "publish": 18, "rollback": 6}


@pytest.mark.parametrize("operation", EVERY)
def test_a_disturbed_operation_is_there_whole_or_not_at_all(bench: Bench, operation: str) -> None:
    """Killed, or told that the disk is broken or full: verify is clean, searches are right, writing goes on."""
    points = list(enumerated(bench, [operation], FAULTS, every=EVERY[operation]))
    assert [point for point in points if point.wrong] == []
    assert len(points) >= len(FAULTS) * 2
    assert all(point.call for point in points), "every one was hit"
    assert {point.outcome for point in points if point.fault == "KILL"} == {"died"}


@pytest.mark.parametrize("operation", ["upsert", "delete"])
def test_every_write_that_fails_is_noticed(bench: Bench, operation: str) -> None:
    """Lance drops the error of a file's last write; what it then calls written would be unreadable."""
    calls = bench.calls(operation)
    writes = [at for at, call in enumerate(calls) if call["name"] == "write"]
    assert len(writes) >= 4
    for at in writes:
        point = bench.disturbed(operation, at, "ENOSPC")
        assert point.wrong == (), point
        is_hint = "latest_version_hint" in calls[at + 1]["paths"][-1]  # of which Lance says that it is only a hint
        assert point.outcome == "failed" or is_hint or "_transactions" in calls[at]["paths"][0], point


@pytest.mark.parametrize(("operation", "every"), [("upsert", 15), ("publish", 12)])
def test_a_power_cut_leaves_the_state_before_or_after(bench: Bench, operation: str, every: int) -> None:
    """Whatever was not synced may be gone, empty, zeros, half, or there; all that was acknowledged is there."""
    states = list(cuts(bench, operation, every=every))
    assert [state for state in states if state.wrong] == []
    assert len(states) >= 10


@pytest.mark.parametrize("operation", ["upsert", "delete", "publish", "rollback"])
def test_all_that_was_written_is_on_the_disk_when_it_is_acknowledged(bench: Bench, operation: str) -> None:
    """Each file was synced after its last write, each folder after its last new name.

    What may get lost: empty lock files, the end of a removed generation, and the hint that Lance does without.
    """
    disk = Disk(bench.prepared(operation))
    for call in bench.calls(operation):
        disk.replay(call)
    for path in disk.unsynced():
        if path.endswith("/latest_version_hint.json"):
            continue
        changed = {name for change in disk.folder(path).pending for name in change}
        assert changed <= {"lock", "fold.lock", "current.lock", "held", "g000001.tmp"}, (path, changed)


def test_the_tracer_sees_what_strace_sees(bench: Bench, strace: str, tmp_path: Path) -> None:
    """Two ways of looking at the same upsert, call by call; generated names differ, their folders and kinds do not."""
    seen = Counter(_kind(call["name"], call["paths"]) for call in bench.undisturbed("upsert"))
    root = tmp_path / "data"
    shutil.copytree(bench.prepared("upsert"), root)
    log = tmp_path / "log"
    _driven([strace, "-f", "-y", "-s", "0", "-e", f"trace={CALLS}", "-o", str(log)], root)
    found: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        name = re.match(r"\d+ +(\w+)\(", line)
        paths = [path for path in re.findall(r'[<"](/[^>"]*)[>"]', line.partition(" = ")[0]) if f"{root}/" in path]
        is_change = name and (name[1] != "openat" or re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC)", line))
        if name and paths and is_change:
            found[_kind(name[1], [str(Path(path).relative_to(root)) for path in paths])] += 1
    assert found == seen


@pytest.mark.parametrize("nth", [1, 4, 9])
def test_after_a_failed_fsync_nothing_is_written_until_the_files_are_opened_anew(
    bench: Bench, strace: str, tmp_path: Path, nth: int
) -> None:
    """The kernel has thrown the pages away: a second fsync would succeed over nothing. Here strace makes it fail."""
    root = tmp_path / "data"
    shutil.copytree(bench.prepared("upsert"), root)
    inject = ["-e", "trace=fsync", "-e", f"inject=fsync:error=EIO:when={nth}"]
    events = _driven([strace, "-f", *inject, "-o", str(tmp_path / "log")], root)
    assert "INJECTED" in (tmp_path / "log").read_text()
    assert [event["event"] for event in events] == ["ready", "failed", "refused afterwards", "end"]
    assert events[1]["detail"].startswith("WriteFailed")
    assert "an earlier sync failed" in events[2]["detail"]
    shutil.rmtree(bench.run, ignore_errors=True)
    shutil.copytree(root, bench.run)
    before = bench.model("upsert")
    found, wrong = bench.looked([before, bench.after("upsert")])
    assert (found is not None, wrong) == (True, [])


def _driven(tracing: list[str], root: Path) -> list[dict[str, str]]:
    """An upsert, and the write after it, by the driver below another command."""
    command = [*tracing, sys.executable, "-m", "tests.faults.driver"]
    job = json.dumps({"root": str(root), "operation": "upsert"})
    done = subprocess.run(command, input=f"{job}\n", capture_output=True, text=True, check=True, timeout=120)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _kind(name: str, paths: list[str]) -> str:
    """Without what is drawn by lot in the names: "renameat data/.tmp data/.lance"."""
    kinds = [f"{Path(path).parent.name}/{_without_lots(Path(path).name)}" for path in dict.fromkeys(paths)]
    return " ".join([name, *kinds])


def _without_lots(name: str) -> str:
    if name.startswith(".tmp"):
        return ".tmp"
    return Path(name).suffix if re.search(r"[0-9a-f]{12}", name) else name
