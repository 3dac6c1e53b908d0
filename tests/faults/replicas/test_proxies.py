"""A proxy finds the one service that is well, also if it has just taken it for one that is gone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

import httpx2
import pytest

from tests.faults.replicas.proxies import PROXIES, balanced, why_not
from tests.faults.replicas.services import START_SECONDS_MAX, free_ports

REQUESTS: Final = 4
NONE_LEFT: Final = {"nginx": 502, "haproxy": 503}
MARKED: Final = {  # in its log
    "nginx": r"connect\(\) failed [^\n]*:{port}/",
    "haproxy": r"/winnow-{number} is DOWN",
}
LAST_LOOK_SECONDS: Final = 1.0  # HAProxy may look once more after that, within 0.1 s if the machine is not busy
CONTROLS_MAX: Final = 5  # one look that comes later than that, and the control shows nothing

pytestmark = [
    pytest.mark.faults,
    pytest.mark.parametrize(
        "proxy",
        [
            pytest.param(each, marks=pytest.mark.skipif(why_not(each) is not None, reason=str(why_not(each))))
            for each in PROXIES
        ],
    ),
]


class Answering(BaseHTTPRequestHandler):
    """Answers every request with 200, and closes the connection."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.end_headers()

    do_POST = do_GET  # noqa: N815  the names that the library asks for

    def log_message(self, *_: object) -> None:
        """Nothing."""


@dataclass(slots=True)
class Service:
    """Stands for `winnow serve`: refuses connections while it is ended, and comes back at its port."""

    port: int
    server: ThreadingHTTPServer | None = None
    thread: Thread | None = field(default=None, repr=False)

    def start(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Answering)
        self.thread = Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def end(self) -> None:
        if self.server is not None and self.thread is not None:
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()
        self.server = self.thread = None


@pytest.fixture
def services() -> Iterator[list[Service]]:
    made = [Service(port) for port in free_ports(3)]
    for each in made:
        each.start()
    yield made
    for each in made:
        each.end()


def statuses(url: str, *, count: int = REQUESTS) -> list[int]:
    """Ask for what may not be repeated once it was sent."""
    return [httpx2.post(f"{url}/v1/keys", json={}, timeout=60).status_code for _ in range(count)]


def wait_until_marked(url: str, folder: Path, proxy: str, services: list[Service], number: int) -> None:
    """Ask until the proxy has found that this service is gone; no request may fail meanwhile."""
    words = MARKED[proxy].format(port=services[number - 1].port, number=number)
    (log,) = folder.glob(f"{proxy}-*/log")
    end = time.monotonic() + START_SECONDS_MAX
    while not re.search(words, log.read_text(encoding="utf-8")):
        assert time.monotonic() < end
        assert statuses(url, count=1) == [200]
        time.sleep(0.02)
    if proxy == "haproxy":
        time.sleep(LAST_LOOK_SECONDS)


def remembering(text: str) -> str:
    """A change of the configurations: what has failed is not looked at again while the test runs."""
    text = text.replace("fail_timeout=2s", "fail_timeout=600s")
    text = text.replace("inter 1s", "inter 100ms downinter 600s").replace("timeout connect 1s", "timeout connect 100ms")
    return text.replace("    option httpchk", "    option log-health-checks\n    option httpchk")


def of_before(text: str) -> str:
    """The same without the second list: the control."""
    return re.sub(r" +server [^\n]* backup;?\n", "", remembering(text))


@pytest.mark.parametrize("count", [2, 3])
def test_the_one_service_that_is_well_gets_the_requests(
    tmp_path: Path, proxy: str, services: list[Service], count: int
) -> None:
    """The first has ended and come back, unnoticed as yet, when all the others end."""
    behind = services[:count]
    with balanced(tmp_path, behind, proxy=proxy, change=remembering) as url:
        behind[0].end()
        wait_until_marked(url, tmp_path, proxy, behind, 1)
        behind[0].start()
        for each in behind[1:]:
            each.end()
        assert statuses(url) == [200] * REQUESTS
        behind[0].end()
        assert statuses(url, count=1) == [NONE_LEFT[proxy]]


def test_without_the_second_list_requests_fail(tmp_path: Path, proxy: str, services: list[Service]) -> None:
    """The control."""
    behind, found = services[:2], []
    for number in range(CONTROLS_MAX):
        folder = tmp_path / str(number)
        folder.mkdir()
        with balanced(folder, behind, proxy=proxy, change=of_before) as url:
            behind[0].end()
            wait_until_marked(url, folder, proxy, behind, 1)
            behind[0].start()
            behind[1].end()
            found.append(statuses(url))
        behind[1].start()
        if found[-1] == [NONE_LEFT[proxy]] * REQUESTS:
            return
    pytest.fail(f"requests were answered: {found}")


def test_services_that_end_in_turn_are_not_noticed(tmp_path: Path, proxy: str, services: list[Service]) -> None:
    """Each right after the one before is back."""
    with balanced(tmp_path, services[:2], proxy=proxy, change=remembering) as url:
        for turn in range(4):
            services[turn % 2].end()
            assert statuses(url) == [200] * REQUESTS
            services[turn % 2].start()
