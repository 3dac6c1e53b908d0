"""Clients that write, delete, search and read at the same time, and note what failed, was stale, or must be there.

Each writer has a collection of its own, so that none waits for another, or all have the same one. In it are a document
of the writer whose version grows, and one document more for each version. A reader may see no version older than one
acknowledged `BOUND_SECONDS` before it asked.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from tests.faults.replicas.services import HEADERS

BOUND_SECONDS: Final = 1.0
WRITERS: Final = 2
READERS: Final = 3
CLIENT_SECONDS: Final = 150.0  # longer than any answer takes, also from a store that is silent
PAUSE_SECONDS: Final = 0.05  # between two requests of a client
DELETE_EVERY: Final = 5  # versions


def writer_of(name: str) -> int:
    return int(name[1:].partition("-")[0])


def make_collections(url: str) -> None:
    for number in range(WRITERS):
        answer = httpx2.post(f"{url}/v1/collections", json={"name": f"docs-{number}"}, headers=HEADERS, timeout=60)
        answer.raise_for_status()


@dataclass(slots=True)
class Load:
    """What the clients have seen. A lock guards all of it."""

    url: str
    writers: int = WRITERS
    collections: int = WRITERS  # fewer than writers: they contend
    retries: int = 0  # of a 503, after the pause that it asks for
    lock: threading.Lock = field(default_factory=threading.Lock)
    answered: Counter[str] = field(default_factory=Counter)  # by kind of request
    failed: Counter[str] = field(default_factory=Counter)  # by what happened
    repeated: Counter[str] = field(default_factory=Counter)  # likewise, where a retry followed
    slowest: dict[str, float] = field(default_factory=dict)  # seconds until a failure, by what happened
    seconds: dict[str, list[float]] = field(default_factory=dict)  # until an answer, retries included, by kind
    stale: list[str] = field(default_factory=list)
    versions: dict[int, list[tuple[float, int]]] = field(default_factory=dict)  # acknowledged, by writer
    kept: dict[str, str] = field(default_factory=dict)  # texts of documents that must be there
    removed: set[str] = field(default_factory=set)
    stopping: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Until the block ends; then each client finishes its request."""
        self.stopping.clear()
        jobs = [(self._write, at) for at in range(self.writers)] + [(self._read, at) for at in range(READERS)]
        threads = [threading.Thread(target=self._repeat, args=job, daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join()

    def reset(self) -> None:
        """Forget what failed, and how long answers took."""
        for each in (self.failed, self.repeated, self.slowest, self.seconds, self.stale):
            each.clear()

    def documents(self, writer: int) -> str:
        """Path of the documents of a writer."""
        return f"/v1/collections/{self._collection(writer)}/documents"

    def _collection(self, writer: int) -> str:
        return f"docs-{writer % self.collections}"

    def _repeat(self, act: Callable[[httpx2.Client, int, int], None], at: int) -> None:
        with httpx2.Client(base_url=self.url, headers=HEADERS, timeout=CLIENT_SECONDS) as client:
            turn = 0
            while not self.stopping.is_set():
                act(client, at, turn)
                turn += 1
                time.sleep(PAUSE_SECONDS)

    def _write(self, client: httpx2.Client, at: int, _turn: int) -> None:
        with self.lock:
            known = self.versions.setdefault(at, [])
            version = known[-1][1] + 1 if known else 1
        name, text = f"w{at}-{version}", f"text {version} of writer {at}"
        state = {"id": f"w{at}", "text": f"state of writer {at}", "metadata": {"writer": at, "version": version}}
        answer = self._send(
            client, "write", "POST", self.documents(at), {"documents": [state, {"id": name, "text": text}]}
        )
        if answer is None:
            return  # it may be there or not: the next write has the same version
        with self.lock:
            known.append((time.monotonic(), version))
            self.kept[name] = text
        if version % DELETE_EVERY == 0:
            gone = f"w{at}-{version - 2}"
            with self.lock:
                self.kept.pop(gone, None)
            if self._send(client, "delete", "DELETE", f"{self.documents(at)}/{gone}", None, also=404) is not None:
                with self.lock:
                    self.removed.add(gone)

    def _read(self, client: httpx2.Client, at: int, turn: int) -> None:
        writer = turn % self.writers
        with self.lock:
            past = [
                version for when, version in self.versions.get(writer, ()) if when <= time.monotonic() - BOUND_SECONDS
            ]
        if not past:
            return
        if (turn // self.writers + at) % 2:
            answer = self._send(client, "get", "GET", f"{self.documents(writer)}/w{writer}", None)
            found = None if answer is None else answer["metadata"]["version"]
        else:
            body = {
                "query": f"state of writer {writer}",
                "collection": self._collection(writer),
                "rerank": False,
                "top_k": 1,
                "filter": {"type": "eq", "key": "writer", "value": writer},
            }
            answer = self._send(client, "search", "POST", "/v1/search", body)
            if answer is None:
                return
            found = answer["results"][0]["metadata"]["version"] if answer["results"] else 0
        if found is not None and found < past[-1]:
            with self.lock:
                self.stale.append(f"writer {writer}: version {found}, {past[-1]} was acknowledged over a second before")

    def _send(
        self, client: httpx2.Client, kind: str, method: str, path: str, body: Any, *, also: int = 200
    ) -> dict[str, Any] | None:
        """Return the answer, or None if it failed, which is noted."""
        began = time.monotonic()
        for left in reversed(range(self.retries + 1)):
            pause = 0.0
            try:
                answer = client.request(method, path, json=body)
            except httpx2.HTTPError as error:
                said = f"{kind}: {type(error).__name__} ({error})"
            else:
                if answer.status_code in {200, also}:
                    with self.lock:
                        self.answered[kind] += 1
                        self.seconds.setdefault(kind, []).append(time.monotonic() - began)
                    found: dict[str, Any] = answer.json()
                    return found
                said = f"{kind}: {answer.status_code} {code_of(answer)}"
                pause = float(answer.headers.get("retry-after", 0))
            if not left or not pause:
                break
            with self.lock:
                self.repeated[said] += 1
            time.sleep(pause)
        with self.lock:
            self.failed[said] += 1
            self.slowest[said] = max(self.slowest.get(said, 0.0), time.monotonic() - began)
        return None

    def lost(self, client: httpx2.Client) -> list[str]:
        """What was acknowledged and is not there, or is there again."""
        lost = []
        for name, text in self.kept.items():
            answer = client.get(f"{self.documents(writer_of(name))}/{name}")
            if answer.status_code != 200 or answer.json()["text"] != text:
                lost.append(f"{name} is lost: {answer.status_code}")
        lost += [
            f"{name} is back"
            for name in self.removed
            if client.get(f"{self.documents(writer_of(name))}/{name}").status_code != 404
        ]
        return lost


def code_of(answer: httpx2.Response) -> str:
    """The code of one of winnow's errors; of an answer of a proxy, that it is none."""
    try:
        return str(answer.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return "without a code"
