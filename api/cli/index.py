"""`winnow index`: a corpus goes in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from winnow.api.cli.collection_fields import (
    EmbedFields,
    EmbedFieldTokens,
    RerankFields,
    RerankFieldTokens,
    parse_fields,
)
from winnow.api.cli.index_report import show_report
from winnow.api.cli.indexing.engine import Engine, EngineName, RayAddress, RayChoice, Workers, choose_ray
from winnow.api.cli.options import (
    DEVICE,
    EMBEDDER,
    INDEXES,
    SERVICE,
    Json,
    OwnCollectionName,
    TenantOption,
    switch,
    with_settings,
)
from winnow.api.cli.terminal import Exit, Terminal
from winnow.api.settings import Settings
from winnow.indexer.id_source import IdSource
from winnow.indexer.readers.default_excludes import DEFAULT_EXCLUDES
from winnow.indexer.sandbox.limits import MEMORY_DEFAULT, SECONDS_DEFAULT, ParseLimits
from winnow.retrieval.errors import UnavailableError, WriteFailed
from winnow.retrieval.tenancy import DEFAULT_TENANT
from winnow.retrieval.vector_format import VectorFormat

if TYPE_CHECKING:
    from winnow.api.collections.requirements import Requirements
    from winnow.indexer.corpus import Corpus as Source
    from winnow.indexer.readers.fields import Fields
    from winnow.indexer.readers.open_corpus import Reading
    from winnow.indexer.report import IndexReport

MAPPING_BYTES_MAX: Final = 65_536  # bytes of a mapping file
FIELDS_PANEL: Final = "Fields of JSON lines and columns of tables"


def _field(content: str, usual: str) -> Any:
    meaning = f"Field that holds {content}; by default {usual}."
    return typer.Option(metavar="FIELD", help=meaning, rich_help_panel=FIELDS_PANEL, show_default=False)


Corpus = Annotated[
    str,
    typer.Argument(
        metavar="CORPUS",
        help="A BEIR folder, a folder of documents (PDF, Office, HTML, mail, text, archives), one document, or a "
        "file of records: .jsonl, .json, .csv or .tsv (also .gz, .zst), .parquet. - reads JSON lines "
        "from stdin; python-docs:[MODULE] is the documentation of the running Python.",
    ),
]
Prune = Annotated[
    bool,
    switch("--prune", meaning="Remove documents that the corpus no longer has, if all of the corpus could be read."),
]
PruneAnyway = Annotated[bool, switch("--prune-anyway", meaning="Prune even if a part of the corpus could not be read.")]
AllowRejects = Annotated[
    bool,
    switch("--allow-rejects", meaning="Exit with 0 instead of 3 if records were rejected or the corpus is empty."),
]
RerankerName = Annotated[
    str | None,
    typer.Option("--reranker", metavar="NAME", help="Configured reranker of the collection (new collections only)."),
]
VectorsFormat = Annotated[
    VectorFormat | None,
    typer.Option(
        "--vectors",
        help="How vectors are stored (new collections only): float32 by default; float16 takes half the room and moves "
        "a cosine by less than 0.0005.",
        show_default=False,
    ),
]
IdField = Annotated[str | None, _field("the id", "the first of _id, id, docid, doc_id, pid, else url")]
TextField = Annotated[str | None, _field("the text", "the first of text, contents, content, body, passage")]
TitleField = Annotated[str | None, _field("the title", "title, else headline")]
UrlField = Annotated[str | None, _field("the address", "url")]
FieldsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="YAML or JSON file that names the fields (id, text, title, url), joins several into the text, and keeps, "
        "drops or renames metadata. Flags override it.",
        rich_help_panel=FIELDS_PANEL,
    ),
]
IdFrom = Annotated[
    IdSource | None,
    typer.Option(
        help="Id of a record that has none: its source and line, or a hash of title and text. The id changes when "
        "these change, so the record counts as another document. Without this flag such records are rejected.",
        rich_help_panel=FIELDS_PANEL,
    ),
]
Split = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="Split of a Hugging Face data set that was saved to disk; repeatable. By default all."
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME",
        help="Column names of a CSV or TSV file without a header, such as id,text.",
        rich_help_panel=FIELDS_PANEL,
    ),
]
RecordsPath = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Where in a .json or .xml file the records are: 'data.items[*]' in JSON, channel/item in XML. The file "
        "may be of any size. --text-field author.name reads a nested field.",
        rich_help_panel=FIELDS_PANEL,
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Read only files that match this .gitignore pattern ('*.md'); repeatable."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Skip files that match this .gitignore pattern; repeatable. '!build/' cancels a default. Skipped by "
        "default: " + ", ".join(DEFAULT_EXCLUDES),
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Encoding of text that is not UTF-8, such as gb18030; detected by default."),
]
ParseSeconds = Annotated[
    int,
    typer.Option(
        metavar="SECONDS", min=1, max=86_400, help="CPU time to parse one document of a format other than text."
    ),
]
ParseMemory = Annotated[
    int,
    typer.Option(metavar="MB", min=128, max=1_000_000, help="Memory to parse one file of a format other than text."),
]
Types = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=TYPE",
        help="Type of a CSV column: text, number or boolean; repeatable. TYPE alone applies to all columns. By default "
        "a column is number or boolean if every value in it is.",
        rich_help_panel=FIELDS_PANEL,
    ),
]


@with_settings(
    "data", *SERVICE, "chunk_tokens", *EMBEDDER, "rerank_model", "rerank_also", "generations_kept", *INDEXES, *DEVICE,
    "ocr_command", asked=("chunk_tokens", "ocr_command"),
)  # fmt: skip
def index(
    corpus: Corpus,
    *,
    collection: OwnCollectionName,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
    prune: Prune = False,
    prune_anyway: PruneAnyway = False,
    allow_rejects: AllowRejects = False,
    chunk_tokens: int | None,
    reranker: RerankerName = None,
    rerank_fields: RerankFields = None,
    rerank_field_tokens: RerankFieldTokens = None,
    embed_fields: EmbedFields = None,
    embed_field_tokens: EmbedFieldTokens = None,
    vectors: VectorsFormat = None,
    id_field: IdField = None,
    text_field: TextField = None,
    title_field: TitleField = None,
    url_field: UrlField = None,
    fields_file: FieldsFile = None,
    id_from: IdFrom = None,
    columns: Columns = None,
    records_path: RecordsPath = None,
    split: Split = None,
    include: Include = None,
    exclude: Exclude = None,
    encoding: Encoding = None,
    parse_seconds: ParseSeconds = SECONDS_DEFAULT,
    parse_memory: ParseMemory = MEMORY_DEFAULT,
    types: Types = None,
    engine: EngineName = Engine.LOCAL,
    ray_address: RayAddress = None,
    workers: Workers = None,
) -> None:
    """Index a corpus into a collection. The collection is created if it does not exist.

    Unchanged documents are skipped. After an interruption, run the same command again: it continues where it stopped.
    Records that cannot be indexed are listed with line and reason in a rejects file; all others are indexed.
    """
    terminal = Terminal(json=json)
    ray = choose_ray(engine, address=ray_address, workers=workers, settings=settings)
    from winnow.api.collections.requirements import Requirements
    from winnow.indexer.readers.open_corpus import check, open_corpus

    if reranker is not None and settings.url is None:
        _refuse_unknown(settings, reranker)
    required = Requirements(
        chunk_tokens=chunk_tokens,
        reranker=reranker,
        rerank_fields=parse_fields("--rerank-fields", rerank_fields, rerank_field_tokens),
        embed_fields=parse_fields("--embed-fields", embed_fields, embed_field_tokens),
        vectors=vectors,
    )
    named = _fields(fields_file, id_=id_field, text=text_field, title=title_field, url=url_field, id_from=id_from)
    limits = ParseLimits(seconds=parse_seconds, memory_mb=parse_memory)
    reading = _reading(named, encoding, types or (), (include or (), exclude or ()), limits=limits, settings=settings)
    source = open_corpus(
        corpus, replace(reading, columns=_names(columns), splits=tuple(split or ()), records_path=records_path)
    )
    check(source)  # before seconds of loading, and before a collection is made
    report = _index(
        terminal, settings, source, collection=collection, tenant=tenant, required=required,
        prune=(prune, prune_anyway), ray=ray,
    )  # fmt: skip
    show_report(terminal, collection, report)
    _require_taken(report, allow_rejects=allow_rejects)


def _refuse_unknown(settings: Settings, reranker: str) -> None:
    from winnow.api.search.rerankers import refuse_unknown, settings_by_name

    refuse_unknown(reranker, settings_by_name(settings))


def _index(
    terminal: Terminal,
    settings: Settings,
    source: Source,
    *,
    collection: str,
    tenant: str,
    required: Requirements,
    prune: tuple[bool, bool],
    ray: RayChoice | None,
) -> IndexReport:
    """Index at a service or into a data folder."""
    with _resumable(terminal):
        if settings.url is not None:
            return _upload(terminal, settings, source, collection=collection, required=required, prune=prune)
        from winnow.api.cli.indexing.run import index_into_folder

        return index_into_folder(
            terminal, settings, source, collection=collection, tenant=tenant, required=required, prune=prune, ray=ray
        )


def _upload(
    terminal: Terminal,
    settings: Settings,
    source: Source,
    *,
    collection: str,
    required: Requirements,
    prune: tuple[bool, bool],
) -> IndexReport:
    """Index at a service."""
    from winnow.api.cli.client.service import Service
    from winnow.api.cli.client.upload import REJECTS, Pruning, open_collection, upload
    from winnow.api.cli.progress import IndexProgress

    service = Service.of(settings)
    open_collection(service, collection, required)
    terminal.say(f"{source.name} → {collection} at {service.url}")
    pruning = Pruning.ANYWAY if prune[1] else Pruning.IF_READ if prune[0] else Pruning.NEVER
    rejects = Path(REJECTS.format(collection=collection))
    with IndexProgress(terminal) as progress:
        return upload(service, source, collection, progress=progress, rejects=rejects, prune=pruning)


def _require_taken(report: IndexReport, *, allow_rejects: bool) -> None:
    """Exit with the code of a run that took nothing, or not all."""
    if report.rejected and not report.taken:
        raise typer.Exit(Exit.FAILED)
    if (report.rejected or not report.taken) and not allow_rejects:
        raise typer.Exit(Exit.REJECTS)


@contextlib.contextmanager
def _resumable(terminal: Terminal) -> Iterator[None]:
    """Tell that an interrupted or failed run can be continued."""
    try:
        yield
    except KeyboardInterrupt:
        terminal.warn("Interrupted. Committed documents stay; run the same command again to continue.")
        raise typer.Exit(Exit.INTERRUPTED) from None
    except (WriteFailed, UnavailableError):
        terminal.warn("Committed documents stay; run the same command again to continue.")
        raise


def _reading(
    fields: Fields,
    encoding: str | None,
    types: Sequence[str],
    patterns: tuple[Sequence[str], Sequence[str]],  # to include, to exclude
    *,
    limits: ParseLimits,
    settings: Settings,
) -> Reading:
    """How to read the corpus. Raises `InvalidRequest`."""
    from winnow.indexer.decoding.column_types import parse_types
    from winnow.indexer.decoding.encodings import find_codec
    from winnow.indexer.readers.folder_walk import Choice
    from winnow.indexer.readers.open_corpus import Reading
    from winnow.indexer.readers.untrusted.ocr import OcrCommand

    codec = find_codec(encoding) if encoding is not None else None
    choice = Choice(include=tuple(patterns[0]), exclude=tuple(patterns[1]))
    ocr = OcrCommand(arguments=settings.ocr_command) if settings.ocr_command else None
    return Reading(fields=fields, encoding=codec, types=parse_types(types), choice=choice, limits=limits, ocr=ocr)


def _names(columns: str | None) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in columns.split(",")) if columns is not None else None


def _fields(
    file: Path | None,
    *,
    id_: str | None,
    text: str | None,
    title: str | None,
    url: str | None,
    id_from: IdSource | None,
) -> Fields:
    """The fields that the mapping file names, and over them those that flags name. Raises `InvalidRequest`."""
    from winnow.indexer.readers.fields import Fields

    mapped = _read_mapping(file) if file is not None else Fields()
    return replace(
        mapped,
        id=id_ or mapped.id,
        text=text or mapped.text,
        title=title or mapped.title,
        url=url or mapped.url,
        id_from=id_from or mapped.id_from,
    )


def _read_mapping(file: Path) -> Fields:
    from winnow.api.library.strict_yaml import read_yaml
    from winnow.indexer.decoding.json_values import parse_record
    from winnow.indexer.readers.naming.mapping_file import parse_mapping
    from winnow.retrieval.errors import InvalidRequest

    try:
        with file.open("rb") as stream:
            content = stream.read(MAPPING_BYTES_MAX + 1)
        if file.suffix.lower() == ".json":
            return parse_mapping(parse_record(content))
        return parse_mapping(read_yaml(content, bytes_max=MAPPING_BYTES_MAX))
    except OSError as error:
        raise InvalidRequest(f"--fields-file {file}: {error.strerror}") from error
    except InvalidRequest as error:
        raise InvalidRequest(f"--fields-file {file}: {error.detail}") from error
