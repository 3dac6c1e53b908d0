"""Gets a model by its name from Hugging Face or ModelScope, or says which command gets it.

Both libraries keep a cache of their own, which serves without a network. Their variables (HF_HOME, HF_HUB_OFFLINE,
HF_ENDPOINT; MODELSCOPE_CACHE) are their own affair. Neither library is imported before it is used: the settings import
this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from winnow.retrieval.errors import ModelNotFound, SettingInvalid

_WANTED: Final = ["*.json", "*.txt", "*.safetensors"]


class ModelSource(StrEnum):
    """Where models are got by name."""

    HUGGING_FACE = "huggingface"
    MODELSCOPE = "modelscope"


def find_cached(name: str, source: ModelSource) -> Path | None:
    """Path of a model in the source's local cache, or None. Raises `SettingInvalid` if its library is missing."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        if source is ModelSource.MODELSCOPE:
            return _from_modelscope(name, [*_WANTED], is_local=True)
        return Path(snapshot_download(name, local_files_only=True))
    except (OSError, HFValidationError, ModelNotFound):
        return None


def fetch(name: str, source: ModelSource, *, also: Sequence[str] = ()) -> Path:
    """Path of a model, which is downloaded unless it is cached. `also` are patterns of further files.

    Raises `ModelNotFound`, `SettingInvalid`.
    """
    wanted = [*_WANTED, *also]
    if source is ModelSource.MODELSCOPE:
        try:
            return _from_modelscope(name, wanted)
        except ModelNotFound:  # its library asks the network even for what it has
            cached = find_cached(name, source)
            if cached is None:
                raise
            return cached
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=_unwanted(also)))
    except (OSError, HFValidationError) as error:  # the library's network, cache and hub errors are OSErrors
        raise ModelNotFound(_advice(name, source, error)) from error


def _from_modelscope(name: str, wanted: Sequence[str], *, is_local: bool = False) -> Path:
    try:
        from modelscope.hub.snapshot_download import snapshot_download as download
        from modelscope_hub.errors import HubError
    except ImportError as error:
        raise SettingInvalid(
            "models from ModelScope need its library: pip install 'winnow-search[modelscope]', or leave model_source "
            "at huggingface"
        ) from error
    try:
        return Path(
            download(name, allow_patterns=[*wanted], ignore_patterns=_unwanted(wanted), local_files_only=is_local)
        )
    except (OSError, ValueError, HubError) as error:
        raise ModelNotFound(_advice(name, ModelSource.MODELSCOPE, error)) from error


def _unwanted(also: Sequence[str]) -> list[str]:
    """Copies of the weights in other formats, unless they are wanted."""
    return [f"{kind}/*" for kind in ("onnx", "openvino", "original") if not any(each.startswith(kind) for each in also)]


def _advice(name: str, source: ModelSource, error: Exception) -> str:
    """What to fetch, and how."""
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    folder = name.rpartition("/")[2]
    lines = {
        ModelSource.HUGGING_FACE: f"hf download {name} --local-dir {folder}",
        ModelSource.MODELSCOPE: f"modelscope download --model {name} --local_dir {folder}",
    }
    other = next(each for each in ModelSource if each is not source)
    return (
        f"{name} is not in the local cache, and the download from {_NAMES[source]} failed ({reason}). On a machine "
        f"with network access run `{lines[source]}` (from {_NAMES[other]}: `{lines[other]}`), copy the folder here, "
        f"and name the folder instead of {name}. To download from {_NAMES[other]}, set model_source to {other.value}"
    )


_NAMES: Final = {ModelSource.HUGGING_FACE: "Hugging Face", ModelSource.MODELSCOPE: "ModelScope"}
