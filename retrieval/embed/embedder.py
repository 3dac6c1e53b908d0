"""Text to vectors: the contract, the prompt of a query, and what makes two embedders the same.

Format: Qwen3-Embedding model card. A query is `Instruct: {task}\\nQuery:{query}` (no space after `Query:`), a passage
is raw, `<|endoftext|>` ends both, the last token is pooled, cut to the wanted dimension, and only then normalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from winnow.retrieval.records import Vectors

DEFAULT_TASK: Final = "Given a web search query, retrieve relevant passages that answer the query"
PROMPT_FORMAT: Final = "qwen3-embedding/1"  # part of an index's identity: other prompts are other vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderIdentity:
    """What an index must have been built with to be searched with this embedder."""

    name: str
    revision: str  # SHA-256 over the weights, or the hub's commit
    dimension: int
    prompt_format: str = PROMPT_FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """The vectors of a call, in the order of its texts, and what they cost."""

    vectors: Vectors  # (len(texts), dimension)
    tokens: int  # computed, end marks included
    truncated: tuple[int, ...] = ()  # positions of texts that were cut to the model's window
    remembered: int = 0  # vectors that were not computed again


class Embedder(Protocol):
    """Turns queries and passages into unit vectors of one space.

    Raises `UnavailableError` leaves when the model cannot answer now. Never returns a vector that is not finite.
    """

    @property
    def identity(self) -> EmbedderIdentity: ...

    async def embed_queries(self, texts: Sequence[str], task: str = DEFAULT_TASK) -> Embeddings: ...

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings: ...


def query_prompt(query: str, task: str) -> str:
    """The text that is embedded for a query (model card of Qwen3-Embedding)."""
    return f"Instruct: {task}\nQuery:{query}"
