"""Compares what a model gives here with what it is known to give (retrieval/model/known_answers.py).

This is how somebody who has new weights, or a new server, learns within a minute whether all is right. It uses the
contracts, and so the complete path of a search; a server is asked directly, so that its figures can be shown even where
its check refuses it.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Final

import numpy as np

from winnow.api.model_loading import LoadedEmbedder, LoadedReranker
from winnow.api.schemas.doctor import AnswerResponse, ModelAnswersResponse
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.reranker import Reranker
from winnow.rerank.server_check import RERANKER_FLAGS
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.embedder import Embedder
from winnow.retrieval.embed.pooled import PooledEmbedder, own_dimension
from winnow.retrieval.embed.server_check import EMBEDDER_FLAGS
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.known_answers import Comparison, ModelKind, Text, Verdict, compare, only_order
from winnow.retrieval.model.known_pairs import PAIRS, missed_languages
from winnow.retrieval.model.published import Recognised, RecognisedBy
from winnow.retrieval.records import Vectors, candidates_of
from winnow.retrieval.vllm.client import CallFailed, VllmClient
from winnow.retrieval.vllm.server_check import ServerCheck, pair_answers

NUMBER_TYPES: Final = frozenset({"float32", "bfloat16", "float16", "bf16-mixed", "int8-dynamic"})
LENGTH_ERROR_MAX: Final = 1e-3  # of a vector; float16 makes a tenth of that
SERVER_SECONDS: Final = 120.0  # for a server's answers; a GPU takes a fraction of a second


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswers:
    """A model's answers beside the known ones."""

    kind: ModelKind
    recognised: Recognised
    runs_on: str  # device and number type, or the server
    dtype: str | None  # None: the server does not tell
    seconds: float  # for all answers; loading is not counted
    comparisons: tuple[Comparison, ...]
    is_served: bool
    is_asked_like_qwen: bool = True  # else the causes that only Qwen3's prompts and servers have are left out
    own_prompt: str | None = (
        None  # what is wrong with the prompt that a server builds itself, which winnow does not use
    )

    @property
    def is_right(self) -> bool:
        return all(each.verdict.is_right for each in self.comparisons)

    @property
    def remark(self) -> str | None:
        """What does not fit together, but is no fault of what winnow uses."""
        return "; ".join(filter(None, (self.recognised.remark, self.own_prompt))) or None

    @property
    def summary(self) -> str:
        """One line: what was compared with what, and how it ended."""
        known = self.recognised.known
        if not known.has_figures:
            return f"{self.remark}; {self._where}"
        right = sum(each.verdict.is_right for each in self.comparisons)
        far = sum(each.verdict is Verdict.FAR_IN_LOG_ODDS for each in self.comparisons)
        bound = f"{known.bound(self.dtype):g}"
        doubt = f"; {far} of them far in log-odds" if far else ""
        remark = f"; {self.remark}" if self.remark else ""
        return (
            f"{right} of {len(self.comparisons)} within {bound} of the figures of {self.recognised.name} "
            f"(recognised by {self.recognised.by}){doubt}{remark}; {self._where}"
        )

    @property
    def problem(self) -> str | None:
        """What is wrong, and the first of the likely causes; None if nothing is."""
        if self.is_right:
            return None
        return f"{self.summary}. {self.likely_causes[0]}"

    @property
    def likely_causes(self) -> list[str]:
        """What to look at, most likely first; empty if all is right."""
        if self.is_right:
            return []
        return [*self._seen_causes(), *self._unseen_causes()]

    def response(self) -> ModelAnswersResponse:
        """For --json."""
        known = self.recognised.known
        return {
            "kind": self.kind,
            "model": self.recognised.name,
            "recognised_by": self.recognised.by,
            "remark": self.remark,
            "source": known.source or None,
            "runs_on": self.runs_on,
            "dtype": self.dtype,
            "seconds": round(self.seconds, 3),
            "ok": self.is_right,
            "answers": [_answer(each) for each in self.comparisons],
            "likely_causes": self.likely_causes,
        }

    @property
    def _where(self) -> str:
        return f"{self.runs_on}, {self.dtype or 'unknown number type'}, {self.seconds:.1f} s"

    def _seen_causes(self) -> list[str]:
        """Causes that the figures themselves point to."""
        wrong = [each for each in self.comparisons if each.verdict is Verdict.OUT_OF_ORDER]
        got = [each.got for each in self.comparisons]
        if not all(map(math.isfinite, got)):
            return ["An answer is not a number: the weights are broken, or an embedder's vectors do not have length 1."]
        if max(got) - min(got) < 1e-3:
            return ["Every answer is the same: the weights or the head were not loaded, or the head was quantised."]
        if self.kind == "reranker" and len(wrong) == len(self.comparisons):
            return [
                "The order is reversed: the tokens yes and no are swapped, or another token stands for one of them."
            ]
        if wrong:
            return ["The order is wrong: a wrong template, tokenizer, answer token, pooling, or other weights."]
        causes = ["The order is right and the figures are not: other weights, a changed prompt, or rounding."]
        if self.recognised.by is RecognisedBy.SHAPE:
            causes.append(
                "Fine-tuned: it was recognised by its dimensions alone. Another model trained from "
                f"{self.recognised.name} has other figures, and that is no fault. State them as known_answers in the "
                "folder's winnow.json (training/known_answers.py writes them); an empty list leaves only the "
                "order to be checked."
            )
        return causes

    def _unseen_causes(self) -> list[str]:
        if self.is_asked_like_qwen:
            causes = [*(_SERVED if self.is_served else _IN_PROCESS)[self.kind], *_EVERYWHERE]
        else:
            causes = [_OTHERS[self.kind], *_EVERY_MODEL]
        if self.dtype != "float32" and self.recognised.known.has_figures:
            causes.append(
                f"Rounding: compare in float32, where the bound is {self.recognised.known.bound('float32'):g}."
            )
        return causes


def _answer(each: Comparison) -> AnswerResponse:
    return {
        "query": each.known.query,
        "passage": each.known.passage,
        "relevant": each.known.is_relevant,
        "expected": each.known.score,
        "got": each.got if math.isfinite(each.got) else None,
        "difference": each.difference if math.isfinite(each.got) else None,
        "bound": each.bound,
        "verdict": each.verdict,
    }


_IN_PROCESS: Final[Mapping[ModelKind, tuple[str, ...]]] = {
    "reranker": (
        "Template: the prompt must hold the instruction and end in '<think>\\n\\n</think>\\n\\n'. winnow builds it "
        "with a tokenizer that must know these marks as single tokens.",
        "Answer tokens: 'yes' and 'no' must be one token each, 9693 and 2152 in Qwen3's tokenizer.",
    ),
    "embedder": (
        "Prompt: queries begin with 'Instruct: TASK\\nQuery:', passages with nothing.",
        "Pooling: the last token, '<|endoftext|>', and not the mean; then the first dimensions, then length 1.",
    ),
}
_SERVED: Final[Mapping[ModelKind, tuple[str, ...]]] = {
    "reranker": (
        f"Flags: start vLLM with {RERANKER_FLAGS}. --convert=classify alone makes up a head, and classifier_from_token "
        "in the other order reverses the scores.",
        "Template: winnow sends token ids, so --chat-template does not matter here. Its own /v1/rerank needs one.",
        "Version: vLLM before 0.26 may score long inputs wrongly; before its pull request 35849 it quantised the head.",
    ),
    "embedder": (
        f"Flags: start vLLM with {EMBEDDER_FLAGS} and without --pooler-config, which may pool the mean.",
        "Dimensions: leave --hf-overrides with matryoshka settings out; winnow cuts the vectors itself.",
    ),
}
_OTHERS: Final[Mapping[ModelKind, str]] = {
    "reranker": "Kind: the model must be trained to score a query and a passage. If it is asked with a prompt, compare "
    "text and answer tokens (winnow.json, --rerank-templates) with the model's card.",
    "embedder": "Prefixes: compare --embed-query-prefix and --embed-passage-prefix, or the prompts in "
    "config_sentence_transformers.json, with the model's card; likewise the pooling in 1_Pooling/config.json.",
}
_EVERY_MODEL: Final = (
    "Tokenizer: its files must be those that were published with these weights.",
    "Weights: untrained, merged or incomplete; download model.safetensors again and compare its SHA-256.",
)
_EVERYWHERE: Final = (
    "Tokenizer: tokenizer.json, vocab.json and merges.txt must be those that were published with these weights. Start "
    "vLLM without --tokenizer.",
    "Weights: a quantised, merged or incomplete copy; download model.safetensors again and compare its SHA-256.",
    "Libraries: transformers before 4.51 does not know Qwen3; vLLM 0.26 or later is recommended.",
)


async def reranker_answers(loaded: LoadedReranker, model: Recognised) -> ModelAnswers:
    """Ask a reranker that runs in this process. Raises what it raises."""
    return await ask_reranker(loaded.reranker, model, runs_on=loaded.device, dtype=_dtype(loaded.runs_on))


async def embedder_answers(loaded: LoadedEmbedder, model: Recognised, folder: ModelFolder) -> list[ModelAnswers]:
    """Ask an embedder: in the dimensions of its figures if it runs in this process, and in others that are asked for.

    Servers are asked one by one for the figures (`ask_server`). Raises what it raises.
    """
    embedder, asked = loaded.embedder, loaded.embedder.identity.dimension
    runs_on, dtype = loaded.device, _dtype(loaded.runs_on)
    own = own_dimension(folder) if isinstance(embedder, PooledEmbedder) else asked
    is_served, is_cut = loaded.pool is not None, own != asked
    found = []
    if not is_served:
        whole = embedder.with_dimension(own) if is_cut and isinstance(embedder, PooledEmbedder) else embedder
        found.append(await ask_embedder(whole, model, runs_on=runs_on, dtype=dtype))
    if is_cut:
        cut = at_dimension(asked)
        found.append(await ask_embedder(embedder, cut, runs_on=runs_on, dtype=dtype, is_served=is_served))
    return found


def _dtype(runs_on: str) -> str | None:
    """The number type in `winnow-embed on cuda bfloat16`; None where a library does not tell."""
    return next((word for word in reversed(runs_on.split()) if word in NUMBER_TYPES), None)


async def ask_reranker(
    reranker: Reranker, model: Recognised, *, runs_on: str, dtype: str | None, is_served: bool = False
) -> ModelAnswers:
    """Ask a reranker. Raises what it raises."""
    began = time.perf_counter()
    scores: dict[Text, float] = {}
    for query, asked in groupby(model.known.answers, key=attrgetter("query")):
        passages = [each.passage for each in asked]
        ranking = await reranker.rank(
            query,
            candidates_of(passages),
            instruction=DEFAULT_INSTRUCTION,
            tenant=f"probe-{uuid.uuid4().hex}",  # a new tenant, so that no cache answers for the model
            deadline=Deadline.never(),
        )
        scores |= {
            (query, passages[each.candidate.chunk.number]): float("nan") if each.relevance is None else each.relevance
            for each in ranking.ranked
        }
    return _answers(model, scores, began, runs_on=runs_on, dtype=dtype, is_served=is_served)


async def ask_embedder(
    embedder: Embedder, model: Recognised, *, runs_on: str, dtype: str | None, is_served: bool = False
) -> ModelAnswers:
    """Ask an embedder. Raises what it raises."""
    began = time.perf_counter()
    queries = list(dict.fromkeys(each.query for each in model.known.answers))
    passages = list(dict.fromkeys(each.passage for each in model.known.answers))
    query_vectors = dict(zip(queries, _units((await embedder.embed_queries(queries)).vectors), strict=True))
    passage_vectors = dict(zip(passages, _units((await embedder.embed_passages(passages)).vectors), strict=True))
    scores = {
        each.text: float(query_vectors[each.query] @ passage_vectors[each.passage]) for each in model.known.answers
    }
    return _answers(model, scores, began, runs_on=runs_on, dtype=dtype, is_served=is_served)


def _units(vectors: Vectors) -> Vectors:
    """The vectors, with NaN in place of those whose length is not 1: their products are no cosines."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(np.abs(lengths - 1.0) < LENGTH_ERROR_MAX, vectors, np.float32("nan"))


async def ask_server(check: ServerCheck, url: str) -> ModelAnswers:
    """Ask a vLLM server, whatever its check would say to its answers. Raises `CallFailed`."""
    client, deadline = VllmClient(url), Deadline.after_ms(1_000 * SERVER_SECONDS)
    try:
        facts = await client.facts(deadline)
        began = time.perf_counter()
        scores = await check.scores(client, deadline)
        found = _answers(check.model, scores, began, runs_on=f"vLLM at {client.url}", dtype=facts.dtype, is_served=True)
        own_prompt = await _own_prompt(client, found, deadline) if found.kind == "reranker" else None
    finally:
        await client.close()
    return replace(found, own_prompt=own_prompt)


async def _own_prompt(client: VllmClient, found: ModelAnswers, deadline: Deadline) -> str | None:
    """Whether the server's own reranking of texts agrees with its scores of the right prompts; None if it does."""
    query = found.comparisons[0].known.query
    asked = [each for each in found.comparisons if each.known.query == query]
    try:
        own = await client.rerank(query, [each.known.passage for each in asked], deadline)
    except CallFailed as failed:
        return f"its own /v1/rerank fails, which winnow does not use ({failed.detail})"
    apart = max(abs(score - each.got) for score, each in zip(own, asked, strict=True)) if own else 0.0
    if apart <= found.recognised.known.bound(found.dtype):
        return None
    return (
        f"its own /v1/rerank answers otherwise, by up to {apart:.3f}: --chat-template is missing or wrong. winnow does "
        "not use it, but other clients may"
    )


def at_dimension(dimension: int) -> Recognised:
    """What is known of vectors that were cut to this many dimensions: only the order."""
    remark = f"no published figures at {dimension} dimensions; order of the example checked only"
    known = only_order("embedder")
    return Recognised(name=f"{dimension} dimensions", by=RecognisedBy.NOTHING, known=known, remark=remark)


def _answers(
    model: Recognised,
    scores: Mapping[Text, float],
    began: float,
    *,
    runs_on: str,
    dtype: str | None,
    is_served: bool,
) -> ModelAnswers:
    comparisons = compare(model.known, scores, dtype=dtype)
    if model.by is RecognisedBy.NOTHING:  # then these are the known pairs
        unread = missed_languages(
            pair_answers(scores)
        )  # a model of one language is right for a corpus in that language
        queries = {pair.query for pair in PAIRS if pair.language in unread}
        comparisons = tuple(
            replace(each, verdict=Verdict.NOT_ITS_LANGUAGE) if each.known.query in queries else each
            for each in comparisons
        )
    return ModelAnswers(
        kind=model.known.kind,
        recognised=model,
        runs_on=runs_on,
        dtype=dtype,
        seconds=time.perf_counter() - began,
        comparisons=comparisons,
        is_served=is_served,
    )
