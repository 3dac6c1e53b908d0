"""Cache of reranker scores per tenant, model, instruction, query and passage.

A score depends only on the ids of one prompt, so it can be reused as long as the key holds everything that makes those
ids: tenant, model, prompt format, instruction, query, passage. The cache stores logits, not relevances, so a ranking
from cached scores equals the one from fresh scores, to the bit. Passages scored after a partial hit are batched with
other passages than they would be otherwise, which moves a float32 logit in its last digits, as any batching does.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from winnow.rerank.prompt import PROMPT_FORMAT
from winnow.retrieval.bounded_cache import BoundedCache, CacheState, CommonKey

_PACKED: Final = struct.Struct("<d?II")


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageScore:
    """A model's score of one passage."""

    logit: float  # yes minus no
    truncated: bool  # the model read only the beginning
    tokens: int = 0  # of its own part of the prompt
    shared_tokens: int = 0  # of the part that it shares with the request's other prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringModel:
    """Everything about a model that decides its logits and is the same for every request."""

    name: str
    revision: str
    tokens_max: int  # per prompt: where a passage is cut
    prompt_format: str = PROMPT_FORMAT
    doubts: int = 0  # how often the servers behind this name were found to run another model


class ScoreCache:
    """Caches scores of all tenants and models of this process. Thread-safe.

    Two requests that ask the same at the same moment both compute; the second overwrites the first with an equal value.
    """

    def __init__(
        self, *, bytes_max: int, seconds_max: float, secret: bytes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`secret` is random, 16 to 64 bytes, and never leaves the process."""
        self._secret = secret
        self._held = BoundedCache(bytes_max=bytes_max, seconds_max=seconds_max, clock=clock)

    @property
    def state(self) -> CacheState:
        return self._held.state

    def keys(
        self, passages: Sequence[str], *, query: str, instruction: str, tenant: str, model: ScoringModel
    ) -> list[bytes]:
        """Return one key per passage; the common part is hashed once. Reads every passage: call it in a thread."""
        model_key = (model.name, model.revision, str(model.tokens_max), str(model.doubts))
        common = CommonKey(self._secret, tenant, *model_key, model.prompt_format, instruction, query)
        return [common.of(passage) for passage in passages]

    def find(self, keys: Sequence[bytes]) -> list[PassageScore | None]:
        """Return the cached score for each key, or None."""
        return [None if packed is None else _unpack(packed) for packed in self._held.find(keys)]

    def remember(self, keys: Sequence[bytes], scores: Sequence[PassageScore]) -> None:
        """Store scores. Only pass scores that were computed and passed `check_logits`."""
        self._held.put(
            keys, [_PACKED.pack(score.logit, score.truncated, score.tokens, score.shared_tokens) for score in scores]
        )


def _unpack(packed: bytes) -> PassageScore:
    logit, truncated, tokens, shared_tokens = _PACKED.unpack(packed)
    return PassageScore(logit=logit, truncated=truncated, tokens=tokens, shared_tokens=shared_tokens)
