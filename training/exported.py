"""Both models as shipped: loaded from their folders and run by the product's own code."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson

from winnow.indexer.readers.beir import Judgments, corpus_file, read_qrels, read_queries
from winnow.indexer.readers.lines import read_lines
from winnow.rerank.prompt import NO, YES, PromptBuilder
from winnow.retrieval.embed.qwen import QwenEmbedder
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.model.runtime import QwenRuntime
from winnow.retrieval.model.tokenizer import ScaffoldTokenizer
from winnow.retrieval.records import Vectors, passage_of

_TOKENS_MAX = 2_048  # per prompt; the collections' longest passages are cut there


class Embedding:
    def __init__(self, folder: Path) -> None:
        self._embedder = QwenEmbedder.load(find_model(str(folder), kind="embedder"), device="cpu")

    def queries(self, texts: Sequence[str]) -> Vectors:
        return asyncio.run(self._embedder.embed_queries(texts)).vectors

    def passages(self, texts: Sequence[str]) -> Vectors:
        return asyncio.run(self._embedder.embed_passages(texts)).vectors


class Judging:
    def __init__(self, folder: Path) -> None:
        found, scaffold = find_model(str(folder), kind="reranker"), ScaffoldTokenizer.load(folder)
        self._runtime = QwenRuntime.load(found, device="cpu")
        self._prompts = PromptBuilder.load(folder, tokens_max=_TOKENS_MAX)
        self._head = self._runtime.head_difference(scaffold.token_id(YES), scaffold.token_id(NO))

    def logits(self, query: str, passages: Sequence[str], instruction: str) -> Vectors:
        """Yes minus no of each passage."""
        prompts = self._prompts.build(query, passages, instruction)
        states = asyncio.run(self._runtime.last_states(prompts.tails, prefix=prompts.shared))
        return np.asarray(states @ self._head, dtype=np.float64)


class Collection:
    """A BEIR folder in memory."""

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.passages = _passages(folder)
        self.judgments: Judgments = read_qrels(folder)
        self.queries = {name: text for name, text in read_queries(folder).items() if name in self.judgments}


def _passages(folder: Path) -> dict[str, str]:
    rows = (orjson.loads(line.content) for line in read_lines(corpus_file(folder)) if line.content)
    return {row["_id"]: passage_of(row.get("title") or "", row["text"]) for row in rows}


class Recalled:
    """The embedder's results for each query of a collection, best first."""

    def __init__(self, embedding: Embedding, collection: Collection, depth: int) -> None:
        documents = list(collection.passages)
        vectors = embedding.passages(list(collection.passages.values()))
        queries = embedding.queries(list(collection.queries.values()))
        self.documents: dict[str, list[str]] = {}
        self.similarities: dict[str, Vectors] = {}
        for query, vector in zip(collection.queries, queries, strict=True):
            similarities = vectors @ vector
            order = np.argsort(-similarities, kind="stable")[:depth]
            self.documents[query] = [documents[place] for place in order]
            self.similarities[query] = similarities[order].astype(np.float64)
