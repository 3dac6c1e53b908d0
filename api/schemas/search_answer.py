"""What does a caller get back? The models are the documentation; the functions beside them build the bodies.

Bodies are plain dictionaries made once and written by orjson: validating our own answers would cost more than the
vector search. A test holds the bodies against the models.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from winnow.api.library.instructions import AppliedInstruction
from winnow.api.search.records import Answer, RerankSkipped, Result
from winnow.rerank.reranker import Ranked, RankedBy, Ranking
from winnow.retrieval.catalog.instructions import State
from winnow.retrieval.index.filtered_search import Filtered
from winnow.retrieval.recall_mode import RecallMode
from winnow.retrieval.search.context import Context

Json = dict[str, Any]
Contexts: TypeAlias = Mapping[int, Context]  # by chunk number


class Said(BaseModel):
    """A body of ours: every field is always there, and no other."""

    model_config = ConfigDict(extra="forbid")


class ChunkPlace(Said):
    """Where in its document a chunk lies: characters (code points), half-open."""

    ordinal: int
    start: int
    end: int


class ExtractSaid(Said):
    """A part of the document's text: characters (code points), half-open."""

    start: int
    end: int
    text: str


class ContextSaid(Said):
    """What stands directly around a chunk; null where there is nothing, or nothing that this answer has not shown."""

    before: ExtractSaid | None
    after: ExtractSaid | None


class OtherChunk(Said):
    """A further chunk of a grouped result's document."""

    chunk: ChunkPlace
    text: str
    score: float | None
    similarity: float | None
    lexical_score: float | None
    recall_rank: int
    relevance: float | None
    context: ContextSaid | None = Field(default=None, description="Only with neighbours.")


class SearchResult(Said):
    """One result. `score` is the quantity named by `ranked_by`; its parts stand beside it."""

    rank: int
    score: float | None
    document_id: str
    chunk: ChunkPlace
    title: str
    url: str | None
    text: str
    metadata: dict[str, Any]
    similarity: float | None = Field(description="Stage one: cosine in [-1, 1], whichever way the chunk was found.")
    lexical_score: float | None = Field(
        description="Stage one: BM25 of title and text, no similarity; null unless the chunk was found by its words."
    )
    recall_rank: int
    relevance: float | None = Field(description="Stage two: in [0, 1]; null means that nobody judged it.")
    truncated: bool = Field(description="The judge read only the beginning.")
    demoted: bool = Field(description="Behind the others whatever its score, by demote_query_echo.")
    context: ContextSaid | None = Field(default=None, description="Only with neighbours.")
    other_chunks: list[OtherChunk] | None = Field(default=None, description="Only with group_by_document.")


class AppliedInstructionSaid(Said):
    """Under which instruction the answer was asked for."""

    name: str | None
    version: int | None
    source: str = Field(description="request, collection, tenant or built-in")
    sha256: str = Field(description="of the instruction's text in UTF-8, with the values of its variables")
    state: State | None = Field(description="published, retired or (only in trials) draft; null for a text")


class DegradedSaid(Said):
    """A stage that was asked for and did not happen."""

    stage: str
    reason: str = Field(description="timeout, overloaded, unavailable or breaker_open")


class Timings(Said):
    """Milliseconds by stage; null where a stage was not called."""

    embed: float
    recall: float
    lexical: float | None = Field(description="The part of recall that searched by words.")
    fetch: float
    rerank: float | None
    total: float


class Usage(Said):
    """What was computed for this answer, and what was remembered."""

    embed_tokens: int
    rerank_tokens: int
    total_tokens: int
    candidates: int
    judged: int = Field(description="candidates that have a judgement; not all of them where depth is adaptive")
    remembered: int = Field(description="of the judged: how many were not judged again, but remembered")
    query_remembered: bool = Field(description="The query's vector was remembered.")


class ExplainedCandidate(Said):
    """A candidate's place in both orders."""

    document_id: str
    ordinal: int
    recall_rank: int
    similarity: float | None
    lexical_score: float | None
    rank: int
    relevance: float | None
    score: float | None


class FilteredSaid(Said):
    """How a filter was answered."""

    matching: int = Field(description="chunks that may answer")
    of: int = Field(description="chunks of the collection")
    way: str = Field(
        description="gathered: the matching vectors were compared one by one; selected: the index was searched and "
        "told which may answer; refilled: the index was asked for more until enough matched"
    )


class IndexSaid(Said):
    """What was searched."""

    generation: str | None = Field(description="null where everything came from the store")
    fresh_chunks: int = Field(description="compared one by one, because they are in no generation yet")
    fallback_from: str | None = Field(
        description="Why it is not the generation that should serve; null where it is. The answer is complete all the "
        "same."
    )
    device: str = Field(description="where the generation was searched: cpu, or a GPU such as cuda:0")
    device_fault: str | None = Field(
        description="Why that is not the device that is set; null where it is. The answer is complete all the same."
    )


class SearchAnswer(Said):
    """POST /v1/search"""

    id: str
    collection: str
    generation: str | None = Field(description="null where everything came from fresh writes")
    store_version: int
    recall: RecallMode = Field(description="How candidates were found: dense, lexical or hybrid.")
    instruction: AppliedInstructionSaid
    judged_by: str = Field(description="the reranker's name, or recall-order where nobody judged")
    ranked_by: RankedBy
    degraded: DegradedSaid | None
    rerank_skipped: RerankSkipped | None = Field(
        description="Why the reranker was not run although nothing failed; null where it ran or failed. not_requested: "
        "rerank is false; no_weight: relevance has no weight in this reranker's order under this instruction; "
        "no_candidates: recall found nothing."
    )
    results: list[SearchResult]
    timings_ms: Timings
    usage: Usage
    explain: list[ExplainedCandidate] | None = Field(default=None, description="Only with explain.")
    filtered: FilteredSaid | None = Field(default=None, description="Only with explain; null without a filter.")
    index: IndexSaid | None = Field(default=None, description="Only with explain.")


def search_answer(answer: Answer, *, explain: bool, grouped: bool) -> Json:
    """The body of POST /v1/search, and what `winnow search --json` prints."""
    recalled, ranking = answer.recalled, answer.ranking
    body: Json = {
        "id": answer.id,
        "collection": answer.collection,
        "generation": recalled.generation,
        "store_version": recalled.store_version,
        "recall": recalled.mode.value,
        "instruction": applied_said(answer.instruction),
        "judged_by": ranking.judged_by,
        "ranked_by": ranking.ranked_by.value,
        "degraded": None
        if answer.degraded is None
        else {"stage": answer.degraded.stage, "reason": answer.degraded.reason.value},
        "rerank_skipped": None if answer.rerank_skipped is None else answer.rerank_skipped.value,
        "results": [_result(result, answer.contexts, grouped=grouped) for result in answer.results],
        "timings_ms": {
            "embed": round(recalled.embed_ms, 3),
            "recall": round(recalled.recall_ms, 3),
            "lexical": None if recalled.lexical_ms is None else round(recalled.lexical_ms, 3),
            "fetch": round(recalled.fetch_ms, 3),
            "rerank": None if answer.rerank_ms is None else round(answer.rerank_ms, 3),
            "total": round(answer.total_ms, 3),
        },
        "usage": {
            "embed_tokens": recalled.tokens,
            "rerank_tokens": ranking.tokens,
            "total_tokens": recalled.tokens + ranking.tokens,
            "candidates": len(recalled.candidates),
            "judged": ranking.judged,
            "remembered": ranking.remembered,
            "query_remembered": recalled.query_remembered,
        },
    }
    if explain:
        body["explain"] = [_explained(ranked) for ranked in ranking.ranked]
        body["filtered"] = None if recalled.filtered is None else _filtered(recalled.filtered)
        body["index"] = {
            "generation": recalled.generation,
            "fresh_chunks": recalled.fresh_chunks,
            "fallback_from": recalled.fallback_from,
            "device": recalled.seat.device,
            "device_fault": recalled.seat.fault,
        }
    return body


def applied_said(instruction: AppliedInstruction) -> Json:
    return {
        "name": instruction.name,
        "version": instruction.version,
        "source": instruction.source.value,
        "sha256": instruction.sha256,
        "state": None if instruction.state is None else instruction.state.value,
    }


def _filtered(filtered: Filtered) -> Json:
    return {"matching": filtered.matching, "of": filtered.of, "way": filtered.way.value}


def _result(result: Result, contexts: Contexts, *, grouped: bool) -> Json:
    ranked, chunk = result.best, result.best.candidate.chunk
    body: Json = {
        "rank": result.rank,
        "score": ranked.score,
        "document_id": chunk.document_id,
        "chunk": place_said(ranked),
        "title": chunk.title,
        "url": chunk.url,
        "text": chunk.text,
        "metadata": dict(chunk.metadata),
        "similarity": ranked.candidate.similarity,
        "lexical_score": ranked.candidate.lexical_score,
        "recall_rank": ranked.candidate.recall_rank,
        "relevance": ranked.relevance,
        "truncated": ranked.truncated,
        "demoted": ranked.demoted,
        **_context(ranked, contexts),
    }
    return body | {"other_chunks": [_other(other, contexts) for other in result.others]} if grouped else body


def _other(ranked: Ranked, contexts: Contexts) -> Json:
    return {
        "chunk": place_said(ranked),
        "text": ranked.candidate.chunk.text,
        "score": ranked.score,
        "similarity": ranked.candidate.similarity,
        "lexical_score": ranked.candidate.lexical_score,
        "recall_rank": ranked.candidate.recall_rank,
        "relevance": ranked.relevance,
        **_context(ranked, contexts),
    }


def _context(ranked: Ranked, contexts: Contexts) -> Json:
    """Nothing where none was asked for."""
    context = contexts.get(ranked.candidate.chunk.number)
    return {} if context is None else {"context": asdict(context)}


def place_said(ranked: Ranked) -> Json:
    chunk = ranked.candidate.chunk
    return {"ordinal": chunk.ordinal, "start": chunk.start, "end": chunk.end}


def _explained(ranked: Ranked) -> Json:
    candidate = ranked.candidate
    return {
        "document_id": candidate.chunk.document_id,
        "ordinal": candidate.chunk.ordinal,
        "recall_rank": candidate.recall_rank,
        "similarity": candidate.similarity,
        "lexical_score": candidate.lexical_score,
        "rank": ranked.rank,
        "relevance": ranked.relevance,
        "score": ranked.score,
    }


class RerankedText(Said):
    """The document, as Cohere's and Jina's clients read it."""

    text: str


class RerankResult(BaseModel):
    """One judged document."""

    index: int
    relevance_score: float
    document: RerankedText | None = None


class RerankDatum(Said):
    """The same, as Voyage's client reads it."""

    object: str
    index: int
    relevance_score: float


class RerankUsage(Said):
    """Tokens computed."""

    prompt_tokens: int
    total_tokens: int


class RerankAnswer(Said):
    """POST /v1/rerank: one body that the clients of Cohere, Jina, Voyage and vLLM all read."""

    id: str
    object: str
    model: str
    results: list[RerankResult]
    data: list[RerankDatum]
    usage: RerankUsage
    meta: dict[str, Any]


def rerank_answer(ranking: Ranking, *, wanted: int, with_texts: bool) -> Json:
    """`ranking` is of candidates whose chunk number is their place in the request."""
    shown = ranking.ranked[:wanted]
    judged = [{"index": each.candidate.chunk.number, "relevance_score": each.relevance} for each in shown]
    results: list[Json] = [
        {**one, "document": {"text": each.candidate.chunk.text}} if with_texts else one
        for one, each in zip(judged, shown, strict=True)
    ]
    cut = [each.candidate.chunk.number for each in ranking.ranked if each.truncated]
    warnings = [f"only the beginning of document {index} was judged" for index in sorted(cut)]
    return {
        "id": f"req_{uuid.uuid4().hex}",
        "object": "list",
        "model": ranking.judged_by,
        "results": results,
        "data": [{"object": "rerank", **one} for one in judged],
        "usage": {"prompt_tokens": ranking.tokens, "total_tokens": ranking.tokens},
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": ranking.tokens, "output_tokens": 0},
            "warnings": warnings,
            "winnow": {"judged": ranking.judged, "remembered": ranking.remembered},
        },
    }
