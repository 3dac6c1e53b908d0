"""Do the models really read? Each is asked what everybody knows, in English and in Chinese.

A reranker with a wrong template, a wrong head or broken weights still returns numbers in [0, 1]; they are noise. The
same two passages are judged under two questions, and each must win under its own: a model that merely likes one of
them better is found out. It costs less than a search.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from api.texts import candidates_of
from rerank.instruction import DEFAULT_INSTRUCTION
from rerank.reranker import Reranker
from retrieval.deadline import Deadline
from retrieval.embedder import Embedder

MARGIN: Final = 0.02  # of relevance or cosine; real models are apart by ten times that, noise by nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPair:
    """A question, a passage that answers it, and one that has nothing to do with it."""

    language: str
    query: str
    relevant: str
    irrelevant: str


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What a model said about one pair: relevance of a reranker, cosine of an embedder."""

    model: str
    language: str
    query: str
    relevant: float
    irrelevant: float

    @property
    def is_separated(self) -> bool:
        return self.relevant - self.irrelevant >= MARGIN


async def probe_embedder(embedder: Embedder) -> tuple[Probed, ...]:
    """Raises what the embedder raises."""
    return tuple([await _probe_embedder(embedder, pair) for pair in PAIRS])


async def probe_reranker(reranker: Reranker) -> tuple[Probed, ...]:
    """Raises what the reranker raises."""
    return tuple([await _probe_reranker(reranker, pair) for pair in PAIRS])


def likely_cause(probed: Sequence[Probed]) -> str | None:
    """What is wrong with a model that did not separate the pairs; None where it did."""
    failed = [each for each in probed if not each.is_separated]
    if not failed:
        return None
    first = failed[0]
    languages = dict.fromkeys(each.language for each in failed)
    figures = f"{first.relevant:.3f} for the answer to {first.query!r}, {first.irrelevant:.3f} for an unrelated passage"
    said = f"{first.model} did not separate the known pair in {' and '.join(languages)} ({figures})"
    if len(languages) < len({each.language for each in probed}):
        return f"{said}: it probably was not trained on that language"
    return f"{said}: probably random or damaged weights, or a model of another kind than its setting names"


async def _probe_embedder(embedder: Embedder, pair: KnownPair) -> Probed:
    query = (await embedder.embed_queries([pair.query])).vectors[0]
    passages = (await embedder.embed_passages([pair.relevant, pair.irrelevant])).vectors
    relevant, irrelevant = (float(similarity) for similarity in passages @ query)
    return Probed(
        model=embedder.identity.name,
        language=pair.language,
        query=pair.query,
        relevant=relevant,
        irrelevant=irrelevant,
    )


async def _probe_reranker(reranker: Reranker, pair: KnownPair) -> Probed:
    nobody = f"probe-{uuid.uuid4().hex}"  # a tenant that never asked before, so that no cache answers for the model
    ranking = await reranker.rank(
        pair.query,
        candidates_of([pair.irrelevant, pair.relevant]),
        instruction=DEFAULT_INSTRUCTION,
        tenant=nobody,
        deadline=Deadline.never(),
    )
    relevance = {each.candidate.chunk.number: each.relevance for each in ranking.ranked}
    return Probed(
        model=reranker.name,
        language=pair.language,
        query=pair.query,
        relevant=relevance[1] or 0.0,
        irrelevant=relevance[0] or 0.0,
    )
