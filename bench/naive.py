"""The naive way: sentence-transformers, and the model card's recipe for the reranker.

Padded batches, the whole prompt computed for every passage, logits of the full vocabulary at every position.
"""

from __future__ import annotations

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import AutoModelForCausalLM, AutoTokenizer

from winnow.rerank.prompt import NO, PREFIX, SUFFIX, YES

BATCH = 32  # default of sentence-transformers, for encode and CrossEncoder.predict


def naive_embedder(folder: Path, *, tokens_max: int) -> SentenceTransformer:
    transformer = Transformer(str(folder))
    pooling = Pooling(transformer.get_embedding_dimension(), "lasttoken")
    model = SentenceTransformer(modules=[transformer, pooling, Normalize()], device="cpu")
    model.max_seq_length = tokens_max
    return model.float()


class NaiveReranker:
    """process_inputs and compute_logits of the model card, with CrossEncoder's sorting by length."""

    def __init__(self, folder: Path, *, tokens_max: int) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._prefix = self._tokenizer.encode(PREFIX, add_special_tokens=False)
        self._suffix = self._tokenizer.encode(SUFFIX, add_special_tokens=False)
        self._room = tokens_max - len(self._prefix) - len(self._suffix)
        self._yes, self._no = (self._tokenizer.convert_tokens_to_ids(token) for token in (YES, NO))

    @torch.no_grad()
    def scores(self, query: str, passages: list[str], instruction: str) -> list[float]:
        order = sorted(range(len(passages)), key=lambda place: -len(passages[place]))
        scores = [0.0] * len(passages)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            bodies = [f"<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {passages[place]}" for place in batch]
            inputs = self._tokenizer(bodies, add_special_tokens=False, truncation=True, max_length=self._room)
            ids = [self._prefix + body + self._suffix for body in inputs["input_ids"]]
            padded = self._tokenizer.pad({"input_ids": ids}, padding=True, return_tensors="pt")
            last = self._model(**padded).logits[:, -1, :]
            for place, score in zip(batch, last[:, [self._no, self._yes]].softmax(dim=1)[:, 1].tolist(), strict=True):
                scores[place] = score
        return scores
