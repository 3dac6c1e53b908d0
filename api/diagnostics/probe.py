"""Checks that models work, with known pairs of texts (retrieval/model/known_pairs.py).

It uses the contracts, and so the complete path of a search, whatever computes it. What a vLLM server is asked before it
is used, and why that fails, is in rerank/server_check.py and retrieval/embed/server_check.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.reranker import Reranker
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.embed.embedder import Embedder
from winnow.retrieval.model.known_pairs import PAIRS, KnownPair, PairAnswer, missed_languages
from winnow.retrieval.records import candidates_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed(PairAnswer):
    """A model's answer for one pair."""

    model: str


async def probe_embedder(embedder: Embedder) -> tuple[Probed, ...]:
    """Probe the embedder with all pairs. Raises what it raises."""
    return tuple([await _probe_embedder(embedder, pair) for pair in PAIRS])


async def probe_reranker(reranker: Reranker) -> tuple[Probed, ...]:
    """Probe the reranker with all pairs. Raises what it raises."""
    return tuple([await _probe_reranker(reranker, pair) for pair in PAIRS])


def likely_cause(probed: Sequence[Probed]) -> str | None:
    """Return the likely fault of a model that did not separate the pairs, or None."""
    failed = [each for each in probed if not each.is_separated]
    if not failed:
        return None
    first = failed[0]
    languages = " and ".join(dict.fromkeys(each.language for each in failed))
    said = f"{first.model} did not separate the known pair in {languages} ({first.figures})"
    if missed_languages(probed):
        return f"{said}: it was probably not trained on that language"
    return f"{said}: its weights are probably random or damaged, or it is a model of another kind than configured"


async def _probe_embedder(embedder: Embedder, pair: KnownPair) -> Probed:
    query = (await embedder.embed_queries([pair.query])).vectors[0]
    passages = (await embedder.embed_passages([pair.relevant, pair.irrelevant])).vectors
    relevant, irrelevant = (float(similarity) for similarity in passages @ query)
    return Probed(
        model=embedder.identity.name,
        pair=pair,
        relevant=relevant,
        irrelevant=irrelevant,
    )


async def _probe_reranker(reranker: Reranker, pair: KnownPair) -> Probed:
    nobody = f"probe-{uuid.uuid4().hex}"  # a new tenant, so that no cache answers for the model
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
        pair=pair,
        relevant=relevance[1] or 0.0,
        irrelevant=relevance[0] or 0.0,
    )
