"""Texts with an exact number of tokens, as many as wanted, no two alike.

Words of one token each are drawn with their frequency in the prose of Python's standard library. Qwen's tokenizer
splits before each space and never joins again, so a text of n words has n tokens.
"""

from __future__ import annotations

import re
import sysconfig
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import orjson

from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.prompt import PromptBuilder
from winnow.retrieval.model.tokenizer import PlainTokenizer

QUERY_TOKENS: Final = 16
SERVED_NAME: Final = "bench"
_WORDS_MAX: Final = 4_000  # the most frequent; the rest are names of variables


class WordMill:
    """Draws texts. A seed gives the same texts on every machine with the same Python version."""

    def __init__(self, tokenizer: PlainTokenizer) -> None:
        counted: Counter[str] = Counter()
        for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
            counted.update(re.findall(r"(?<= )[A-Za-z]+", file.read_text(encoding="utf-8")))
        often = [word for word, _ in counted.most_common(_WORDS_MAX)]
        is_one = [len(ids) == 1 for ids in tokenizer.ids_batch([f" {word}" for word in often])]
        words = [word for word, one in zip(often, is_one, strict=True) if one]
        weights = np.array([counted[word] for word in words], dtype=np.float64)
        self._words = np.array(words, dtype=object)
        self._shares = weights / weights.sum()

    def texts(self, lengths: list[int], *, seed: int) -> list[str]:
        drawn = np.random.default_rng(seed).choice(self._words, size=sum(lengths), p=self._shares)
        ends = np.cumsum(lengths)
        return [" ".join(drawn[end - length : end]) for end, length in zip(ends, lengths, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, written beforehand for each way."""

    texts: bytes  # body of POST /v1/rerank, for winnow and vLLM
    ids: bytes  # body of POST /classify: the same prompts
    documents: int
    prompt_tokens: int  # of all prompts, with the shared prefix counted in each
    tokens: int  # with the shared prefix counted once: what winnow reports, and what must be computed


class Requests:
    """Draws whole requests."""

    def __init__(self, folder: Path, *, documents: int, tokens_max: int) -> None:
        self._mill = WordMill(PlainTokenizer.load(folder))
        self._prompts = PromptBuilder.load(folder, tokens_max=tokens_max)
        self._documents = documents

    def draw(self, length: int, *, seed: int) -> Asked:
        """Documents of this many tokens, and a query for them."""
        query, *documents = self._mill.texts([QUERY_TOKENS] + [length] * self._documents, seed=seed)
        prompts = self._prompts.build(query, documents, DEFAULT_INSTRUCTION)
        suffix = len(prompts.tails[0]) - length
        assert all(len(tail) == length + suffix for tail in prompts.tails), "a text does not have the wanted length"
        assert not any(prompts.truncated), "a text was cut"
        whole = [prompts.shared + tail for tail in prompts.tails]
        return Asked(
            texts=orjson.dumps({"model": SERVED_NAME, "query": query, "documents": documents}),
            ids=orjson.dumps({"model": SERVED_NAME, "input": whole, "cache_salt": "bench"}),
            documents=len(documents),
            prompt_tokens=sum(map(len, whole)),
            tokens=prompts.tokens,
        )
