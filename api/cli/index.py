"""`winnow index`: a corpus goes in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from winnow.api.cli.index_report import show_report
from winnow.api.cli.options import (
    ChunkTokens,
    Config,
    Data,
    Device,
    Dtype,
    EmbedDimension,
    EmbedModel,
    EmbedUrl,
    GenerationsKept,
    IndexDevice,
    IndexRecall,
    IndexRecipe,
    Json,
    OwnCollectionName,
    RerankAlso,
    RerankModel,
    Whose,
    switch,
)
from winnow.api.cli.terminal import Exit, Terminal
from winnow.api.settings import load
from winnow.indexer.readers.default_excludes import DEFAULT_EXCLUDES
from winnow.retrieval.errors import WriteFailed
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.indexer.readers.fields import Fields

FIELDS_PANEL: Final = "Fields of JSON lines and columns of tables"


def _field(what: str, usual: str) -> Any:
    said = f"Which field holds {what}; by default {usual}."
    return typer.Option(metavar="FIELD", help=said, rich_help_panel=FIELDS_PANEL, show_default=False)


def index(
    corpus: Annotated[
        str,
        typer.Argument(
            metavar="CORPUS",
            help="BEIR folder, folder of .txt and .md files, a .jsonl, .json, .csv or .tsv file (.gz, .zst), a "
            ".parquet, .txt or .md file, - for JSON lines on stdin, or python-docs:[MODULE] for the documentation of "
            "the running Python.",
        ),
    ],
    *,
    collection: OwnCollectionName,
    tenant: Whose = DEFAULT_TENANT,
    data: Data = None,
    json: Json = False,
    prune: Annotated[
        bool, switch("--prune", said="Remove documents that the corpus no longer has, if all of it could be read.")
    ] = False,
    prune_anyway: Annotated[
        bool, switch("--prune-anyway", said="Prune also where a part of the corpus could not be read.")
    ] = False,
    allow_rejects: Annotated[
        bool, switch("--allow-rejects", said="Exit with 0, not 3, when some records were rejected or there were none.")
    ] = False,
    chunk_tokens: ChunkTokens = None,
    reranker: Annotated[
        str | None,
        typer.Option("--reranker", metavar="NAME", help="Configured reranker that judges a collection newly made."),
    ] = None,
    id_field: Annotated[str | None, _field("the id", "id, or _id in a BEIR folder")] = None,
    text_field: Annotated[str | None, _field("the text", "text")] = None,
    title_field: Annotated[str | None, _field("the title", "title")] = None,
    url_field: Annotated[str | None, _field("the address", "url")] = None,
    embed_model: EmbedModel = None,
    embed_url: EmbedUrl = None,
    embed_dimension: EmbedDimension = None,
    rerank_model: RerankModel = None,
    rerank_also: RerankAlso = None,
    generations_kept: GenerationsKept = None,
    index_recipe: IndexRecipe = None,
    index_recall: IndexRecall = None,
    index_device: IndexDevice = None,
    device: Device = None,
    dtype: Dtype = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Read only these files of a folder; a .gitignore pattern such as '*.md'; repeatable.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Leave these out, too; '!build/' takes back a default. Left out by default: "
            + ", ".join(DEFAULT_EXCLUDES),
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Encoding of text that is not UTF-8, such as gb18030; detected by default."),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=TYPE",
            help="Type of a CSV column: text, number or boolean; repeatable. TYPE alone holds for all columns. By "
            "default, columns in which every value agrees are numbers or booleans.",
            rich_help_panel=FIELDS_PANEL,
        ),
    ] = None,
    config: Config = None,
) -> None:
    """Index a corpus into a collection, which is made if it is missing.

    Documents that are there already, word for word, are skipped: a run that was interrupted goes on when it is started
    again, and ends as if nothing had happened. Records that cannot be taken are listed in a rejects file with line and
    reason; the others go in.
    """
    terminal = Terminal(json=json)
    settings = load(
        {
            "data": data,
            "chunk_tokens": chunk_tokens,
            "generations_kept": generations_kept,
            "index_recipe": index_recipe,
            "index_recall": index_recall,
            "index_device": index_device,
            "embed_model": embed_model,
            "embed_url": embed_url,
            "embed_dimension": embed_dimension,
            "rerank_model": rerank_model,
            "rerank_also": rerank_also,
            "device": device,
            "dtype": dtype,
        },
        config=config,
    )
    import asyncio

    from winnow.api.assemble import closing
    from winnow.api.cli.progress import IndexProgress
    from winnow.api.collections.data_folder import DataFolder
    from winnow.api.collections.indexing import Indexing
    from winnow.api.model_loading import load_embedding
    from winnow.api.search.rerankers import refuse_unknown, settings_by_name
    from winnow.indexer.decoding.column_types import parse_types
    from winnow.indexer.decoding.encodings import find_codec
    from winnow.indexer.readers.folder_walk import Choice
    from winnow.indexer.readers.open_corpus import Reading, check, open_corpus

    if reranker is not None:
        refuse_unknown(reranker, settings_by_name(settings))
    source = open_corpus(
        corpus,
        Reading(
            fields=_fields(corpus, id_field, text_field, title_field, url_field),
            encoding=find_codec(encoding) if encoding is not None else None,
            types=parse_types(types or ()),
            choice=Choice(include=tuple(include or ()), exclude=tuple(exclude or ())),
        ),
    )
    check(source)  # before seconds of loading, and before a collection is made
    disk = DataFolder.open(settings.data, settings.catalog_url)
    whose = disk.tenant_named(tenant)  # asked before seconds of loading
    embedding = load_embedding(settings)
    indexing = Indexing(settings=settings, disk=disk, embedding=embedding)
    opened = indexing.open(collection, tenant=whose, chunk_tokens=chunk_tokens, reranker=reranker)
    terminal.say(f"{source.name} → {collection} in {settings.data} · {embedding.runs_on}")
    try:
        with IndexProgress(terminal) as progress:
            running = indexing.run(source, opened, progress=progress, prune=prune, prune_anyway=prune_anyway)
            report = asyncio.run(closing(running, embedding.pool))
    except KeyboardInterrupt:
        terminal.warn("Interrupted. What was committed stays; the same command goes on from there.")
        raise typer.Exit(Exit.INTERRUPTED) from None
    except WriteFailed:
        terminal.warn("What was committed stays; the same command goes on from there.")
        raise
    show_report(terminal, collection, report)
    if report.rejected and not report.taken:
        raise typer.Exit(Exit.FAILED)
    if (report.rejected or not report.taken) and not allow_rejects:
        raise typer.Exit(Exit.REJECTS)


def _fields(corpus: str, id_: str | None, text: str | None, title: str | None, url: str | None) -> Fields | None:
    """The fields that flags name; None where none does, which leaves the choice to the reader."""
    if id_ is text is title is url is None:
        return None
    from dataclasses import replace
    from pathlib import Path

    from winnow.indexer.readers.beir import is_beir
    from winnow.indexer.readers.fields import BEIR_FIELDS, Fields

    named = {"id": id_, "text": text, "title": title, "url": url}
    usual = BEIR_FIELDS if is_beir(Path(corpus)) else Fields()
    return replace(usual, **{name: field for name, field in named.items() if field is not None})
