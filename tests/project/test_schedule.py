"""tests/schedule.py: groups, order and turns of the tests; tests/orphans.py: nothing is left of a killed test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.schedule import FIRST, group_of, place_of, turn

PROJECT = Path(__file__).resolve().parents[2]
SECONDS = 30  # of a machine that is very busy
STARTS_ONE = """
import subprocess, sys
from tests.orphans import ends_with_parent
child = subprocess.Popen(ends_with_parent([sys.executable, "-c", "import time; time.sleep(600)"]))
print(child.pid, flush=True)
child.wait()
"""


def test_tests_of_a_file_share_a_worker_and_so_do_all_that_start_vllm():
    assert group_of("tests/unit/api/test_settings.py::test_a[x::y]") == "tests/unit/api/test_settings.py"
    servers = {group_of(f"tests/{each}::test") for each in ("vllm/test_front.py", "vllm/test_proof.py")}
    assert servers == {group_of("tests/acceptance/test_spawned.py::test")}
    assert len(servers) == 1


def test_tests_of_the_page_share_a_worker_and_with_it_a_browser():
    """And none of another folder does."""
    files = sorted((PROJECT / "tests/unit/api/http/page").glob("test_*.py"))
    assert len(files) > 5
    assert len({group_of(f"{path.relative_to(PROJECT)}::test") for path in files}) == 1
    assert group_of("tests/unit/api/http/routes/test_routes.py::test") == "tests/unit/api/http/routes/test_routes.py"


def test_the_longest_come_first():
    """What starts vLLM before all else; what is not named comes last."""
    starts = ["tests/vllm/test_front.py::a", "tests/acceptance/test_cli.py::a", "tests/unit/api/test_settings.py::a"]
    places = [place_of(each) for each in starts]
    assert places == sorted(places)
    assert len(set(places)) == 3


@pytest.mark.parametrize("start", FIRST)
def test_every_place_that_is_named_exists(start: str):
    assert (PROJECT / start).exists()


def test_quick_leaves_out_what_is_slow():
    """Also what is slow because of the folder it lies in."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "not slow", "tests/upgrade"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=False)
    assert "no tests collected" in done.stdout, done.stdout + done.stderr


def test_nothing_runs_beside_what_runs_alone(tmp_path: Path):
    """It waits for the one that runs, and those that come later wait for it."""
    order: list[str] = []
    may_end = threading.Event()
    began = {name: threading.Event() for name in ("first", "alone", "last")}

    def run(name: str, *, is_alone: bool) -> None:
        with turn(tmp_path, is_alone=is_alone):
            began[name].set()
            order.append(f"{name} begins")
            assert name != "first" or may_end.wait(SECONDS)
            order.append(f"{name} ends")

    threads = [threading.Thread(target=run, args=("first",), kwargs={"is_alone": False})]
    threads[0].start()
    assert began["first"].wait(SECONDS)
    threads.append(threading.Thread(target=run, args=("alone",), kwargs={"is_alone": True}))
    threads[1].start()
    threads.append(threading.Thread(target=run, args=("last",), kwargs={"is_alone": False}))
    threads[2].start()
    assert not began["alone"].wait(0.2)
    may_end.set()
    for thread in threads:
        thread.join(SECONDS)
    assert len(order) == 6
    assert order.index("alone ends") == order.index("alone begins") + 1


def test_two_that_are_not_alone_run_side_by_side(tmp_path: Path):
    both = threading.Barrier(2, timeout=SECONDS)

    def run() -> None:
        with turn(tmp_path, is_alone=False):
            both.wait()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert not both.broken


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_what_a_killed_test_has_started_ends():
    """SIGKILL, which lets nobody tidy up."""
    with subprocess.Popen([sys.executable, "-c", STARTS_ONE], stdout=subprocess.PIPE, text=True, cwd=PROJECT) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + SECONDS
    while is_running(child):
        assert time.monotonic() < until
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Not where it has ended and waits to be buried."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0]
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
