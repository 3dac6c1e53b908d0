"""Answers about instructions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, NotRequired

from pydantic import Field

from winnow.api.library.content import variable_fields
from winnow.api.library.diff import Change, changes, unified
from winnow.api.schemas.response import ChunkPlace, JsonObject
from winnow.api.schemas.search_response import (
    AppliedInstructionResponse,
    InstructionApplied,
    applied_response,
    place_response,
)
from winnow.api.search.preview import Preview
from winnow.api.search.prompt_pieces import PromptPart
from winnow.api.search.records import RerankSkipped
from winnow.api.search.trial import Trial, TrialColumn, TrialPlace
from winnow.rerank.reranker import RankedBy
from winnow.retrieval.catalog.instructions import InstructionVersion, State
from winnow.retrieval.records import RecallMode


class InstructionResponse(JsonObject):
    """One version of an instruction."""

    name: str
    version: int
    state: State
    text: str
    literal: Annotated[bool, Field(description="Whether the text is used as it is, without variables.")]
    embedding_task: str | None
    variables: Annotated[
        list[dict[str, Any]],
        Field(description="Name and type of each; default, allowed, max_length and description if they are set."),
    ]
    purpose: str
    language: str
    collections: list[str]
    author: str
    note: str
    created_at: datetime
    published_at: datetime | None
    retired_at: datetime | None


class InstructionsResponse(JsonObject):
    """GET /v1/instructions"""

    instructions: Annotated[list[InstructionResponse], Field(description="The tenant's own.")]
    built_in: Annotated[
        list[InstructionResponse], Field(description="Instructions that ship with winnow: read-only, for every tenant.")
    ]
    default: Annotated[
        str | None, Field(description="Default instruction of the tenant's searches; null means the model card's.")
    ]


class InstructionVersionsResponse(JsonObject):
    """GET /v1/instructions/{name}"""

    name: str
    versions: list[InstructionResponse]


class DefaultResponse(JsonObject):
    """The tenant's default instruction."""

    instruction: Annotated[str | None, Field(description="NAME or NAME@VERSION; null means the model card's.")]


class ImportedResponse(JsonObject):
    """POST /v1/instructions/import"""

    added: Annotated[list[str], Field(description="NAME@VERSION of each version that was new.")]
    unchanged: Annotated[int, Field(description="Versions that were already stored, word for word.")]


class ChangeResponse(JsonObject):
    """A field that differs."""

    field: str
    before: Any
    after: Any


class DiffResponse(JsonObject):
    """GET /v1/instructions/{name}/diff"""

    name: str
    before: Annotated[int, Field(description="Version.")]
    after: Annotated[int, Field(description="Version.")]
    changes: list[ChangeResponse]
    diff: Annotated[str, Field(description="Both versions as YAML, compared like `diff -u`.")]


class PromptTokens(JsonObject):
    """Number of tokens in each part of a prompt."""

    prefix: Annotated[int, Field(description="Fixed part before the question.")]
    question: Annotated[int, Field(description="Instruction and query.")]
    document: Annotated[int, Field(description="Fields, title and text.")]
    fields: Annotated[int, Field(description="Field lines; part of `document`.")]
    suffix: Annotated[int, Field(description="Fixed part after the document.")]
    total: int
    max: Annotated[int, Field(description="Longest prompt that this reranker accepts.")]


class PieceResponse(JsonObject):
    """A run of tokens of a prompt that holds whole characters."""

    part: Annotated[PromptPart, Field(description="label: `<Instruct>: ` and the like. document: title and text.")]
    text: str
    tokens: Annotated[int, Field(description="More than 1 where a character needs several.")]


class PreviewResponse(JsonObject):
    """POST /v1/instructions/preview"""

    instruction: AppliedInstructionResponse
    text: Annotated[str, Field(description="The instruction, variables filled in.")]
    reranker: str
    tokens: PromptTokens
    control_tokens: Annotated[
        int, Field(description="Control tokens. All are in prefix and suffix, whatever the texts contain.")
    ]
    truncated: Annotated[bool, Field(description="Whether the prompt holds only the beginning of the document.")]
    fields: Annotated[list[str], Field(description="Lines before the document's title and text.")]
    fields_truncated: Annotated[bool, Field(description="Whether a line is left out or cut because of the bound.")]
    prompt: Annotated[str, Field(description="The whole prompt, decoded from its tokens.")]
    embedding_prompt: Annotated[str, Field(description="The text that is embedded for the query.")]
    ids: NotRequired[Annotated[list[int], Field(description="Token ids of the prompt. Only with `ids`.")]]
    pieces: NotRequired[
        Annotated[
            list[PieceResponse],
            Field(
                description="The prompt by parts. Instruction and query are one `label` if the prompt cuts them. "
                "Only with `ids`."
            ),
        ]
    ]


class TrialResult(JsonObject):
    """A place of one ranking."""

    rank: Annotated[int, Field(description="1 is best.")]
    moved: Annotated[int, Field(description="Places up, compared with the first ranking; negative is down.")]
    document_id: str
    chunk: ChunkPlace
    title: str
    score: float | None
    relevance: float | None


class TrialColumnResponse(JsonObject):
    """The ranking under one instruction."""

    instruction: AppliedInstructionResponse
    text: Annotated[
        str | None,
        Field(description="null if a granted collection's owner chose it; only the owner may read it."),
    ]
    instruction_applied: InstructionApplied
    judged_by: Annotated[str, Field(description="Name of the reranker.")]
    ranked_by: RankedBy
    rerank_skipped: Annotated[RerankSkipped | None, Field(description="As in the answer of a search.")]
    results: list[TrialResult]


class TrialResponse(JsonObject):
    """POST /v1/instructions/try"""

    collection: str
    query: str
    store_version: int
    recall: RecallMode
    candidates: Annotated[int, Field(description="Number of candidates that were ranked.")]
    judged_by: Annotated[str, Field(description="Of the first column.")]
    ranked_by: Annotated[RankedBy, Field(description="Of the first column.")]
    rerank_tokens: int
    columns: Annotated[
        list[TrialColumnResponse], Field(description="In the requested order; the others are compared with the first.")
    ]


def instruction_response(version: InstructionVersion) -> InstructionResponse:
    content = version.content
    return {
        "name": version.name,
        "version": version.version,
        "state": version.state,
        "text": content.text,
        "literal": content.literal,
        "embedding_task": content.embedding_task,
        "variables": [variable_fields(each) for each in content.variables],
        "purpose": content.purpose,
        "language": content.language,
        "collections": list(content.collections),
        "author": content.author,
        "note": content.note,
        "created_at": version.created_at,
        "published_at": version.published_at,
        "retired_at": version.retired_at,
    }


def instructions_response(
    own: Sequence[InstructionVersion], built_in: Sequence[InstructionVersion], default: str | None
) -> InstructionsResponse:
    return {
        "instructions": [instruction_response(each) for each in own],
        "built_in": [instruction_response(each) for each in built_in],
        "default": default,
    }


def versions_response(name: str, versions: Sequence[InstructionVersion]) -> InstructionVersionsResponse:
    return {"name": name, "versions": [instruction_response(each) for each in versions]}


def default_response(instruction: str | None) -> DefaultResponse:
    return {"instruction": instruction}


def imported_response(added: Sequence[InstructionVersion], *, of: int) -> ImportedResponse:
    return {"added": [each.reference for each in added], "unchanged": of - len(added)}


def diff_response(before: InstructionVersion, after: InstructionVersion) -> DiffResponse:
    return {
        "name": before.name,
        "before": before.version,
        "after": after.version,
        "changes": [_change(each) for each in changes(before.content, after.content)],
        "diff": unified(before, after),
    }


def preview_response(preview: Preview, *, ids: bool) -> PreviewResponse:
    body: PreviewResponse = {
        "instruction": applied_response(preview.instruction),
        "text": preview.instruction.text,
        "reranker": preview.model,
        "tokens": {
            "prefix": preview.prefix_tokens,
            "question": preview.question_tokens,
            "document": preview.document_tokens,
            "fields": preview.fields_tokens,
            "suffix": preview.suffix_tokens,
            "total": len(preview.ids),
            "max": preview.tokens_max,
        },
        "control_tokens": preview.control_tokens,
        "truncated": preview.is_cut,
        "fields": list(preview.fields),
        "fields_truncated": preview.fields_are_cut,
        "prompt": preview.text,
        "embedding_prompt": preview.embedding_prompt,
    }
    if ids:
        body["ids"] = list(preview.ids)
        body["pieces"] = [{"part": each.part, "text": each.text, "tokens": each.tokens} for each in preview.pieces]
    return body


def trial_response(trial: Trial) -> TrialResponse:
    first = trial.columns[0].ranking
    return {
        "collection": trial.collection,
        "query": trial.query,
        "store_version": trial.recalled.served.store_version,
        "recall": trial.recalled.mode,
        "candidates": len(trial.recalled.candidates),
        "judged_by": first.judged_by,
        "ranked_by": first.ranked_by,
        "rerank_tokens": sum(each.ranking.tokens for each in trial.columns),
        "columns": [_column(each) for each in trial.columns],
    }


def _change(change: Change) -> ChangeResponse:
    return {"field": change.field, "before": change.before, "after": change.after}


def _column(column: TrialColumn) -> TrialColumnResponse:
    return {
        "instruction": applied_response(column.instruction),
        "text": column.instruction.text if column.is_readable else None,
        "instruction_applied": column.ranking.instruction_applied,
        "judged_by": column.ranking.judged_by,
        "ranked_by": column.ranking.ranked_by,
        "rerank_skipped": column.rerank_skipped,
        "results": [_trial_result(each) for each in column.places],
    }


def _trial_result(place: TrialPlace) -> TrialResult:
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
