"""Scores token sequences with a model that sentence-transformers runs: a cross-encoder, or any causal language model.

Rule 1: tokenising, loading and computing are the library's; batches, their order and their thread are ours.
Rule 2: control tokens in user texts become ordinary pieces.
Rule 3: code that a model brings along is never run.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Any, Final

import torch

from winnow.retrieval.concurrency.fair_limiter import Turn
from winnow.retrieval.concurrency.tasks import gather_or_raise
from winnow.retrieval.errors import ModelUnusable, Overloaded, RerankUnavailable, SettingInvalid
from winnow.retrieval.model.backend import TORCH, Backend, BackendKind
from winnow.retrieval.model.causal_model import AnswerTokens, CausalModel
from winnow.retrieval.model.folder import ModelFolder
from winnow.retrieval.model.library_folder import check_vocabulary, explain_failure
from winnow.retrieval.model.library_output import silence_progress
from winnow.retrieval.model.number_type import parse_number_type
from winnow.retrieval.model.packing import make_batches
from winnow.retrieval.model.runtime import device_worker, parse_device
from winnow.retrieval.model.tokenizer import PieceTokenizer, encodable

BATCH_TOKENS_CPU: Final = 2_048  # tokens with padding; more is not faster there
BATCH_TOKENS_CUDA: Final = 16_384
TOKENS_MIN: Final = 16  # of a pair, its control tokens included
_FAILURES: Final = (OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError)
_LIBRARIES: Final[dict[BackendKind, tuple[str, ...]]] = {
    "torch": ("sentence_transformers",),
    "onnx": ("sentence_transformers", "optimum", "onnxruntime"),
    "openvino": ("sentence_transformers", "optimum", "openvino"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPairs:
    """The pairs of one query, as the model reads them."""

    ids: tuple[tuple[int, ...], ...]
    segments: tuple[tuple[int, ...], ...]  # token types; empty for a model without them
    truncated: tuple[bool, ...]


_GENERATIVE: Final = ("text-generation", "any-to-any")  # tasks whose models compute only the last logits on request


class PairModel:
    """A model in memory."""

    def __init__(self, model: Any, *, device: str, runs_on: str, tokens_max: int) -> None:
        """`model` is a `CrossEncoder` of one or two labels, or a `CausalModel`."""
        self.runs_on = runs_on
        self.tokens_max = tokens_max
        self.batch_tokens = BATCH_TOKENS_CUDA if device.startswith("cuda") else BATCH_TOKENS_CPU
        self._model = model
        self._device = device
        self._worker = device_worker(device)
        self._is_left_padded = model.tokenizer.padding_side == "left"
        self._pad = int(model.tokenizer.pad_token_id or 0)
        self._forgery = _Forgery(model.tokenizer)
        self._is_generative = not isinstance(model, CausalModel) and (
            getattr(model[0], "transformer_task", None) in _GENERATIVE
        )

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        *,
        device: str | None = None,
        dtype: str | None = None,
        backend: Backend = TORCH,
        answer: AnswerTokens | None = None,
    ) -> PairModel:
        """Load a cross-encoder, or with `answer` a causal model, which torch computes.

        Raises `ModelUnusable`, `SettingInvalid`.
        """
        if any(find_spec(library) is None for library in _LIBRARIES[backend.kind]):
            raise SettingInvalid(_missing(folder, backend))
        target = parse_device(device)
        asked = parse_number_type(dtype, target)
        if asked.is_mixed:
            raise SettingInvalid(f"dtype {asked.name} is for Qwen3 models; use float32 or bfloat16 for {folder.name}")
        number_type = asked.name
        where = str(target) if backend.is_torch else "cpu"
        options: dict[str, Any] = {"dtype": number_type} if backend.is_torch else {}
        if backend.file is not None:
            options["file_name"] = backend.file
        silence_progress()
        try:
            if answer is None:
                model = _load(folder, where, backend, options)
            else:
                model = CausalModel.load(folder, device=where, dtype=number_type, answer=answer)
        except torch.OutOfMemoryError as error:
            raise SettingInvalid(f"{where} has too little memory for {folder.name}") from error
        except Exception as error:  # the libraries' own kinds too, which they do not list
            raise ModelUnusable(explain_failure(folder, error)) from error
        if model.num_labels not in {1, 2}:
            raise ModelUnusable(f"{folder.path}: it has {model.num_labels} labels; a reranker has one, or two")
        check_vocabulary(folder, model.tokenizer)
        model.eval()
        # A chat template's own control tokens must stay; those of users are then taken apart by `_Forgery`.
        model.tokenizer.split_special_tokens = not model.tokenizer.chat_template
        tokens_max = _window(model, folder)
        if tokens_max < TOKENS_MIN:
            raise ModelUnusable(
                f"{folder.path}: a window of {tokens_max} tokens is too small for a query and a passage"
            )
        model.max_seq_length = tokens_max
        library = "sentence-transformers" if answer is None else "transformers"
        runs_on = f"{where} {number_type} {library}" if backend.is_torch else f"{where} {backend}"
        return cls(model, device=where, runs_on=runs_on, tokens_max=tokens_max)

    @cached_property
    def pieces(self) -> PieceTokenizer:
        """The tokenizer of single texts: a copy of the library's, which no other thread truncates or pads."""
        return PieceTokenizer(self._model.tokenizer.backend_tokenizer)

    def encode(self, query: str, passages: Sequence[str]) -> EncodedPairs:
        """Tokenise pairs; the library cuts the longer text of a pair that does not fit. Any thread may call it."""
        if not passages:
            return EncodedPairs(ids=(), segments=(), truncated=())
        asked = self._forgery.undone(query)
        pairs = [(asked, self._forgery.undone(passage)) for passage in passages]
        features = self._model.preprocess(pairs)
        mask = features["attention_mask"].bool()
        ids, types = (_rows(features.get(name), mask) for name in ("input_ids", "token_type_ids"))
        full = [place for place, row in enumerate(ids) if len(row) >= self.tokens_max]
        cut = set()
        if full:
            whole = {"text": {"truncation": False, "verbose": False}}
            lengths = self._model.preprocess([pairs[place] for place in full], processing_kwargs=whole)[
                "attention_mask"
            ].sum(dim=1)
            cut = {place for place, length in zip(full, lengths.tolist(), strict=True) if length > self.tokens_max}
        return EncodedPairs(ids=ids, segments=types, truncated=tuple(place in cut for place in range(len(ids))))

    async def logits(
        self, sequences: Sequence[Sequence[int]], segments: Sequence[Sequence[int]], *, turn: Turn
    ) -> list[float]:
        """Score each sequence. Of two labels the score is the second's logit minus the first's.

        Each batch waits for its own turn. Raises `Overloaded`, `RerankUnavailable`.
        """
        found = [0.0] * len(sequences)

        async def compute(members: Sequence[int]) -> None:
            rows = [sequences[member] for member in members]
            types = [segments[member] for member in members] if segments else []
            async with turn(len(rows) * max(map(len, rows))):
                scores = await asyncio.get_running_loop().run_in_executor(self._worker, self._compute, rows, types)
            for member, score in zip(members, scores, strict=True):
                found[member] = score

        lengths = [len(sequence) for sequence in sequences]
        await gather_or_raise(compute(members) for members in make_batches(lengths, tokens_max=self.batch_tokens))
        return found

    def _compute(self, rows: Sequence[Sequence[int]], types: Sequence[Sequence[int]]) -> list[float]:
        try:
            with torch.inference_mode():
                scores = self._model(self._features(rows, types))["scores"].float()
        except torch.OutOfMemoryError as error:
            raise Overloaded(f"not enough memory on {self.runs_on} for {self.batch_tokens} tokens") from error
        except _FAILURES as error:
            raise RerankUnavailable(f"the model failed: {error}") from error
        scores = scores.reshape(len(rows), -1)
        difference = scores[:, 0] if scores.shape[1] == 1 else scores[:, 1] - scores[:, 0]
        found: list[float] = difference.cpu().tolist()
        return found

    def _features(self, rows: Sequence[Sequence[int]], types: Sequence[Sequence[int]]) -> dict[str, Any]:
        features: dict[str, Any] = {
            "input_ids": self._padded(rows, self._pad),
            "attention_mask": self._padded([[1] * len(row) for row in rows], 0),
            "modality": "text",
        }
        if types:
            features["token_type_ids"] = self._padded(types, 0)
        if self._is_generative:
            features["logits_to_keep"] = 1
        return features

    def _padded(self, rows: Sequence[Sequence[int]], filler: int) -> torch.Tensor:
        longest = max(map(len, rows))
        padded = [
            [*([filler] * (longest - len(row))), *row]
            if self._is_left_padded
            else [*row, *([filler] * (longest - len(row)))]
            for row in rows
        ]
        return torch.tensor(padded, device=self._device)


class _Forgery:
    """Takes control tokens apart that a tokenizer would read in a text although it was told not to.

    SentencePiece's vocabulary has `</s>` as a piece like any other. Other texts are returned as they are.
    """

    def __init__(self, tokenizer: Any) -> None:
        readable = [
            token
            for token in tokenizer.all_special_tokens
            if (number := tokenizer.convert_tokens_to_ids(token)) != tokenizer.unk_token_id
            and number in tokenizer(token, add_special_tokens=False)["input_ids"]
        ]
        self._tokens = re.compile("|".join(map(re.escape, readable))) if readable else None
        self._normalizer = tokenizer.backend_tokenizer.normalizer

    def undone(self, text: str) -> str:
        written = encodable(text)
        if self._tokens is None:
            return written
        normal = self._normalizer.normalize_str(written) if self._normalizer else written  # it may complete a forgery
        return (
            self._tokens.sub(lambda found: f"{found[0][0]} {found[0][1:]}", normal)
            if self._tokens.search(normal)
            else written
        )


def _load(folder: ModelFolder, device: str, backend: Backend, options: dict[str, Any]) -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(
        str(folder.path), device=device, backend=backend.kind, model_kwargs=options, local_files_only=True
    )


def _window(model: Any, folder: ModelFolder) -> int:
    """Longest pair in tokens: of the tokenizer, of the positions, of winnow.json.

    RoBERTa's positions begin behind the padding id.
    """
    config = model.config.get_text_config()
    limits = [folder.settings.max_tokens, model.max_seq_length or folder.settings.max_tokens]
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        offset = int(config.pad_token_id or 0) + 1 if "roberta" in str(config.model_type) else 0
        limits.append(positions - offset)
    return min(limits)


def _rows(values: torch.Tensor | None, mask: torch.Tensor) -> tuple[tuple[int, ...], ...]:
    if values is None:
        return ()
    return tuple(tuple(row[kept].tolist()) for row, kept in zip(values, mask, strict=True))


def _missing(folder: ModelFolder, backend: Backend) -> str:
    extra = "sentence-transformers" if backend.is_torch else backend.kind
    return f"{folder.name} needs the libraries of the extra {extra}: pip install 'winnow-search[{extra}]'"
