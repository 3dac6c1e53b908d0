"""Results as documents of frameworks: their ids, texts and metadata. Nothing that is passed in is changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from winnow_client.schemas import InstructionChoice, RerankResponse, SearchResponse, SearchResult

SCORES: Final = ("relevance", "recall_score", "lexical_score", "score", "recall_rank", "ranked_by", "degraded")
PLACES: Final = ("document_id", "title", "url", "section", "location", "chunk")
REPLACED: Final = "document_metadata"  # where a document's own values stand whose names are taken

_log: Final = logging.getLogger("winnow_client")


@dataclass(frozen=True, slots=True)
class Passage:
    """A result of a search, for any framework."""

    id: str
    text: str
    score: float | None
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reranked:
    """A document's place in the request, and its relevance."""

    index: int
    relevance: float


def passages_of(found: SearchResponse, *, has_instruction: bool) -> list[Passage]:
    """Return the results in order. Logs a warning if the answer is degraded, or the instruction was not read."""
    degraded = found["degraded"]
    if degraded is not None:
        _log.warning(
            "Search %s is in recall's order, without relevance: %s (%s)",
            found["id"],
            degraded["stage"],
            degraded["reason"],
        )
    elif has_instruction and not found["instruction_applied"]:
        _log.warning("Search %s: nothing read the instruction (reranker: %s)", found["id"], found["judged_by"])
    return [
        Passage(
            id=f"{found['collection']}/{result['document_id']}#{result['chunk']['ordinal']}",
            text=result["text"],
            score=result["score"],
            metadata=_metadata(found, result),
        )
        for result in found["results"]
    ]


def reranked(answer: RerankResponse, *, min_relevance: float | None, has_instruction: bool) -> list[Reranked]:
    """Return the documents in order. Logs the answer's warnings."""
    for warning in answer["meta"]["warnings"]:
        _log.warning("Rerank %s: %s", answer["id"], warning)
    if has_instruction and not answer["meta"]["winnow"]["instruction_applied"]:
        _log.warning("Rerank %s: %s reads no instructions", answer["id"], answer["model"])
    return [
        Reranked(each["index"], each["relevance_score"])
        for each in answer["results"]
        if min_relevance is None or each["relevance_score"] >= min_relevance
    ]


def instruction_of(given: str | Mapping[str, Any] | None) -> str | InstructionChoice | None:
    """Return an instruction as the client takes it: frameworks keep a named one as a dict. The service checks it."""
    return cast("str | InstructionChoice | None", given)


def with_relevance(metadata: Mapping[str, Any], relevance: float, recall_score: float | None) -> dict[str, Any]:
    """Return a copy with the relevance. A score from before is `recall_score`, unless a retriever put one there."""
    earlier = {} if recall_score is None else {"recall_score": recall_score}
    return {**earlier, **metadata, "relevance": relevance}


def sent_documents(
    texts: Sequence[str], metadata: Sequence[Mapping[str, Any]], fields: Sequence[str] | None
) -> list[str | Mapping[str, Any]]:
    """Return what a request holds: texts, or objects with the fields that the reranker reads before them."""
    if not fields:
        return list(texts)
    return [
        {**{name: each[name] for name in fields if each.get(name) is not None}, "text": text}
        for text, each in zip(texts, metadata, strict=True)
    ]


def _metadata(found: SearchResponse, result: SearchResult) -> dict[str, Any]:
    degraded = found["degraded"]
    ours = {
        "document_id": result["document_id"],
        "title": result["title"],
        "url": result["url"],
        "section": result["section"],
        "location": result["location"],
        "chunk": result["chunk"],
        "relevance": result["relevance"],
        "recall_score": result["similarity"],
        "lexical_score": result["lexical_score"],
        "score": result["score"],
        "recall_rank": result["recall_rank"],
        "ranked_by": found["ranked_by"],
        "degraded": None if degraded is None else degraded["reason"],
    }
    replaced = {key: value for key, value in result["metadata"].items() if key in ours}
    return {**result["metadata"], **ours, **({REPLACED: replaced} if replaced else {})}
