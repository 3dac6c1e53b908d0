"""What a distillation came to: the JSON object, and the model card."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, cast

from winnow.api.cli.distill.run import Distilled
from winnow.api.formatting import flat
from winnow.api.schemas.distill import DistillDifference, DistillOrder, DistillResponse
from winnow.rerank.distill.model_folder import Figure, card_of
from winnow.rerank.distill.verdict import describe
from winnow.retrieval.significance import DRAWS


def response(distilled: Distilled) -> DistillResponse:
    plan, verdict = distilled.plan, distilled.verdict
    return DistillResponse(
        collection=plan.collection,
        instruction=distilled.instruction.said,
        teacher=distilled.teacher,
        made_from=distilled.made_from,
        reranker=plan.name,
        offered=verdict.is_offered,
        reason=verdict.reason,
        output=str(plan.output) if verdict.is_offered else None,
        use=_commands(distilled) if verdict.is_offered else [],
        queries={
            "source": distilled.source,
            "training": len(distilled.parted.training),
            "development": len(distilled.parted.development),
            "held_back": len(distilled.parted.held_back),
        },
        candidates=distilled.candidates,
        scored_pairs=distilled.scored_pairs,
        steps=distilled.steps,
        seed=plan.seed,
        draws=DRAWS,
        seconds={
            "scoring": round(distilled.scoring_seconds, 1),
            "training": round(distilled.training_seconds, 1),
        },
        orders=[
            DistillOrder(
                name=each.name,
                ndcg=each.means["nDCG@10 by teacher"],
                rbo=each.means["RBO with teacher"],
                qrels_ndcg=each.means.get("nDCG@10 by qrels"),
            )
            for each in verdict.orders
        ],
        differences=[
            DistillDifference(
                measure=cast("Literal['as_answered', 'by_relevance', 'qrels']", name),
                mean=each.mean,
                low=each.low,
                high=each.high,
                p=each.p,
                queries=each.queries,
            )
            for name, each in verdict.differences.items()
        ],
    )


def differences(distilled: Distilled) -> list[str]:
    """One sentence for each comparison."""
    return [describe(name, each) for name, each in distilled.verdict.differences.items()]


def card(distilled: Distilled) -> str:
    """The model card: counts and figures, no text of a query or a document."""
    plan, parted = distilled.plan, distilled.parted
    source = "titles of its documents" if distilled.source == "titles" else "a file of queries"
    facts = {
        "made from": distilled.made_from,
        "teacher": distilled.teacher,
        "collection": plan.collection,
        "instruction": distilled.instruction.said,
        "queries": f"{len(parted.training)} for training, {len(parted.development)} for the order, "
        f"{len(parted.held_back)} held back; from {source}",
        "candidates of each query": distilled.candidates,
        "training": f"{distilled.steps} steps, {distilled.training_seconds:.0f} s",
        "seed": plan.seed,
        "made on": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    return card_of(
        plan.name,
        {key: flat(str(value)) for key, value in facts.items()},
        [Figure(name=each.name, measures=each.means) for each in distilled.verdict.orders],
        differences(distilled),
    )


def _commands(distilled: Distilled) -> list[str]:
    """What makes the student the collection's reranker."""
    plan = distilled.plan
    tenant = "" if plan.tenant == "default" else f" --tenant {plan.tenant}"
    return [
        f"export WINNOW_RERANK_ALSO={plan.output}",
        f"winnow collections set-reranker {plan.collection} {plan.name}{tenant}",
        "winnow serve",
    ]
