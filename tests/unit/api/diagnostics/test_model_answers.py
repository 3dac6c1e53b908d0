"""A model that is run in the wrong way is caught by its published answers, and the likely causes are named.

Every wrong way is built with the bundled models, which have published answers in the format of Qwen3's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.real_models import bundled_model
from tests.unit.api.diagnostics.test_probe import shares_characters
from winnow.api.diagnostics.model_answers import (
    ModelAnswers,
    ask_embedder,
    ask_reranker,
    at_dimension,
    embedder_answers,
)
from winnow.api.model_loading import LoadedEmbedder
from winnow.rerank.prompt import SUFFIX, PromptBuilder, Prompts
from winnow.rerank.prompted_reranker import PromptedReranker
from winnow.rerank.torch_reranker import TorchReranker, TorchScorer
from winnow.retrieval.concurrency.fair_limiter import LimiterStats
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.embedder import Embeddings
from winnow.retrieval.embed.pooled import PooledEmbedder, States
from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.embed.server_check import EmbedderCheck
from winnow.retrieval.embed.vllm import EMBEDDER_FAILURES
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.known_answers import Verdict, only_order
from winnow.retrieval.model.number_type import BF16_MIXED, INT8_DYNAMIC, bfloat16_instructions, int8_instructions
from winnow.retrieval.model.published import ORDER_ONLY, Recognised, RecognisedBy, recognise
from winnow.retrieval.model.runtime import QwenRuntime
from winnow.retrieval.model.tokenizer import PlainTokenizer, ScaffoldTokenizer
from winnow.retrieval.records import Vectors
from winnow.retrieval.vllm.pool import VllmPool

MIXED = pytest.param(
    BF16_MIXED.name,
    marks=pytest.mark.skipif(not bfloat16_instructions(), reason="this CPU cannot multiply bfloat16"),
)
QUANTISED = pytest.param(
    INT8_DYNAMIC.name,
    marks=pytest.mark.skipif(not int8_instructions(), reason="this CPU cannot multiply bytes"),
)


@pytest.fixture(scope="module")
def reranker() -> ModelFolder:
    return bundled_model("reranker")


@pytest.fixture(scope="module")
def embedder() -> ModelFolder:
    return bundled_model("embedder")


@pytest.fixture(scope="module")
def rerank_runtime(reranker: ModelFolder) -> QwenRuntime:
    return QwenRuntime.load(reranker, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def embed_runtime(embedder: ModelFolder) -> QwenRuntime:
    return QwenRuntime.load(embedder, device="cpu", dtype="float32")


class Changed:
    """A `PromptScorer` that scores other prompts than it was given."""

    runs_on, portion_tokens, doubts = "cpu float32", None, 0

    def __init__(self, scorer: TorchScorer, change: Callable[[tuple[int, ...]], tuple[int, ...]]) -> None:
        self._scorer = scorer
        self._change = change

    @property
    def turns(self) -> LimiterStats:
        return self._scorer.turns

    async def logits(self, prompts: Prompts, *, tenant: str, deadline: Deadline) -> Sequence[float]:
        changed = replace(prompts, tails=tuple(self._change(tail) for tail in prompts.tails))
        return await self._scorer.logits(changed, tenant=tenant, deadline=deadline)


class Uninstructed(PromptBuilder):
    """Leaves the instruction out."""

    def head(self, query: str, instruction: str) -> list[int]:
        return super().head(query, "")


async def answers_of(reranker: Any, folder: ModelFolder, dtype: str) -> ModelAnswers:
    return await ask_reranker(reranker, recognise(folder, "reranker"), runs_on="cpu", dtype=dtype)


def scorer_of(runtime: QwenRuntime, folder: ModelFolder, yes: str = "yes", no: str = "no") -> TorchScorer:
    scaffold = ScaffoldTokenizer.load(folder.path)
    return TorchScorer(runtime, head=runtime.head_difference(scaffold.token_id(yes), scaffold.token_id(no)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", MIXED, QUANTISED])
async def test_the_bundled_reranker_gives_its_published_answers(reranker: ModelFolder, dtype: str) -> None:
    """In each number type, each within its own bound. Else nothing below would mean anything."""
    found = await answers_of(TorchReranker.load(reranker, device="cpu", dtype=dtype), reranker, dtype)
    assert found.is_right, found.problem
    assert (len(found.comparisons), found.likely_causes, found.problem) == (8, [], None)
    assert {each.verdict for each in found.comparisons} == {Verdict.MATCHES}
    assert found.comparisons[0].bound == {"float32": 1e-3, "bf16-mixed": 1e-2}.get(dtype, 2e-2)
    assert f"of winnow-rerank (recognised by winnow.json); cpu, {dtype}, " in found.summary


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", MIXED, QUANTISED])
async def test_the_bundled_embedder_gives_its_published_answers(embedder: ModelFolder, dtype: str) -> None:
    """Likewise; a server that does not tell its number type gets the wider bound."""
    model = recognise(embedder, "embedder")
    loaded = QwenEmbedder.load(embedder, device="cpu", dtype=dtype)
    assert (await ask_embedder(loaded, model, runs_on="cpu", dtype=dtype)).is_right
    assert (await ask_embedder(loaded, model, runs_on="cpu", dtype=None)).comparisons[0].bound == 2e-2


def other_suffix(folder: ModelFolder, text: str) -> Callable[[tuple[int, ...]], tuple[int, ...]]:
    scaffold = ScaffoldTokenizer.load(folder.path)
    return lambda tail: (*tail[: -len(scaffold.ids(SUFFIX))], *scaffold.ids(text))


WRONG_PROMPTS = {
    "without the empty thought": lambda folder: other_suffix(folder, "<|im_end|>\n<|im_start|>assistant\n"),
    "one line break short": lambda folder: other_suffix(folder, SUFFIX[:-1]),
    "without a suffix": lambda folder: other_suffix(folder, ""),
    "padded on the right": lambda folder: other_suffix(folder, SUFFIX + "<|endoftext|>" * 8),
}


@pytest.mark.parametrize("wrong", WRONG_PROMPTS)
async def test_a_wrong_prompt_is_caught(reranker: ModelFolder, rerank_runtime: QwenRuntime, wrong: str) -> None:
    """Even within the bound of bfloat16."""
    scorer = Changed(scorer_of(rerank_runtime, reranker), WRONG_PROMPTS[wrong](reranker))
    found = await answers_of(PromptedReranker.over(scorer, reranker), reranker, "bfloat16")
    assert not found.is_right
    assert any(cause.startswith("Template: ") for cause in found.likely_causes)
    assert (found.problem or "").count(" within 0.02 of the figures of winnow-rerank") == 1


async def test_a_missing_instruction_is_caught(reranker: ModelFolder, rerank_runtime: QwenRuntime) -> None:
    """Its likely cause is the prompt, too."""
    right = PromptBuilder.load(reranker.path, tokens_max=512)
    prompts = Uninstructed.load(reranker.path, tokens_max=512)
    assert len(prompts.head("q", "an instruction")) < len(right.head("q", "an instruction"))
    scorer = scorer_of(rerank_runtime, reranker)
    found = await answers_of(PromptedReranker.over(scorer, reranker, prompts=prompts), reranker, "bfloat16")
    assert not found.is_right
    assert any("the prompt must hold the instruction" in cause for cause in found.likely_causes)


@pytest.mark.parametrize(
    ("yes", "no", "cause"),
    [
        ("no", "yes", "The order is reversed"),
        ("yes", "<|im_end|>", ""),
        ("Ġno", "no", ""),
        ("no", "no", "Every answer"),
    ],
)
async def test_wrong_answer_tokens_are_caught(
    reranker: ModelFolder, rerank_runtime: QwenRuntime, yes: str, no: str, cause: str
) -> None:
    """Swapped, or others than yes and no."""
    scorer = scorer_of(rerank_runtime, reranker, yes, no)
    found = await answers_of(PromptedReranker.over(scorer, reranker), reranker, "bfloat16")
    assert not found.is_right
    assert found.likely_causes[0].startswith(cause)
    assert any(each.startswith("Answer tokens: ") for each in found.likely_causes)


class MeanStates(States):
    """Pools the mean of all positions."""

    def __init__(self, runtime: QwenRuntime) -> None:
        self._runtime = runtime

    @property
    def runs_on(self) -> str:
        return self._runtime.runs_on

    async def last_states(self, sequences: Sequence[Sequence[int]]) -> Vectors:
        beginnings = [each[:end] for each in sequences for end in range(1, len(each) + 1)]
        states = iter(await self._runtime.last_states(beginnings))
        return np.stack([np.mean([next(states) for _ in each], axis=0) for each in sequences])


class ChangedStates(MeanStates):
    """Pools the last position of other sequences."""

    def __init__(self, runtime: QwenRuntime, change: Callable[[Sequence[int]], Sequence[int]]) -> None:
        super().__init__(runtime)
        self._change = change

    async def last_states(self, sequences: Sequence[Sequence[int]]) -> Vectors:
        return await self._runtime.last_states([self._change(each) for each in sequences])


class Unprompted(PooledEmbedder):
    """Embeds a query as a passage."""

    async def embed_queries(self, texts: Sequence[str], task: str = "") -> Embeddings:
        return await self.embed_passages(texts)


class CutLast(PooledEmbedder):
    """Normalises first and cuts then."""

    def _normalise(self, states: Vectors) -> Vectors:
        lengths = np.linalg.norm(states, axis=1, keepdims=True)
        return np.asarray(states / lengths, dtype=np.float32)[:, : self.identity.dimension]


WRONG_EMBEDDERS = {
    "mean": lambda runtime, folder: PooledEmbedder.over(MeanStates(runtime), folder, dimension=None),
    "without the end mark": lambda runtime, folder: PooledEmbedder.over(
        ChangedStates(runtime, lambda ids: ids[:-1]), folder, dimension=None
    ),
    "padded on the right": lambda runtime, folder: PooledEmbedder.over(
        ChangedStates(runtime, lambda ids: [*ids, *ids[-1:] * 8]), folder, dimension=None
    ),
    "without a prompt": lambda runtime, folder: Unprompted.over(runtime, folder, dimension=None),
    "cut too late": lambda runtime, folder: CutLast.over(runtime, folder, dimension=64),
}


@pytest.mark.parametrize("wrong", WRONG_EMBEDDERS)
async def test_a_wrong_embedder_is_caught(embedder: ModelFolder, embed_runtime: QwenRuntime, wrong: str) -> None:
    """Pooling, end mark, padding, prompt and order of normalisation; even within the bound of bfloat16."""
    built = WRONG_EMBEDDERS[wrong](embed_runtime, embedder)
    found = await ask_embedder(built, recognise(embedder, "embedder"), runs_on="cpu", dtype="bfloat16")
    assert not found.is_right
    causes = " ".join(found.likely_causes)
    assert "Prompt: queries begin with" in causes
    assert "Pooling: the last token" in causes
    assert ("length 1" in found.likely_causes[0]) == (wrong == "cut too late")


async def test_cut_vectors_keep_the_order(embedder: ModelFolder, embed_runtime: QwenRuntime) -> None:
    """There are no figures for them; the same weights give both."""
    whole = PooledEmbedder.over(embed_runtime, embedder, dimension=None)
    cut = whole.with_dimension(128)
    assert (await cut.embed_passages(["a heron"])).vectors.shape == (1, 128)
    found = await ask_embedder(cut, at_dimension(128), runs_on="cpu", dtype="float32")
    assert {each.verdict for each in found.comparisons} == {Verdict.IN_ORDER}
    assert found.summary.startswith("no published figures at 128 dimensions; order of the example checked only; cpu")


async def test_the_dimensions_asked_for_are_checked_too(embedder: ModelFolder, embed_runtime: QwenRuntime) -> None:
    """Beside the figures, which are those of whole vectors. Servers are asked for the figures elsewhere."""
    model, tokenizer = recognise(embedder, "embedder"), PlainTokenizer.load(embedder.path)
    pool = VllmPool(("http://127.0.0.1:1",), EMBEDDER_FAILURES, proof=EmbedderCheck.load(embedder))
    wanted = {
        (None, None): ["winnow-embed"],
        (128, None): ["winnow-embed", "128 dimensions"],
        (128, pool): ["128 dimensions"],
    }
    for (dimension, served), names in wanted.items():
        embedding = PooledEmbedder.over(embed_runtime, embedder, dimension=dimension)
        runs_on = f"{embedder.name} on cpu float32"
        loaded = LoadedEmbedder(embedder=embedding, tokenizer=tokenizer, runs_on=runs_on, device="cpu", pool=served)
        found = await embedder_answers(loaded, model, embedder)
        assert [each.recognised.name for each in found] == names
        assert all(each.is_right and each.dtype == "float32" for each in found)
    await pool.close()


async def test_a_model_of_one_language_is_not_at_fault() -> None:
    """Where nothing is known of it: it is right for a corpus in that language. One that reads neither is."""
    model = Recognised(name="mine", by=RecognisedBy.NOTHING, known=only_order("reranker"), remark=ORDER_ONLY)
    found = await ask_reranker(shares_characters(languages="en"), model, runs_on="cpu", dtype=None)
    assert found.is_right
    assert [each.verdict for each in found.comparisons] == [Verdict.IN_ORDER] * 4 + [Verdict.NOT_ITS_LANGUAGE] * 4
    noise = await ask_reranker(shares_characters(languages=""), model, runs_on="cpu", dtype=None)
    assert not noise.is_right
    assert (noise.problem or "").startswith(ORDER_ONLY)


async def test_a_model_recognised_by_shape_alone_may_be_fine_tuned(
    reranker: ModelFolder, rerank_runtime: QwenRuntime
) -> None:
    """Its other figures are reported all the same, with that as the second cause."""
    known = recognise(reranker, "reranker").known
    moved = replace(known, answers=tuple(replace(each, score=(each.score or 0) + 0.05) for each in known.answers))
    model = Recognised(name="Qwen3-Reranker-0.6B", by=RecognisedBy.SHAPE, known=moved)
    loaded = PromptedReranker.over(scorer_of(rerank_runtime, reranker), reranker)
    found = await ask_reranker(loaded, model, runs_on="cpu", dtype="float32", is_served=True)
    assert not found.is_right
    assert found.likely_causes[1].startswith("Fine-tuned: ")
    assert any("--hf-overrides=" in cause for cause in found.likely_causes)
    assert found.response()["ok"] is False
