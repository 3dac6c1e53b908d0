"""Answers for instructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import Field

from winnow.api.library.content import variable_fields
from winnow.api.library.diff import changes, unified
from winnow.api.schemas.response import Json, ResponseModel
from winnow.api.schemas.search_answer import AppliedInstructionResponse, ChunkPlace, applied_response, place_response
from winnow.api.search.preview import Preview
from winnow.api.search.records import RerankSkipped
from winnow.api.search.trial import Trial, TrialColumn, TrialPlace
from winnow.rerank.reranker import RankedBy
from winnow.retrieval.catalog.instructions import InstructionVersion, State
from winnow.retrieval.records import RecallMode


class InstructionResponse(ResponseModel):
    """One version of an instruction."""

    name: str
    version: int
    state: State
    text: str
    literal: bool
    embedding_task: str | None
    variables: list[dict[str, Any]] = Field(description="name, type, default, allowed, max_length, description")
    purpose: str
    language: str
    collections: list[str]
    author: str
    note: str
    created_at: str
    published_at: str | None
    retired_at: str | None


class InstructionsResponse(ResponseModel):
    """GET /v1/instructions"""

    instructions: list[InstructionResponse]
    built_in: list[InstructionResponse] = Field(description="Built-in instructions, for every tenant, read-only.")
    default: str | None = Field(description="Default of the tenant's searches; null is the model card's instruction.")


class InstructionVersionsResponse(ResponseModel):
    """GET /v1/instructions/{name}"""

    name: str
    versions: list[InstructionResponse]


def instruction_response(version: InstructionVersion) -> Json:
    content = version.content
    return {
        "name": version.name,
        "version": version.version,
        "state": version.state.value,
        "text": content.text,
        "literal": content.literal,
        "embedding_task": content.embedding_task,
        "variables": [variable_fields(each) for each in content.variables],
        "purpose": content.purpose,
        "language": content.language,
        "collections": list(content.collections),
        "author": content.author,
        "note": content.note,
        "created_at": version.created_at.isoformat(),
        "published_at": None if version.published_at is None else version.published_at.isoformat(),
        "retired_at": None if version.retired_at is None else version.retired_at.isoformat(),
    }


def instructions_response(
    own: Sequence[InstructionVersion], built_in: Sequence[InstructionVersion], default: str | None
) -> Json:
    return {
        "instructions": [instruction_response(each) for each in own],
        "built_in": [instruction_response(each) for each in built_in],
        "default": default,
    }


def versions_response(name: str, versions: Sequence[InstructionVersion]) -> Json:
    return {"name": name, "versions": [instruction_response(each) for each in versions]}


class DefaultResponse(ResponseModel):
    """The tenant's default."""

    instruction: str | None = Field(description="NAME or NAME@VERSION; null is the model card's instruction.")


class ImportedResponse(ResponseModel):
    """POST /v1/instructions/import"""

    added: list[str] = Field(description="NAME@VERSION of new versions")
    unchanged: int = Field(description="number of versions that already existed unchanged")


def imported_response(added: Sequence[InstructionVersion], *, of: int) -> Json:
    return {"added": [each.reference for each in added], "unchanged": of - len(added)}


class ChangeResponse(ResponseModel):
    """A field that differs."""

    field: str
    before: Any
    after: Any


class DiffResponse(ResponseModel):
    """GET /v1/instructions/{name}/diff"""

    name: str
    before: int
    after: int
    changes: list[ChangeResponse]
    diff: str = Field(description="Both versions as YAML, compared like diff -u.")


def diff_response(before: InstructionVersion, after: InstructionVersion) -> Json:
    return {
        "name": before.name,
        "before": before.version,
        "after": after.version,
        "changes": [asdict(each) for each in changes(before.content, after.content)],
        "diff": unified(before, after),
    }


class PromptTokens(ResponseModel):
    """The tokens of each part of a prompt."""

    prefix: int = Field(description="of the scaffold")
    question: int = Field(description="instruction and query")
    document: int
    suffix: int = Field(description="of the scaffold")
    total: int
    max: int = Field(description="the most that this model reads")


class PreviewResponse(ResponseModel):
    """POST /v1/instructions/preview"""

    instruction: AppliedInstructionResponse
    text: str = Field(description="The instruction with its values.")
    reranker: str
    tokens: PromptTokens
    control_tokens: int = Field(
        description="Control tokens, which are all in prefix and suffix, whatever the texts contain."
    )
    truncated: bool = Field(description="Whether the prompt contains only the beginning of the document.")
    prompt: str = Field(description="The text of the ids, including the scaffold.")
    embedding_prompt: str = Field(description="The text that is embedded for the query.")
    ids: list[int] | None = Field(default=None, description="Only with ids.")


def preview_response(preview: Preview, *, ids: bool) -> Json:
    body: Json = {
        "instruction": applied_response(preview.instruction),
        "text": preview.instruction.text,
        "reranker": preview.model,
        "tokens": {
            "prefix": preview.prefix_tokens,
            "question": preview.question_tokens,
            "document": preview.document_tokens,
            "suffix": preview.suffix_tokens,
            "total": len(preview.ids),
            "max": preview.tokens_max,
        },
        "control_tokens": preview.control_tokens,
        "truncated": preview.is_cut,
        "prompt": preview.text,
        "embedding_prompt": preview.embedding_prompt,
    }
    return body | {"ids": list(preview.ids)} if ids else body


class TrialResult(ResponseModel):
    """One result of a ranking."""

    rank: int
    moved: int = Field(description="Ranks gained against the first ranking; negative if lost.")
    document_id: str
    chunk: ChunkPlace
    title: str
    score: float | None
    relevance: float | None


class TrialColumnResponse(ResponseModel):
    """The ranking with one instruction."""

    instruction: AppliedInstructionResponse
    text: str | None = Field(description="null if it was chosen by the owner of a granted collection")
    judged_by: str
    ranked_by: RankedBy
    rerank_skipped: RerankSkipped | None = Field(description="As in a search's answer.")
    results: list[TrialResult]


class TrialResponse(ResponseModel):
    """POST /v1/instructions/try"""

    collection: str
    query: str
    store_version: int
    recall: RecallMode
    candidates: int
    judged_by: str = Field(description="of the first column, like ranked_by")
    ranked_by: RankedBy
    rerank_tokens: int
    columns: list[TrialColumnResponse] = Field(
        description="In the requested order; the others are compared with the first."
    )


def trial_response(trial: Trial) -> Json:
    judged = trial.columns[0].ranking
    return {
        "collection": trial.collection,
        "query": trial.query,
        "store_version": trial.recalled.served.store_version,
        "recall": trial.recalled.mode.value,
        "candidates": len(trial.recalled.candidates),
        "judged_by": judged.judged_by,
        "ranked_by": judged.ranked_by.value,
        "rerank_tokens": sum(each.ranking.tokens for each in trial.columns),
        "columns": [_column_said(each) for each in trial.columns],
    }


def _column_said(column: TrialColumn) -> Json:
    return {
        "instruction": applied_response(column.instruction),
        "text": column.instruction.text if column.is_readable else None,
        "judged_by": column.ranking.judged_by,
        "ranked_by": column.ranking.ranked_by.value,
        "rerank_skipped": None if column.rerank_skipped is None else column.rerank_skipped.value,
        "results": [_trial_result(each) for each in column.places],
    }


def _trial_result(place: TrialPlace) -> Json:
    ranked, chunk = place.ranked, place.ranked.candidate.chunk
    return {
        "rank": ranked.rank,
        "moved": place.moved,
        "document_id": chunk.document_id,
        "chunk": place_response(ranked),
        "title": chunk.title,
        "score": ranked.score,
        "relevance": ranked.relevance,
    }
