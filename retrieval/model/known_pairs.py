"""Questions with obvious answers, which test a model before it is used.

A model with a wrong template, a wrong head or broken weights still returns numbers, but they are noise. Two passages
are scored for two questions, in English and in Chinese, and each must win for its own question: that exposes a model
that merely prefers one of them. The test costs less than a search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MARGIN: Final = 0.02  # of relevance or cosine; working models separate the pairs by ten times that, noise by nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPair:
    """A question, a passage that answers it, and an unrelated passage."""

    language: str
    query: str
    relevant: str
    irrelevant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAnswer:
    """A model's scores for one pair: relevance from a reranker, cosine from an embedder."""

    pair: KnownPair
    relevant: float
    irrelevant: float

    @property
    def language(self) -> str:
        return self.pair.language

    @property
    def query(self) -> str:
        return self.pair.query

    @property
    def is_separated(self) -> bool:
        return self.relevant - self.irrelevant >= MARGIN

    @property
    def is_reversed(self) -> bool:
        return self.irrelevant - self.relevant >= MARGIN

    @property
    def figures(self) -> str:
        """For messages."""
        return f"{self.relevant:.3f} for the answer to {self.query!r}, {self.irrelevant:.3f} for an unrelated passage"


_EN: Final = (
    "A consumer may return goods bought online within fourteen days of receiving them, without a reason.",
    "The heron stands still in shallow water and strikes at small fish with its long bill.",
)
_ZH: Final = (
    "消费者通过网络购买商品的，自收到商品之日起十四日内有权退货，且无需说明理由。",
    "苍鹭静静地站在浅水中，用长长的喙捕捉小鱼。",
)
PAIRS: Final = (
    KnownPair(
        language="en", query="How long may I return a product bought online?", relevant=_EN[0], irrelevant=_EN[1]
    ),
    KnownPair(language="en", query="How does a heron catch fish?", relevant=_EN[1], irrelevant=_EN[0]),
    KnownPair(language="zh", query="网上购买的商品多久之内可以退货？", relevant=_ZH[0], irrelevant=_ZH[1]),
    KnownPair(language="zh", query="苍鹭怎样捕鱼？", relevant=_ZH[1], irrelevant=_ZH[0]),
)


LONG_PAIR: Final = PAIRS[1]
LONG_PROOF_SECONDS: Final = 30.0  # a shorter check is of a server that did not restart


def long_passages(tokens: int) -> tuple[str, str]:
    """Repeat the passages of `LONG_PAIR` until they fill this many tokens of any tokenizer.

    If such an input is computed in several steps, its score comes from the last one.
    """
    repeats = tokens // 8 + 1
    return " ".join([LONG_PAIR.relevant] * repeats), " ".join([LONG_PAIR.irrelevant] * repeats)


def missed_languages(answers: Sequence[PairAnswer]) -> tuple[str, ...]:
    """Languages with a pair that was not separated, if another language's pairs all were; else none."""
    unread = tuple(dict.fromkeys(each.language for each in answers if not each.is_separated))
    return unread if len(unread) < len({each.language for each in answers}) else ()
