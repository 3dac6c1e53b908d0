"""Models and tokenizers that are not made on the spot: ours where they are bundled, Qwen's where somebody has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from winnow.retrieval.errors import ModelNotFound
from winnow.retrieval.model.folder import BUNDLED_EMBEDDER, BUNDLED_RERANKER, ModelFolder, ModelKind, find_model

_BESIDE_THE_CHECKOUT = Path(__file__).parents[2] / "shared" / "qwen-tokenizer"


def bundled_model(kind: ModelKind) -> ModelFolder:
    """Our own model of this kind; skips the test where it has not been built."""
    try:
        return find_model(BUNDLED_EMBEDDER if kind == "embedder" else BUNDLED_RERANKER, kind=kind)
    except ModelNotFound as error:
        pytest.skip(str(error))


def qwen_tokenizer() -> Path:
    """The folder of the real Qwen3 tokenizer; skips the test where there is none."""
    folder = Path(os.environ.get("WINNOW_QWEN_TOKENIZER", _BESIDE_THE_CHECKOUT))  # noqa: TID251  where, not how: no setting of ours
    if not (folder / "vocab.json").is_file():
        pytest.skip(f"no Qwen tokenizer in {folder}; set WINNOW_QWEN_TOKENIZER")
    return folder
