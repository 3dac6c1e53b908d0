"""Where a model lies, and what it says about itself.

A name is looked for in this order: one of our own models (they travel in the wheel), a folder, a name on the hub.
Our folders, and anybody's who likes, say what they are in `winnow.json`; a Qwen folder without one gets defaults.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError

from winnow.retrieval.errors import ModelNotFound, ModelUnusable

BUNDLED_EMBEDDER: Final = "winnow-embed"
BUNDLED_RERANKER: Final = "winnow-rerank"
MAX_TOKENS_DEFAULT: Final = 8_192  # tokens; what the Qwen3 model cards use, well inside their window

ModelKind = Literal["embedder", "reranker"]

_BUNDLED: Final = (BUNDLED_EMBEDDER, BUNDLED_RERANKER)
_BUNDLED_PLACES: Final = (
    Path(__file__).parents[1] / "models",  # installed from a wheel
    Path(__file__).resolve().parents[2] / "data" / "models",  # a checkout
)
_WANTED_FROM_HUB: Final = ["*.json", "*.txt", "*.safetensors"]
_UNWANTED_FROM_HUB: Final = ["onnx/*", "openvino/*", "original/*"]
_WHAT_MAKES_VECTORS: Final = ("config.json", "tokenizer.json", "vocab.json", "merges.txt")
_HASHED_WHOLE_MAX: Final = 256 * 1024 * 1024  # bytes; a quarter of a second of SHA-256 at every start
_SAMPLES: Final = 64  # blocks read of a larger file; fine-tunes of one model differ everywhere
_SAMPLE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """How much recall and relevance weigh in a score.

    score = sigmoid(recall_weight * standing + relevance_weight * logit + bias), where standing is the recall score in
    standard deviations (`Candidate.standing`) and logit is yes minus no.
    """

    recall_weight: float
    relevance_weight: float  # 0: the reranker changes nothing
    bias: float = 0.0  # changes no order


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A reranker's declared order. Without one it orders by relevance alone."""

    plain: Mixture  # under the model card's default instruction
    instructed: Mixture  # under any other


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """What `winnow.json` says, or the defaults."""

    name: str
    dimension: int | None = None  # of an embedder's vectors; None is all that the model has
    max_tokens: int = MAX_TOKENS_DEFAULT
    order: Order | None = None  # of a reranker
    # of each pair of retrieval/model/known_pairs.py, for the answer and the unrelated passage: a reranker's relevance
    # under the default instruction, an embedder's cosine; in float32. Empty where nobody has written them down.
    known_answers: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A model on this machine's disk."""

    path: Path
    revision: str  # changes whenever the vectors or scores could
    model_type: str  # as config.json has it; "qwen3" is what we run ourselves
    settings: ModelSettings

    @property
    def name(self) -> str:
        return self.settings.name


def find_model(name_or_path: str, *, kind: ModelKind) -> ModelFolder:
    """The model of this name. Raises `ModelNotFound`, `ModelUnusable`."""
    path = _on_disk(name_or_path) or _fetch(name_or_path)
    config = _read_object(path / "config.json")
    return ModelFolder(
        path=path,
        revision=revision_of(path),
        model_type=str(config.get("model_type", "")),
        settings=_settings(path, name_or_path, kind),
    )


def name_of(name_or_path: str, *, kind: ModelKind) -> str:
    """The name that this model's answers carry, told without a download and without reading any weights.

    A hub name whose files are not here is its own. Raises `ModelNotFound`, `ModelUnusable`.
    """
    path = _on_disk(name_or_path) or _cached(name_or_path)
    return name_or_path if path is None else _settings(path, name_or_path, kind).name


def revision_of(path: Path) -> str:
    """A hash of all that makes the vectors: weights, configuration, tokenizer.

    Files up to 256 MB are hashed whole (`sha256:`). Of larger ones the length and 64 blocks spread over them are
    (`sampled-sha256:`): reading 16 GB at every start would cost a minute, and no two trainings agree in any block.
    """
    weights = sorted(path.glob("*.safetensors"))
    if not weights:
        raise ModelUnusable(f"{path}: no *.safetensors file in it")
    digest = hashlib.sha256()
    sampled = False
    try:
        for file in [*weights, *(path / name for name in _WHAT_MAKES_VECTORS if (path / name).is_file())]:
            size = file.stat().st_size
            digest.update(f"{file.name}:{size}\n".encode())
            sampled |= size > _HASHED_WHOLE_MAX
            _hash_file(digest, file, size)
    except OSError as error:
        raise ModelUnusable(f"{path}: cannot be read: {error}") from error
    return f"{'sampled-' if sampled else ''}sha256:{digest.hexdigest()}"


def _hash_file(digest: Any, file: Path, size: int) -> None:
    with file.open("rb") as opened:
        if size <= _HASHED_WHOLE_MAX:
            while block := opened.read(1 << 20):
                digest.update(block)
            return
        for sample in range(_SAMPLES):
            opened.seek((size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))  # first and last block included
            digest.update(opened.read(_SAMPLE_BYTES))


def _on_disk(name_or_path: str) -> Path | None:
    """Bundled, or a folder; None where it can only be a name on the hub."""
    if name_or_path in _BUNDLED:
        for place in _BUNDLED_PLACES:
            if (place / name_or_path / "config.json").is_file():
                return place / name_or_path
        raise ModelNotFound(f"{name_or_path} should have come with winnow; install it again")
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if name_or_path.count("/") != 1 or name_or_path.startswith((".", "~", "/")):
        raise ModelNotFound(f"{name_or_path} (bundled are {' and '.join(_BUNDLED)}; a hub name is OWNER/NAME)")
    return None


def _cached(name: str) -> Path | None:
    """What the hub's local cache has of it."""
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (OSError, HFValidationError):
        return None


def _fetch(name: str) -> Path:
    """From the hub's local cache, else from the hub; HF_HUB_OFFLINE and HF_HOME are the hub library's own."""
    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED_FROM_HUB, ignore_patterns=_UNWANTED_FROM_HUB))
    except (OSError, HFValidationError) as error:  # the library's errors of network, cache and hub are OSErrors
        said = " ".join(str(error).split())
        raise ModelNotFound(
            f"{name} (the hub did not give it: {said}) Fetch it once where there is a network, or name a folder"
        ) from error


def _settings(path: Path, asked_for: str, kind: ModelKind) -> ModelSettings:
    if not (path / "winnow.json").is_file():
        is_folder = Path(asked_for).expanduser().is_dir()
        return ModelSettings(name=path.name if is_folder else asked_for)
    said = _read_object(path / "winnow.json")
    if "blend" in said:
        raise ModelUnusable(f"{path / 'winnow.json'}: `blend` is no longer read; declare `order` (training/README.md)")
    if said.get("kind") != kind:
        raise ModelUnusable(f"{path} is made for the part of the {said.get('kind')}, not of the {kind}")
    try:
        return ModelSettings(
            name=str(said["name"]),
            dimension=None if said.get("dimension") is None else int(said["dimension"]),
            max_tokens=int(said.get("max_tokens", MAX_TOKENS_DEFAULT)),
            order=_order(said["order"]) if said.get("order") else None,
            known_answers=tuple((float(right), float(wrong)) for right, wrong in said.get("known_answers", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelUnusable(f"{path / 'winnow.json'}: {error!r}") from error


def _order(said: dict[str, Any]) -> Order:
    return Order(plain=_mixture(said["plain"]), instructed=_mixture(said["instructed"]))


def _mixture(said: dict[str, Any]) -> Mixture:
    """Raises `ValueError` for weights that would turn an order round, or make none."""
    mixture = Mixture(
        recall_weight=float(said["recall_weight"]),
        relevance_weight=float(said["relevance_weight"]),
        bias=float(said.get("bias", 0.0)),
    )
    weights = (mixture.recall_weight, mixture.relevance_weight)
    if not all(map(math.isfinite, (*weights, mixture.bias))) or min(weights) < 0 or max(weights) == 0:
        raise ValueError("recall_weight and relevance_weight are finite, at least 0, and not both 0")
    return mixture


def _read_object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnusable(f"{file}: {error}") from error
    if not isinstance(value, dict):
        raise ModelUnusable(f"{file}: holds no JSON object")
    return value
