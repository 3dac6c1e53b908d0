"""Finds a model and reads its settings.

A name is looked up in this order: a bundled model (shipped in the wheel), a folder, a name on a hub
(retrieval/model/hub.py). A folder may describe itself in `winnow.json`; a folder without one gets defaults.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from winnow.retrieval.errors import ModelNotFound, ModelUnusable
from winnow.retrieval.model.backend import Backend
from winnow.retrieval.model.hub import ModelSource, fetch, find_cached
from winnow.retrieval.model.known_answers import KnownAnswers, parse
from winnow.retrieval.model.known_answers import ModelKind as ModelKind  # noqa: PLC0414  where others look for it
from winnow.retrieval.model.prompt_template import PromptTemplate, parse_template

BUNDLED_EMBEDDER: Final = "winnow-embed"
BUNDLED_RERANKER: Final = "winnow-rerank"
MAX_TOKENS_DEFAULT: Final = 8_192  # tokens; what the Qwen3 model cards use, well inside their window

_BUNDLED: Final = (BUNDLED_EMBEDDER, BUNDLED_RERANKER)
_BUNDLED_PLACES: Final = (
    Path(__file__).parents[1] / "models",  # installed from a wheel
    Path(__file__).resolve().parents[2] / "data" / "models",  # a checkout
)
_WHAT_MAKES_VECTORS: Final = ("config.json", "tokenizer.json", "vocab.json", "merges.txt")
_HASHED_WHOLE_MAX: Final = 256 * 1024 * 1024  # bytes; hashing this takes a quarter of a second at every start
_SAMPLES: Final = 64  # blocks read from a larger file; fine-tunes of one model differ everywhere
_SAMPLE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Weights of recall and relevance in a score.

    score = sigmoid(recall_weight * standing + relevance_weight * logit + bias), where standing is the recall score in
    standard deviations (`Candidate.standing`) and logit is yes minus no.
    """

    recall_weight: float
    relevance_weight: float  # 0: the reranker changes nothing
    bias: float = 0.0  # does not change the order


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A reranker's declared order. Without one it orders by relevance alone."""

    plain: Mixture  # with the model card's default instruction
    instructed: Mixture  # with any other


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """Contents of `winnow.json`, or the defaults."""

    name: str
    dimension: int | None = None  # of an embedder's vectors; None: the model's own
    max_tokens: int = MAX_TOKENS_DEFAULT
    order: Order | None = None  # of a reranker
    known_answers: KnownAnswers | None = None  # None: it states none (retrieval/model/published.py may know some)
    prompt: PromptTemplate | None = None  # of a causal reranker that is not asked like Qwen3-Reranker


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A model on the local disk."""

    path: Path
    revision: str  # changes whenever the vectors or scores could
    model_type: str  # from config.json; "qwen3" models run in this process
    settings: ModelSettings
    architecture: str = ""  # from config.json, such as BertForSequenceClassification; empty if it names none
    labels: int = 2  # classes of a sequence classifier; transformers' default is 2

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def window(self) -> int:
        """Longest input in tokens: limited by its settings and by its positions. Raises `ModelUnusable`."""
        config = _read_object(self.path / "config.json")
        inner = config.get("text_config") or config  # models of several kinds of input
        positions = inner.get("max_position_embeddings") or self.settings.max_tokens
        if not isinstance(positions, int):
            raise ModelUnusable(f"{self.path / 'config.json'}: max_position_embeddings must be a whole number")
        return min(self.settings.max_tokens, positions)

    def revision_of(self, backend: Backend) -> str:
        """What an exported copy of the model adds to the revision: its name, and a hash of its file if there is one."""
        file = self.path / (backend.file or f"{backend.kind}/model.onnx")
        if not file.is_file():
            return str(backend)
        digest = hashlib.sha256()
        _hash_file(digest, file, file.stat().st_size)
        return f"{backend} sha256:{digest.hexdigest()}"


def find_model(
    name_or_path: str,
    *,
    kind: ModelKind,
    source: ModelSource = ModelSource.HUGGING_FACE,
    also: Sequence[str] = (),
) -> ModelFolder:
    """Find a model, on disk or at its source. `also` are patterns of further files that are needed.

    Raises `ModelNotFound`, `ModelUnusable`, `SettingInvalid`.
    """
    path = _on_disk(name_or_path) or fetch(name_or_path, source, also=also)
    config = _read_object(path / "config.json")
    return ModelFolder(
        path=path,
        revision=revision_of(path, also=also),
        model_type=str(config.get("model_type", "")),
        settings=_settings(path, name_or_path, kind),
        architecture=_architecture(config, path / "config.json"),
        labels=_labels(config, path / "config.json"),
    )


def model_name(name_or_path: str, *, kind: ModelKind, source: ModelSource = ModelSource.HUGGING_FACE) -> str:
    """Name of a model in answers, without downloading it or reading its weights.

    A hub model that is not cached keeps its hub name. Raises `ModelNotFound`, `ModelUnusable`, `SettingInvalid`.
    """
    path = _on_disk(name_or_path) or find_cached(name_or_path, source)
    return name_or_path if path is None else _settings(path, name_or_path, kind).name


def is_here(name_or_path: str, *, source: ModelSource = ModelSource.HUGGING_FACE) -> bool:
    """Whether a model can be read without a download. Raises `ModelNotFound`, `SettingInvalid`."""
    return (_on_disk(name_or_path) or find_cached(name_or_path, source)) is not None


def is_cross_encoder(path: Path) -> bool:
    """Whether sentence-transformers saved the folder as a CrossEncoder."""
    try:
        written = json.loads((path / "config_sentence_transformers.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(written, dict) and written.get("model_type") == "CrossEncoder"


def revision_of(path: Path, *, also: Sequence[str] = ()) -> str:
    """Hash of everything that determines the vectors: weights, configuration, tokenizer.

    A folder without weights may hold an exported copy of the model, which the patterns of `also` match.

    Files up to 256 MB are hashed completely (`sha256:`). Of larger ones the hash covers the length and 64 blocks spread
    over them (`sampled-sha256:`): reading 16 GB at every start would take a minute, and no two trainings agree in any
    block.
    """
    weights = sorted(path.glob("*.safetensors")) or sorted(each for pattern in also for each in path.glob(pattern))
    if not weights:
        raise ModelUnusable(f"{path}: contains no *.safetensors file")
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
    """Path of a bundled model or a folder; None if it can only be a hub name."""
    if name_or_path in _BUNDLED:
        for place in _BUNDLED_PLACES:
            if (place / name_or_path / "config.json").is_file():
                return place / name_or_path
        raise ModelNotFound(f"{name_or_path} is missing from this installation of winnow; reinstall it")
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if name_or_path.count("/") != 1 or name_or_path.startswith((".", "~", "/")):
        raise ModelNotFound(f"{name_or_path} (bundled models: {' and '.join(_BUNDLED)}; hub names are OWNER/NAME)")
    return None


def _architecture(config: dict[str, Any], file: Path) -> str:
    """The first that it names, or nothing."""
    found = config.get("architectures") or [""]
    if not isinstance(found, list):
        raise ModelUnusable(f'{file}: architectures must be a list, such as ["BertForSequenceClassification"]')
    return str(found[0])


def _labels(config: dict[str, Any], file: Path) -> int:
    """Number of classes, in both spellings of transformers."""
    try:
        return int(config.get("num_labels") or len(config.get("id2label") or ()) or 2)
    except (TypeError, ValueError) as error:
        raise ModelUnusable(f"{file}: the number of labels cannot be read: {error}") from error


def _settings(path: Path, asked_for: str, kind: ModelKind) -> ModelSettings:
    if not (path / "winnow.json").is_file():
        is_folder = Path(asked_for).expanduser().is_dir()
        return ModelSettings(name=path.name if is_folder else asked_for)
    written = _read_object(path / "winnow.json")
    if "blend" in written:
        raise ModelUnusable(f"{path / 'winnow.json'}: `blend` is not supported; use `order` (training/README.md)")
    if written.get("kind") != kind:
        raise ModelUnusable(f"{path} is a model of kind {written.get('kind')}; expected {kind}")
    try:
        return ModelSettings(
            name=_required_name(written),
            dimension=None if written.get("dimension") is None else int(written["dimension"]),
            max_tokens=_max_tokens(written),
            order=_order(written["order"]) if written.get("order") else None,
            known_answers=_known_answers(written, kind),
            prompt=parse_template(written["prompt"], origin=f"{path / 'winnow.json'}: prompt")
            if "prompt" in written
            else None,
        )
    except KeyError as error:
        raise ModelUnusable(f"{path / 'winnow.json'}: {error} is missing") from error
    except (TypeError, ValueError) as error:
        raise ModelUnusable(f"{path / 'winnow.json'}: {error}") from error


def _required_name(written: dict[str, Any]) -> str:
    name = written["name"]
    if not isinstance(name, str) or not name.strip():
        raise ValueError("name must be a text that is not empty")
    return name


def _max_tokens(written: dict[str, Any]) -> int:
    stated = written.get("max_tokens", MAX_TOKENS_DEFAULT)
    if isinstance(stated, bool) or not isinstance(stated, int) or stated < 1:
        raise ValueError("max_tokens must be a whole number above 0")
    return stated


def _known_answers(written: dict[str, Any], kind: ModelKind) -> KnownAnswers | None:
    stated = written.get("known_answers")
    return None if stated is None else parse(stated, kind, default_source="the model's winnow.json")


def _order(written: dict[str, Any]) -> Order:
    return Order(plain=_mixture(written["plain"]), instructed=_mixture(written["instructed"]))


def _mixture(written: dict[str, Any]) -> Mixture:
    """Read the weights. Raises `ValueError` for weights that reverse an order, or make none."""
    mixture = Mixture(
        recall_weight=float(written["recall_weight"]),
        relevance_weight=float(written["relevance_weight"]),
        bias=float(written.get("bias", 0.0)),
    )
    weights = (mixture.recall_weight, mixture.relevance_weight)
    if not all(map(math.isfinite, (*weights, mixture.bias))) or min(weights) < 0 or max(weights) == 0:
        raise ValueError("recall_weight and relevance_weight must be finite, at least 0, and not both 0")
    return mixture


def _read_object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnusable(f"{file}: {error}") from error
    if not isinstance(value, dict):
        raise ModelUnusable(f"{file}: not a JSON object")
    return value
