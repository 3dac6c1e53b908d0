"""retrieval/vllm/pool.py: which server is asked, how much at once, and what happens where one fails.

The servers here are loopback ones that fail to order; tests/vllm asks real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.loopback import Asked, HangUp, ResponseModel, base64_of, serving
from winnow.rerank.vllm_reranker import RERANKER_FAILURES
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankBreakerOpen, RerankOverloaded, RerankTimeout, RerankUnavailable
from winnow.retrieval.vllm.client import VllmClient
from winnow.retrieval.vllm.pool import SLICE_INPUTS_MAX, VllmPool
from winnow.retrieval.vllm.replica import Patience, Standing

IMPATIENT = Patience(
    silence_seconds=0.05, pause_seconds=0.02, pause_seconds_max=0.04, proof_seconds_short=0.1, watch_seconds=0.05
)
SOON = 10_000  # milliseconds; far more than loopback takes


def score(ids: Sequence[int]) -> float:
    return 1.0 / (1.0 + sum(ids))


@dataclass(slots=True, kw_only=True)
class Server:
    """What one server does; a test turns it while it runs."""

    does: str = "answer"  # or: hang up, break, be busy, be silent, say nothing of itself
    salts: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # inputs of each call that arrived
    in_hand: int = 0
    in_hand_max: int = 0  # calls at once
    seconds: float = 0.0
    url: str = ""

    async def answer(self, asked: Asked) -> ResponseModel:
        if self.does == "hang up":
            raise HangUp
        if self.does == "say nothing of itself":
            return ResponseModel(body=b"<html>", status=503)  # as a proxy says it with nobody behind
        if asked.path == "/v1/models":
            return ResponseModel(body={"data": [{"id": "m"}]})
        self.sizes.append(len(asked.body["input"]))
        self.salts.append(asked.body["cache_salt"])
        self.in_hand += 1
        self.in_hand_max = max(self.in_hand_max, self.in_hand)
        try:
            await asyncio.sleep(30 if self.does == "be silent" else self.seconds)
        finally:
            self.in_hand -= 1
        if self.does == "break":
            return ResponseModel(body=b"<html>")
        if self.does == "be busy":
            return ResponseModel(body={}, status=503)
        inputs = asked.body["input"]
        if asked.path == "/classify":
            return ResponseModel(
                body={"data": [{"index": place, "probs": [score(ids)]} for place, ids in enumerate(inputs)]}
            )
        return ResponseModel(
            body={"data": [{"index": place, "data": base64_of(ids)} for place, ids in enumerate(inputs)]}
        )


async def one_score(client: VllmClient, deadline: Deadline) -> None:
    """A `Proof`."""
    if await client.classify([[1]], salt="proof", deadline=deadline) != [0.5]:
        raise RerankUnavailable("it does not know that the half of one is a half")


@asynccontextmanager
async def pool_of(
    *servers: Server, in_flight: int = 1_000, slices: int = 100, proof: object = one_score
) -> AsyncIterator[VllmPool]:
    async with AsyncExitStack() as stack:
        for server in servers:
            server.url = (await stack.enter_async_context(serving(server.answer))).url
        pool = VllmPool(
            [server.url for server in servers],
            RERANKER_FAILURES,
            proof=proof,  # type: ignore[arg-type]
            patience=IMPATIENT,
            slice_tokens=slices,
            in_flight_tokens_max=in_flight,
        )
        stack.push_async_callback(pool.close)
        yield pool


async def judged(pool: VllmPool, inputs: Sequence[Sequence[int]], milliseconds: float = SOON) -> list[float]:
    return await pool.classify(inputs, salt="tenant", deadline=Deadline.after_ms(milliseconds))


async def proven_again(pool: VllmPool) -> None:
    async with asyncio.timeout(5):
        while any(each.standing is not Standing.PROVEN for each in pool.report()):
            await asyncio.sleep(0.01)


async def test_scores_come_in_the_order_of_the_inputs() -> None:
    """However they were sliced and shared out."""
    one, other = Server(), Server()
    inputs = [[number] * (1 + number % 7) for number in range(300)]
    async with pool_of(one, other, slices=20) as pool:
        assert await judged(pool, inputs) == [score(ids) for ids in inputs]
    assert min(sum(one.sizes), sum(other.sizes)) > 50, "both had their share"
    assert set(one.salts) == {"tenant", "proof"}


async def test_vectors_come_as_they_are_and_share_no_prefix() -> None:
    """Bit for bit, in the order of the inputs; every request has a salt of its own."""
    server = Server()
    async with pool_of(server, slices=4) as pool:
        found = await pool.embed([[1, 2], [3, 4], [5, 6]], width=2, deadline=Deadline.never())
        assert (await pool.embed([], width=2, deadline=Deadline.never())).shape == (0, 2)
    np.testing.assert_array_equal(found, np.asarray([[1, 2], [3, 4], [5, 6]], dtype=np.float32))
    assert len(set(server.salts)) == len(server.salts) == 3


async def test_nothing_is_asked_about_nothing() -> None:
    """Not even whether the server is the right one."""
    server = Server()
    async with pool_of(server) as pool:
        assert await judged(pool, []) == []
    assert server.sizes == []


async def test_every_slice_waits_for_its_turn_and_holds_it() -> None:
    """With its tokens; and where they are wanted shorter than usual they are."""
    server = Server()
    held: list[int] = []
    turns: list[int] = []

    @asynccontextmanager
    async def turn(tokens: int) -> AsyncIterator[None]:
        held.append(tokens)
        before = len(server.sizes)
        yield
        assert len(server.sizes) > before, "asked within its turn"
        turns.append(tokens)

    async with pool_of(server, slices=100) as pool:
        await pool.prepare()
        inputs = [[1] * 10] * 7
        found = await pool.classify(inputs, salt="s", deadline=Deadline.after_ms(SOON), slice_tokens=30, turn=turn)
    assert found == [score(ids) for ids in inputs]
    assert (held, sorted(turns)) == ([30, 30, 10], [10, 30, 30])


async def test_slices_are_bounded() -> None:
    """In tokens and in inputs; what is longer than the bound goes alone."""
    server = Server()
    inputs = [[1] * 50, [1] * 50, [1], [1] * 101, *[[0]] * (SLICE_INPUTS_MAX + 1)]
    async with pool_of(server, in_flight=100_000) as pool:
        assert await judged(pool, inputs) == [score(ids) for ids in inputs]
    _proof, *sizes = server.sizes
    assert sorted(sizes, reverse=True)[:2] == [100, 100]
    assert {1, 2} <= set(sizes)


async def test_a_server_has_no_more_in_hand_than_it_may() -> None:
    """The rest waits here, where giving it up costs nothing."""
    server = Server(seconds=0.02)
    async with pool_of(server, slices=10, in_flight=30) as pool:
        await judged(pool, [[1] * 10] * 12)
        assert [each.tokens_in_flight for each in pool.report()] == [0]
    assert server.in_hand_max == 3


async def test_whoever_came_first_is_served_first() -> None:
    """A large request that waits is not passed by small ones for ever."""
    server = Server(seconds=0.02)
    done: list[str] = []

    async def ask(pool: VllmPool, name: str, tokens: int) -> None:
        await judged(pool, [[1] * tokens])
        done.append(name)

    async with pool_of(server, slices=100, in_flight=100) as pool:
        await pool.prepare()
        async with asyncio.TaskGroup() as group:
            for name, tokens in (("first", 60), ("large", 100), ("small", 1), ("smaller", 1)):
                group.create_task(ask(pool, name, tokens))
                await asyncio.sleep(0)
    assert done[:2] == ["first", "large"]


async def test_the_one_with_less_in_hand_is_asked() -> None:
    """A slow server gets little, and holds nobody up."""
    slow, fast = Server(seconds=0.2), Server()
    async with pool_of(slow, fast, slices=10, in_flight=20) as pool:
        await pool.prepare()
        slow.sizes.clear()
        await judged(pool, [[1] * 10] * 40)
    assert sum(slow.sizes) <= 4


async def test_no_score_is_taken_from_a_server_that_fails_its_proof() -> None:
    """Not even while it is being asked; the reason is told, and afterwards that it is left alone."""

    async def refused(_client: VllmClient, _deadline: Deadline) -> None:
        raise RerankUnavailable("start it with the right flags")

    server = Server()
    async with pool_of(server, proof=refused) as pool:
        with pytest.raises(RerankUnavailable, match="start it with the right flags"):
            await judged(pool, [[1]])
        with pytest.raises(RerankBreakerOpen, match="start it with the right flags"):
            await judged(pool, [[1]])
    assert server.sizes == []


@pytest.mark.parametrize("missed", ["hang up", "say nothing of itself"])
async def test_a_server_that_was_away_while_nobody_asked_is_proven_again(missed: str) -> None:
    """It may have come back as another, and the next caller's scores would be noise."""
    proofs = 0

    async def counted(_client: VllmClient, _deadline: Deadline) -> None:
        nonlocal proofs
        proofs += 1

    server = Server()
    async with pool_of(server, proof=counted) as pool:
        await judged(pool, [[1]])
        await asyncio.sleep(5 * IMPATIENT.watch_seconds)
        assert proofs == 1, "while it is there it is left in peace"
        server.does = missed
        async with asyncio.timeout(5):
            while proofs < 2:
                await asyncio.sleep(0.01)
        server.does = "answer"
        await proven_again(pool)
        assert await judged(pool, [[1]]) == [0.5]


async def test_a_server_that_was_believed_and_is_refused_casts_one_doubt() -> None:
    """What it said before may have been the other's. To be gone casts none, nor to be refused again or at first."""
    refusals = [RerankUnavailable("at first"), None, RerankUnavailable("it is another"), RerankUnavailable("still")]

    async def proof(client: VllmClient, deadline: Deadline) -> None:
        await client.classify([[1]], salt="proof", deadline=deadline)
        refusal = refusals.pop(0) if refusals else None
        if refusal is not None:
            raise refusal

    server = Server()
    async with pool_of(server, proof=proof) as pool:
        await pool.prepare()
        await proven_again(pool)
        assert (len(refusals), pool.doubts) == (2, 0)
        server.does = "hang up"
        with pytest.raises(RerankUnavailable):
            await judged(pool, [[1]])
        await asyncio.sleep(0.05)
        assert (len(refusals), pool.doubts) == (2, 0)
        server.does = "answer"
        await proven_again(pool)
        assert (len(refusals), pool.doubts) == (0, 1)


async def test_a_server_that_is_gone_leaves_its_work_to_the_other() -> None:
    """Nobody notices; and when it is back it is proven before it is asked."""
    one, other = Server(), Server()
    async with pool_of(one, other, slices=10, in_flight=20) as pool:
        await pool.prepare()
        one.does = "hang up"
        inputs = [[1] * 10] * 20
        assert await judged(pool, inputs) == [score(ids) for ids in inputs]
        assert pool.report()[0].standing is Standing.LEFT_ALONE
        one.does = "answer"
        await proven_again(pool)
        assert one.salts[-1] == "proof"


async def test_the_only_server_that_is_gone_is_left_alone_and_taken_back() -> None:
    """First unavailable, then at once the breaker, then the truth again."""
    server = Server()
    async with pool_of(server) as pool:
        await judged(pool, [[1]])
        server.does = "hang up"
        with pytest.raises(RerankUnavailable):
            await judged(pool, [[1]])
        with pytest.raises(RerankBreakerOpen):
            await judged(pool, [[1]])
        server.does = "answer"
        await proven_again(pool)
        assert await judged(pool, [[2]]) == [1 / 3]


async def test_a_broken_answer_is_not_asked_for_elsewhere() -> None:
    """A prompt that breaks servers must not visit them all. After three the server is left alone."""
    one, other = Server(), Server()
    async with pool_of(one, other) as pool:
        await pool.prepare()
        one.does = other.does = "break"
        for _ in range(6):
            before = len(one.sizes) + len(other.sizes)
            with pytest.raises(RerankUnavailable):
                await judged(pool, [[1]])
            if all(each.standing is Standing.LEFT_ALONE for each in pool.report()):
                break
            assert len(one.sizes) + len(other.sizes) <= before + 2  # the other's proof may fall between
        with pytest.raises((RerankBreakerOpen, RerankUnavailable)):
            await judged(pool, [[1]])


async def test_a_busy_server_is_overload_and_the_other_is_asked() -> None:
    """It has computed nothing, and has said so."""
    one, other = Server(), Server()
    async with pool_of(one, other) as pool:
        await pool.prepare()
        one.does = "be busy"
        assert [await judged(pool, [[1]]) for _ in range(4)] == [[0.5]] * 4
        other.does = "be busy"
        with pytest.raises(RerankOverloaded):
            await judged(pool, [[1]])
        assert [each.standing for each in pool.report()] == [Standing.PROVEN] * 2


@pytest.mark.parametrize("does", ["be busy", "hang up"])
async def test_one_server_that_refuses_everything_costs_nobody_an_answer(does: str) -> None:
    """It refuses at once, so it always has the least in hand; but there is room elsewhere, for as long as there is."""
    one, other = Server(), Server()
    async with pool_of(one, other) as pool:
        await pool.prepare()
        one.does = does
        assert [await judged(pool, [[1]]) for _ in range(60)] == [[0.5]] * 60


async def test_moving_has_a_budget() -> None:
    """When everything fails, asking twice as much makes it worse."""
    one, other = Server(), Server()
    async with pool_of(one, other) as pool:
        await pool.prepare()
        one.sizes.clear()
        other.sizes.clear()
        one.does = other.does = "be busy"
        for _ in range(60):
            with pytest.raises(RerankOverloaded):
                await judged(pool, [[1]])
    assert 60 < len(one.sizes) + len(other.sizes) <= 60 + 10 + 7


async def test_silence_ends_at_the_deadline_and_what_was_asked_is_taken_back() -> None:
    """The server sees its caller leave, and need not go on."""
    server = Server()
    async with pool_of(server) as pool:
        await pool.prepare()
        server.does = "be silent"
        with pytest.raises(RerankTimeout):
            await judged(pool, [[1]], milliseconds=100)
        assert [each.tokens_in_flight for each in pool.report()] == [0]


async def test_a_silent_server_is_left_alone_in_the_end() -> None:
    """Three callers waited in vain; the fourth is told at once, until it answers its proof again."""
    server = Server()
    async with pool_of(server) as pool:
        await pool.prepare()
        server.does = "be silent"
        for _ in range(3):
            with pytest.raises(RerankTimeout):
                await judged(pool, [[1]], milliseconds=100)
        with pytest.raises(RerankBreakerOpen):
            await judged(pool, [[1]], milliseconds=100)
        server.does = "answer"
        await proven_again(pool)


async def test_a_caller_that_leaves_frees_what_it_held() -> None:
    """In hand and in the queue; the next caller is served."""
    server = Server()
    async with pool_of(server, slices=10, in_flight=20) as pool:
        await pool.prepare()
        server.does = "be silent"
        leaving = asyncio.create_task(judged(pool, [[1] * 10] * 8))
        while server.in_hand < 2:
            await asyncio.sleep(0.001)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        server.does = "answer"
        assert [each.tokens_in_flight for each in pool.report()] == [0]
        assert await judged(pool, [[1]]) == [0.5]


async def test_a_proof_that_breaks_leaves_nobody_waiting() -> None:
    """A bug in it is told like a refusal, and it is tried again."""
    broken = [ZeroDivisionError("oh"), ZeroDivisionError("again")]

    async def breaking(_client: VllmClient, _deadline: Deadline) -> None:
        if broken:
            raise broken.pop(0)

    async with pool_of(Server(), proof=breaking) as pool, asyncio.timeout(5):
        with pytest.raises(RerankUnavailable, match="its check crashed: ZeroDivisionError"):
            await judged(pool, [[1]])
        await proven_again(pool)
        assert await judged(pool, [[1]]) == [0.5]


@pytest.mark.parametrize("hops", range(8))
async def test_a_server_that_is_lost_just_as_it_passes_is_proven_again(hops: int) -> None:
    """In whatever order the loop hears of the proof's end and of a call that ends badly, it comes back in the end."""
    leaving: list[asyncio.Task[list[float]]] = []

    async def leaves_at_the_end(_client: VllmClient, _deadline: Deadline) -> None:
        if leaving:
            leaving.pop().cancel()
            for _ in range(hops):
                await asyncio.sleep(0)

    server = Server(does="be silent")
    hasty = Patience(failures_max=1, silence_seconds=0.0, pause_seconds=0.0)
    async with serving(server.answer) as loopback:
        pool = VllmPool([loopback.url], RERANKER_FAILURES, proof=leaves_at_the_end, patience=hasty)
        await pool.prepare()
        calls = [asyncio.create_task(judged(pool, [[1]])) for _ in range(2)]
        while server.in_hand < 2:
            await asyncio.sleep(0.001)
        leaving.append(calls[1])
        calls[0].cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await proven_again(pool)
        await pool.close()
