"""Which of these passages has this model judged lately, for this tenant, under this very question and instruction?

A judgement is one number that follows from the ids of one prompt, so it may be kept as long as everything that makes
those ids is in its key: tenant, model, prompt format, instruction, query, passage. What is kept is the logit, not the
relevance made of it, and so a ranking made of remembered judgements is the ranking that was made of the fresh ones, to
the bit. Passages that are judged because their neighbours were known are computed in another company than they would
be otherwise, which moves a float32 logit in its last digits, as any batching does.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from winnow.rerank.prompt import PROMPT_FORMAT
from winnow.retrieval.bounded_cache import BoundedCache, CacheState, CommonKey

_PACKED: Final = struct.Struct("<d?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a model said about one passage."""

    logit: float  # yes minus no
    truncated: bool  # it read only the beginning


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingModel:
    """Everything about a model that decides its logits and is the same for every request."""

    name: str
    revision: str
    tokens_max: int  # of a prompt: where a passage is cut
    doubts: int = 0  # how often it turned out that what ran under this name had been another


class JudgementCache:
    """Remembers judgements of all tenants and models of this process. Any thread and any task may use it.

    Two requests that ask the same at the same moment both compute; the second to finish overwrites an equal value.
    """

    def __init__(
        self, *, bytes_max: int, seconds_max: float, secret: bytes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`secret` is random, of 16 to 64 bytes, and never leaves the process."""
        self._secret = secret
        self._held = BoundedCache(bytes_max=bytes_max, seconds_max=seconds_max, clock=clock)

    @property
    def state(self) -> CacheState:
        return self._held.state

    def keys(
        self, passages: Sequence[str], *, query: str, instruction: str, tenant: str, model: JudgingModel
    ) -> list[bytes]:
        """A key for each passage; what they have in common is digested once. Reads every passage: not for the loop."""
        judging = (model.name, model.revision, str(model.tokens_max), str(model.doubts))
        common = CommonKey(self._secret, tenant, *judging, PROMPT_FORMAT, instruction, query)
        return [common.of(passage) for passage in passages]

    def find(self, keys: Sequence[bytes]) -> list[Judgement | None]:
        """The judgement of each, None where it is not known (any more)."""
        return [None if packed is None else _unpacked(packed) for packed in self._held.find(keys)]

    def remember(self, keys: Sequence[bytes], judgements: Sequence[Judgement]) -> None:
        """Call it with what was really computed and found to be sound, and with nothing else."""
        self._held.put(keys, [_PACKED.pack(judgement.logit, judgement.truncated) for judgement in judgements])


def _unpacked(packed: bytes) -> Judgement:
    logit, truncated = _PACKED.unpack(packed)
    return Judgement(logit=logit, truncated=truncated)
