"""Decides from a model's folder how a reranker is run, and whether it reads instructions. Reads no weights."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from winnow.api.settings import Settings
from winnow.rerank.known_templates import KNOWN_TEMPLATES
from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.model.folder import ModelFolder, find_model, is_cross_encoder, is_here
from winnow.retrieval.model.prompt_template import PromptTemplate, read_templates

QWEN: Final = "qwen3"  # the model type that winnow runs itself; sentence-transformers runs the others


class RerankerForm(StrEnum):
    """What a reranker reads."""

    QWEN3 = "qwen3"  # the prompt of Qwen3-Reranker
    TEMPLATE = "template"  # a prompt of its own
    PAIR = "pair"  # query and passage as a pair, no instruction


def find_reranker(settings: Settings) -> ModelFolder:
    """Find the reranker of these settings, with the files of its backend. Raises what `find_model` raises."""
    return find_model(
        settings.rerank_model, kind="reranker", source=settings.model_source, also=settings.rerank_backend.files
    )


def template_of(settings: Settings, folder: ModelFolder) -> PromptTemplate | None:
    """Return the model's template: from the settings' file, else from its winnow.json, else a known one.

    Raises `SettingInvalid`, `ModelUnusable`.
    """
    filed = read_templates(settings.rerank_templates) if settings.rerank_templates else {}
    names = (settings.rerank_model, folder.name)
    found = next((filed[name] for name in names if name in filed), None)
    known = next((KNOWN_TEMPLATES[name] for name in names if name in KNOWN_TEMPLATES), None)
    return found or folder.settings.prompt or known


def form_of(folder: ModelFolder, template: PromptTemplate | None) -> RerankerForm:
    """Decide by config.json. Raises `ModelUnusable` for a model that is no reranker, or whose prompt is not known."""
    if template is not None:
        return RerankerForm.TEMPLATE
    if folder.model_type == QWEN:
        return RerankerForm.QWEN3
    if folder.architecture.endswith("ForSequenceClassification") and folder.labels > 2:
        raise ModelUnusable(f"{folder.path}: it has {folder.labels} labels; a reranker has one, or two")
    if folder.architecture.endswith("ForSequenceClassification") or is_cross_encoder(folder.path):
        return RerankerForm.PAIR
    if folder.architecture.endswith(("ForCausalLM", "ForConditionalGeneration")):
        raise ModelUnusable(
            f"{folder.path}: the prompt of {folder.name} is not known. Write it as `prompt` into its winnow.json, or "
            "into the file that rerank_templates names"
        )
    raise ModelUnusable(
        f"{folder.path}: {folder.architecture or 'a model without architectures in config.json'} is not a reranker. "
        "Rerankers are ...ForSequenceClassification with one or two labels, cross-encoders of sentence-transformers, "
        "and causal models with a prompt"
    )


def reads_instruction(settings: Settings) -> bool | None:
    """Whether the reranker of these settings reads an instruction; None if it would have to be downloaded first.

    Raises what the functions above raise.
    """
    if not is_here(settings.rerank_model, source=settings.model_source):
        return None
    folder = find_reranker(settings)
    template = template_of(settings, folder)
    match form_of(folder, template):
        case RerankerForm.PAIR:
            return False
        case RerankerForm.TEMPLATE:
            return template is not None and template.reads_instruction
        case RerankerForm.QWEN3:
            return True
