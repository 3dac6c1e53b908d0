"""What every `Reranker` keeps: all candidates once, ordered by a score that somebody computed, in time."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen3ForCausalLM

from tests.fakes import PrefersWord
from tests.real_models import bundled_model
from tests.tiny_models import write_reranker
from winnow.rerank.adaptive_reranker import AdaptiveDepth
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.judgement_cache import ScoreCache
from winnow.rerank.prompt import NO, PREFIX, SUFFIX, YES, PromptBuilder, Prompts
from winnow.rerank.relevance import logit_of
from winnow.rerank.reranker import RECALL_ORDER, RankedBy, Ranking, RecallOrder, Reranker
from winnow.rerank.stopping_rule import StoppingRule
from winnow.rerank.torch_reranker import TorchReranker, TorchScorer
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.errors import RerankOverloaded, RerankTimeout
from winnow.retrieval.model.folder import ModelFolder, find_model
from winnow.retrieval.model.packing import make_packs
from winnow.retrieval.model.runtime import device_worker
from winnow.retrieval.model.tokenizer import PlainTokenizer, ScaffoldTokenizer
from winnow.retrieval.records import Candidate, Chunk

ENGLISH = "A consumer may return goods within seven days; the court decides what is fair. "
CHINESE = "消费者自收到商品之日起七日内有权退货，且无需说明理由。法院可以予以减少。"
QUERY = "How long may I wait before I return a product? 退货期限多长？"
ORDER = {
    "plain": {"recall_weight": 1.0, "relevance_weight": 0.0, "bias": -2.0},
    "instructed": {"recall_weight": 2.0, "relevance_weight": 0.5, "bias": -4.0},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return find_model(str(write_reranker(tmp_path_factory.mktemp("models") / "tiny", order=ORDER)), kind="reranker")


@pytest.fixture(
    params=[
        "recall order",
        "prefers word",
        "torch",
        "torch by relevance",
        "torch that remembers",
        "adaptive torch",
        "adaptive recall order",
    ]
)
def reranker(request: pytest.FixtureRequest, tiny: ModelFolder) -> Reranker:
    made: dict[str, Callable[[], Reranker]] = {
        "recall order": RecallOrder,
        "prefers word": lambda: PrefersWord("days"),
        "torch": lambda: TorchReranker.load(tiny),
        "torch by relevance": lambda: TorchReranker.load(unordered(tiny)),
        "torch that remembers": lambda: TorchReranker.load(tiny, cache=new_cache()),
        "adaptive torch": lambda: WithTopK(AdaptiveDepth(TorchReranker.load(tiny), StoppingRule(epsilon=0.0, wave=3))),
        "adaptive recall order": lambda: WithTopK(AdaptiveDepth(RecallOrder(), StoppingRule(epsilon=1.0, wave=3))),
    }
    return made[request.param]()


def unordered(folder: ModelFolder) -> ModelFolder:
    """The same model without a declared order."""
    return replace(folder, settings=replace(folder.settings, order=None))


def new_cache() -> ScoreCache:
    return ScoreCache(bytes_max=1_000_000, seconds_max=3_600, secret=b"s" * 32)


class WithTopK:
    """The same reranker, asked for the first place only where nobody says how many: so that it works in waves."""

    def __init__(self, inner: Reranker) -> None:
        self._inner = inner
        self.reads_instruction = inner.reads_instruction
        self.changes_order = inner.changes_order

    @property
    def name(self) -> str:
        return self._inner.name

    async def rank(
        self,
        query: str,
        candidates: Sequence[Candidate],
        *,
        instruction: str,
        tenant: str,
        deadline: Deadline,
        top_k: int | None = None,
    ) -> Ranking:
        return await self._inner.rank(
            query, candidates, instruction=instruction, tenant=tenant, deadline=deadline, top_k=top_k or 1
        )


def candidates_of(*passages: str, title: str = "", similarity: float | None = 0.5) -> list[Candidate]:
    return [
        Candidate(
            chunk=Chunk(
                number=number,
                document_id=f"d{number}",
                ordinal=0,
                start=0,
                end=len(text),
                title=title,
                text=text,
                url=None,
                metadata={},
            ),
            recall_rank=number + 1,
            similarity=similarity,
            standing=None if similarity is None else 1.0,
        )
        for number, text in enumerate(passages)
    ]


def rank(
    reranker: Reranker,
    candidates: Sequence[Candidate],
    *,
    query: str = QUERY,
    instruction: str = DEFAULT_INSTRUCTION,
    deadline: Deadline | None = None,
) -> Ranking:
    return asyncio.run(
        reranker.rank(query, candidates, instruction=instruction, tenant="t", deadline=deadline or Deadline.never())
    )


def test_every_candidate_comes_back_once(reranker: Reranker) -> None:
    """Ranks count from 1, scores fall, and the judge is named."""
    given = candidates_of(ENGLISH, CHINESE, "", ENGLISH, "days", "\ud800")
    ranking = rank(reranker, given)
    assert sorted(each.candidate.chunk.number for each in ranking.ranked) == list(range(6))
    assert [each.rank for each in ranking.ranked] == [1, 2, 3, 4, 5, 6]
    scores = [each.score for each in ranking.ranked]
    assert all(one >= other for one, other in pairwise(scores) if one is not None and other is not None)
    assert ranking.judged_by == reranker.name
    judged = {each.relevance is not None for each in ranking.ranked}
    assert judged == {ranking.judged_by != RECALL_ORDER}


def test_nothing_to_rank_is_an_empty_ranking(reranker: Reranker) -> None:
    """Recall may find nothing."""
    assert rank(reranker, []).ranked == ()


def test_equal_passages_keep_recalls_order(reranker: Reranker) -> None:
    """A tie is decided by the one who knows more."""
    ranking = rank(reranker, candidates_of(ENGLISH, ENGLISH, ENGLISH))
    assert [each.candidate.recall_rank for each in ranking.ranked] == [1, 2, 3]


def test_a_passed_deadline_is_a_timeout(reranker: Reranker) -> None:
    """Work past the deadline is not started; recall's order needs no work."""
    if reranker.name == RECALL_ORDER:
        assert len(rank(reranker, candidates_of(ENGLISH), deadline=Deadline.after_ms(0)).ranked) == 1
        return
    with pytest.raises(RerankTimeout):
        rank(reranker, candidates_of(ENGLISH), deadline=Deadline.after_ms(0))


def pairs_of(plain: PlainTokenizer) -> list[tuple[str, str, str]]:
    """200 (instruction, query, passage), half in Chinese, with passages of 1 to 4,000 tokens."""
    lengths = np.unique(np.geomspace(1, 4_000, 100).astype(int)).tolist()
    lengths = [*lengths, *range(20, 20 + 100 - len(lengths))]
    generator = np.random.default_rng(9)
    found = []
    for passage in (ENGLISH, CHINESE):
        whole = passage * 400
        offsets = plain.offsets(whole)
        for length in lengths:
            start = int(generator.integers(0, 20))
            text = whole[offsets[start][0] : offsets[start + length - 1][0]]  # " " before it is the last token
            question = ENGLISH[: int(generator.integers(1, 60))] if length % 2 else CHINESE[:12]
            found.append((DEFAULT_INSTRUCTION if length % 3 else "优先中文文档", question, text))
    return found


def scores_agree_with_transformers(folder: ModelFolder) -> None:
    """The full prompt as the model card builds it, one at a time, no cache, float32, all logits of the vocabulary."""
    plain, scaffold = PlainTokenizer.load(folder.path), ScaffoldTokenizer.load(folder.path)
    yes, no = scaffold.token_id(YES), scaffold.token_id(NO)
    model = Qwen3ForCausalLM.from_pretrained(folder.path, dtype=torch.float32).eval()
    reranker = TorchReranker.load(folder, device="cpu", dtype="float32")
    asked: dict[tuple[str, str], list[str]] = {}
    for instruction, query, passage in pairs_of(plain):
        asked.setdefault((instruction, query), []).append(passage)
    compared = []
    for (instruction, query), passages in asked.items():
        ranking = rank(reranker, candidates_of(*passages, similarity=None), query=query, instruction=instruction)
        for each in ranking.ranked:
            body = f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {each.candidate.chunk.text}"
            ids = [*scaffold.ids(PREFIX), *plain.ids(body), *scaffold.ids(SUFFIX)]
            with torch.inference_mode():
                logits = model(torch.tensor([ids])).logits[0, -1]
            expected = torch.softmax(logits[[no, yes]].double(), dim=0)[1].item()
            compared.append((each.relevance, expected, len(ids)))
    ours, theirs, tokens = (np.array(column) for column in zip(*compared, strict=True))
    assert len(compared) == 200
    assert tokens.max() > 4_000
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert theirs.std() > 0.01, "scores that are all alike would prove nothing"


@pytest.mark.slow
def test_scores_are_those_of_transformers(tiny: ModelFolder) -> None:
    """200 pairs of both languages, passages of 1 to 4,000 tokens: relevance within 1e-4."""
    scores_agree_with_transformers(tiny)


@pytest.mark.slow
def test_the_bundled_rerankers_scores_are_those_of_transformers() -> None:
    """The same 200 pairs with the model that people use."""
    scores_agree_with_transformers(bundled_model("reranker"))


def test_the_instruction_and_the_title_are_read(tiny: ModelFolder) -> None:
    """Both change the judgement: neither is decoration."""
    reranker = TorchReranker.load(tiny)
    plain = rank(reranker, candidates_of(ENGLISH)).ranked[0].relevance
    instructed = rank(reranker, candidates_of(ENGLISH), instruction="优先中文文档").ranked[0].relevance
    titled = rank(reranker, candidates_of(ENGLISH, title="Civil code")).ranked[0].relevance
    assert len({plain, instructed, titled}) == 3


def test_repeated_passages_are_judged_once(tiny: ModelFolder) -> None:
    """A corpus full of copies costs what its different texts cost."""
    reranker = TorchReranker.load(tiny)
    once, often = (
        rank(reranker, candidates_of(ENGLISH, CHINESE)),
        rank(reranker, candidates_of(*[ENGLISH, CHINESE] * 5)),
    )
    assert often.tokens == once.tokens
    assert len({each.relevance for each in often.ranked}) == 2


@pytest.mark.parametrize("is_mixed", [False, True])
def test_a_remembered_ranking_is_the_fresh_one(tiny: ModelFolder, *, is_mixed: bool) -> None:
    """To the bit: places, scores, relevances, marks. Judged beside others, a passage moves in its last digits only."""
    given = candidates_of(ENGLISH, CHINESE, ENGLISH * 1_000, CHINESE, "", title="法")
    folder = tiny if is_mixed else unordered(tiny)
    reranker = TorchReranker.load(folder, cache=new_cache())
    fresh, again = rank(reranker, given), rank(reranker, given)
    assert again.ranked == fresh.ranked
    assert (again.ranked_by, again.judged_by) == (fresh.ranked_by, fresh.judged_by)
    assert (fresh.remembered, again.remembered, again.tokens) == (0, len(given), 0)
    half = TorchReranker.load(folder, cache=new_cache())
    rank(half, given[:2])
    mixed = rank(half, given)
    assert mixed.remembered == 3
    assert [each.candidate for each in mixed.ranked] == [each.candidate for each in fresh.ranked]
    assert [each.score for each in mixed.ranked] == pytest.approx([each.score for each in fresh.ranked], abs=1e-6)


def test_the_declared_weights_hold_with_and_without_an_instruction(tiny: ModelFolder) -> None:
    """One pair under the default instruction, which is none, and another under every other; and without a recall
    relevance alone.
    """
    reranker = TorchReranker.load(tiny)
    given = candidates_of(ENGLISH, CHINESE)
    for instruction, weights in ((DEFAULT_INSTRUCTION, ORDER["plain"]), ("Prefer Chinese.", ORDER["instructed"])):
        ranking = rank(reranker, given, instruction=instruction)
        assert ranking.ranked_by is RankedBy.BLEND
        for each in ranking.ranked:
            assert each.relevance is not None
            said = weights["recall_weight"] * 1.0 + weights["relevance_weight"] * logit_of(each.relevance)
            assert each.score == pytest.approx(1 / (1 + math.exp(-said - weights["bias"])))
    assert not reranker.changes_order(DEFAULT_INSTRUCTION)
    assert reranker.changes_order("Prefer Chinese.")
    assert TorchReranker.load(unordered(tiny)).changes_order(DEFAULT_INSTRUCTION)
    assert rank(reranker, candidates_of(ENGLISH, similarity=None)).ranked_by is RankedBy.RELEVANCE


@pytest.mark.parametrize("is_mixed", [False, True])
def test_waves_say_what_judging_at_once_says(tiny: ModelFolder, *, is_mixed: bool) -> None:
    """By relevance and by a mixture: the same order and the same figures, or the beginning of recall's order judged."""
    ranked = partial(rank, instruction="Prefer Chinese.")
    reranker = TorchReranker.load(tiny if is_mixed else unordered(tiny))
    found = candidates_of(*(f"{number} {CHINESE if number % 3 else ENGLISH}" for number in range(30)))
    given = [
        replace(each, similarity=0.9 - 0.02 * place, standing=2.0 - 0.1 * place) for place, each in enumerate(found)
    ]
    full = ranked(reranker, given)
    waves = ranked(WithTopK(AdaptiveDepth(reranker, StoppingRule(epsilon=0.0, wave=8))), given)
    assert [each.candidate for each in waves.ranked] == [each.candidate for each in full.ranked]
    assert [each.score for each in waves.ranked] == pytest.approx([each.score for each in full.ranked], abs=1e-5)
    assert waves.tokens > full.tokens, "the shared beginning is computed in each wave, and that is told"
    some = ranked(WithTopK(AdaptiveDepth(reranker, StoppingRule(epsilon=1e9, wave=8))), given)
    assert (some.judged, some.ranked_by, some.judged_by) == (8, full.ranked_by, full.judged_by)
    assert [each.candidate.recall_rank for each in some.ranked[8:]] == list(range(9, 31))


def test_a_passage_longer_than_the_window_is_cut_and_marked(tiny: ModelFolder) -> None:
    """And judged by its beginning: what follows changes nothing."""
    reranker = TorchReranker.load(tiny)
    ranking = rank(reranker, candidates_of(ENGLISH * 1_000, ENGLISH, ENGLISH * 1_000 + CHINESE))
    assert {each.candidate.chunk.number for each in ranking.ranked if each.truncated} == {0, 2}
    relevances = {each.candidate.chunk.number: each.relevance for each in ranking.ranked}
    assert relevances[0] == pytest.approx(relevances[2], abs=1e-6)


async def test_a_deadline_ends_a_long_judgement(tiny: ModelFolder) -> None:
    """At the deadline, not after all the packs; and the next request is served at once."""
    reranker = TorchReranker.load(tiny)
    many = candidates_of(*(f"{number} {ENGLISH * 30}" for number in range(1_000)))
    with pytest.raises(RerankTimeout, match="tiny-rerank"):
        await reranker.rank(QUERY, many, instruction="x", tenant="t", deadline=Deadline.after_ms(300))
    ranking = await reranker.rank(
        QUERY, candidates_of(ENGLISH), instruction="x", tenant="t", deadline=Deadline.after_ms(20_000)
    )
    assert len(ranking.ranked) == 1


async def test_a_judge_that_begins_too_late_is_named(tiny: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where reading the passages took all the time, the judge says so, and the reranker whose judge it is."""
    judge = TorchScorer.load(tiny, device="cpu")
    late = Deadline.after_ms(0)
    with pytest.raises(TimeoutError):
        await judge.logits(Prompts(shared=(), tails=((1,),), truncated=(False,)), tenant="t", deadline=late)

    async def begins_late(*_: object, **__: object) -> list[float]:
        raise TimeoutError

    monkeypatch.setattr(TorchScorer, "logits", begins_late)
    with pytest.raises(RerankTimeout, match="1 candidates for tiny-rerank on cpu"):
        await TorchReranker.load(tiny).rank(
            QUERY, candidates_of(ENGLISH), instruction="x", tenant="t", deadline=Deadline.never()
        )


async def test_a_small_request_does_not_wait_for_another_tenants_flood(tiny: ModelFolder) -> None:
    """Counted in packs: what is in hand is finished, then the small one is served as a whole.

    Sent by the tenant that floods, the very same request stands at the end of its line.
    """
    long = candidates_of(*(f"{number} {ENGLISH * 9}" for number in range(60)))
    short = candidates_of(*(f"{number} {CHINESE * 9}" for number in range(40)))
    waited = {}
    for tenant in ("small", "flood"):
        judge = TorchScorer.load(tiny, device="cpu")
        reranker = TorchReranker(judge, PromptBuilder.load(tiny.path, tokens_max=5_000), name="tiny", revision="1")

        async def ask(candidates: Sequence[Candidate], tenant: str, reranker: TorchReranker = reranker) -> None:
            await reranker.rank(QUERY, candidates, instruction="x", tenant=tenant, deadline=Deadline.never())

        may_compute = threading.Event()
        device_worker("cpu").submit(may_compute.wait, 60)  # or every later test would wait where this one fails
        flood = [asyncio.create_task(ask(long, "flood")) for _ in range(6)]
        await read(reranker, 6)
        small = asyncio.create_task(ask(short, tenant))
        await read(reranker, 7)
        may_compute.set()
        await small
        waited[tenant] = judge.turns.turns
        await asyncio.gather(*flood)
    own = len(make_packs([len(CHINESE) * 9] * 40, tokens_max=2_048, stretch_max=1.0))
    assert waited["small"] <= own + 3, "its own, what was in hand, and what is in hand when it ends"
    assert waited["flood"] > 2 * waited["small"]


async def read(reranker: TorchReranker, requests: int) -> None:
    """Until so many are read and in line; nothing is computed meanwhile."""
    while reranker._tokenising.report.turns < requests or reranker._tokenising._in_hand:
        await asyncio.sleep(0.001)
    for _ in range(10):
        await asyncio.sleep(0)


async def test_too_much_waiting_is_refused(tiny: ModelFolder) -> None:
    """Counted in tokens; what is refused was not started, and afterwards there is room again."""
    reranker = limited(tiny.path, tokens_waiting_max=500)
    given = candidates_of(*(f"{number} {ENGLISH * 20}" for number in range(20)))  # long enough to be overtaken

    async def ask() -> Ranking:
        return await reranker.rank(QUERY, given, instruction="x", tenant="t", deadline=Deadline.never())

    results = await asyncio.gather(*(ask() for _ in range(5)), return_exceptions=True)
    served = [result for result in results if isinstance(result, Ranking)]
    refused = [result for result in results if isinstance(result, RerankOverloaded)]
    assert (len(served), len(refused)) == (1, 4)
    assert len((await ask()).ranked) == 20


def limited(path: Path, *, tokens_waiting_max: int) -> TorchReranker:
    judge = TorchScorer.load(find_model(str(path), kind="reranker"), device="cpu")
    return TorchReranker(
        judge,
        PromptBuilder.load(path, tokens_max=5_000),
        name="limited",
        revision="1",
        tokens_waiting_max=tokens_waiting_max,
    )
