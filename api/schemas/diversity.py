"""Fields for near-identical passages and MMR: of the requests that want them, and of the answers."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import Discriminator, Field, Tag, model_validator

from winnow.api.fields import Number, Strict
from winnow.api.schemas.response import ChunkPlace, JsonObject
from winnow.rerank.near_duplicates import Collapsed, Diversified, Measure
from winnow.rerank.reranker import Ranked
from winnow.retrieval.records import Collapse

Limit = Annotated[float, Field(gt=0, le=1), Number]
MmrLambda = Annotated[float, Field(ge=0, le=1), Number]

COLLAPSE_HELP: Final = (
    "Leave out passages that are near-identical to one ranked higher, and list them in its `collapsed`."
)
MMR_HELP: Final = (
    "Order by maximal marginal relevance: lambda * relevance - (1 - lambda) * greatest cosine to a passage placed "
    "before; relevance is the score, scaled so that the best passage has 1 and the last 0. 1 keeps the order."
)


class CollapseLimits(Strict):
    """From which similarity on two passages are near-identical. With both, one is enough."""

    cosine: Limit | None = Field(default=None, description="Cosine of their stored vectors.", examples=[0.97])
    shingles: Limit | None = Field(
        default=None,
        description="Jaccard similarity of title and text in runs of three words, or characters in scripts without "
        "spaces; case, width, white space and punctuation do not count.",
        examples=[0.6],
    )

    @model_validator(mode="after")
    def _check_any(self) -> CollapseLimits:
        if self.cosine is None and self.shingles is None:
            raise ValueError("it needs cosine, shingles or both")
        return self

    @property
    def limits(self) -> Collapse:
        return Collapse(cosine=self.cosine, shingles=self.shingles)


def _off_or_limits(value: Any) -> str | None:
    if value is False:
        return "Off"
    return "Limits" if isinstance(value, dict | CollapseLimits) else None


MaybeCollapse = Annotated[
    Annotated[Literal[False], Tag("Off")] | Annotated[CollapseLimits, Tag("Limits")],
    Discriminator(
        _off_or_limits, custom_error_type="off_or_limits", custom_error_message="false or an object is expected"
    ),
]


def collapse_of(said: Literal[False] | CollapseLimits) -> Collapse:
    return said.limits if isinstance(said, CollapseLimits) else Collapse()


class CollapseLimitsResponse(JsonObject):
    """From which similarity on passages are near-identical. null: that measure is not used."""

    cosine: float | None
    shingles: float | None


Cosine = Annotated[float | None, Field(description="Cosine of its vector to the kept one's. null: not measured.")]
Shingles = Annotated[float | None, Field(description="Jaccard similarity to the kept one. null: not measured.")]
By = Annotated[list[Measure], Field(description="Measures that reach their limit.")]


class CollapsedChunk(JsonObject):
    """A passage that was left out because a kept one is near-identical."""

    document_id: str
    chunk: ChunkPlace
    title: str
    url: str | None
    score: Annotated[float | None, Field(description="The quantity that `ranked_by` names.")]
    relevance: Annotated[float | None, Field(description="Stage two. null if the chunk was not reranked.")]
    rank_before: Annotated[int, Field(description="Place before anything was left out; 1 is best.")]
    cosine: Cosine
    shingles: Shingles
    by: By


class MmrResponse(JsonObject):
    """Why MMR placed a passage here."""

    rank_before: Annotated[int, Field(description="Place among the kept passages before MMR; 1 is best.")]
    relevance: Annotated[float, Field(description="The score, scaled to [0, 1].")]
    similarity: Annotated[
        float | None, Field(description="Greatest cosine to a passage placed before. null for the first.")
    ]


class DiversityResponse(JsonObject):
    """What was left out, and what ordered the rest."""

    collapse: Annotated[CollapseLimitsResponse | None, Field(description="null: nothing was left out.")]
    mmr_lambda: Annotated[float | None, Field(description="null: the order was kept.")]
    candidates: Annotated[int, Field(description="Passages that were compared: at least `min_relevance`, if set.")]
    kept: Annotated[int, Field(description="Passages that no kept one stands for; the first of them are the results.")]
    collapsed: Annotated[int, Field(description="Passages that were left out. `kept` and `collapsed` are all.")]


class KeptPlace(JsonObject):
    """The kept passage that stands for a collapsed one."""

    document_id: str
    ordinal: int


class CollapsedText(JsonObject):
    """A document that was left out because a kept one is near-identical."""

    index: Annotated[int, Field(description="Place of the document in the request; 0 is the first.")]
    relevance_score: float | None
    shingles: Annotated[float, Field(description="Jaccard similarity to the kept document.")]


class DiversityParts(JsonObject):
    """What a passage of an answer has if the search wants diversity."""

    collapsed: NotRequired[
        Annotated[list[CollapsedChunk], Field(description="Only with `collapse`: the passages that it stands for.")]
    ]
    mmr: NotRequired[Annotated[MmrResponse, Field(description="Only with `mmr_lambda`; not for demoted passages.")]]


def limits_response(collapse: Collapse) -> CollapseLimitsResponse | None:
    return {"cosine": collapse.cosine, "shingles": collapse.shingles} if collapse.is_on else None


def diversity_response(diversified: Diversified) -> DiversityResponse:
    collapsed = sum(len(group) for group in diversified.collapsed.values())
    return {
        "collapse": limits_response(diversified.wanted.collapse),
        "mmr_lambda": diversified.wanted.mmr_lambda,
        "candidates": len(diversified.kept) + collapsed,
        "kept": len(diversified.kept),
        "collapsed": collapsed,
    }


def add_diversity(parts: DiversityParts, ranked: Ranked, diversified: Diversified | None) -> None:
    """Add the fields of one passage; none if nothing was wanted."""
    if diversified is None:
        return
    number = ranked.candidate.chunk.number
    if diversified.wanted.collapse.is_on:
        parts["collapsed"] = [_collapsed(each) for each in diversified.collapsed.get(number, ())]
    if (place := diversified.mmr.get(number)) is not None:
        parts["mmr"] = {
            "rank_before": place.rank_before,
            "relevance": place.relevance,
            "similarity": place.similarity,
        }


def kept_places(diversified: Diversified) -> dict[int, KeptPlace]:
    """The kept passage of each collapsed one, by the chunk number of the latter."""
    chunks = {each.candidate.chunk.number: each.candidate.chunk for each in diversified.kept}
    return {
        each.ranked.candidate.chunk.number: {
            "document_id": chunks[keeper].document_id,
            "ordinal": chunks[keeper].ordinal,
        }
        for keeper, group in diversified.collapsed.items()
        for each in group
    }


def collapsed_texts(ranked: Ranked, diversified: Diversified) -> list[CollapsedText]:
    """The texts of the caller that this one stands for."""
    found: list[CollapsedText] = []
    for each in diversified.collapsed.get(ranked.candidate.chunk.number, ()):
        assert each.shingles is not None, "the caller's texts are compared by shingles. This is a bug."
        found.append(
            {
                "index": each.ranked.candidate.chunk.number,
                "relevance_score": each.ranked.relevance,
                "shingles": each.shingles,
            }
        )
    return found


def _collapsed(collapsed: Collapsed) -> CollapsedChunk:
    ranked, chunk = collapsed.ranked, collapsed.ranked.candidate.chunk
    return {
        "document_id": chunk.document_id,
        "chunk": {"ordinal": chunk.ordinal, "start": chunk.start, "end": chunk.end},
        "title": chunk.title,
        "url": chunk.url,
        "score": ranked.score,
        "relevance": ranked.relevance,
        "rank_before": ranked.rank,
        "cosine": collapsed.cosine,
        "shingles": collapsed.shingles,
        "by": list(collapsed.by),
    }
