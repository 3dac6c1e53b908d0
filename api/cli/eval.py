"""`winnow eval`: figures of a judged collection. `winnow demo`: a look at everything."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from winnow.api.cli.options import (
    Candidates,
    ChunkTokens,
    Config,
    Data,
    Device,
    Dtype,
    EmbedDimension,
    EmbedModel,
    EmbedUrl,
    InstructionName,
    InstructionText,
    Json,
    RerankAlso,
    RerankModel,
    RerankUrl,
    Variables,
    Whose,
    own_name,
)
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import amount, duration
from winnow.api.settings import load
from winnow.retrieval.errors import CorpusUnreadable, InvalidRequest
from winnow.retrieval.files.durable import write_errors
from winnow.retrieval.records import RecallMode
from winnow.retrieval.tenancy import DEFAULT_TENANT

ORDERS: Final = {"recall": "recall alone", "two-stage": "as a search answers", "rerank": "by relevance alone"}

if TYPE_CHECKING:
    from winnow.api.cli.evaluation import Run


class WhichRun(StrEnum):
    """What `winnow eval` measures."""

    RECALL = "recall"  # stage one alone: no reranker is loaded
    TWO_STAGE = "two-stage"  # recall, the order of answers, and relevance alone


def evaluate(
    folder: Annotated[
        Path, typer.Argument(metavar="BEIR_FOLDER", help="corpus.jsonl, queries.jsonl and qrels (plain, .gz, .zst).")
    ],
    *,
    data: Data = None,
    tenant: Whose = DEFAULT_TENANT,
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection",
            "-c",
            metavar="NAME",
            help="By default eval- and the folder's name.",
            callback=own_name,
        ),
    ] = None,
    metrics: Annotated[
        str, typer.Option(metavar='"M M ..."', help="nDCG@k, R@k and MRR@k, separated by spaces.")
    ] = "nDCG@10 R@100",
    candidates: Candidates = None,
    queries: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Ask a sample of N queries, always the same; all by default.")
    ] = None,
    run: Annotated[
        WhichRun, typer.Option(help="recall leaves the reranker out; two-stage measures all orders.")
    ] = WhichRun.TWO_STAGE,
    ways: Annotated[
        str | None,
        typer.Option(
            "--recall",
            metavar='"WAY W ..."',
            help="Compare these ways of recall: dense, lexical, hybrid, separated by spaces.",
        ),
    ] = None,
    instruction: InstructionText = None,
    instruction_name: InstructionName = None,
    variable: Variables = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write the orders as TREC run files FILE.recall, FILE.two-stage, FILE.rerank."
        ),
    ] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="Which qrels/NAME.tsv is used.")] = "test",
    json: Json = False,
    chunk_tokens: ChunkTokens = None,
    embed_model: EmbedModel = None,
    embed_url: EmbedUrl = None,
    embed_dimension: EmbedDimension = None,
    rerank_model: RerankModel = None,
    rerank_also: RerankAlso = None,
    rerank_url: RerankUrl = None,
    device: Device = None,
    dtype: Dtype = None,
    config: Config = None,
) -> None:
    """Measure three orders on a judged collection: recall alone, as a search answers, by relevance alone.

    The folder's corpus is indexed where it is not indexed yet. The first --candidates chunks are reranked; those behind
    them keep recall's order, so that R@100 means the same in every row. Reranker and instruction are those of the
    collection's searches, unless --instruction or --instruction-name gives another instruction.
    """
    terminal = Terminal(json=json)
    settings = load(
        {
            "data": data,
            "candidates": candidates,
            "chunk_tokens": chunk_tokens,
            "embed_model": embed_model,
            "embed_url": embed_url,
            "embed_dimension": embed_dimension,
            "rerank_model": rerank_model,
            "rerank_also": rerank_also,
            "rerank_url": rerank_url,
            "device": device,
            "dtype": dtype,
        },
        config=config,
    )
    from winnow.indexer.readers.beir import is_beir

    if not is_beir(folder):
        raise CorpusUnreadable(f"{folder} is not a BEIR folder: there is no corpus.jsonl in it")
    import asyncio

    from winnow.api.cli.evaluation import Plan, evaluated
    from winnow.api.cli.variables import wanted_instruction
    from winnow.api.collections.data_folder import DataFolder

    disk = DataFolder.open(settings.data, settings.catalog_url)
    whose = disk.tenant_named(tenant)
    plan = Plan(
        folder=folder,
        tenant=whose,
        instruction=wanted_instruction(disk.instructions, whose, instruction, instruction_name, variable or []),
        collection=collection or _collection_name(folder),
        metrics=tuple(metrics.split()),
        sample=queries,
        split=split,
        is_judged=run is WhichRun.TWO_STAGE,
        recalls=_recalls(ways),
    )
    found = asyncio.run(evaluated(terminal, settings, plan))
    if output is not None:
        _write_runs(terminal, output, found.orders)
    _show(terminal, found.said())


def demo(
    *,
    data: Data = None,
    candidates: Candidates = None,
    embed_model: EmbedModel = None,
    embed_url: EmbedUrl = None,
    rerank_model: RerankModel = None,
    rerank_url: RerankUrl = None,
    device: Device = None,
    dtype: Dtype = None,
    config: Config = None,
) -> None:
    """Index Python's documentation and our bilingual corpus, search them, and show what an instruction changes."""
    settings = load(
        {
            "data": data,
            "candidates": candidates,
            "embed_model": embed_model,
            "embed_url": embed_url,
            "rerank_model": rerank_model,
            "rerank_url": rerank_url,
            "device": device,
            "dtype": dtype,
        },
        config=config,
    )
    import asyncio

    from winnow.api.cli.demo import show

    asyncio.run(show(Terminal(), settings))


def _recalls(said: str | None) -> tuple[RecallMode, ...]:
    words = list(dict.fromkeys((said or "").split()))
    unknown = [word for word in words if word not in set(RecallMode)]
    if unknown or said == "":
        raise InvalidRequest(f"--recall {said!r}: a way of recall is one of {', '.join(RecallMode)}")
    return tuple(RecallMode(word) for word in words)


def _write_runs(terminal: Terminal, output: Path, orders: dict[str, Run]) -> None:
    from winnow.api.cli.evaluation import trec_lines

    for name, order in orders.items():
        path = output.with_name(f"{output.name}.{name}")
        with write_errors(path):
            path.write_text("".join(line + "\n" for line in trec_lines(order, name)), encoding="utf-8")
        terminal.say(f"wrote {path}")


def _show(terminal: Terminal, body: dict[str, Any]) -> None:
    if terminal.is_json:
        terminal.answer(body)
        return
    names = list(body["runs"][0]["metrics"])
    terminal.table(
        [Column(name="run"), *(Column(name=name, right=True, style="bold") for name in names), Column(name="order")],
        [
            (run["name"], *(f"{run['metrics'][name]:.4f}" for name in names), _order_said(run["name"]))
            for run in body["runs"]
        ],
    )
    asked = f"{amount(body['queries'])} queries over {amount(body['documents'])} documents"
    reranked = (
        f"{body['candidates']} candidates reranked by {body['reranker']}" if body["candidates"] else "not reranked"
    )
    terminal.say(f"{asked} in {duration(body['seconds'])} · {reranked} · found by {body['embedder']}")


def _order_said(run: str) -> str:
    """`recall-hybrid` is the recall of one of several ways."""
    return next((said for name, said in ORDERS.items() if run == name or run.startswith(f"{name}-")), "")


def _collection_name(folder: Path) -> str:
    """`SciFact (test)` -> `eval-scifact-test`."""
    slug = re.sub(r"[^a-z0-9_]+", "-", folder.resolve().name.lower()).strip("-_")
    if not slug:
        raise InvalidRequest(f"the folder's name {folder.name!r} makes no collection name; give one with --collection")
    return f"eval-{slug}"[:63]
