"""`winnow distill`: train a small reranker on what a large one says of a collection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from winnow.api.cli.options import (
    DEVICE,
    EMBEDDER,
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
from winnow.api.formatting import duration
from winnow.api.setting_values import FurtherReranker, further_rerankers
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.api.cli.distill.run import Distilled
    from winnow.api.schemas.distill import DistillResponse

QUERIES_DEFAULT: Final = 400
SECONDS_DEFAULT: Final = 1_800.0
SEED: Final = 2026

CollectionArgument = Annotated[
    str, typer.Argument(metavar="COLLECTION", help="Name of the collection.", callback=own_name)
]
Teacher = Annotated[
    str,
    typer.Option(
        metavar="MODEL[=URL]",
        help="Reranker to learn from: MODEL runs in this process, MODEL=URL on a vLLM server; one in --rerank-also is "
        "used as it stands there.",
    ),
]
Student = Annotated[
    str, typer.Option(metavar="MODEL", help="Reranker to start from: winnow-rerank (bundled) or a folder.")
]
Queries = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Queries to learn from: JSON Lines with id and text, or a .tsv of id and text; by default the titles of "
        "documents.",
    ),
]
Qrels = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Relevance judgements (BEIR or TREC format); measures the orders by them, too."),
]
QueriesMax = Annotated[int, typer.Option(metavar="N", min=40, help="Learn from a sample of N queries at most.")]
MaxSeconds = Annotated[
    float, typer.Option(metavar="SECONDS", min=1.0, help="Time limit of scoring and training together.")
]
Steps = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Number of training steps; by default about six readings of every query."),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of the sample, the training and the tests.")]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Model folder to write; its name is the reranker's. By default COLLECTION-rerank. FOLDER.work keeps "
        "scores and training for a run that continues.",
    ),
]


@with_settings("data", "candidates", "recall", *EMBEDDER, "rerank_also", "rerank_backend", "rerank_templates", *DEVICE)
def distill(
    collection: CollectionArgument,
    *,
    teacher: Teacher,
    student: Student = "winnow-rerank",
    queries: Queries = None,
    qrels: Qrels = None,
    queries_max: QueriesMax = QUERIES_DEFAULT,
    instruction: InstructionText = None,
    instruction_name: InstructionName = None,
    variable: Variables = None,
    max_seconds: MaxSeconds = SECONDS_DEFAULT,
    steps: Steps = None,
    seed: Seed = SEED,
    output: Output = None,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    yes: Annotated[bool, switch("--yes", "-y", meaning="Do not ask for confirmation.")] = False,
    json: Json = False,
) -> None:
    """Train a small reranker for a collection on the scores of a large one.

    The large reranker scores the candidates of a sample of queries. The small one learns its order on most of them and
    is compared with it, and with the model that it was made from, on the others. It is offered, as a model folder, only
    if it is significantly better; else the exit code is 1. A command that was interrupted continues where it stopped.
    """
    terminal = Terminal(json=json)
    import asyncio

    from winnow.api.cli.distill.run import Distillation, Plan
    from winnow.api.cli.instructions.variables import wanted_instruction

    folder, owner = open_tenant(settings, tenant)
    folder.catalog.collections.get(owner, collection)
    plan = Plan(
        tenant=owner,
        collection=collection,
        teacher=_teacher(teacher, settings),
        student=student,
        output=_output(output or Path(f"{collection}-rerank")),
        instruction=wanted_instruction(
            folder.catalog.instructions, owner, instruction, instruction_name, variable or []
        ),
        queries=queries,
        qrels=qrels,
        queries_max=queries_max,
        candidates=settings.candidates,
        steps=steps,
        seconds_max=max_seconds,
        seed=seed,
    )

    def confirm(question: str) -> None:
        if not yes:
            typer.confirm(question, abort=True, err=True)

    distilled = asyncio.run(Distillation(terminal, settings, plan, confirm).run())
    if distilled.verdict.is_offered:
        from winnow.api.cli.distill.report import card
        from winnow.rerank.distill.model_folder import publish

        publish(plan.model, plan.output, card(distilled))
    _show(terminal, distilled)
    if not distilled.verdict.is_offered:
        raise typer.Exit(Exit.FAILED)


def _teacher(named: str, settings: Settings) -> FurtherReranker:
    """A configured reranker of this name, or the model that is written. Raises `InvalidRequest`."""
    configured = next((each for each in settings.rerank_also if each.model == named), None)
    if configured is not None:
        return configured
    try:
        (found,) = further_rerankers(named)
    except ValueError as error:
        raise InvalidRequest(f"--teacher {named!r}: write one MODEL or MODEL=URL") from error
    return found


def _output(path: Path) -> Path:
    """A folder that --rerank-also can name and that is not there yet. Raises `InvalidRequest`."""
    whole = path.expanduser().resolve()
    if any(each.isspace() or each == "=" for each in str(whole)):
        raise InvalidRequest(f"--output {whole}: settings could not name a path with blanks or =; choose another")
    if whole.exists():
        raise InvalidRequest(f"--output {whole} exists already; remove it, or choose another")
    return whole


def _show(terminal: Terminal, distilled: Distilled) -> None:
    from winnow.api.cli.distill.report import differences, response

    body: DistillResponse = response(distilled)
    if terminal.is_json:
        terminal.answer(body)
        return
    names = list(distilled.verdict.orders[0].means)
    terminal.table(
        [Column(name="order"), *(Column(name=name, right=True) for name in names)],
        [(each.name, *(f"{each.means[name]:.4f}" for name in names)) for each in distilled.verdict.orders],
    )
    for line in differences(distilled):
        terminal.say(line)
    used = f"{duration(distilled.scoring_seconds)} scoring, {duration(distilled.training_seconds)} training"
    terminal.say(f"{distilled.steps} steps on {body['queries']['training']} queries · {used} · seed {body['seed']}")
    if distilled.verdict.is_offered:
        terminal.say(f"Offered: {distilled.verdict.reason}. Use it:", style="bold")
        terminal.lines(*body["use"])
    else:
        terminal.fail(f"not offered: {distilled.verdict.reason}")
