"""`winnow calibrate`: measure, list and remove thresholds of relevance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from winnow.api.cli.options import (
    DEVICE,
    EMBEDDER,
    RERANKER,
    InstructionName,
    InstructionText,
    Json,
    TenantOption,
    Variables,
    open_tenant,
    own_name,
    switch,
    with_settings,
)
from winnow.api.cli.terminal import Column, Exit, Terminal
from winnow.api.formatting import amount, number, percent
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import TOP_K_MAX
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.api.cli.calibration.run import Measured
    from winnow.api.collections.data_folder import DataFolder
    from winnow.retrieval.calibration import Promise
    from winnow.retrieval.catalog.calibrations import Calibration
    from winnow.retrieval.tenancy import TenantName

SEED: Final = 2026
TOP_K: Final = 10  # as many as a search shows by default

CollectionArgument = Annotated[
    str, typer.Argument(metavar="COLLECTION", help="Name of the collection.", callback=own_name)
]
Qrels = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Relevance judgements (BEIR or TREC format); relevant from grade 1.")
]
Queries = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Judged queries: JSON Lines with id and text, or a .tsv of id and text."),
]
Precision = Annotated[
    float | None, typer.Option(metavar="X", help="Share of the shown passages that must be relevant, such as 0.9.")
]
Confidence = Annotated[
    float, typer.Option(metavar="X", help="How likely it must be that the promise holds (0.5 to 0.999).")
]
TopK = Annotated[
    int,
    typer.Option("--top-k", "-k", metavar="N", min=1, max=TOP_K_MAX, help="Results that a search shows at most."),
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, max=2**53, help="Seed of the split and the draws.")]


@with_settings("data", "candidates", "recall", *EMBEDDER, *RERANKER, *DEVICE)
def calibrate(
    collection: CollectionArgument,
    *,
    qrels: Qrels = None,
    queries: Queries = None,
    precision: Precision = None,
    confidence: Confidence = 0.95,
    top_k: TopK = TOP_K,
    instruction: InstructionText = None,
    instruction_name: InstructionName = None,
    variable: Variables = None,
    seed: Seed = SEED,
    listed: Annotated[bool, switch("--list", meaning="List the collection's thresholds, measure nothing.")] = False,
    remove: Annotated[
        bool,
        switch("--remove", meaning="Remove the collection's thresholds, or with an instruction those of this one."),
    ] = False,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Measure the relevance above which a stated share of the shown passages is relevant.

    Asks the judged queries, finds the smallest threshold for which --precision holds with --confidence, and stores it
    for this collection, reranker and instruction. Searches use it with `--min-relevance calibrated`. Passages without a
    judgement count as not relevant. The exit code is 1 if no threshold reaches the precision; nothing is stored then.
    """
    terminal = Terminal(json=json)
    import asyncio

    from winnow.api.cli.calibration.run import Plan, measure
    from winnow.api.cli.instructions.variables import wanted_instruction

    if listed and remove:
        raise InvalidRequest("--list and --remove cannot be used together")
    folder, owner = open_tenant(settings, tenant)
    found = folder.catalog.collections.get(owner, collection)
    wanted = wanted_instruction(folder.catalog.instructions, owner, instruction, instruction_name, variable or [])
    if listed:
        _show_list(terminal, folder.catalog.calibrations.of_collection(owner, collection))
        return
    if remove:
        applied = None if wanted is None else folder.catalog.instructions.applied(owner, wanted, found)
        _remove(terminal, folder, owner, collection, None if applied is None else applied.sha256)
        return
    if qrels is None or queries is None or precision is None:
        raise InvalidRequest("--qrels, --queries and --precision are needed to measure a threshold")
    promise = _promise(precision, confidence, top_k, seed)
    plan = Plan(tenant=owner, collection=found, instruction=wanted, queries=queries, qrels=qrels, promise=promise)
    measured = asyncio.run(measure(terminal, settings, plan))
    if measured.calibration is not None:
        folder.catalog.calibrations.put(measured.calibration)
    _show(terminal, measured, promise)
    if measured.calibration is None:
        raise typer.Exit(Exit.FAILED)


def _promise(precision: float, confidence: float, top_k: int, seed: int) -> Promise:
    """Raises `InvalidRequest`."""
    from winnow.retrieval.calibration import Promise

    if not 0.0 < precision < 1.0:
        raise InvalidRequest(f"--precision {precision:g}: write a share above 0 and below 1; 1 can never be shown")
    if not 0.5 <= confidence <= 0.999:
        raise InvalidRequest(f"--confidence {confidence:g}: write a number from 0.5 to 0.999")
    return Promise(precision=precision, confidence=confidence, top_k=top_k, seed=seed)


def _show(terminal: Terminal, measured: Measured, promise: Promise) -> None:
    from winnow.api.cli.calibration.run import describe_failure
    from winnow.api.schemas.calibration import CalibrateResponse, calibration_response, tested_response
    from winnow.retrieval.calibration import passes

    made, found = measured.calibration, measured.calibrated
    reason = None if made else describe_failure(found, promise)
    if terminal.is_json:
        body: CalibrateResponse = {
            "calibrated": made is not None,
            "reason": reason,
            "calibration": None if made is None else calibration_response(made),
            "tests": tested_response((each, passes(each, promise)) for each in found.tests),
            "unjudged": measured.unjudged,
            "passages": measured.passages,
        }
        terminal.answer(body)
        return
    _say_unjudged(terminal, measured)
    if made is None:
        terminal.fail(f"no threshold: {reason}")
        return
    _show_list(terminal, [made])
    terminal.say(
        f"At least {percent(made.precision)} of shown passages are relevant, with {percent(made.confidence)} "
        f"confidence (bound {made.lower:.3f}, observed {made.observed:.3f}). {made.answered} of {made.tested} tested "
        f"queries still show something; {percent(made.kept)} of the relevant passages are still shown. "
        "Use it: winnow search ... --min-relevance calibrated"
    )


def _say_unjudged(terminal: Terminal, measured: Measured) -> None:
    terminal.say(
        f"{amount(measured.unjudged)} of the {amount(measured.passages)} passages that these queries show without a "
        "threshold have no judgement and count as not relevant."
    )


def _show_list(terminal: Terminal, calibrations: Sequence[Calibration]) -> None:
    from winnow.api.schemas.calibration import calibration_response

    if terminal.is_json:
        terminal.answer({"calibrations": [calibration_response(each) for each in calibrations]})
        return
    terminal.table(
        [
            Column(name="reranker", style="bold"),
            Column(name="instruction"),
            *(Column(name=name, right=True) for name in ("threshold", "precision", "coverage", "top_k", "queries")),
            Column(name="made_at"),
        ],
        [
            (
                each.measured_for.reranker,
                each.instruction or f"text {each.measured_for.instruction_sha256[:12]}",
                number(each.threshold, digits=4),
                f"{each.precision:g}",
                number(each.coverage, digits=2),
                str(each.top_k),
                str(each.queries),
                each.made_at.isoformat(timespec="seconds"),
            )
            for each in calibrations
        ],
    )


def _remove(terminal: Terminal, folder: DataFolder, owner: TenantName, collection: str, sha256: str | None) -> None:
    removed = folder.catalog.calibrations.remove(owner, collection, instruction_sha256=sha256)
    if terminal.is_json:
        terminal.answer({"removed": removed})
    else:
        terminal.say(f"{removed} removed.")
