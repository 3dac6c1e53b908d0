"""Attribution with answers made up: what a replay does not tell is not counted as proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from winnow.api.stability.attribution import Answers, Observed, attribute
from winnow.retrieval.catalog.stability import Answered, Factor, Place, RankingState
from winnow.retrieval.records import RecallMode

STATE = RankingState(
    store_version=1,
    generation=None,
    index="exact",
    embedder="e",
    reranker="one",
    instruction="default@1",
    instruction_sha256="a",
    recall=RecallMode.HYBRID,
    candidates=10,
)
QUERIES = ("a", "b", "c", "d")


def answers(first: str, *, degraded: tuple[str, ...] = ()) -> Answers:
    """All queries have this document first and another second."""
    places = tuple(
        Place(document_id=name, ordinal=0, score=score, relevance=score, passage=name)
        for name, score in ((first, 0.9), ("other", 0.1))
    )
    return {
        query: Answered(query_sha256=query, places=places, degraded="timeout" if query in degraded else None)
        for query in QUERIES
    }


async def causes(
    put_back: Mapping[frozenset[Factor], Answers | None], *changed: Factor
) -> dict[str, tuple[str, float | None]]:
    after = replace(
        STATE,
        reranker="two" if Factor.MODEL in changed else "one",
        instruction_sha256="b" if Factor.INSTRUCTION in changed else "a",
    )
    observed = Observed(state_before=STATE, state=after, before=answers("old"), after=answers("new"))

    async def replay(factors: frozenset[Factor]) -> Answers | None:
        return put_back[factors]

    return {each.kind: (each.proof, each.share) for each in await attribute(observed, replay)}


async def test_the_share_is_of_answers_that_were_reranked() -> None:
    """A degraded answer with the old model is neither as before nor otherwise."""
    found = await causes({frozenset({Factor.MODEL}): answers("old", degraded=("a", "b"))}, Factor.MODEL)
    assert found == {"model": ("replay", 1.0)}
    mixed = {**answers("new", degraded=("a",)), "b": answers("old")["b"]}
    found = await causes({frozenset({Factor.MODEL}): mixed}, Factor.MODEL)
    assert found["model"] == ("replay", 1 / 3)


async def test_a_replay_in_which_reranking_fails_proves_nothing() -> None:
    """The model is then found as if the old one were gone."""
    found = await causes({frozenset({Factor.MODEL}): answers("old", degraded=QUERIES)}, Factor.MODEL)
    assert found == {"model": ("elimination", None)}


async def test_an_old_one_that_goes_away_during_attribution_is_gone() -> None:
    """Each alone could be put back, both together not any more, as one was deleted meanwhile."""
    model, instruction = frozenset({Factor.MODEL}), frozenset({Factor.INSTRUCTION})
    replayed = {model: answers("new"), instruction: answers("new"), model | instruction: None}
    found = await causes(replayed, Factor.MODEL, Factor.INSTRUCTION)
    assert found == {"model": ("together", None), "instruction": ("together", None)}
