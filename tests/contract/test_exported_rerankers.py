"""Cross-encoders in ONNX and int8: the library exports them, and they score like the originals."""

from __future__ import annotations

import gc
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.contract.test_foreign_rerankers import TEXTS, relevances
from tests.contract.test_reranker import QUERY, candidates_of, new_cache, rank
from tests.tiny_foreign_models import write_bert
from winnow.api.model_loading import load_reranker
from winnow.api.settings import Settings
from winnow.retrieval.errors import SettingInvalid
from winnow.retrieval.model.backend import Backend

INT8 = "onnx/model_quint8_avx2.onnx"
needs_onnx = pytest.mark.skipif(
    find_spec("optimum") is None or find_spec("onnxruntime") is None,
    reason="needs the extra onnx: pip install 'winnow-search[onnx]', which has no place beside transformers 5",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, rerank_model=str(write_bert(tmp_path / "bert")), device="cpu")


@pytest.mark.skipif(find_spec("optimum") is not None, reason="the extra onnx is installed")
@pytest.mark.parametrize("kind", ["onnx", "openvino"])
def test_without_the_extra_the_setting_is_refused_by_its_name(settings: Settings, kind: str) -> None:
    """Before anything is loaded."""
    with pytest.raises(SettingInvalid) as refused:
        load_reranker(replace(settings, rerank_backend=Backend(kind)))  # type: ignore[arg-type]
    assert f"pip install 'winnow-search[{kind}]'" in refused.value.message


@needs_onnx
@pytest.mark.filterwarnings("ignore")
def test_onnx_scores_like_torch_and_int8_like_the_librarys_int8(settings: Settings, tmp_path: Path) -> None:
    """Exported by the library into a folder without the original weights; each file has scores of its own."""
    from sentence_transformers import CrossEncoder, export_dynamic_quantized_onnx_model

    given, cache = candidates_of(*TEXTS), new_cache()
    torch = relevances(rank(load_reranker(settings, cache=cache).reranker, given))
    exported = tmp_path / "exported"
    with warnings.catch_warnings(action="ignore"):
        model = CrossEncoder(settings.rerank_model, backend="onnx", device="cpu")
        model.save_pretrained(str(exported))
        export_dynamic_quantized_onnx_model(model, "avx2", str(exported))
        del model
        gc.collect()  # the library leaves a temporary folder to be removed with a warning
    assert not list(exported.glob("*.safetensors"))
    for backend in (Backend("onnx"), Backend("onnx", INT8)):
        loaded = load_reranker(replace(settings, rerank_model=str(exported), rerank_backend=backend), cache=cache)
        assert loaded.runs_on == f"exported on cpu {backend}"
        ranking = rank(loaded.reranker, given)
        assert (ranking.remembered, ranking.instruction_applied) == (0, False)
        if backend.file is None:
            np.testing.assert_allclose(relevances(ranking), torch, atol=1e-5)
            continue
        assert relevances(ranking) != torch
        alone = load_reranker(replace(settings, rerank_model=str(exported), rerank_backend=backend)).reranker
        options = {"file_name": INT8}
        theirs = CrossEncoder(str(exported), backend="onnx", device="cpu", model_kwargs=options)
        for text in TEXTS[:6]:  # one at a time: int8 scores depend on the others of a batch
            expected = theirs.predict([(QUERY, text)])
            assert relevances(rank(alone, candidates_of(text))) == pytest.approx(list(expected), abs=1e-5)
