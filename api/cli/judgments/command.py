"""`winnow judgments`: which documents answer a query, according to people and models."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from winnow.api.cli.options import (
    Json,
    TenantOption,
    collection_name,
    open_tenant,
    switch,
    with_settings,
)
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import amount, counted
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import GRADE_MAX, JUDGMENTS_LISTED_MAX
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.api.collections.data_folder import DataFolder
    from winnow.retrieval.catalog.judgments import Chosen, Judgment, JudgmentSource, Place
    from winnow.retrieval.tenancy import TenantName

SHA_CHARACTERS: Final = 12  # of a digest in a table; --json has all
HERE: Final = "command-line"  # the judge where none is named

judgments = typer.Typer(
    help="Store, list, export and delete judgments: which documents answer a query.", no_args_is_help=True
)


class Kind(StrEnum):
    """The judges that are meant."""

    PERSON = "person"
    MODEL = "model"
    ALL = "all"  # where a person judged, the person's judgment counts


class OnOff(StrEnum):
    """A switch."""

    ON = "on"
    OFF = "off"


Named = Annotated[
    str,
    typer.Argument(
        metavar="COLLECTION", help="Name of the collection, or OWNER/NAME of a granted one.", callback=collection_name
    ),
]
MaybeNamed = Annotated[
    str | None,
    typer.Argument(
        metavar="[COLLECTION]",
        help="Only judgments of this collection.",
        callback=lambda name: None if name is None else collection_name(name),
    ),
]
Judge = Annotated[str, typer.Option("--judge", metavar="NAME", help="Who judged.")]
OfJudge = Annotated[str | None, typer.Option("--judge", metavar="NAME", help="Only judgments of this judge.")]
OfKind = Annotated[Kind, typer.Option("--source", help="Judgments of people, of models, or all.")]


@judgments.command("add")
@with_settings("data")
def add(
    collection: Named,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="Text of the query.")],
    document: Annotated[str, typer.Argument(metavar="DOCUMENT", help="Id of the document.")],
    *,
    grade: Annotated[
        int, typer.Option(metavar="N", min=0, max=GRADE_MAX, help="How relevant it is; 0 is not relevant.")
    ],
    judge: Judge = HERE,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Store what a person says about a document and a query. It replaces the same judge's earlier judgment."""
    terminal = Terminal(json=json)
    from winnow.retrieval.catalog.judgments import JudgmentSource

    folder, owner = open_tenant(settings, tenant)
    place = _find_place(folder, owner, collection)
    _require_document(folder, owner, collection, document)
    stored = [_judgment(owner, place, query, document, grade, judge=judge)]
    store(terminal, folder, stored, source=JudgmentSource.PERSON, judge=judge)


@judgments.command("import")
@with_settings("data")
def import_(
    collection: Named,
    *,
    qrels: Annotated[
        Path, typer.Option(metavar="FILE", help="Relevance judgements in BEIR's or TREC's format (plain, .gz or .zst).")
    ],
    queries: Annotated[
        Path, typer.Option(metavar="FILE", help="Their queries: JSON Lines with id and text, or a .tsv of id and text.")
    ],
    judge: Judge = HERE,
    source: Annotated[
        Kind, typer.Option("--source", help="person, or model for judgments that a model made.")
    ] = Kind.PERSON,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Store judgments from files. All of them are stored or none. Negative grades (TREC's spam) are stored as 0."""
    terminal = Terminal(json=json)
    from winnow.indexer.readers.beir import read_qrels_file
    from winnow.indexer.readers.query_file import read_query_file
    from winnow.retrieval.catalog.judgments import JudgmentSource

    if source is Kind.ALL:
        raise InvalidRequest("--source all: what is imported was judged by people or by a model; name one")
    folder, owner = open_tenant(settings, tenant)
    place = _find_place(folder, owner, collection)
    texts = read_query_file(queries)
    grades = read_qrels_file(qrels)
    missing = next((each for each in grades if each not in texts), None)
    if missing is not None:
        raise InvalidRequest(f"{queries} has no query {missing!r}, which {qrels} judges")
    found = []
    for query_id, documents in grades.items():
        try:
            found += [
                _judgment(
                    owner,
                    place,
                    texts[query_id],
                    document_id,
                    max(grade, 0),
                    judge=judge,
                    source=JudgmentSource(source.value),
                )
                for document_id, grade in documents.items()
            ]
        except InvalidRequest as error:
            raise InvalidRequest(f"query {query_id!r}: {error.detail}") from error
    store(terminal, folder, found, source=JudgmentSource(source.value), judge=judge)


@judgments.command("export")
@with_settings("data")
def export(
    collection: Named,
    *,
    qrels: Annotated[Path, typer.Option(metavar="FILE", help="File to write, in BEIR's format.")],
    queries: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="Also write the queries whose text is known, as JSON Lines."),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Queries that you know: where one was judged, its id and text are used."),
    ] = None,
    source: OfKind = Kind.PERSON,
    clicks: Annotated[bool, switch("--clicks", meaning="Count a click as grade 1 where there is no grade.")] = False,
    judge: OfJudge = None,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Write judgments as files that `winnow eval` and other tools read.

    Each query and document has one grade: of several the median. A model's judgments are left out unless you ask for
    them; with --source all they count only where no person judged.
    """
    terminal = Terminal(json=json)
    from winnow.api.cli.judgments.files import check_paths, write_qrels, write_query_texts
    from winnow.api.schemas.judgments import ExportedJudgments
    from winnow.indexer.readers.query_file import read_query_file
    from winnow.retrieval.catalog.judgments import qrels_of

    check_paths(qrels, queries, texts)
    folder, owner = open_tenant(settings, tenant)
    found = folder.catalog.judgments.all(owner, _chosen(owner, collection, judge, source))
    known = {} if texts is None else read_query_file(texts)
    merged = qrels_of(found, clicks=clicks, texts=known)
    written = write_qrels(qrels, merged)
    if queries is not None:
        write_query_texts(queries, merged)
    total = sum(map(len, merged.grades.values()))
    body: ExportedJudgments = {
        "judgments": written,
        "queries": len(merged.grades),
        "without_text": merged.without_text,
        "left_out": total - written,
    }
    if json:
        terminal.answer(body)
        return
    terminal.say(f"wrote {counted(written, 'judgment')} of {of_queries(len(merged.grades))}")
    if merged.without_text and queries is not None:
        terminal.warn(f"{of_queries(merged.without_text)} without a text; --texts FILE takes those that you know")
    if total > written:
        terminal.warn(f"{total - written} left out: an id has a tab or a line end")


@judgments.command("list")
@with_settings("data")
def list_(
    collection: MaybeNamed = None,
    *,
    judge: OfJudge = None,
    source: OfKind = Kind.ALL,
    after: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Only judgments after this number.")] = 0,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=JUDGMENTS_LISTED_MAX, help="Number of judgments to show.")
    ] = 100,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """List judgments in the order they were stored."""
    terminal = Terminal(json=json)
    from winnow.api.schemas.judgments import judgments_response

    folder, owner = open_tenant(settings, tenant)
    book = folder.catalog.judgments
    found = book.page(owner, _chosen(owner, collection, judge, source), after=after, limit=limit)
    if json:
        terminal.answer(judgments_response(found, keeps_queries=book.keeps_queries(owner)))
        return
    numbers = [Column(name="number", right=True), Column(name="grade", right=True, style="bold")]
    words = [Column(name=name) for name in ("document", "query", "collection", "judge", "source")]
    rows = [
        (
            str(each.number),
            "click" if each.judgment.grade is None else str(each.judgment.grade),
            each.judgment.document_id,
            each.judgment.query or f"sha256 {each.judgment.query_sha256[:SHA_CHARACTERS]}",
            each.judgment.place.seen_by(owner),
            each.judgment.judge,
            each.judgment.source.value,
        )
        for each in found
    ]
    terminal.table([*numbers, *words], rows)


@judgments.command("remove")
@with_settings("data")
def remove(
    collection: MaybeNamed = None,
    *,
    judge: OfJudge = None,
    source: OfKind = Kind.ALL,
    everything: Annotated[bool, switch("--all", meaning="Delete all judgments of the tenant.")] = False,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    yes: Annotated[bool, switch("--yes", "-y", meaning="Do not ask for confirmation.")] = False,
    json: Json = False,
) -> None:
    """Delete the judgments of a collection, of a judge, of people or of models, or all of a tenant."""
    terminal = Terminal(json=json)
    from winnow.api.schemas.judgments import RemovedJudgments
    from winnow.retrieval.catalog.judgments import Chosen
    from winnow.retrieval.tenancy import COMMAND_LINE

    folder, owner = open_tenant(settings, tenant)
    chosen = _chosen(owner, collection, judge, source)
    if everything != (chosen == Chosen()):
        raise InvalidRequest("name a collection, --judge or --source, or else --all")
    if not yes:
        typer.confirm("Delete these judgments?", abort=True, err=True)
    body: RemovedJudgments = {"removed": folder.catalog.judgments.remove(owner, chosen, by=COMMAND_LINE)}
    if json:
        terminal.answer(body)
    else:
        terminal.say(f"deleted {counted(body['removed'], 'judgment')}")


@judgments.command("keep-queries")
@with_settings("data")
def keep_queries(
    state: Annotated[OnOff, typer.Argument(metavar="on|off", help="Whether to keep texts.")],
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Keep the texts of queries judged from now on; or only their SHA-256, and delete the texts kept so far."""
    terminal = Terminal(json=json)
    from winnow.api.schemas.judgments import JudgmentSettings
    from winnow.retrieval.tenancy import COMMAND_LINE

    folder, owner = open_tenant(settings, tenant)
    folder.catalog.judgments.keep_queries(owner, keep=state is OnOff.ON, by=COMMAND_LINE)
    body: JudgmentSettings = {"keep_queries": state is OnOff.ON}
    if json:
        terminal.answer(body)
    else:
        terminal.say("texts of judged queries are kept" if body["keep_queries"] else "no texts of queries are kept")


def store(terminal: Terminal, folder: DataFolder, found: list[Judgment], *, source: JudgmentSource, judge: str) -> None:
    """Store judgments, and show what was stored."""
    from winnow.api.schemas.judgments import AddedJudgments

    kept = folder.catalog.judgments.add(found)
    body: AddedJudgments = {
        "added": len(found),
        "queries": len({each.query_sha256 for each in found}),
        "source": source,
        "judge": judge,
        "texts_kept": kept,
    }
    if terminal.is_json:
        terminal.answer(body)
        return
    terminal.say(f"stored {counted(body['added'], 'judgment')} of {of_queries(body['queries'])}")
    if not kept:
        terminal.say("The texts of the queries are not kept; 'winnow judgments keep-queries on' keeps them.")


def of_queries(count: int) -> str:
    return "1 query" if count == 1 else f"{amount(count)} queries"


def _judgment(
    tenant: TenantName,
    place: Place,
    query: str,
    document_id: str,
    grade: int,
    *,
    judge: str,
    source: JudgmentSource | None = None,
) -> Judgment:
    from winnow.retrieval.catalog.judgments import Judgment, JudgmentSource, digest_of

    return Judgment(
        tenant=tenant,
        place=place,
        query_sha256=digest_of(query),
        query=query,
        document_id=document_id,
        grade=grade,
        source=source or JudgmentSource.PERSON,
        judge=judge,
        at=datetime.now(UTC),
    )


def _find_place(folder: DataFolder, asker: TenantName, collection: str) -> Place:
    """Raises `CollectionNotFound`."""
    from winnow.api.search.first_stage import find_collection
    from winnow.retrieval.catalog.judgments import Place

    found = find_collection(folder.catalog.collections, collection, asker=asker)
    return Place(owner=found.tenant, name=found.name)


def _require_document(folder: DataFolder, asker: TenantName, collection: str, document_id: str) -> None:
    """Raises `DocumentNotFound`."""
    from winnow.api.search.first_stage import find_collection

    found = find_collection(folder.catalog.collections, collection, asker=asker)
    folder.store(found).snapshot().document(document_id)


def _chosen(owner: TenantName, collection: str | None, judge: str | None, source: Kind) -> Chosen:
    from winnow.retrieval.catalog.judgments import Chosen, JudgmentSource, Place

    return Chosen(
        place=None if collection is None else Place.named(collection, asker=owner),
        judge=judge,
        source=None if source is Kind.ALL else JudgmentSource(source.value),
    )
