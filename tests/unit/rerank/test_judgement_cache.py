"""What was judged is not judged again, by nobody else, not for ever, and never if it was not judged properly."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fakes import CountingJudge
from tests.tiny_models import write_reranker
from winnow.rerank.highlight import highlight
from winnow.rerank.judgement_cache import ScoreCache
from winnow.rerank.prompt import PromptBuilder
from winnow.rerank.prompted_reranker import PromptedReranker
from winnow.rerank.reranker import Ranking
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankBreakerOpen, RerankError, RerankOverloaded, RerankTimeout, RerankUnavailable
from winnow.retrieval.records import candidates_of

PASSAGES = ("The court decides what is fair.", "消费者有权退货。", "A refund. " * 90, "vectors")


class Clock:
    """Stands still until it is told to go on."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reranker(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> ScoreCache:
    return ScoreCache(bytes_max=1_000_000, seconds_max=60.0, secret=b"s" * 32, clock=clock)


def reranker_over(
    judge: CountingJudge,
    folder: Path,
    cache: ScoreCache | None,
    *,
    name: str = "tiny",
    revision: str = "1",
    tokens_max: int = 200,
) -> PromptedReranker:
    prompts = PromptBuilder.load(folder, tokens_max=tokens_max)
    return PromptedReranker(judge, prompts, name=name, revision=revision, cache=cache)


async def rank(
    reranker: PromptedReranker,
    passages: Sequence[str] = PASSAGES,
    *,
    query: str = "May I return it?",
    instruction: str = "Prefer prose",
    tenant: str = "t",
) -> Ranking:
    candidates = candidates_of(passages)
    return await reranker.rank(query, candidates, instruction=instruction, tenant=tenant, deadline=Deadline.never())


async def test_the_same_question_again_costs_nothing_and_is_answered_the_same(folder: Path, cache: ScoreCache) -> None:
    """Order, scores, what was cut: all as before; only the cost differs."""
    judge = CountingJudge()
    reranker = reranker_over(judge, folder, cache)
    fresh, again = await rank(reranker), await rank(reranker)
    assert judge.asked == [4]
    assert again.ranked == fresh.ranked
    assert {each.candidate.chunk.number for each in again.ranked if each.truncated} == {2}
    assert (fresh.remembered, again.remembered, again.judged, again.tokens) == (0, 4, 4, 0)
    assert fresh.tokens > 0


async def test_only_unknown_passages_are_judged(folder: Path, cache: ScoreCache) -> None:
    """And only they cost; copies of a known passage are known."""
    judge = CountingJudge()
    reranker = reranker_over(judge, folder, cache)
    await rank(reranker, PASSAGES[:2])
    mixed = await rank(reranker, [PASSAGES[3], PASSAGES[0], PASSAGES[2], PASSAGES[0]])
    alone = await rank(reranker_over(CountingJudge(), folder, None), [PASSAGES[3], PASSAGES[2]])
    assert judge.asked == [2, 2]
    assert (mixed.remembered, mixed.judged, mixed.tokens) == (2, 4, alone.tokens)
    whole = await rank(
        reranker_over(CountingJudge(), folder, None), [PASSAGES[3], PASSAGES[0], PASSAGES[2], PASSAGES[0]]
    )
    assert mixed.ranked == whole.ranked


@pytest.mark.parametrize(
    "asked", [{"tenant": "another"}, {"query": "May I return it ?"}, {"instruction": "Prefer prose "}]
)
async def test_another_question_is_judged_anew(folder: Path, cache: ScoreCache, asked: dict[str, str]) -> None:
    """Another tenant's, above all: not even the time of an answer tells what somebody else asked."""
    judge = CountingJudge()
    reranker = reranker_over(judge, folder, cache)
    await rank(reranker)
    assert (await rank(reranker, **asked)).remembered == 0
    assert judge.asked == [4, 4]


@pytest.mark.parametrize("model", [{"name": "tiny2"}, {"revision": "2"}, {"tokens_max": 199}])
async def test_another_model_judges_for_itself(folder: Path, cache: ScoreCache, model: dict[str, object]) -> None:
    """One cache serves all the models of a process; the window belongs to a model, since it decides what is cut."""
    await rank(reranker_over(CountingJudge(), folder, cache))
    other = reranker_over(CountingJudge(), folder, cache, **model)  # type: ignore[arg-type]
    assert (await rank(other)).remembered == 0


@pytest.mark.parametrize("failure", [RerankTimeout("x"), RerankOverloaded("x"), RerankUnavailable("x")])
async def test_a_failed_judgement_is_not_remembered(folder: Path, cache: ScoreCache, failure: RerankError) -> None:
    """A failure passes; what was kept of it would not."""
    judge = CountingJudge(failure=failure)
    reranker = reranker_over(judge, folder, cache)
    with pytest.raises(type(failure)):
        await rank(reranker)
    assert cache.state.entries == 0
    judge.failure = None
    assert (await rank(reranker)).remembered == 0


@pytest.mark.parametrize("said", [[0.5, 1.0, math.nan, 0.0], [0.5, 1.0, 2.0], [0.5] * 5])
async def test_nothing_of_a_broken_judgement_is_remembered(folder: Path, cache: ScoreCache, said: list[float]) -> None:
    """Not even the part that looks sound: a judge that loses one passage may have mixed up the others."""
    with pytest.raises(RerankUnavailable):
        await rank(reranker_over(CountingJudge(said=said), folder, cache))
    assert cache.state.entries == 0


async def test_what_was_said_before_a_doubt_is_not_used_after_it(folder: Path, cache: ScoreCache) -> None:
    """Nor is what was asked before and answered after it."""
    judge = CountingJudge()
    reranker = reranker_over(judge, folder, cache)
    await rank(reranker, PASSAGES[:2])
    under_way = asyncio.create_task(rank(reranker, PASSAGES[2:]))
    while len(judge.asked) < 2:
        await asyncio.sleep(0)
    judge.doubts += 1
    await under_way
    assert (await rank(reranker)).remembered == 0
    assert (await rank(reranker)).remembered == len(PASSAGES)


async def test_what_is_known_whole_needs_no_judge(folder: Path, cache: ScoreCache) -> None:
    """A judge that has failed since does not degrade an answer that it has given already."""
    judge = CountingJudge()
    reranker = reranker_over(judge, folder, cache)
    fresh = await rank(reranker)
    judge.failure = RerankBreakerOpen("x")
    assert (await rank(reranker)).ranked == fresh.ranked
    with pytest.raises(RerankBreakerOpen):
        await rank(reranker, [*PASSAGES, "one more"])


async def test_a_judgement_is_forgotten_in_time(folder: Path, cache: ScoreCache, clock: Clock) -> None:
    """Counted from when it was computed."""
    reranker = reranker_over(CountingJudge(), folder, cache)
    await rank(reranker)
    clock.now = 59.0
    assert (await rank(reranker)).remembered == 4
    clock.now = 60.0
    assert (await rank(reranker)).remembered == 0


async def test_without_a_cache_everything_is_judged(folder: Path) -> None:
    """Off is off."""
    judge = CountingJudge()
    reranker = reranker_over(judge, folder, None)
    assert [(await rank(reranker)).remembered for _ in range(2)] == [0, 0]
    assert judge.asked == [4, 4]


async def test_at_the_same_moment_both_are_judged_and_agree(folder: Path, cache: ScoreCache) -> None:
    """Nobody waits for somebody else's answer, and with it for somebody else's deadline."""
    judge = CountingJudge()
    reranker = reranker_over(judge, folder, cache)
    one, other = await asyncio.gather(rank(reranker), rank(reranker))
    assert one.ranked == other.ranked
    assert cache.state.entries == 4
    assert (await rank(reranker)).remembered == 4


async def test_a_sentence_that_was_judged_is_not_judged_again(folder: Path, cache: ScoreCache) -> None:
    """For the same tenant alone; the highlights are the same."""
    reranker = reranker_over(CountingJudge(), folder, cache)
    chunks = [each.chunk for each in candidates_of(["The court decides. It is fair.", "消费者有权退货。"])]

    async def highlighted(tenant: str) -> tuple[int, object]:
        found = await highlight(
            reranker, "May I?", chunks, instruction="Prefer prose", tenant=tenant, deadline=Deadline.never()
        )
        return found.tokens, found.spans

    tokens, spans = await highlighted("t")
    assert tokens > 0
    assert await highlighted("t") == (0, spans)
    assert await highlighted("other") == (tokens, spans)
