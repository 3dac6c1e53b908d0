"""Previews the prompt of an instruction: the exact token ids that a reranker would read, and their text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from winnow.api.library.instructions import (
    AppliedInstruction,
    Instructions,
    NamedInstruction,
    applied_text,
)
from winnow.api.reranker_choice import RerankerForm, find_reranker, form_of, template_of
from winnow.api.search.prompt_pieces import PromptPart, PromptPiece, document_spans, pieces_of, question_spans
from winnow.api.search.rerankers import refuse_unknown, settings_by_name, settings_for
from winnow.api.settings import Settings
from winnow.rerank.prompt import PREFIX, SUFFIX, PromptBuilder
from winnow.retrieval.document_fields import is_whole
from winnow.retrieval.embed.embedder import query_prompt
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.model.config import QwenConfig
from winnow.retrieval.records import NO_FIELDS, FieldLines
from winnow.retrieval.tenancy import TenantName


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One prompt, with the token counts of its parts."""

    instruction: AppliedInstruction
    model: str
    ids: tuple[int, ...]
    text: str  # the text of the ids
    pieces: tuple[PromptPiece, ...]  # the same, in the smallest runs of tokens that hold whole characters
    prefix_tokens: int  # of the scaffold, like the suffix
    question_tokens: int  # instruction and query
    document_tokens: int
    suffix_tokens: int
    control_tokens: int  # all in prefix and suffix
    tokens_max: int
    fields: tuple[str, ...]  # lines before the document's title and text
    fields_tokens: int  # of these lines, counted in `document_tokens`
    fields_are_cut: bool  # not all lines fit whole
    is_cut: bool  # the prompt contains only the beginning of the document
    embedding_prompt: str  # the text that is embedded for the query


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewedPassage:
    """A document's part, and the fields that are written before it."""

    text: str
    fields: FieldLines = NO_FIELDS


def build_preview(
    prompts: PromptBuilder, instruction: AppliedInstruction, *, model: str, query: str, passage: PreviewedPassage
) -> Preview:
    """Build the preview. Pure."""
    (head,) = prompts.heads([passage.fields])
    built = prompts.build(query, [head + passage.text], instruction.text)
    ids = (*built.shared, *built.tails[0])
    prefix, suffix = len(prompts.scaffold.ids(PREFIX)), len(prompts.scaffold.ids(SUFFIX))
    return Preview(
        instruction=instruction,
        model=model,
        ids=ids,
        text=prompts.scaffold.text(ids),
        pieces=_pieces(prompts, ids, (prefix, len(built.shared), len(ids) - suffix), (instruction.text, query, head)),
        prefix_tokens=prefix,
        question_tokens=len(built.shared) - prefix,
        document_tokens=len(built.tails[0]) - suffix,
        suffix_tokens=suffix,
        control_tokens=sum(each in prompts.scaffold.control_ids for each in ids),
        tokens_max=prompts.tokens_max,
        fields=tuple(head.splitlines()[:-1]),
        fields_tokens=prompts.count(head),
        fields_are_cut=not is_whole(passage.fields, head),
        is_cut=built.truncated[0],
        embedding_prompt=query_prompt(query, instruction.embedding_task),
    )


def _pieces(
    prompts: PromptBuilder, ids: Sequence[int], ends: tuple[int, int, int], texts: tuple[str, str, str]
) -> tuple[PromptPiece, ...]:
    """`ends` are those of prefix, question and document; `texts` are instruction, query and fields."""
    decode, (instruction, query, head) = prompts.scaffold.text, texts
    prefix, question, document = (ids[start:end] for start, end in zip((0, *ends), ends, strict=False))
    suffix = ids[ends[-1] :]
    spans = [
        (prefix, [(PromptPart.PREFIX, len(decode(prefix)))]),
        (question, question_spans(decode(question), instruction=instruction, query=query)),
        (document, document_spans(decode(document), head=head)),
        (suffix, [(PromptPart.SUFFIX, len(decode(suffix)))]),
    ]
    return tuple(piece for part, ends_of_part in spans for piece in pieces_of(part, ends_of_part, decode))


def previewed(
    settings: Settings,
    instruction: AppliedInstruction,
    *,
    reranker: str | None,
    query: str,
    passage: PreviewedPassage,
) -> Preview:
    """Preview with the prompt of this configured reranker, or the default. Reads a tokenizer the first time: blocks.

    Raises `InvalidRequest`, `ModelNotFound`, `ModelUnusable`, `SettingInvalid`.
    """
    if reranker is not None:
        refuse_unknown(reranker, settings_by_name(settings))
    chosen = settings_for(settings, reranker)
    folder = find_reranker(chosen)
    form = form_of(folder, template_of(chosen, folder))
    if form is not RerankerForm.QWEN3:
        raise InvalidRequest(
            f"{folder.name} has no prompt to preview: it reads a query and a passage, and no instruction"
            if form is RerankerForm.PAIR
            else f"the prompt of {folder.name} comes from its template, which cannot be previewed yet; only prompts of "
            "models that are asked like Qwen3-Reranker can"
        )
    prompts = _prompts_of(folder.path, QwenConfig.read(folder.path).window(folder.settings.max_tokens))
    return build_preview(prompts, instruction, model=folder.name, query=query, passage=passage)


def to_preview(instructions: Instructions, tenant: TenantName, wanted: str | NamedInstruction) -> AppliedInstruction:
    """Return a text, or a version in any state. Raises `InstructionNotFound`, `VariableRefused`, what texts raise."""
    if isinstance(wanted, str):
        return applied_text(wanted)
    return instructions.tried(tenant, wanted)


@lru_cache(maxsize=4)  # a tokenizer takes half a second to read, and a hundred megabytes
def _prompts_of(folder: Path, tokens_max: int) -> PromptBuilder:
    return PromptBuilder.load(folder, tokens_max=tokens_max)
