"""The answer of `POST /v1/search`, and the parts that it shares with other answers."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field

from winnow.api.library.instructions import AppliedInstruction, InstructionSource
from winnow.api.schemas.calibration import AnswerableParts, PassageParts, ThresholdPart, add_calibration
from winnow.api.schemas.diversity import DiversityResponse, KeptPlace, add_diversity, diversity_response, kept_places
from winnow.api.schemas.highlights import HighlightParts, HighlightReport, add_highlights, highlight_report
from winnow.api.schemas.response import (
    ChunkPlace,
    ContextResponse,
    FoundByPart,
    JsonObject,
    PlaceParts,
    QueryParts,
    add_queries,
    context_response,
    location_response,
)
from winnow.api.search.records import Answer, Degraded, DegradeReason, RerankSkipped, Result
from winnow.rerank.reranker import Ranked, RankedBy
from winnow.retrieval.catalog.instructions import State
from winnow.retrieval.index.filtered_search import Filtered, Way
from winnow.retrieval.records import RecallMode

Similarity = Annotated[
    float | None,
    Field(
        description="Stage one: cosine similarity in [-1, 1], also for a chunk that lexical search found. null if it "
        "was not computed."
    ),
]
LexicalScore = Annotated[
    float | None,
    Field(description="Stage one: BM25 score of title and text. null if lexical search did not find the chunk."),
]
RecallRank = Annotated[int, Field(description="Place in recall's order; 1 is best.")]
Relevance = Annotated[
    float | None, Field(description="Stage two: relevance score in [0, 1]. null if the chunk was not reranked.")
]
InstructionApplied = Annotated[
    bool,
    Field(
        description="Whether the reranker read the instruction. false if it is a model that reads none, or if nothing "
        "was reranked."
    ),
]
Score = Annotated[float | None, Field(description="The quantity that `ranked_by` names.")]


class OtherChunk(PassageParts, HighlightParts, PlaceParts):
    """Another chunk of a grouped result's document."""

    chunk: ChunkPlace
    text: str
    score: Score
    similarity: Similarity
    lexical_score: LexicalScore
    recall_rank: RecallRank
    relevance: Relevance
    context: NotRequired[Annotated[ContextResponse, Field(description="Only with `neighbours`.")]]


class SearchResult(PassageParts, HighlightParts, PlaceParts):
    """One result: a chunk and its scores."""

    rank: Annotated[int, Field(description="1 is best.")]
    score: Score
    document_id: str
    chunk: ChunkPlace
    title: str
    url: str | None
    text: str
    metadata: dict[str, Any]
    similarity: Similarity
    lexical_score: LexicalScore
    recall_rank: RecallRank
    relevance: Relevance
    truncated: Annotated[bool, Field(description="Whether the reranker read only the beginning.")]
    demoted: Annotated[
        bool, Field(description="Whether `demote_query_echo` placed it behind the others, whatever its score.")
    ]
    context: NotRequired[Annotated[ContextResponse, Field(description="Only with `neighbours`.")]]
    other_chunks: NotRequired[Annotated[list[OtherChunk], Field(description="Only with `group_by_document`.")]]


class AppliedInstructionResponse(JsonObject):
    """The instruction that was applied."""

    name: str | None
    version: int | None
    source: Annotated[InstructionSource, Field(description="Where it came from.")]
    sha256: Annotated[str, Field(description="SHA-256 of the instruction's text in UTF-8, variables filled in.")]
    state: Annotated[
        State | None,
        Field(description="published, retired or (only in trials) draft. null for a text in the request."),
    ]


class DegradedResponse(JsonObject):
    """A stage that was requested and failed."""

    stage: str
    reason: DegradeReason


class Timings(JsonObject):
    """Milliseconds by stage. null if a stage did not run."""

    embed: float
    recall: float
    lexical: Annotated[float | None, Field(description="Lexical search; part of `recall`.")]
    fetch: float
    rerank: float | None
    rewrite: NotRequired[Annotated[float, Field(description="Only if a chat model was asked.")]]
    diversify: NotRequired[
        Annotated[float, Field(description="Near-identical passages and MMR. Only with `collapse` or `mmr_lambda`.")]
    ]
    total: float


class Usage(JsonObject):
    """What was computed for this answer, and what came from a cache."""

    embed_tokens: int
    rerank_tokens: int
    total_tokens: int
    candidates: int
    judged: Annotated[
        int, Field(description="Candidates with a relevance score; fewer than all if `depth` is adaptive.")
    ]
    remembered: Annotated[int, Field(description="Candidates of `judged` whose score came from the cache.")]
    query_remembered: Annotated[bool, Field(description="Whether the query's vector came from the cache.")]


class ExplainedCandidate(FoundByPart, ThresholdPart):
    """A candidate's place in both orders."""

    document_id: str
    ordinal: int
    recall_rank: RecallRank
    similarity: Similarity
    lexical_score: LexicalScore
    rank: Annotated[int, Field(description="Place in the final order, before `collapse` and MMR; 1 is best.")]
    relevance: Relevance
    score: Score
    fields: Annotated[
        list[str], Field(description="Lines that the reranker read before title and text (`rerank_fields`).")
    ]
    collapsed_into: NotRequired[
        Annotated[
            KeptPlace | None,
            Field(description="Only with `collapse`: the passage that stands for it. null: it stands for itself."),
        ]
    ]


class FilteredResponse(JsonObject):
    """How the filter was applied."""

    matching: Annotated[int, Field(description="Chunks that match the filter.")]
    of: Annotated[int, Field(description="Chunks in the collection.")]
    way: Annotated[
        Way,
        Field(
            description="gathered: every matching vector was compared. selected: the index searched among matching "
            "chunks only. refilled: the index was asked for more until enough chunks matched."
        ),
    ]


class IndexResponse(JsonObject):
    """The index that was searched."""

    generation: Annotated[str | None, Field(description="null if every chunk was compared from the store.")]
    fresh_chunks: Annotated[int, Field(description="Chunks that no generation holds yet; all were compared.")]
    fallback_from: Annotated[
        str | None,
        Field(
            description="Why the current generation does not serve; null if it does. The answer is complete either way."
        ),
    ]
    device: Annotated[str, Field(description="Where the generation was searched: cpu, or a GPU such as cuda:0.")]
    device_fault: Annotated[
        str | None,
        Field(
            description="Why the configured device is not used. null if it is used. The answer is complete either way."
        ),
    ]


class SearchResponse(QueryParts, AnswerableParts):
    """POST /v1/search"""

    id: str
    collection: str
    generation: Annotated[str | None, Field(description="null if every chunk was compared from the store.")]
    store_version: int
    recall: Annotated[RecallMode, Field(description="How candidates were found: dense, lexical or hybrid.")]
    instruction: AppliedInstructionResponse
    instruction_applied: InstructionApplied
    judged_by: Annotated[str, Field(description="Name of the reranker; recall-order if nothing was reranked.")]
    ranked_by: RankedBy
    degraded: Annotated[DegradedResponse | None, Field(description="null if nothing failed.")]
    rerank_skipped: Annotated[
        RerankSkipped | None,
        Field(
            description="Why the reranker did not run although nothing failed. null if it ran or failed. "
            "not_requested: `rerank` is false. no_weight: relevance has no weight in this reranker's order under this "
            "instruction. no_candidates: recall found nothing."
        ),
    ]
    diversity: NotRequired[Annotated[DiversityResponse, Field(description="Only with `collapse` or `mmr_lambda`.")]]
    highlight: NotRequired[Annotated[HighlightReport, Field(description="Only with `highlight`.")]]
    results: list[SearchResult]
    timings_ms: Timings
    usage: Usage
    explain: NotRequired[Annotated[list[ExplainedCandidate], Field(description="Only with `explain`.")]]
    filtered: NotRequired[
        Annotated[FilteredResponse | None, Field(description="Only with `explain`; null if no filter was set.")]
    ]
    index: NotRequired[Annotated[IndexResponse, Field(description="Only with `explain`.")]]


def search_response(answer: Answer, *, explain: bool, grouped: bool) -> SearchResponse:
    """The body of POST /v1/search, also printed by `winnow search --json`."""
    recalled, ranking, served = answer.recalled, answer.ranking, answer.recalled.served
    body: SearchResponse = {
        "id": answer.id,
        "collection": answer.collection,
        "generation": served.generation,
        "store_version": served.store_version,
        "recall": recalled.mode,
        "instruction": applied_response(answer.instruction),
        "instruction_applied": ranking.instruction_applied,
        "judged_by": ranking.judged_by,
        "ranked_by": ranking.ranked_by,
        "degraded": _degraded(answer.degraded),
        "rerank_skipped": answer.rerank_skipped,
        "results": [_result(result, answer, grouped=grouped) for result in answer.results],
        "timings_ms": _timings(answer),
        "usage": _usage(answer),
    }
    if answer.diversified is not None:
        body["diversity"] = diversity_response(answer.diversified)
    if answer.highlights is not None:
        body["highlight"] = highlight_report(answer.highlights)
    if explain:
        body["explain"] = _explain(answer)
        body["filtered"] = _filtered(recalled.filtered)
        body["index"] = {
            "generation": served.generation,
            "fresh_chunks": served.fresh_chunks,
            "fallback_from": served.fallback_from,
            "device": served.seat.device,
            "device_fault": served.seat.fault,
        }
    add_queries(body, answer.queries, answer.rewriting, explain=explain)
    add_calibration(body, answer)
    return body


def applied_response(instruction: AppliedInstruction) -> AppliedInstructionResponse:
    return {
        "name": instruction.name,
        "version": instruction.version,
        "source": instruction.source,
        "sha256": instruction.sha256,
        "state": instruction.state,
    }


def place_response(ranked: Ranked) -> ChunkPlace:
    chunk = ranked.candidate.chunk
    return {"ordinal": chunk.ordinal, "start": chunk.start, "end": chunk.end}


def _degraded(degraded: Degraded | None) -> DegradedResponse | None:
    return None if degraded is None else {"stage": degraded.stage, "reason": degraded.reason}


def _timings(answer: Answer) -> Timings:
    timings = answer.recalled.timings
    body: Timings = {
        "embed": round(timings.embed_ms, 3),
        "recall": round(timings.recall_ms, 3),
        "lexical": None if timings.lexical_ms is None else round(timings.lexical_ms, 3),
        "fetch": round(timings.fetch_ms, 3),
        "rerank": None if answer.rerank_ms is None else round(answer.rerank_ms, 3),
        "total": round(answer.total_ms, 3),
    }
    if answer.rewriting is not None and answer.rewriting.ms is not None:
        body["rewrite"] = round(answer.rewriting.ms, 3)
    if answer.diversify_ms is not None:
        body["diversify"] = round(answer.diversify_ms, 3)
    return body


def _usage(answer: Answer) -> Usage:
    recalled, ranking = answer.recalled, answer.ranking
    return {
        "embed_tokens": recalled.tokens,
        "rerank_tokens": answer.rerank_tokens,
        "total_tokens": recalled.tokens + answer.rerank_tokens,
        "candidates": len(recalled.candidates),
        "judged": ranking.judged,
        "remembered": ranking.remembered,
        "query_remembered": recalled.query_remembered,
    }


def _filtered(filtered: Filtered | None) -> FilteredResponse | None:
    return None if filtered is None else {"matching": filtered.matching, "of": filtered.of, "way": filtered.way}


def _result(result: Result, answer: Answer, *, grouped: bool) -> SearchResult:
    ranked, chunk = result.best, result.best.candidate.chunk
    body: SearchResult = {
        "rank": result.rank,
        "score": ranked.score,
        "document_id": chunk.document_id,
        "chunk": place_response(ranked),
        "title": chunk.title,
        "url": chunk.url,
        "text": chunk.text,
        "section": list(chunk.section),
        "header": chunk.header,
        "location": location_response(chunk.location),
        "metadata": dict(chunk.metadata),
        "similarity": ranked.candidate.similarity,
        "lexical_score": ranked.candidate.lexical_score,
        "recall_rank": ranked.candidate.recall_rank,
        "relevance": ranked.relevance,
        "truncated": ranked.truncated,
        "demoted": ranked.demoted,
    }
    add_diversity(body, ranked, answer.diversified)
    add_highlights(body, chunk.number, chunk.text, answer.highlights)
    if (context := answer.contexts.get(chunk.number)) is not None:
        body["context"] = context_response(context)
    if grouped:
        body["other_chunks"] = [_other(other, answer) for other in result.others]
    return body


def _other(ranked: Ranked, answer: Answer) -> OtherChunk:
    body: OtherChunk = {
        "chunk": place_response(ranked),
        "text": ranked.candidate.chunk.text,
        "section": list(ranked.candidate.chunk.section),
        "header": ranked.candidate.chunk.header,
        "location": location_response(ranked.candidate.chunk.location),
        "score": ranked.score,
        "similarity": ranked.candidate.similarity,
        "lexical_score": ranked.candidate.lexical_score,
        "recall_rank": ranked.candidate.recall_rank,
        "relevance": ranked.relevance,
    }
    add_diversity(body, ranked, answer.diversified)
    add_highlights(body, ranked.candidate.chunk.number, body["text"], answer.highlights)
    if (context := answer.contexts.get(ranked.candidate.chunk.number)) is not None:
        body["context"] = context_response(context)
    return body


def _explain(answer: Answer) -> list[ExplainedCandidate]:
    explained = [_explained(ranked) for ranked in answer.ranking.ranked]
    if len(answer.queries) > 1:
        for ranked, each in zip(answer.ranking.ranked, explained, strict=True):
            each["found_by"] = list(ranked.candidate.found_by)
    if answer.diversified is not None and answer.diversified.wanted.collapse.is_on:
        kept = kept_places(answer.diversified)
        for ranked, each in zip(answer.ranking.ranked, explained, strict=True):
            each["collapsed_into"] = kept.get(ranked.candidate.chunk.number)
    return explained


def _explained(ranked: Ranked) -> ExplainedCandidate:
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
        "fields": ranked.fields.splitlines()[:-1],
    }
