"""Which tests share a worker, which come first, and which run alone: `make test` has two workers (pytest-xdist).

Rule 1: The tests of one file run in one worker, so that what a module's fixture starts is started once. All tests that
start a vLLM server form one group: two of them at a time would take too much memory. The tests of the page form one,
too: they share a browser and a service.
Rule 2: The longest groups start first, so that no worker is left with a long one at the end.
Rule 3: No other test runs beside one that is marked `alone`: it measures time that another process would take from it.

Without pytest-xdist the tests run in the order of their files, as always.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

VLLM: Final = "every test that starts vLLM"
PAGE: Final = "every test of the page"
FILES_OF_PAGE: Final = "tests/unit/api/http/page/"
FILES_WITH_VLLM: Final = ("tests/vllm/", "tests/acceptance/test_spawned.py")
FIRST: Final = (  # the longest first, as `make test` prints them; then everything else
    "tests/acceptance/test_spawned.py",
    "tests/vllm/test_front.py",  # starts the servers, so that those that run alone find them
    "tests/vllm/",
    "tests/quality/",
    FILES_OF_PAGE,
    "tests/docs/test_pages.py",
    "tests/acceptance/",
    "tests/contract/test_reranker.py",
    "tests/unit/retrieval/index/test_build.py",
    "tests/faults/",
    "tests/tenants/",
    "tests/security/",
    "tests/packaging/",
    "tests/upgrade/",
    "tests/contract/",
)
SLOW: Final = (
    *FILES_WITH_VLLM,
    "tests/quality/",
    "tests/acceptance/",
    "tests/faults/",
    "tests/tenants/",
    "tests/security/",
    "tests/upgrade/",
)


def group_of(nodeid: str) -> str:
    """The group whose tests run in one worker, one after the other."""
    file = nodeid.partition("::")[0]
    if file.startswith(FILES_WITH_VLLM):
        return VLLM
    return PAGE if file.startswith(FILES_OF_PAGE) else file


def place_of(nodeid: str) -> int:
    """The place of a test's group; lower ones start earlier."""
    return next((place for place, start in enumerate(FIRST) if nodeid.startswith(start)), len(FIRST))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rounds", type=int, default=1, help="of each fault between service and vLLM (1)")
    parser.addoption(
        "--grace", type=float, default=1.0, help="seconds beyond its deadline that an answer may take then (1.0)"
    )
    parser.addoption("--pairs", type=int, default=150, help="whose scores over vLLM are compared (150)")


@pytest.hookimpl(tryfirst=True)  # before pytest looks at the marks that were asked for
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Rule 2, in each worker alike; and what needs processes or models of its own is marked as slow."""
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker("slow")
    if is_worker(config):
        items.sort(key=lambda item: place_of(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Rule 1."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        """Keeps the order of the groups."""

        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return ByGroup(config, log)


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Rule 3. The time spent waiting is not the test's: its timeout begins after that."""
    if not is_worker(item.config):
        return (yield)
    folder = Path(item.config._tmp_path_factory.getbasetemp()).parent  # type: ignore[attr-defined]
    with turn(folder, is_alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextlib.contextmanager
def turn(folder: Path, *, is_alone: bool) -> Iterator[None]:
    """A turn to run one test among the processes that share this folder.

    All pass a gate one by one. Who runs alone holds it to the end, so that nobody starts meanwhile, nor again before
    it had its turn.
    """
    with (folder / "gate.lock").open("w") as gate, (folder / "room.lock").open("w") as room:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        if not is_alone:
            fcntl.flock(gate, fcntl.LOCK_UN)
        try:
            yield
        finally:  # closing is not enough where a process was forked meanwhile, which has the files open, too
            for lock in (room, gate):
                fcntl.flock(lock, fcntl.LOCK_UN)
