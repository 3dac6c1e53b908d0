"""Makes the JSON object of `winnow eval`, which the table and the page show too."""

from __future__ import annotations

from collections.abc import Mapping

from winnow.api.cli.evaluation.asking import NamedSetting, Run
from winnow.api.cli.evaluation.comparisons import compared
from winnow.api.cli.evaluation.figures import (
    by_cutoff,
    by_reranked,
    cost_per_1000,
    differences,
    movement,
    timings,
    tokens,
)
from winnow.api.cli.evaluation.per_query import extremes
from winnow.api.cli.evaluation.run import Evaluated
from winnow.api.schemas.evaluation import EvalExtreme, EvalResponse, EvalRun, EvalSetting
from winnow.api.schemas.search_response import applied_response
from winnow.retrieval.measures import Measure, parse


def response(found: Evaluated, *, gpu_hour_price: float | None = None) -> EvalResponse:
    """Collect all figures."""
    first = next(iter(found.settings.values()))
    folder = found.plan.source.folder
    return EvalResponse(
        runs=_runs(found, gpu_hour_price),
        collection=found.plan.collection,
        folder=None if folder is None else str(folder),
        queries=len(found.cases),
        documents=found.documents,
        chunks=found.chunks,
        candidates=max((each.candidates for each in found.settings.values() if each.reranker), default=0),
        embedder=found.embedder,
        reranker=found.rerankers[0],
        rerankers=list(found.rerankers),
        instruction=dict(applied_response(first.instruction)),
        rerank_fields=list(first.fields.names),
        seconds=round(found.seconds, 3),
        gpu_hour_price=gpu_hour_price,
        comparisons=compared(found.values),
        extremes=extremes_of(found),
    )


def extremes_of(found: Evaluated) -> list[EvalExtreme]:
    """The largest wins and losses of each run against the first one, by the first measure."""
    first, *others = found.values
    measure = next(iter(found.values[first]))
    return [
        EvalExtreme(
            run=run,
            against=first,
            measure=measure,
            id=each.case.id,
            text=each.case.text,
            before=each.before,
            after=each.after,
            difference=each.difference,
        )
        for run in others
        for each in extremes(found.cases, found.values[first][measure], found.values[run][measure])
    ]


def _runs(found: Evaluated, gpu_hour_price: float | None) -> list[EvalRun]:
    all_runs: Mapping[str, Run] = found.orders | dict(found.foreign_runs)
    measure = parse(found.plan.metrics[0])
    deepest = max(parse(each).depth for each in found.plan.metrics)
    return [
        _run(found, name, all_runs, measure, deepest=deepest, metrics=metrics, gpu_hour_price=gpu_hour_price)
        for name, metrics in found.figures().items()
    ]


def _run(
    found: Evaluated,
    name: str,
    all_runs: Mapping[str, Run],
    measure: Measure,
    *,
    deepest: int,
    metrics: dict[str, float],
    gpu_hour_price: float | None,
) -> EvalRun:
    first, spelling = next(iter(found.values)), found.plan.metrics[0]
    setting, answers = found.settings.get(name), found.answers.get(name, ())
    costs, values = [each.cost for each in answers], found.values
    reranker = None if setting is None or setting.reranker is None else setting.reranker.name
    asked = found.cases, found.judgments
    return EvalRun(
        name=name,
        reranker=reranker,
        instruction_applied=reranker in found.readers,
        metrics=metrics,
        setting=None if setting is None else _setting(setting),
        timings=timings(costs) if costs else None,
        tokens=tokens(costs) if costs else None,
        cost_per_1000=cost_per_1000(costs, gpu_hour_price) if costs and gpu_hour_price is not None else None,
        by_cutoff=by_cutoff(all_runs[name], *asked, measure, deepest=deepest),
        by_reranked=by_reranked(answers, *asked, measure, candidates=setting.candidates) if setting else None,
        differences=None
        if name == first
        else differences(values[name][spelling], values[first][spelling], against=first, measure=spelling),
        movement=None if name == first else movement(all_runs[name], all_runs[first], *asked, against=first),
    )


def _setting(setting: NamedSetting) -> EvalSetting:
    return EvalSetting(
        order=setting.order,
        collection=setting.searched.name,
        embedder=setting.searched.embedder,
        recall=setting.mode,
        candidates=setting.candidates if setting.reranker else 0,
        depth=setting.depth,
        instruction=dict(applied_response(setting.instruction)),
        instruction_text=setting.instruction.text,
        rerank_fields=list(setting.fields.names),
    )
