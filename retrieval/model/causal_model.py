"""Runs a causal language model of any architecture of transformers, with text alone, and scores its answer tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from winnow.retrieval.model.folder import ModelFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTokens:
    """Token ids whose logits make a causal model's score."""

    yes: int
    no: int | None


class CausalModel:
    """What `PairModel` needs of a model, in the form that sentence-transformers gives it."""

    num_labels = 1

    def __init__(self, model: Any, tokenizer: Any, answer: AnswerTokens) -> None:
        tokenizer.padding_side = "left"  # the last position is then that of the answer in every row
        self.tokenizer = tokenizer
        self.config = model.config
        self.max_seq_length = tokenizer.model_max_length
        self._model = model
        self._answer = answer

    @classmethod
    def load(cls, folder: ModelFolder, *, device: str, dtype: str, answer: AnswerTokens) -> CausalModel:
        """Load the model; a model that also reads pictures is loaded without what prepares them."""
        from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

        is_text = folder.architecture.endswith("ForCausalLM")
        kind: Any = AutoModelForCausalLM if is_text else AutoModelForImageTextToText
        model = kind.from_pretrained(str(folder.path), dtype=dtype, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(str(folder.path), local_files_only=True)
        return cls(model.to(device), tokenizer, answer)

    def eval(self) -> None:
        self._model.eval()

    def __call__(self, features: dict[str, Any]) -> dict[str, Any]:
        ids, mask = features["input_ids"], features["attention_mask"]
        logits = self._model(input_ids=ids, attention_mask=mask, logits_to_keep=1, use_cache=False).logits[:, -1]
        score = logits[:, self._answer.yes]
        if self._answer.no is not None:
            score = score - logits[:, self._answer.no]
        return {"scores": score}
