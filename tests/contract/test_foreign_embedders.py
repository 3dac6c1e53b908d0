"""Embedders of sentence-transformers: their vectors, their prefixes, and collections that hold them to both."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from tests.contract.test_embedder import TEXTS
from tests.tiny_foreign_models import write_bert_embedder
from winnow.api.assemble import assemble
from winnow.api.model_loading import embedder_identity, load_embedding
from winnow.api.settings import Settings
from winnow.retrieval.errors import ModelMismatch, SettingInvalid
from winnow.retrieval.tenancy import DEFAULT_TENANT

OWN = {"query": "query: ", "document": "passage: "}


@pytest.fixture(params=[None, OWN, {"query": "query: ", "passage": "passage: "}], ids=["none", "own", "passage"])
def prompts(request: pytest.FixtureRequest) -> dict[str, str] | None:
    found: dict[str, str] | None = request.param
    return found


def settings_of(folder: Path, tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", embed_model=str(folder), device="cpu")


def vectors_of(settings: Settings, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    embedder = load_embedding(settings).embedder
    return asyncio.run(embedder.embed_queries(texts)).vectors, asyncio.run(embedder.embed_passages(texts)).vectors


def test_vectors_are_those_of_the_library_with_the_models_own_prefixes(
    tmp_path: Path, prompts: dict[str, str] | None
) -> None:
    """Read from config_sentence_transformers.json, under either of the names that people use for passages."""
    folder = write_bert_embedder(tmp_path / "embedder", prompts=prompts)
    texts = [text for text in TEXTS if "\ud800" not in text]
    queries, passages = vectors_of(settings_of(folder, tmp_path), texts)
    model = SentenceTransformer(str(folder), device="cpu")
    for found, prefix in ((queries, "query: "), (passages, "passage: ")):
        written = [f"{prefix if prompts else ''}{text}" for text in texts]
        np.testing.assert_allclose(found, model.encode(written, prompt=""), atol=1e-5)


def test_a_setting_replaces_the_models_prefixes(tmp_path: Path) -> None:
    """Also by none; and what equals the model's own is the model's own."""
    folder = write_bert_embedder(tmp_path / "embedder", prompts=OWN)
    own = settings_of(folder, tmp_path)
    other = replace(own, embed_query_prefix="Question: ", embed_passage_prefix="")
    model = SentenceTransformer(str(folder), device="cpu")
    queries, passages = vectors_of(other, ["a refund"])
    np.testing.assert_allclose(queries, model.encode(["Question: a refund"], prompt=""), atol=1e-5)
    np.testing.assert_allclose(passages, model.encode(["a refund"], prompt=""), atol=1e-5)
    assert embedder_identity(own) == embedder_identity(replace(own, embed_query_prefix="query: "))
    identities = {embedder_identity(each).prompt_format for each in (own, other, replace(own, embed_query_prefix=""))}
    assert len(identities) == 3


def test_a_collection_refuses_other_prefixes(tmp_path: Path) -> None:
    """Vectors under one prefix are not searched under another; without the setting it opens again."""
    settings = settings_of(write_bert_embedder(tmp_path / "embedder"), tmp_path)
    e5 = replace(settings, embed_query_prefix="query: ", embed_passage_prefix="passage: ")
    assemble(e5, judged=False).ingest.make(DEFAULT_TENANT, "docs")
    with pytest.raises(ModelMismatch, match="prefix"):
        assemble(settings, judged=False).collections.get(DEFAULT_TENANT, "docs")
    assert assemble(e5, judged=False).collections.get(DEFAULT_TENANT, "docs")


def test_qwen3_takes_no_prefix(tmp_path: Path) -> None:
    """Its queries begin with a task."""
    with pytest.raises(SettingInvalid, match="begin with a task"):
        load_embedding(Settings(data=tmp_path, embed_query_prefix="query: "))


def test_a_model_folder_whose_own_prefixes_change_is_another_embedder(tmp_path: Path) -> None:
    """Its revision is the same, its vectors are not. What an earlier version built names none, and is opened."""
    folder = write_bert_embedder(tmp_path / "embedder", prompts=OWN)
    settings = settings_of(folder, tmp_path)
    own = embedder_identity(settings)
    assert own.accepts(own)
    assert own.accepts(replace(own, prompt_format="sentence-transformers/1"))
    assemble(settings, judged=False).ingest.make(DEFAULT_TENANT, "docs")
    for prompts in (OWN | {"query": "Question: "}, {}):
        described = json.dumps({"prompts": prompts, "default_prompt_name": None})
        (folder / "config_sentence_transformers.json").write_text(described, encoding="utf-8")
        changed = embedder_identity(settings)
        assert (changed.revision, changed.accepts(own), own.accepts(changed)) == (own.revision, False, not prompts)
        with pytest.raises(ModelMismatch, match="prefix"):
            assemble(settings, judged=False).collections.get(DEFAULT_TENANT, "docs")
