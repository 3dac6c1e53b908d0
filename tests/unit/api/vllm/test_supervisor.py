"""A server that ends is started again, one that runs out of memory is made smaller once, and nothing is left behind.

The servers are real processes (tests/stand_in_for_vllm.py) under the real guard; only the clock runs faster.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from winnow.api.vllm import supervisor as vllm_supervisor
from winnow.api.vllm import watchdog
from winnow.api.vllm.command import SERVER, Wanted, plan_commands
from winnow.api.vllm.log import READ_BYTES_MAX, VllmLog
from winnow.api.vllm.machine import Gpu, Machine
from winnow.api.vllm.model import served_by_name
from winnow.api.vllm.process import Process, answers, find_python, spawn, with_environment
from winnow.api.vllm.servers import _free_ports
from winnow.api.vllm.supervisor import AFTER, Event, State, VllmServer
from winnow.retrieval.errors import SettingInvalid

STAND_IN = Path(__file__).resolve().parents[3] / "stand_in_for_vllm.py"
GPU = Machine(gpus=(Gpu(memory_bytes=80_000_000_000, capability=(9, 0)),))
GRACE_SECONDS = 1.0
SPEED = 100.0  # seconds of a server's life in one of ours


class FastClock:
    """Implements `Clock`."""

    def now(self) -> float:
        return time.monotonic() * SPEED

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)


class Bench:
    """One supervised stand-in, and what became of it."""

    def __init__(self, folder: Path, script: str, *, turn: asyncio.Lock | None = None) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "script").write_text(script)
        (port,) = _free_ports(1)
        (command,) = plan_commands([served_by_name("rerank", "Qwen/Qwen3-Reranker-4B")], GPU, Wanted(), ports=[port])
        self.server = VllmServer(
            command,
            python=sys.executable,
            port=port,
            log=VllmLog(folder / "rerank.log"),
            turn=turn or asyncio.Lock(),
            spawn=self._spawn,
            answers=answers,
            clock=FastClock(),
        )

    async def _spawn(self, command: list[str], log: Path) -> Process:
        """The stand-in where vLLM would be, with the same arguments."""
        place = command.index("-m")
        assert command[place + 1] == SERVER
        instead = [*command[:place], str(STAND_IN), str(self.folder), *command[place + 2 :]]
        return await spawn(instead, log, grace_seconds=GRACE_SECONDS)

    @property
    def starts(self) -> list[list[str]]:
        """The arguments of each start."""
        return [json.loads(line) for line in (self.folder / "starts").read_text().splitlines()]

    @property
    def pid(self) -> int:
        """Of the stand-in, as the log has it."""
        (line,) = [line for line in self.server.log.path.read_text().splitlines() if "vLLM is process" in line]
        return int(line.split()[-1])

    async def until(self, state: State, *, starts: int = 1) -> None:
        await until(lambda: self.server.state is state and self.server.starts >= starts)


@contextlib.asynccontextmanager
async def running(*benches: Bench) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(bench.server.run()) for bench in benches]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def is_alive(pid: int) -> bool:
    """A zombie that nobody has buried yet is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter where it goes between opening and reading
        return False


async def gone(pid: int) -> None:
    """A killed process is gone as soon as the machine has a moment for it."""
    await until(lambda: not is_alive(pid))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):  # a guard alone may be patient for ten
        while not condition():
            await asyncio.sleep(0.02)


def test_every_state_knows_what_may_follow() -> None:
    """The table is total over states, every state can be reached, and winnow may stop at any time."""
    assert set(AFTER) == set(State)
    assert {state for after in AFTER.values() for state in after.values()} == set(State)
    assert all(Event.LEFT in after for state, after in AFTER.items() if state is not State.STOPPING)


async def test_a_server_says_what_it_does_until_it_serves(tmp_path: Path) -> None:
    """Starting is a problem with a sentence; serving is none."""
    bench = Bench(tmp_path, "say:INFO_11-25_02:24:00_[core.py:1]_Loading_weights sleep:0.3 serve")
    async with running(bench):
        await bench.until(State.STARTING)
        await until(lambda: bench.server.log.last_line == "Loading weights")
        assert (bench.server.problem or "").startswith("starting vLLM for the reranker (")
        await bench.until(State.SERVING)
        assert bench.server.problem is None
        assert bench.server.said()["state"] == "serving"
    await gone(bench.pid)


async def test_a_server_that_ends_without_a_word_says_nothing(tmp_path: Path) -> None:
    """What its guard wrote into the log is no cause."""
    bench = Bench(tmp_path, "end:3")
    async with running(bench):
        await until(lambda: "exit code 3: no output" in (bench.server.problem or ""))


async def test_a_server_that_is_killed_is_started_again(tmp_path: Path) -> None:
    """With the same arguments on the same port; the log of its first life is kept, and what it left behind is not."""
    bench = Bench(tmp_path, "child serve")
    async with running(bench):
        await bench.until(State.SERVING)
        first, left = bench.pid, int((tmp_path / "child").read_text())
        os.kill(first, signal.SIGKILL)
        await bench.until(State.SERVING, starts=2)
        await gone(left)
        assert bench.pid != first
        assert bench.starts[0] == bench.starts[1]
        assert str(first) in (tmp_path / "rerank.previous.log").read_text()
        second, left = bench.pid, int((tmp_path / "child").read_text())
    await gone(second)
    await gone(left)


async def test_waits_double_and_are_forgotten_after_good_health(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One, two, four seconds; after five minutes of serving it is one again."""
    bench = Bench(tmp_path, "end:1\nsay:last_words end:255\nend:1\nserve")
    async with running(bench):
        await bench.until(State.SERVING, starts=4)
        await asyncio.sleep((vllm_supervisor.WELL_SECONDS + 20) / SPEED)
        os.kill(bench.pid, signal.SIGKILL)
        await bench.until(State.SERVING, starts=5)
    assert re.findall(
        r"stopped \((exit code \d+(?:: last words)?|killed by SIGKILL).*restarts in (\S+) s", caplog.text
    ) == [
        ("exit code 1", "1.0"),
        ("exit code 255: last words", "2.0"),
        ("exit code 1", "4.0"),
        ("killed by SIGKILL", "1.0"),
    ]


@pytest.mark.parametrize(
    "said",
    [
        "torch.OutOfMemoryError:_CUDA_out_of_memory._Tried_to_allocate_2.00_GiB",
        "ValueError:_No_available_memory_for_the_cache_blocks.",
        "ValueError:_Free_memory_on_device_cuda:0_(3/80_GiB)_on_startup_is_less_than_desired_GPU_memory_utilization",
    ],
)
async def test_memory_that_runs_out_makes_it_smaller_once(tmp_path: Path, said: str) -> None:
    """It serves, with a note; and when memory runs out again it stays down and says why."""
    bench = Bench(tmp_path, f"say:{said} end:1\nserve sleep:0.2 say:{said} end:1")
    async with running(bench):
        await bench.until(State.SERVING, starts=2)
        assert "--enforce-eager" not in bench.starts[0]
        assert "--enforce-eager" in bench.starts[1]
        assert "--max-num-batched-tokens=8192" in bench.starts[1]
        assert "with half the step size" in (bench.server.note or "")
        assert bench.server.said()["note"] == bench.server.note
        await bench.until(State.GIVEN_UP, starts=2)
        assert "ran out of memory again" in (bench.server.problem or "")
        assert said.replace("_", " ")[:40] in (bench.server.problem or "")
        await asyncio.sleep(0.3)
    assert len(bench.starts) == 2


async def test_a_server_that_hangs_is_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Alive and silent for a minute is as good as gone; it gets no say in it."""
    bench = Bench(tmp_path, "serve")

    async def deaf_once_it_served(port: int) -> bool:
        return bench.server.state is not State.SERVING and await answers(port)

    bench.server._answers = deaf_once_it_served
    async with running(bench):
        await bench.until(State.SERVING, starts=2)
    assert "did not answer for 1 min 00 s" in caplog.text


async def test_servers_start_one_after_the_other(tmp_path: Path) -> None:
    """The second waits until the first serves or has failed; each measures free memory as it starts."""
    turn = asyncio.Lock()
    one = Bench(tmp_path / "one", "sleep:0.3 serve", turn=turn)
    other = Bench(tmp_path / "other", "serve", turn=turn)
    async with running(one, other):
        await one.until(State.STARTING)
        assert other.server.state is State.QUEUED
        assert "start one by one" in (other.server.problem or "")
        await other.until(State.STARTING)
        assert one.server.state is State.SERVING
        await other.until(State.SERVING)


async def test_a_stubborn_server_is_killed(tmp_path: Path) -> None:
    """SIGTERM first; after the grace SIGKILL, to the whole group."""
    bench = Bench(tmp_path, "stubborn child serve")
    async with running(bench):
        await bench.until(State.SERVING)
        pid, left = bench.pid, int((tmp_path / "child").read_text())
        began = time.monotonic()
    assert GRACE_SECONDS <= time.monotonic() - began < GRACE_SECONDS + 5
    await gone(pid)
    await gone(left)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_no_server_outlives_winnow(tmp_path: Path, number: signal.Signals) -> None:
    """However winnow's process ends: here another one in its place, which holds the pipe and is ended."""
    (tmp_path / "script").write_text("child serve")
    (port,) = _free_ports(1)
    command = [sys.executable, str(STAND_IN), str(tmp_path), f"--port={port}"]
    owner = subprocess.Popen(  # noqa: ASYNC220  (a stranger to this loop, on purpose)
        [sys.executable, "-c", OWNER, str(tmp_path / "log"), *command], cwd=STAND_IN.parents[1]
    )
    try:
        await until(lambda: (tmp_path / "child").exists() and "process" in (tmp_path / "log").read_text())
        pids = [int((tmp_path / "log").read_text().split()[-1]), int((tmp_path / "child").read_text())]
        assert all(map(is_alive, pids))
        owner.send_signal(number)
        owner.wait()
        await until(lambda: not any(map(is_alive, pids)))
    finally:
        owner.kill()
        owner.wait()


OWNER = """
import asyncio, pathlib, sys
from winnow.api.vllm.process import spawn

async def main():
    process = await spawn(sys.argv[2:], pathlib.Path(sys.argv[1]))
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_guard_that_is_killed_takes_its_server_with_it(tmp_path: Path) -> None:
    """Somebody may kill the wrong process: the group is cleared, and the port is free for the next start."""
    bench = Bench(tmp_path, "child serve")
    async with running(bench):
        await bench.until(State.SERVING)
        guard = os.getpgid(bench.pid)
        first, left = bench.pid, int((tmp_path / "child").read_text())
        os.kill(guard, signal.SIGKILL)
        await bench.until(State.SERVING, starts=2)
        await gone(first)
        await gone(left)


async def test_a_server_that_cannot_be_started_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No room for a log, no process to be had: a cause like any other, and no end of the supervision."""
    bench = Bench(tmp_path, "serve")
    (tmp_path / "file").touch()
    bench.server.log = VllmLog(tmp_path / "file" / "rerank.log")
    async with running(bench):
        await until(lambda: caplog.text.count("it could not be started") > 1)
        bench.server.log = VllmLog(tmp_path / "rerank.log")
        await bench.until(State.SERVING)


def test_secrets_stay_with_winnow(tmp_path: Path) -> None:
    """The server inherits the environment, less our secrets, plus its own variables."""
    command = with_environment([("VLLM_NO_USAGE_STATS", "1")], ["env"])
    shown = subprocess.run(
        command,
        env={
            "PATH": os.defpath,
            "WINNOW_API_KEY": "secret",
            "WINNOW_CACHE_SECRET": "secret too",
            "HF_HUB_OFFLINE": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "secret" not in shown
    assert {"VLLM_NO_USAGE_STATS=1", "HF_HUB_OFFLINE=1"} <= set(shown.splitlines())


def test_a_python_that_cannot_be_found_is_refused() -> None:
    """Before anything is started; a found one keeps its links, since a virtual environment lives by them."""
    with pytest.raises(SettingInvalid, match="/nowhere/python is not a program"):
        find_python("/nowhere/python")
    assert find_python(None) == str(Path(sys.executable).absolute())


def test_a_log_is_read_as_it_grows(tmp_path: Path) -> None:
    """In pieces of any size; of a flood only the end; the error is the one that names a cause."""
    log = VllmLog(tmp_path / "rerank.log")
    log.renew()
    with log.path.open("a") as file:
        for piece in (
            "(EngineCore pid=7) ERROR 11-25 02:24:00 [core.py:1] Value",
            "Error: No available mem",
            "ory for the cache blocks.\nhalf",
        ):
            file.write(piece)
            file.flush()
            log.read()
        assert (log.last_line, log.shortage) == ("ValueError: No available memory for the cache blocks.", "cache")
        file.write("\n" + "x" * 3 * READ_BYTES_MAX + "\nRuntimeError: Engine core initialization failed. See above.\n")
    log.read()
    assert log.error == "ValueError: No available memory for the cache blocks."
    assert log.last_line.startswith("RuntimeError: Engine core initialization failed")
    with log.path.open("a") as file:
        file.write("(APIServer pid=7) WARNING 11-25 02:24:00 [env.py:1] OSError: did no harm\n")
    log.read()
    assert log.error == "ValueError: No available memory for the cache blocks."
    log.renew()
    assert (log.last_line, log.error, log.shortage) == ("", "", None)


def test_a_log_may_be_removed_or_emptied_by_others(tmp_path: Path) -> None:
    """Who keeps logs short knows nothing of us: that ends no server, and what comes after it is read."""
    log = VllmLog(tmp_path / "rerank.log")
    log.renew()
    log.path.write_text("a long line that somebody will not want to keep\n")
    log.read()
    log.path.write_text("ValueError: short\n")
    log.read()
    assert log.error == "ValueError: short"
    log.path.unlink()
    log.read()
    assert log.last_line == "ValueError: short"


def test_a_log_that_cannot_be_made_anew_forgets_the_last_start(tmp_path: Path) -> None:
    """Memory that ran out then is not the reason why nothing starts now."""
    log = VllmLog(tmp_path / "logs" / "rerank.log")
    log.renew()
    log.path.write_text("torch.OutOfMemoryError: CUDA out of memory\n")
    log.read()
    assert log.shortage is not None
    log.path.with_suffix(".previous.log").mkdir()  # in the way
    with pytest.raises(OSError, match="directory"):
        log.renew()
    assert (log.shortage, log.error) == (None, "")


async def test_a_server_is_watched_though_nothing_can_be_logged(tmp_path: Path) -> None:
    """On a full disk too its guard hears that winnow is gone."""
    (tmp_path / "script").write_text("child serve")
    (port,) = _free_ports(1)
    server = [sys.executable, str(STAND_IN), str(tmp_path), f"--port={port}"]
    with Path("/dev/full").open("wb") as full:  # noqa: ASYNC230  (it never waits)
        guard = subprocess.Popen(  # noqa: ASYNC220  (as winnow starts it, but for the log)
            [sys.executable, "-I", watchdog.__file__, "1", *server],
            stdin=subprocess.PIPE,
            stdout=full,
            start_new_session=True,
        )
    await until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text() != "")
    left = int((tmp_path / "child").read_text())
    assert guard.stdin is not None
    guard.stdin.close()
    await gone(left)
    guard.wait()
