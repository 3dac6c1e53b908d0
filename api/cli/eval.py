"""`winnow eval`: measure ranking quality. `winnow demo`: a guided tour."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from winnow.api.cli.client.typed_instruction import TypedInstruction
from winnow.api.cli.collection_fields import RerankFieldTokens, parse_fields
from winnow.api.cli.options import (
    DEVICE,
    EMBEDDER,
    RERANKER,
    SERVICE,
    InstructionName,
    InstructionText,
    Json,
    TenantOption,
    Variables,
    open_tenant,
    own_name,
    with_settings,
)
from winnow.api.cli.terminal import Exit, Terminal
from winnow.api.settings import Settings
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest
from winnow.retrieval.records import RecallMode
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.api.cli.evaluation.cases import Source
    from winnow.api.cli.evaluation.named_settings import TypedSetting
    from winnow.api.cli.evaluation.plan import ChosenInstructions
    from winnow.retrieval.tenancy import TenantName


class WhichRun(StrEnum):
    """What `winnow eval` measures."""

    RECALL = "recall"  # the first stage alone: no reranker is loaded
    TWO_STAGE = "two-stage"  # recall, the order of answers, and relevance alone


Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="BEIR_FOLDER",
        help="Folder with corpus.jsonl, queries.jsonl and qrels/ (plain, .gz or .zst). Without it, pass --collection, "
        "--queries FILE and --qrels.",
    ),
]
Collection = Annotated[
    str | None,
    typer.Option(
        "--collection",
        "-c",
        metavar="NAME",
        help="Collection that is asked, and into which the folder is indexed; by default eval-FOLDER.",
        callback=own_name,
    ),
]
Metrics = Annotated[str, typer.Option(metavar='"M M ..."', help="Measures, separated by spaces: nDCG@k, R@k, MRR@k.")]
Queries = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|N",
        help="Queries in a file (.jsonl as in BEIR, a table of id, tab and text, or TREC topics) instead of the "
        "folder's. A number means --sample.",
    ),
]
Qrels = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Relevance judgements (BEIR or TREC format), instead of the folder's."),
]
Sample = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Ask a fixed sample of N queries; all queries by default.")
]
NamedSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--setting",
        metavar="'NAME KEY=VALUE ...'",
        help="Measure this setting, as a run of its name; repeatable. Keys: recall, candidates, depth, reranker (or "
        "none), embedder, instruction (a text or NAME[@VERSION]), order (answer or relevance). What is left out is as "
        "the other options say.",
    ),
]
GpuHourPrice = Annotated[
    float | None,
    typer.Option("--gpu-hour-price", metavar="X", min=0.0, help="Also show what 1,000 queries cost at this price."),
]
RunOption = Annotated[
    WhichRun, typer.Option(help="recall measures the first stage without a reranker; two-stage measures all orders.")
]
Ways = Annotated[
    str | None,
    typer.Option(
        "--recall",
        metavar='"WAY W ..."',
        help="Compare these kinds of recall, separated by spaces: dense, lexical, hybrid.",
    ),
]
EvalFields = Annotated[
    str | None,
    typer.Option(
        "--rerank-fields",
        metavar="FIELD,FIELD",
        help="Attributes that the reranker reads, instead of the collection's; an empty text means none.",
    ),
]
Rerankers = Annotated[
    list[str] | None,
    typer.Option(
        "--reranker",
        metavar="NAME",
        help="Compare this reranker of --rerank-model and --rerank-also; repeatable. By default the collection's own.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Also write TREC run files: FILE.recall, FILE.two-stage, FILE.rerank, or FILE.NAME of each setting.",
    ),
]
RunFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--run-file", metavar="FILE", help="Also measure this TREC run from elsewhere, under its own tag; repeatable."
    ),
]
PerQuery = Annotated[
    Path | None,
    typer.Option(
        "--per-query",
        metavar="FILE",
        help="Also write each query as a line of JSON: id, text, measures by run, differences to the first run.",
    ),
]
Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Also write a page with tables and charts, which loads nothing."),
]
Against = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Compare with an earlier file of --per-query: exit 1 if a measure fell by more than --max-loss.",
    ),
]
MaxLoss = Annotated[
    float | None,
    typer.Option(
        metavar="X", min=0.0, max=1.0, help="Loss that --against allows in the mean of a measure; by default 0.01."
    ),
]
Split = Annotated[str, typer.Option(metavar="NAME", help="Relevance judgements to use: qrels/NAME.tsv.")]


@with_settings(
    "data", *SERVICE, "candidates", "depth", "chunk_tokens", *EMBEDDER, *RERANKER, *DEVICE, asked=("candidates",)
)
def evaluate(
    folder: Folder = None,
    *,
    settings: Settings,
    tenant: TenantOption = DEFAULT_TENANT,
    collection: Collection = None,
    metrics: Metrics = "nDCG@10 R@100",
    queries: Queries = None,
    qrels: Qrels = None,
    sample: Sample = None,
    setting: NamedSettings = None,
    run: RunOption = WhichRun.TWO_STAGE,
    ways: Ways = None,
    reranker: Rerankers = None,
    instruction: InstructionText = None,
    instruction_name: InstructionName = None,
    variable: Variables = None,
    rerank_fields: EvalFields = None,
    rerank_field_tokens: RerankFieldTokens = None,
    output: Output = None,
    per_query: PerQuery = None,
    html: Html = None,
    run_file: RunFiles = None,
    against: Against = None,
    max_loss: MaxLoss = None,
    gpu_hour_price: GpuHourPrice = None,
    split: Split = "test",
    json: Json = False,
) -> None:
    """Measure three orders on a collection with relevance judgements: recall, as a search answers, by relevance.

    Indexes the folder's corpus first if needed. Only the first --candidates chunks are reranked; the chunks after them
    keep the order of recall, so R@100 means the same in every row. Searches use the collection's own reranker,
    instruction and rerank fields unless you pass others.

    Each pair of runs is compared by a paired randomisation test, with the mean difference and its 95 % interval.
    """
    terminal = Terminal(json=json)
    import asyncio

    from winnow.api.cli.evaluation.gate import read_gate
    from winnow.api.cli.evaluation.plan import Plan
    from winnow.api.cli.evaluation.report import Files, report
    from winnow.api.cli.evaluation.run import evaluate as measure
    from winnow.api.cli.evaluation.run_files import read_runs, with_runs

    if not metrics.split():
        raise InvalidRequest("--metrics is empty; name a measure, such as nDCG@10")
    source = _source(folder, queries, qrels, split=split, sample=sample, collection=collection)
    wanted = _settings(setting or [], settings, run, ways, reranker or [])
    gate = read_gate(against, max_loss, per_query)
    foreign = read_runs(run_file or [])
    typed = TypedInstruction(text=instruction, name=instruction_name, variables=variable or ())
    owner, chosen = _instructions(settings, tenant, wanted, typed, fields=rerank_fields)
    plan = Plan(
        source=source,
        tenant=owner,
        instructions=chosen,
        collection=collection or _collection_name(folder),
        is_collection_named=collection is not None,
        metrics=tuple(metrics.split()),
        settings=wanted,
        is_typed=bool(setting),
        fields=parse_fields("--rerank-fields", rerank_fields, rerank_field_tokens),
        typed=None if settings.url is None else typed,
    )
    found = with_runs(terminal, asyncio.run(measure(terminal, settings, plan)), foreign)
    report(terminal, found, Files(output=output, per_query=per_query, html=html), gpu_hour_price=gpu_hour_price)
    if gate is not None and not gate.passes(terminal, found):
        raise typer.Exit(Exit.FAILED)


@with_settings("data", "candidates", "embed_model", "embed_url", "rerank_model", "rerank_url", *DEVICE)
def demo(*, settings: Settings) -> None:
    """Index Python's documentation and a bilingual corpus, search both, and show what an instruction changes."""
    import asyncio

    from winnow.api.cli.demo import show

    asyncio.run(show(Terminal(), settings))


def _instructions(
    settings: Settings, tenant: str, wanted: tuple[TypedSetting, ...], typed: TypedInstruction, *, fields: str | None
) -> tuple[TenantName, ChosenInstructions]:
    """The tenant, and instructions of the data folder's library; a service reads its own."""
    from winnow.api.cli.evaluation.plan import ChosenInstructions, read_instructions

    if settings.url is not None:
        if fields is not None:
            raise InvalidRequest("--rerank-fields cannot be used with a service: a search uses the collection's")
        typed.check()
        return DEFAULT_TENANT, ChosenInstructions()
    data, owner = open_tenant(settings, tenant, create=True)
    library = data.catalog.instructions
    return owner, read_instructions(library, owner, wanted, typed.text, typed.name, variables=typed.variables)


def _source(
    folder: Path | None,
    queries: str | None,
    qrels: Path | None,
    *,
    split: str,
    sample: int | None,
    collection: str | None,
) -> Source:
    """Check what is asked. Raises `CorpusUnreadable`, `InvalidRequest`."""
    from winnow.api.cli.evaluation.cases import Source
    from winnow.indexer.readers.beir import is_beir

    if queries is not None and re.fullmatch(r"[0-9]{1,9}", queries):
        number = int(queries)
        if sample is not None or number == 0:
            raise InvalidRequest(f"--queries {queries}: pass a file of queries here, and their number as --sample N")
        queries, sample = None, number
    if folder is None:
        if collection is None or queries is None or qrels is None:
            raise InvalidRequest(
                "pass a BEIR folder, or --collection NAME, --queries FILE and --qrels FILE for documents that are "
                "indexed already"
            )
    elif not is_beir(folder):
        raise CorpusUnreadable(f"{folder} is not a BEIR folder: it has no corpus.jsonl")
    return Source(
        folder=folder, queries=Path(queries) if queries is not None else None, qrels=qrels, split=split, sample=sample
    )


def _settings(
    words: list[str], settings: Settings, run: WhichRun, ways: str | None, rerankers: list[str]
) -> tuple[TypedSetting, ...]:
    """The settings by --setting, or else the product of the other flags. Raises `InvalidRequest`."""
    from winnow.api.cli.evaluation.named_settings import parse_settings, product

    modes = _parse_modes(ways)
    if not words:
        is_reranked = run is WhichRun.TWO_STAGE
        names = list(dict.fromkeys(rerankers))
        return product(modes, names, is_reranked=is_reranked, default=RecallMode(settings.recall))
    for flag, is_given, key in (
        ("--recall", bool(modes), "recall=..."),
        ("--reranker", bool(rerankers), "reranker=..."),
        ("--run recall", run is WhichRun.RECALL, "reranker=none"),
    ):
        if is_given:
            raise InvalidRequest(f"{flag} and --setting cannot be used together; write {key} in each setting")
    return parse_settings(words)


def _parse_modes(words: str | None) -> tuple[RecallMode, ...]:
    modes = list(dict.fromkeys((words or "").split()))
    unknown = [word for word in modes if word not in set(RecallMode)]
    if unknown or words == "":
        raise InvalidRequest(f"--recall {words!r}: each word must be one of {', '.join(RecallMode)}")
    return tuple(RecallMode(word) for word in modes)


def _collection_name(folder: Path | None) -> str:
    """`SciFact (test)` -> `eval-scifact-test`."""
    assert folder is not None, "without a folder the collection has a name. This is a bug."
    slug = re.sub(r"[^a-z0-9_]+", "-", folder.resolve().name.lower()).strip("-_")
    if not slug:
        raise InvalidRequest(f"the folder name {folder.name!r} cannot be used as a collection name; pass --collection")
    return f"eval-{slug}"[:63]
