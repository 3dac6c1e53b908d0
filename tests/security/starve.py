"""Does one caller starve the others? Attacks a `winnow serve` of its own on loopback, and prints three figures each.

    python -m tests.security.starve                        every attack, 30 seconds each
    python -m tests.security.starve headers json --seconds 60

Tenant `quiet` searches all the time, before and during the attack of tenant `loud`. Printed: the p99 of quiet's
searches as a multiple of what it was before, how many of them failed, by how much the service's peak memory grew, and
how much it logged in a minute. Exits with 1 where a figure misses its bound. The bundled models search.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from winnow.api.collections.data_folder import DataFolder
from winnow.retrieval.catalog.keys import ALL_SCOPES, TENANT_SCOPES, KeyWish
from winnow.retrieval.tenancy import COMMAND_LINE

PROJECT: Final = Path(__file__).resolve().parents[2]
SLOWER_MAX: Final = 3.0  # times the quiet p99
GROWTH_MB_MAX: Final = 200
LOG_KB_MAX: Final = 100  # a minute, beyond the lines of the quiet tenant's own searches
QUIET_SECONDS: Final = 10.0  # the least that is measured before an attack
AGAIN_SECONDS: Final = 0.5  # until somebody of the attack who was hung up on, or answered, comes again
SOFT_DESCRIPTORS: Final = 1_024  # what the service is started with, as most systems do


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A running service."""

    host: str
    port: int
    pid: int
    loud: str  # keys
    quiet: str
    log: Path

    def peak_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1000

    def restart_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What an attack did to the others."""

    attack: str
    quiet_p99_ms: float
    p99_ms: float
    searches: int
    failed: int
    growth_mb: float
    log_kb_a_minute: float
    sent: int  # connections or requests of the attack

    @property
    def holds(self) -> bool:
        return (
            self.p99_ms < SLOWER_MAX * self.quiet_p99_ms
            and not self.failed
            and self.growth_mb < GROWTH_MB_MAX
            and self.log_kb_a_minute < LOG_KB_MAX
        )

    def __str__(self) -> str:
        return (
            f"{self.attack:8} p99 {self.p99_ms:7.1f} ms ({self.p99_ms / self.quiet_p99_ms:4.1f} times the quiet "
            f"{self.quiet_p99_ms:.1f}), {self.failed} of {self.searches} failed, memory +{self.growth_mb:.0f} MB, log "
            f"{self.log_kb_a_minute:.0f} kB a minute, {self.sent} sent: {'holds' if self.holds else 'MISSED'}"
        )


class Asker:
    """One connection that is kept, and asks one thing after the other."""

    def __init__(self, target: Target, key: str) -> None:
        self._target, self._key = target, key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, body: bytes, *, kind: str = "application/json", method: str = "POST") -> int:
        """The status."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._target.host, self._target.port)
        reader, writer = self._streams
        try:
            writer.write(head(self._key, method, path, f"content-length: {len(body)}", f"content-type: {kind}") + body)
            await writer.drain()
            return await answered(reader)
        except (OSError, EOFError):
            self._streams = None
            raise

    async def leave(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            with contextlib.suppress(OSError):
                await self._streams[1].wait_closed()


def head(key: str, method: str, path: str, *headers: str) -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "host: localhost", f"authorization: Bearer {key}", *headers)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def answered(reader: asyncio.StreamReader) -> int:
    said = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", said)
    if length is not None:
        await reader.readexactly(int(length[1]))
    return int(said.split(b" ", 2)[1])


Attack = Callable[[Target, asyncio.Event], Awaitable[int]]
SEARCH: Final = json.dumps({"query": "how do I undo a commit?", "collection": "docs", "rerank": False}).encode()


async def in_parallel(count: int, stop: asyncio.Event, act: Callable[[], Awaitable[object]]) -> int:
    """`act` in `count` loops until the end; a service that hangs up is asked again. How often it was done."""
    done = 0

    async def loop() -> None:
        nonlocal done
        while not stop.is_set():
            with contextlib.suppress(OSError, EOFError, asyncio.IncompleteReadError):
                await act()
            done += 1
            await asyncio.sleep(AGAIN_SECONDS)

    loops = [asyncio.ensure_future(loop()) for _ in range(count)]
    await stop.wait()
    for each in loops:
        each.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    return done


def stalled(target: Target, sent: bytes, stop: asyncio.Event) -> Callable[[], Awaitable[None]]:
    """Sends this, and then nothing, until the service hangs up."""

    async def act() -> None:
        reader, writer = await asyncio.open_connection(target.host, target.port)
        try:
            writer.write(sent)
            await writer.drain()
            while await reader.read(65_536) and not stop.is_set():
                pass
        finally:
            writer.close()

    return act


async def headers(target: Target, stop: asyncio.Event) -> int:
    """1,100 connections that send half a header."""
    return await in_parallel(1_100, stop, stalled(target, b"POST /v1/search HTTP/1.1\r\nhost: loc", stop))


async def idle(target: Target, stop: asyncio.Event) -> int:
    """2,500 connections that say nothing."""
    return await in_parallel(2_500, stop, stalled(target, b"", stop))


async def bodies(target: Target, stop: asyncio.Event) -> int:
    """300 bodies that stop after one byte, with a key that may search."""
    begun = head(target.loud, "POST", "/v1/search", "content-length: 1000", "content-type: application/json") + b"{"
    return await in_parallel(300, stop, stalled(target, begun, stop))


async def large(target: Target, stop: asyncio.Event) -> int:
    """40 bodies of 60 MB that stop after 2 MB each."""
    path = "/v1/collections/docs/documents"
    begun = head(target.loud, "POST", path, "content-length: 60000000", "content-type: application/json")
    return await in_parallel(40, stop, stalled(target, begun + b'{"documents": [' + b" " * 2_000_000, stop))


async def chunks(target: Target, stop: asyncio.Event) -> int:
    """8 bodies in chunks of one byte, as fast as they are taken."""
    path = "/v1/collections/docs/documents"
    begun = head(target.loud, "POST", path, "transfer-encoding: chunked", "content-type: application/json")
    return await in_parallel(8, stop, stalled(target, begun + b"1\r\n \r\n" * 500_000, stop))


async def readers(target: Target, stop: asyncio.Event) -> int:
    """100 callers that ask for 30 documents of 80 kB each, and read nothing."""

    async def act() -> None:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, (target.host, target.port))
        _, writer = await asyncio.open_connection(sock=raw, limit=1_024)
        try:
            writer.write(head(target.loud, "GET", "/v1/collections/docs/documents/long") * 30)
            await writer.drain()
            await stop.wait()
        finally:
            writer.close()

    return await in_parallel(100, stop, act)


def repeated(count: int, path: str, kind: str, made: Callable[[], bytes]) -> Attack:
    """`count` callers that send this again and again."""

    async def attack(target: Target, stop: asyncio.Event) -> int:
        body = await asyncio.to_thread(made)
        print("begun", flush=True)
        askers = [Asker(target, target.loud) for _ in range(count)]
        turns = itertools.cycle(askers)
        return await in_parallel(count, stop, lambda: next(turns).ask(path, body, kind=kind))

    return attack


def nested() -> bytes:
    """49 MB."""
    return b'{"documents": [' + b",".join([b"[[[]]]"] * 7_000_000) + b"]}"


def many_lines() -> bytes:
    """50 MB."""
    return b"1\n" * 25_000_000


def many_values() -> bytes:
    """1 MB."""
    return b"winnow_instructions: 1\ninstructions:\n" + b"- [a, b, c, d, e, f, g]\n" * 40_000


DOCUMENTS: Final = "/v1/collections/docs/documents"
ATTACKS: Final[dict[str, Attack]] = {
    "headers": headers,
    "idle": idle,
    "bodies": bodies,
    "large": large,
    "chunks": chunks,
    "readers": readers,
    "json": repeated(2, "/v1/search", "application/json", nested),
    "jsondocs": repeated(2, DOCUMENTS, "application/json", nested),
    "ndjson": repeated(2, DOCUMENTS, "application/x-ndjson", many_lines),
    "yaml": repeated(4, "/v1/instructions/import", "application/yaml", many_values),
}


MADE: Final = frozenset({"json", "jsondocs", "ndjson", "yaml"})  # attacks that begin when their body has been made


async def searched(target: Target, seconds: float) -> tuple[list[float], int]:
    """Milliseconds of each search of the quiet tenant, and how many failed. A search takes a new connection or a kept
    one, in turn: who comes new is served as well.
    """
    kept, taken, failed = Asker(target, target.quiet), [], 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        asker = kept if len(taken) % 2 else Asker(target, target.quiet)
        began = time.perf_counter()
        try:
            async with asyncio.timeout(30):
                failed += await asker.ask("/v1/search", SEARCH) != 200
        except (OSError, EOFError):
            failed += 1
        taken.append((time.perf_counter() - began) * 1000)
        if asker is not kept:
            await asker.leave()
        await asyncio.sleep(0.02)
    await kept.leave()
    return taken, failed


def p99(taken: list[float]) -> float:
    return sorted(taken)[min(len(taken) - 1, int(len(taken) * 0.99))]


async def figures(target: Target, name: str, seconds: float) -> Figures:
    await searched(target, 1.0)  # what is slow the first time
    quiet, _ = await searched(target, min(QUIET_SECONDS, seconds))
    target.restart_peak()
    before, log_before = target.peak_mb(), target.log.stat().st_size
    attack = await asyncio.create_subprocess_exec(  # whose own work must not slow the searches that are measured
        *(sys.executable, "-m", "tests.security.starve", "--against", json.dumps(asdict(target) | {"log": ""}), name),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=PROJECT,
    )
    assert attack.stdout is not None
    await attack.stdout.readline()
    taken, failed = await searched(target, seconds)
    sent = int((await attack.communicate(b"stop"))[0])
    logged = target.log.read_bytes()[log_before:]
    own = sum(len(line) + 1 for line in logged.splitlines() if b'"POST /v1/search HTTP/1.1" 200' in line)
    return Figures(
        attack=name,
        quiet_p99_ms=p99(quiet),
        p99_ms=p99(taken),
        searches=len(taken),
        failed=failed,
        growth_mb=target.peak_mb() - before,
        log_kb_a_minute=(len(logged) - own) / 1000 * 60 / seconds,
        sent=sent,
    )


@contextlib.asynccontextmanager
async def service(root: Path) -> AsyncIterator[Target]:
    """With two tenants, of which each has a collection `docs`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WINNOW_")}  # noqa: TID251
    disk = DataFolder.open(root / "data")
    disk.catalog.keys.make(disk.catalog.tenants.tenant("default").name, KeyWish(scopes=ALL_SCOPES), by=COMMAND_LINE)
    keys = {}
    for name in ("loud", "quiet"):
        tenant = disk.catalog.tenants.make(name, by=COMMAND_LINE).name
        keys[name] = disk.catalog.keys.make(tenant, KeyWish(scopes=TENANT_SCOPES), by=COMMAND_LINE).text
    limited = (
        f"ulimit -Sn {SOFT_DESCRIPTORS}; exec {sys.executable} -m winnow.api.cli serve --port 0 --data {root / 'data'}"
    )
    log = root / "log"
    process = _started(limited, log, environment)
    try:
        target = await asyncio.to_thread(_listening, process, log, keys)
        for key in keys.values():
            asker = Asker(target, key)
            await _filled(asker)
            await asker.leave()
        yield target
    finally:
        process.terminate()
        process.wait(timeout=60)


def _started(command: str, log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as written:
        return subprocess.Popen(["bash", "-c", command], stderr=written, cwd=PROJECT, env=environment)


def _listening(process: subprocess.Popen[bytes], log: Path, keys: dict[str, str]) -> Target:
    """Blocks."""
    while process.poll() is None:
        found = re.search(r"Listening\s+http://([\d.]+):(\d+)", log.read_text(encoding="utf-8"))
        if found:
            return Target(host=found[1], port=int(found[2]), pid=process.pid, log=log, **keys)
        time.sleep(0.1)
    raise SystemExit(log.read_text(encoding="utf-8"))


async def _filled(asker: Asker) -> None:
    documents: list[dict[str, Any]] = [{"id": str(n), "text": f"To undo commit {n}, go back one."} for n in range(200)]
    documents.append({"id": "long", "text": "undo " * 4_000, "more": "x" * 60_000})
    assert await asker.ask("/v1/collections", b'{"name": "docs"}') == 201
    assert await asker.ask("/v1/collections/docs/documents", json.dumps({"documents": documents}).encode()) == 200


async def attacking(target: Target, name: str) -> None:
    """Until something comes, or the end, at the standard input."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, stop.set)
    if name not in MADE:
        print("begun", flush=True)
    print(await ATTACKS[name](target, stop))


async def run(names: list[str], seconds: float) -> list[Figures]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        async with service(Path(folder)) as target:
            for name in names:
                found.append(await figures(target, name, seconds))
                print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("attacks", nargs="*", choices=[*ATTACKS, []], help="all of them unless given")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each attack")
    parser.add_argument("--against", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.against:
        asyncio.run(attacking(Target(**asked.against | {"log": Path()}), asked.attacks[0]))
        return
    found = asyncio.run(run(asked.attacks or list(ATTACKS), asked.seconds))
    sys.exit(0 if all(each.holds for each in found) else 1)


if __name__ == "__main__":
    main()
