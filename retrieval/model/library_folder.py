"""What can be wrong with a folder that another library loads, as sentences."""

from __future__ import annotations

from typing import Any

from winnow.retrieval.errors import ModelUnusable
from winnow.retrieval.model.folder import ModelFolder


def explain_failure(folder: ModelFolder, error: Exception) -> str:
    """Why a library could not load the folder; its own words, and what they mean where those do not tell."""
    words = " ".join(str(error).split()) or repr(error)
    kind = type(error).__name__
    if kind == "SafetensorError":
        return (
            f"{folder.path}: cannot read the weights ({words}). They may be a Git LFS pointer, or a download that "
            "stopped early: get the *.safetensors files again"
        )
    if "ignore_mismatched_sizes" in words:
        return f"{folder.path}: the weights have other dimensions than config.json says; get both from one model"
    if "auto_map" in (folder.path / "config.json").read_text(encoding="utf-8"):
        words = f"{words}. The model needs Python code from its own repository, which winnow does not run"
    return f"{folder.path}: {words}"


def check_vocabulary(folder: ModelFolder, tokenizer: Any) -> None:
    """Refuse a tokenizer without words, which transformers makes up if files are missing. Raises `ModelUnusable`."""
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise ModelUnusable(
            f"{folder.path}: the tokenizer has no words; its files (tokenizer.json, vocab.txt or *.model) are missing"
        )
