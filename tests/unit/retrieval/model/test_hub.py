"""Models are fetched by name from one of two hubs; the error for one that cannot be fetched gives the command."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.tiny_foreign_models import write_bert
from winnow.retrieval.errors import ModelNotFound, SettingInvalid
from winnow.retrieval.model.folder import find_model, model_name
from winnow.retrieval.model.hub import ModelSource, fetch, find_cached

NAME = "BAAI/bge-reranker-v2-m3"


class Hub:
    """A stand-in for the library of ModelScope: one model, or a failure."""

    def __init__(self, folder: Path | None, failure: Exception | None = None) -> None:
        self._folder = folder
        self._failure = failure
        self.asked: list[dict[str, Any]] = []

    def snapshot_download(self, name: str, **how: Any) -> str:
        self.asked.append({"name": name, **how})
        if self._failure is not None and (self._folder is None or not how["local_files_only"]):
            raise self._failure
        return str(self._folder)


def installed(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    downloads, hub_errors = ModuleType("modelscope.hub.snapshot_download"), ModuleType("modelscope_hub.errors")
    downloads.snapshot_download = hub.snapshot_download  # type: ignore[attr-defined]
    hub_errors.HubError = HubError  # type: ignore[attr-defined]
    for name in ("modelscope", "modelscope.hub", "modelscope_hub"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "modelscope.hub.snapshot_download", downloads)
    monkeypatch.setitem(sys.modules, "modelscope_hub.errors", hub_errors)


class HubError(Exception):
    """As the library's, which is no OSError."""


def test_modelscope_gives_the_model_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights and texts, no other formats, unless they are asked for; the name of the model is the hub's."""
    hub = Hub(write_bert(tmp_path / "bge"))
    installed(monkeypatch, hub)
    found = find_model(NAME, kind="reranker", source=ModelSource.MODELSCOPE)
    assert (found.path, found.name, found.architecture) == (tmp_path / "bge", NAME, "BertForSequenceClassification")
    assert model_name(NAME, kind="reranker", source=ModelSource.MODELSCOPE) == NAME
    find_model(NAME, kind="reranker", source=ModelSource.MODELSCOPE, also=("onnx/*",))
    fresh, cached, exported = hub.asked
    assert (fresh["name"], fresh["local_files_only"], cached["local_files_only"]) == (NAME, False, True)
    assert "*.safetensors" in fresh["allow_patterns"]
    assert ("onnx/*" in fresh["ignore_patterns"], "onnx/*" in exported["ignore_patterns"]) == (True, False)
    assert "onnx/*" in exported["allow_patterns"]


@pytest.mark.parametrize("failure", [HubError("no such model"), ConnectionError("offline"), ValueError("a bad name")])
def test_what_modelscope_does_not_give_is_told_with_the_command(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """And the other hub's, and the setting that changes hubs."""
    installed(monkeypatch, Hub(None, failure))
    with pytest.raises(ModelNotFound) as absent:
        fetch(NAME, ModelSource.MODELSCOPE)
    for said in (
        f"the download from ModelScope failed ({failure})",
        f"run `modelscope download --model {NAME} --local_dir bge-reranker-v2-m3`",
        f"(from Hugging Face: `hf download {NAME} --local-dir bge-reranker-v2-m3`)",
        f"name the folder instead of {NAME}",
        "set model_source to huggingface",
    ):
        assert said in absent.value.message
    assert find_cached(NAME, ModelSource.MODELSCOPE) is None


def test_what_modelscope_has_cached_serves_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its library fails although it has the model."""
    installed(monkeypatch, Hub(tmp_path, ConnectionError("offline")))
    assert fetch(NAME, ModelSource.MODELSCOPE) == tmp_path


def test_without_its_library_modelscope_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which extra is missing."""
    monkeypatch.setitem(sys.modules, "modelscope", None)
    monkeypatch.setitem(sys.modules, "modelscope.hub", None)
    monkeypatch.setitem(sys.modules, "modelscope.hub.snapshot_download", None)
    with pytest.raises(SettingInvalid, match=r"winnow-search\[modelscope\]"):
        fetch(NAME, ModelSource.MODELSCOPE)


def test_neither_library_is_imported_before_it_is_used() -> None:
    """The settings import this module, and the command line has to start fast."""
    import subprocess

    program = (
        "import sys, winnow.api.settings\n"
        "print([each for each in ('huggingface_hub', 'modelscope', 'sentence_transformers', 'torch') "
        "if each in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
