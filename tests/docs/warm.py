"""Answers `winnow` commands from one process that has loaded the libraries: it forks, and the fork runs the command.

Starting Python with PyTorch takes seconds of each command, and a page has many. Lance is not loaded before the fork,
since it does not survive one. `serving_commands` gives a folder for the PATH, whose `winnow` hands its arguments,
environment, folder and standard streams over.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LOADED = (
    *("torch", "faiss", "pyarrow", "sqlalchemy", "alembic.command", "fastapi", "tokenizers"),
    "winnow.api.cli.main",
)
MESSAGE_BYTES_MAX = 1_000_000
SHIM = """#!{python} -IS
import json, os, socket, sys
line = socket.socket(socket.AF_UNIX)
line.connect({address!r})
message = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(line, [len(message).to_bytes(8, "big")], [0, 1, 2])
line.sendall(message)
sys.exit(int(line.recv(8) or b"70"))
"""


@contextlib.contextmanager
def serving_commands(folder: Path) -> Iterator[Path]:
    """The folder with the `winnow` that asks the process, which ends with the block."""
    address = folder / "commands"
    executable = folder / "winnow"
    executable.write_text(SHIM.format(python=sys.executable, address=str(address)))
    executable.chmod(0o755)
    with subprocess.Popen([sys.executable, "-m", __name__, str(address)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"listening\n"
            yield folder
        finally:
            process.terminate()


def main() -> None:
    """Loads the libraries, then forks for each command."""
    for name in LOADED:
        importlib.import_module(name)
    assert "lance" not in sys.modules
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(sys.argv[1])
        listening.listen()
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        while True:
            line = listening.accept()[0]
            if os.fork() == 0:
                _run(line)
            line.close()


def _run(line: socket.socket) -> None:
    """In the fork."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, streams, _, _ = socket.recv_fds(line, 8, 3)
    wanted = int.from_bytes(length, "big")
    assert wanted <= MESSAGE_BYTES_MAX
    message = b""
    while len(message) < wanted:
        message += line.recv(wanted - len(message))
    arguments, folder, environment = json.loads(message)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(folder)
    os.environ.clear()  # noqa: TID251  the command's own
    os.environ.update(environment)  # noqa: TID251
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    code = _code(arguments)
    line.sendall(str(code).encode())
    os._exit(code)


def _code(arguments: list[str]) -> int:
    from winnow.api.cli.main import main as run

    sys.argv = ["winnow", *arguments]
    sys.modules["__main__"].__package__ = None  # else help names this module in place of winnow
    try:
        run()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    main()
