"""The contract of embedders, the prompt of a query, and the identity of an embedder.

Format: Qwen3-Embedding model card. A query is `Instruct: {task}\\nQuery:{query}` (no space after `Query:`), a passage
is raw, `<|endoftext|>` ends both, the last token is pooled, truncated to the wanted dimension, and only then
normalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, runtime_checkable

from winnow.retrieval.records import Vectors

DEFAULT_TASK: Final = "Given a web search query, retrieve relevant passages that answer the query"
OWN_PROMPTS: Final = "sentence-transformers/1"  # prompt format of models that sentence-transformers runs
OWN_PREFIXES: Final = f"{OWN_PROMPTS} own "  # followed by the prefixes that the model's folder sets
PROMPT_FORMAT: Final = "qwen3-embedding/1"  # part of an index's identity: other prompts give other vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderIdentity:
    """What must be equal for an index to be searched with this embedder."""

    name: str
    revision: str  # SHA-256 over the weights, or the hub's commit
    dimension: int
    prompt_format: str = PROMPT_FORMAT

    def accepts(self, built: EmbedderIdentity) -> bool:
        """Whether an index that was built with `built` may be searched with this embedder.

        Earlier versions did not write down the prefixes that a model's own folder sets.
        """
        if self.prompt_format.startswith(OWN_PREFIXES):
            return built == self or built == replace(self, prompt_format=OWN_PROMPTS)
        return built == self


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """The vectors of a call, in the order of its texts, and their cost."""

    vectors: Vectors  # (len(texts), dimension)
    tokens: int  # computed, including end marks
    truncated: tuple[int, ...] = ()  # positions of texts that were cut to the model's window
    remembered: int = 0  # vectors that came from the cache


class Embedder(Protocol):
    """Turns queries and passages into unit vectors of one space.

    Raises `UnavailableError` leaves if the model cannot answer now. Never returns a vector that is not finite.
    """

    @property
    def identity(self) -> EmbedderIdentity: ...

    async def embed_queries(self, texts: Sequence[str], task: str = DEFAULT_TASK) -> Embeddings: ...

    async def embed_passages(self, texts: Sequence[str]) -> Embeddings: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A passage to embed, and its tokens if they are known."""

    text: str
    ids: Sequence[int] | None = None  # of the whole text, as the embedder's own tokenizer encodes it


@runtime_checkable
class TakesTokens(Protocol):
    """An embedder that need not tokenise what its own tokenizer has encoded before."""

    @property
    def tokenizer(self) -> object:
        """Compare it by identity: another one may encode the same text otherwise."""
        ...

    async def embed_tokenised(self, passages: Sequence[Passage]) -> Embeddings:
        """Like `embed_passages`; a passage without tokens is encoded."""
        ...


def query_prompt(query: str, task: str) -> str:
    """The text to embed for a query (model card of Qwen3-Embedding)."""
    return f"Instruct: {task}\nQuery:{query}"
