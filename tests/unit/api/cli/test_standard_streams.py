"""Standard streams that are closed, full, unread, idle, or of another encoding: a sentence and a code, no traceback."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.tiny_models import write_embedder

PROJECT = Path(__file__).resolve().parents[4]
FULL = Path("/dev/full")
COMMAND = ("-m", "winnow.api.cli")
WORDS = "名字 é 😀"
SPEAKS = f"""
from winnow.api.cli.standard_streams import prepare_streams
from winnow.api.cli.terminal import Terminal
prepare_streams()
Terminal(json=True).answer({{"words": {WORDS!r}}})
Terminal().lines({WORDS!r} + " \\udce9")
Terminal().say({WORDS!r} + " \\udce9")
"""


def run(*words: str, redirected: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """This Python with these arguments, its streams redirected by a shell."""
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirected}', "bash", sys.executable, *words],
        cwd=PROJECT,
        env={**os.environ, **environment},  # noqa: TID251  a child's
        input=b"",
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("word", ["--version", "--help"])
def test_a_full_output_is_a_failure_in_a_sentence(word: str) -> None:
    """Whoever prints: our own code, or the library that prints help."""
    done = run(*COMMAND, word, redirected="> /dev/full")
    assert done.returncode == 1
    assert done.stderr == b"winnow: cannot write the output: No space left on device\n"


def test_a_closed_output_is_a_failure_in_a_sentence() -> None:
    """And its number is not left to the next file that is opened."""
    done = run(*COMMAND, "--version", redirected=">&-")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"winnow: cannot write the output: standard output is closed\n"
    opens = (
        "import os; from winnow.api.cli.standard_streams import prepare_streams as p; "
        "p(); os._exit(os.open('/', os.O_RDONLY))"
    )
    assert run("-c", opens, redirected=">&- 2>&-").returncode > 2


def test_a_pipe_that_is_read_no_more_ends_in_silence() -> None:
    """As `| head` leaves it."""
    done = run(*COMMAND, "--help", redirected="| true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("remarks", ["2>&-", "2> /dev/full", "2> >(true)"])
def test_the_answer_does_not_depend_on_who_reads_the_remarks(remarks: str) -> None:
    """What is said to a person may get lost; the answer and the exit code do not."""
    done = run("-c", SPEAKS, redirected=remarks)
    assert (done.returncode, json.loads(done.stdout.splitlines()[1].join((b"{", b"}")))) == (0, {"words": WORDS})


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "latin-1", "utf-8"])
def test_what_the_terminal_cannot_encode_is_replaced(encoding: str) -> None:
    """In words; JSON escapes it, and so loses nothing."""
    done = run("-c", SPEAKS, PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    answer, _, lines = done.stdout.decode(encoding).partition("}\n")
    assert json.loads(answer + "}") == {"words": WORDS}
    assert lines.strip().encode(encoding) == f"{WORDS} \udce9".encode(encoding, "replace")
    assert b"Traceback" not in done.stderr


def test_a_closed_input_is_said() -> None:
    """It is no empty corpus."""
    read = "from winnow.indexer.readers.open_corpus import open_corpus\nlist(open_corpus('-').entries())"
    assert b"standard input is closed; pipe JSON lines" in run("-c", read, redirected="<&-").stderr


def test_an_interrupt_while_input_is_awaited_ends_at_once(tmp_path: Path) -> None:
    """With 130, although nothing comes."""
    model = write_embedder(tmp_path / "embedder")
    words = ("index", "-", "--collection", "c", "--data", str(tmp_path / "data"), "--embed-model", str(model))
    process = subprocess.Popen(
        [sys.executable, *COMMAND, *words], cwd=PROJECT, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stderr is not None
    with process:
        assert b"standard input" in process.stderr.readline()  # it is about to read
        process.stdin.write(b'{"id": "a", "text": "t"}\n')
        process.stdin.flush()
        while _unread_bytes(process.stdin.fileno()):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130  # while the pipe is still open: before, it waited for its end
        said = process.stderr.read()
    assert b"Interrupted." in said
    assert b"Traceback" not in said


def _unread_bytes(pipe: int) -> int:
    """What was written into it and not read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
