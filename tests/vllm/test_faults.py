"""What callers get while the reranker's server fails: everything, or recall's order with the right reason, in time.

A real `winnow serve` in front of a real vLLM, with a way between them on which things go wrong to order: nine kinds of
fault, several rounds of each (`--rounds`), during load. How late an answer may be (`--grace`) depends on what else the
machine does: the campaign asks for a tenth of a second, `make test` for what tells a deadline from none.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
import pytest

from tests.acceptance.conftest import Command, command_in, write_corpus
from tests.acceptance.test_http import Service
from tests.vllm.faulty_proxy import Fault, FaultyProxy, proxy_to

TIMEOUT_MS: Final = 2_500  # of every search; an undisturbed one takes a tenth of that on an idle machine
RECOVERY_SECONDS_MAX: Final = 5.0
CALLERS: Final = 3  # at once
HEALTHY_SECONDS: Final = 0.5
FAULT_SECONDS: Final = 4.0  # longer than a search may take, its grace included
WRONG_MAX: Final = 1e-4  # a score that differs by more from the undisturbed one is a wrong score
QUERIES: Final = (
    "return goods bought online",
    "网上购买的商品可以退货吗",
    "how does a heron catch fish",
    "rebuild the index",
)

LOST: Final = frozenset({"unavailable", "breaker_open"})
LATE: Final = frozenset({"timeout", "breaker_open"})
REASONS: Final[Mapping[Fault, frozenset[str]]] = {
    Fault.DELAY: LATE,
    Fault.SLOW_DRIP: LATE,
    Fault.RESET: LOST,
    Fault.REFUSED: LOST,
    Fault.HALF_REPLY: LOST,
    Fault.STATUS_500: LOST,
    Fault.GARBAGE: LOST,
    Fault.WRONG_COUNT: LOST,
    Fault.STATUS_503: frozenset({"overloaded", "breaker_open"}),  # the latter where even a greeting is refused
}

pytestmark = [pytest.mark.vllm, pytest.mark.alone, pytest.mark.timeout(300)]

Relevances = Mapping[tuple[str, str], float]  # by query and document


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One search as its caller saw it."""

    query: str
    began: float  # seconds, time.monotonic()
    seconds: float
    body: dict[str, Any]

    @property
    def reason(self) -> str | None:
        return None if self.body["degraded"] is None else str(self.body["degraded"]["reason"])


@dataclass(slots=True, kw_only=True)
class Load:
    """Callers who ask one search after the other until they are told to stop."""

    client: httpx2.AsyncClient
    outcomes: list[Outcome] = field(default_factory=list)
    is_over: bool = False

    async def ask(self, caller: int) -> None:
        turn = caller
        while not self.is_over:
            self.outcomes.append(await asked(self.client, QUERIES[turn % len(QUERIES)]))
            turn += 1

    async def first_complete_after(self, moment: float) -> float:
        """Seconds from then until the first caller got a whole answer that it asked for since."""
        async with asyncio.timeout(2 * RECOVERY_SECONDS_MAX):
            while True:
                for each in self.outcomes:
                    if each.began >= moment and each.reason is None:
                        return each.began + each.seconds - moment
                await asyncio.sleep(0.02)


async def asked(client: httpx2.AsyncClient, query: str, timeout_ms: int = TIMEOUT_MS) -> Outcome:
    began = time.monotonic()
    answer = await client.post(
        "/v1/search", json={"query": query, "collection": "four", "timeout_ms": timeout_ms, "rerank": "always"}
    )
    assert answer.status_code == 200, answer.text
    return Outcome(query=query, began=began, seconds=time.monotonic() - began, body=answer.json())


@contextlib.asynccontextmanager
async def loading(client: httpx2.AsyncClient) -> AsyncIterator[Load]:
    load = Load(client=client)
    async with asyncio.TaskGroup() as group:
        for caller in range(CALLERS):
            group.create_task(load.ask(caller))
        try:
            yield load
        finally:
            load.is_over = True


@contextlib.contextmanager
def service_before(winnow: Command, url: str) -> Iterator[Service]:
    """`winnow serve` that is to ask this server, and remembers nothing: every search reaches it.

    It writes a line for each, thousands while answers come at once; somebody has to read them, or it stops.
    """
    variables = {"WINNOW_RERANK_URL": url, "WINNOW_JUDGEMENT_CACHE_MB": "0", "WINNOW_PORT": "0"}
    process = winnow.start("serve", **variables)
    service = Service(process)
    pipes = [pipe for pipe in (process.stdout, process.stderr) if pipe is not None]
    readers = [threading.Thread(target=deque, args=(pipe, 0)) for pipe in pipes]
    for reader in readers:
        reader.start()
    try:
        yield service
    finally:
        process.terminate()
        process.wait(60)
        for reader, pipe in zip(readers, pipes, strict=True):
            reader.join()
            pipe.close()


def checked(outcome: Outcome, expected: Relevances, allowed: frozenset[str]) -> None:
    """Complete and right, or recall's order with a reason that fits."""
    results = outcome.body["results"]
    assert len(results) == len({document for _, document in expected})
    if outcome.reason is None:
        for result in results:
            right = expected[outcome.query, result["document_id"]]
            assert abs(result["relevance"] - right) <= WRONG_MAX, "a wrong score"
        assert outcome.body["judged_by"] != "recall-order"
    else:
        assert outcome.reason in allowed
        assert outcome.body["judged_by"] == outcome.body["ranked_by"] == "recall-order"
        assert {result["relevance"] for result in results} == {None}
        assert [result["recall_rank"] for result in results] == list(range(1, len(results) + 1))


async def undisturbed(client: httpx2.AsyncClient) -> Relevances:
    """What is right."""
    answers = [await asked(client, query, timeout_ms=30_000) for query in QUERIES]
    assert [each.reason for each in answers] == [None] * len(QUERIES)
    return {
        (each.query, result["document_id"]): result["relevance"] for each in answers for result in each.body["results"]
    }


async def whole_again(client: httpx2.AsyncClient) -> None:
    """What began during the fault before may run out after its end, and rightly keep the breaker open for a moment."""
    async with asyncio.timeout(RECOVERY_SECONDS_MAX):
        while (await asked(client, QUERIES[0])).reason is not None:
            await asyncio.sleep(0.02)


async def one_run(
    client: httpx2.AsyncClient, proxy: FaultyProxy, fault: Fault, expected: Relevances, *, grace: float
) -> str:
    """A line about it. `grace` is in seconds."""
    await whole_again(client)
    async with loading(client) as load:
        await asyncio.sleep(HEALTHY_SECONDS)
        struck = time.monotonic()
        proxy.fault = fault
        await asyncio.sleep(FAULT_SECONDS)
        proxy.fault = Fault.NONE
        healed = time.monotonic()
        took = await load.first_complete_after(healed)
    before = [each for each in load.outcomes if each.began + each.seconds < struck]
    during = [each for each in load.outcomes if each.began >= struck]
    for each in before:
        checked(each, expected, frozenset())
    for each in load.outcomes:
        checked(each, expected, REASONS[fault])
    reasons = sorted({each.reason for each in during if each.reason})
    assert reasons, f"{fault} changed nothing"
    assert took <= RECOVERY_SECONDS_MAX
    slowest = max(each.seconds for each in load.outcomes)
    assert slowest <= TIMEOUT_MS / 1_000 + grace
    return (
        f"{fault:12} {len(load.outcomes):4} answers, {'/'.join(reasons)}, slowest {slowest:.2f} s, back in {took:.2f} s"
    )


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """With a collection of this name, of four documents."""
    folder = tmp_path_factory.mktemp("faults")
    command = command_in(folder / "data", {})
    done = command.run("index", str(write_corpus(folder / "corpus")), "--collection", "four")
    assert done.code == 0, done.err
    return command


@pytest.fixture(scope="module")
def way() -> int:
    """The port between service and server, at which each test listens in its turn."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def service(four: Command, way: int) -> Iterator[Service]:
    with service_before(four, f"http://127.0.0.1:{way}") as started:
        yield started


@pytest.mark.parametrize("fault", REASONS)
async def test_every_answer_is_whole_or_says_why_not(
    service: Service, way: int, judge_url: str, fault: Fault, request: pytest.FixtureRequest
) -> None:
    """No wrong score, no hang, and whole answers again within seconds of the fault's end."""
    async with proxy_to(judge_url, port=way) as proxy, httpx2.AsyncClient(base_url=service.url, timeout=30) as client:
        await whole_again(client)
        expected = await undisturbed(client)
        for _ in range(request.config.getoption("rounds")):
            print(await one_run(client, proxy, fault, expected, grace=request.config.getoption("grace")))
