"""What does a caller get back? The models are the documentation; the functions beside them build the bodies.

Bodies are plain dictionaries made once and written by orjson: validating our own answers would cost more than the
vector search. A test holds the bodies against the models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from pydantic import Field

from winnow.api.library.instructions import AppliedInstruction
from winnow.api.schemas.response import Json, ResponseModel
from winnow.api.search.records import Answer, RerankSkipped, Result
from winnow.rerank.reranker import Ranked, RankedBy
from winnow.retrieval.catalog.instructions import State
from winnow.retrieval.index.filtered_search import Filtered
from winnow.retrieval.records import RecallMode
from winnow.retrieval.search.context import Context

Contexts: TypeAlias = Mapping[int, Context]  # by chunk number


class ChunkPlace(ResponseModel):
    """Where in its document a chunk lies: characters (code points), half-open."""

    ordinal: int
    start: int
    end: int


class ExtractResponse(ResponseModel):
    """A part of the document's text: characters (code points), half-open."""

    start: int
    end: int
    text: str


class ContextResponse(ResponseModel):
    """What stands directly around a chunk; null where there is nothing, or nothing that this answer has not shown."""

    before: ExtractResponse | None
    after: ExtractResponse | None


class OtherChunk(ResponseModel):
    """A further chunk of a grouped result's document."""

    chunk: ChunkPlace
    text: str
    score: float | None
    similarity: float | None
    lexical_score: float | None
    recall_rank: int
    relevance: float | None
    context: ContextResponse | None = Field(default=None, description="Only with neighbours.")


class SearchResult(ResponseModel):
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
    context: ContextResponse | None = Field(default=None, description="Only with neighbours.")
    other_chunks: list[OtherChunk] | None = Field(default=None, description="Only with group_by_document.")


class AppliedInstructionResponse(ResponseModel):
    """Under which instruction the answer was asked for."""

    name: str | None
    version: int | None
    source: str = Field(description="request, collection, tenant or built-in")
    sha256: str = Field(description="of the instruction's text in UTF-8, with the values of its variables")
    state: State | None = Field(description="published, retired or (only in trials) draft; null for a text")


class DegradedResponse(ResponseModel):
    """A stage that was asked for and did not happen."""

    stage: str
    reason: str = Field(description="timeout, overloaded, unavailable or breaker_open")


class Timings(ResponseModel):
    """Milliseconds by stage; null where a stage was not called."""

    embed: float
    recall: float
    lexical: float | None = Field(description="The part of recall that searched by words.")
    fetch: float
    rerank: float | None
    total: float


class Usage(ResponseModel):
    """What was computed for this answer, and what was remembered."""

    embed_tokens: int
    rerank_tokens: int
    total_tokens: int
    candidates: int
    judged: int = Field(description="candidates that have a judgement; not all of them where depth is adaptive")
    remembered: int = Field(description="of the judged: how many were not judged again, but remembered")
    query_remembered: bool = Field(description="The query's vector was remembered.")


class ExplainedCandidate(ResponseModel):
    """A candidate's place in both orders."""

    document_id: str
    ordinal: int
    recall_rank: int
    similarity: float | None
    lexical_score: float | None
    rank: int
    relevance: float | None
    score: float | None


class FilteredResponse(ResponseModel):
    """How a filter was answered."""

    matching: int = Field(description="chunks that may answer")
    of: int = Field(description="chunks of the collection")
    way: str = Field(
        description="gathered: the matching vectors were compared one by one; selected: the index was searched and "
        "told which may answer; refilled: the index was asked for more until enough matched"
    )


class IndexResponse(ResponseModel):
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


class SearchAnswer(ResponseModel):
    """POST /v1/search"""

    id: str
    collection: str
    generation: str | None = Field(description="null where everything came from fresh writes")
    store_version: int
    recall: RecallMode = Field(description="How candidates were found: dense, lexical or hybrid.")
    instruction: AppliedInstructionResponse
    judged_by: str = Field(description="the reranker's name, or recall-order where nobody judged")
    ranked_by: RankedBy
    degraded: DegradedResponse | None
    rerank_skipped: RerankSkipped | None = Field(
        description="Why the reranker was not run although nothing failed; null where it ran or failed. not_requested: "
        "rerank is false; no_weight: relevance has no weight in this reranker's order under this instruction; "
        "no_candidates: recall found nothing."
    )
    results: list[SearchResult]
    timings_ms: Timings
    usage: Usage
    explain: list[ExplainedCandidate] | None = Field(default=None, description="Only with explain.")
    filtered: FilteredResponse | None = Field(default=None, description="Only with explain; null without a filter.")
    index: IndexResponse | None = Field(default=None, description="Only with explain.")


def search_answer(answer: Answer, *, explain: bool, grouped: bool) -> Json:
    """The body of POST /v1/search, and what `winnow search --json` prints."""
    recalled, ranking = answer.recalled, answer.ranking
    served, timings = recalled.served, recalled.timings
    body: Json = {
        "id": answer.id,
        "collection": answer.collection,
        "generation": served.generation,
        "store_version": served.store_version,
        "recall": recalled.mode.value,
        "instruction": applied_response(answer.instruction),
        "judged_by": ranking.judged_by,
        "ranked_by": ranking.ranked_by.value,
        "degraded": None
        if answer.degraded is None
        else {"stage": answer.degraded.stage, "reason": answer.degraded.reason.value},
        "rerank_skipped": None if answer.rerank_skipped is None else answer.rerank_skipped.value,
        "results": [_result(result, answer.contexts, grouped=grouped) for result in answer.results],
        "timings_ms": {
            "embed": round(timings.embed_ms, 3),
            "recall": round(timings.recall_ms, 3),
            "lexical": None if timings.lexical_ms is None else round(timings.lexical_ms, 3),
            "fetch": round(timings.fetch_ms, 3),
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
            "generation": served.generation,
            "fresh_chunks": served.fresh_chunks,
            "fallback_from": served.fallback_from,
            "device": served.seat.device,
            "device_fault": served.seat.fault,
        }
    return body


def applied_response(instruction: AppliedInstruction) -> Json:
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
        "chunk": place_response(ranked),
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
        "chunk": place_response(ranked),
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


def place_response(ranked: Ranked) -> Json:
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
