"""`winnow eval`: measure ranking quality. `winnow demo`: a guided tour."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from winnow.api.cli.collection_fields import RerankFieldTokens, parse_fields
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
    with_settings,
)
from winnow.api.cli.terminal import Exit, Terminal
from winnow.api.settings import Settings
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest
from winnow.retrieval.records import RecallMode
from winnow.retrieval.tenancy import DEFAULT_TENANT


class WhichRun(StrEnum):
    """What `winnow eval` measures."""

    RECALL = "recall"  # the first stage alone: no reranker is loaded
    TWO_STAGE = "two-stage"  # recall, the order of answers, and relevance alone


Folder = Annotated[
    Path,
    typer.Argument(
        metavar="BEIR_FOLDER", help="Folder with corpus.jsonl, queries.jsonl and qrels/ (plain, .gz or .zst)."
    ),
]
Collection = Annotated[
    str | None,
    typer.Option(
        "--collection",
        "-c",
        metavar="NAME",
        help="Collection to index the corpus into; by default eval-FOLDER.",
        callback=own_name,
    ),
]
Metrics = Annotated[str, typer.Option(metavar='"M M ..."', help="Measures, separated by spaces: nDCG@k, R@k, MRR@k.")]
Queries = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Ask a fixed sample of N queries; all queries by default.")
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
    typer.Option(metavar="FILE", help="Also write TREC run files: FILE.recall, FILE.two-stage and FILE.rerank."),
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


@with_settings("data", "candidates", "chunk_tokens", *EMBEDDER, *RERANKER, *DEVICE)
def evaluate(
    folder: Folder,
    *,
    settings: Settings,
    tenant: TenantOption = DEFAULT_TENANT,
    collection: Collection = None,
    metrics: Metrics = "nDCG@10 R@100",
    queries: Queries = None,
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
    run_file: RunFiles = None,
    against: Against = None,
    max_loss: MaxLoss = None,
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
    from winnow.indexer.readers.beir import is_beir

    if not is_beir(folder):
        raise CorpusUnreadable(f"{folder} is not a BEIR folder: it has no corpus.jsonl")
    import asyncio

    from winnow.api.cli.evaluation.gate import read_gate
    from winnow.api.cli.evaluation.report import Files, show, write
    from winnow.api.cli.evaluation.run import Plan
    from winnow.api.cli.evaluation.run import evaluate as measure
    from winnow.api.cli.evaluation.run_files import read_runs, with_runs
    from winnow.api.cli.instructions.variables import wanted_instruction

    gate = read_gate(against, max_loss, per_query)
    foreign = read_runs(run_file or [])
    data, owner = open_tenant(settings, tenant, create=True)
    plan = Plan(
        folder=folder,
        tenant=owner,
        instruction=wanted_instruction(data.catalog.instructions, owner, instruction, instruction_name, variable or []),
        collection=collection or _collection_name(folder),
        metrics=tuple(metrics.split()),
        sample=queries,
        split=split,
        is_judged=run is WhichRun.TWO_STAGE,
        recalls=_parse_modes(ways),
        fields=parse_fields("--rerank-fields", rerank_fields, rerank_field_tokens),
        rerankers=tuple(dict.fromkeys(reranker or ())),
    )
    found = with_runs(terminal, asyncio.run(measure(terminal, settings, plan)), foreign)
    write(terminal, Files(output=output, per_query=per_query), found)
    show(terminal, found)
    if gate is not None and not gate.passes(terminal, found):
        raise typer.Exit(Exit.FAILED)


@with_settings("data", "candidates", "embed_model", "embed_url", "rerank_model", "rerank_url", *DEVICE)
def demo(*, settings: Settings) -> None:
    """Index Python's documentation and a bilingual corpus, search both, and show what an instruction changes."""
    import asyncio

    from winnow.api.cli.demo import show

    asyncio.run(show(Terminal(), settings))


def _parse_modes(words: str | None) -> tuple[RecallMode, ...]:
    modes = list(dict.fromkeys((words or "").split()))
    unknown = [word for word in modes if word not in set(RecallMode)]
    if unknown or words == "":
        raise InvalidRequest(f"--recall {words!r}: each word must be one of {', '.join(RecallMode)}")
    return tuple(RecallMode(word) for word in modes)


def _collection_name(folder: Path) -> str:
    """`SciFact (test)` -> `eval-scifact-test`."""
    slug = re.sub(r"[^a-z0-9_]+", "-", folder.resolve().name.lower()).strip("-_")
    if not slug:
        raise InvalidRequest(f"the folder name {folder.name!r} cannot be used as a collection name; pass --collection")
    return f"eval-{slug}"[:63]
