"""`winnow search` and `winnow rerank`: run one query and show the results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from winnow.api.cli.calibration.minimum import MinRelevance, minimum_field, say_calibrated
from winnow.api.cli.marked_text import mark_text
from winnow.api.cli.options import (
    DEVICE,
    EMBEDDER,
    RERANKER,
    CollapseCosine,
    CollapseShingles,
    CollectionName,
    InstructionName,
    InstructionText,
    Json,
    MmrLambda,
    TenantOption,
    Variables,
    collapse_field,
    open_tenant,
    switch,
    with_settings,
)
from winnow.api.cli.standard_streams import lines_of_input
from winnow.api.cli.terminal import Column, Terminal
from winnow.api.formatting import counted, flat, number, snippet
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest, RerankUnavailable
from winnow.retrieval.records import BREADCRUMB_JOINT, breadcrumb
from winnow.retrieval.structure import cite
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from rich.console import RenderableType

    from winnow.api.assemble import Services
    from winnow.api.library.instructions import NamedInstruction
    from winnow.api.search.records import Answer, Result
    from winnow.rerank.near_duplicates import Diversified
    from winnow.rerank.reranker import Ranking

TITLE_CHARACTERS: Final = 72  # characters; one line of a usual terminal beside the numbers
_HEADS: Final = "rank\tscore\trelevance\tsimilarity\tdocument_id\tordinal\ttitle\ttext\tsection\tlocation"
_SKIPPED: Final = {  # by `rerank_skipped`, where the reason is not obvious
    "no_weight": " (relevance has no weight without an instruction; --always-rerank shows it)"
}


Query = Annotated[str, typer.Argument(metavar="QUERY", help="Text to search for.")]
TopK = Annotated[int, typer.Option("--top-k", "-k", metavar="N", help="Number of results to show.")]
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="JSON",
        help='Search only documents that match, such as {"type": "eq", "key": "lang", "value": "zh"}.',
    ),
]
NoRerank = Annotated[bool, switch("--no-rerank", meaning="Keep the order of recall; do not load the reranker.")]
AlwaysRerank = Annotated[
    bool, switch("--always-rerank", meaning="Run the reranker even where its relevance cannot change the order.")
]
GroupByDocument = Annotated[bool, switch("--group-by-document", meaning="Show one result per document.")]
ChunksPerDocument = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="With --group-by-document: show the N best chunks of each document; by default all found."
    ),
]
Neighbours = Annotated[
    int, typer.Option(metavar="N", help="Show N chunks before and after each result (in a terminal and with --json).")
]
Highlight = Annotated[
    bool, switch("--highlight", meaning="Mark the sentences that carry the relevance (in a terminal and with --json).")
]
DemoteQueryEcho = Annotated[
    bool, switch("--demote-query-echo", meaning="Place passages last that hold little but the query itself.")
]
NoCollapse = Annotated[bool, switch("--no-collapse", meaning="Leave out nothing, even if the collection is set to.")]
Explain = Annotated[bool, switch("--explain", meaning="With --json: list every candidate in both orders.")]


@with_settings("data", "candidates", "recall", "depth", "timeout_ms", *EMBEDDER, *RERANKER, *DEVICE)
def search(
    query: Query,
    *,
    collection: CollectionName,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    top_k: TopK = 10,
    candidates: int | None,
    recall: str | None,
    depth: str | None,
    where: Filter = None,
    instruction: InstructionText = None,
    instruction_name: InstructionName = None,
    variable: Variables = None,
    no_rerank: NoRerank = False,
    always_rerank: AlwaysRerank = False,
    min_relevance: MinRelevance = None,
    group_by_document: GroupByDocument = False,
    chunks_per_document: ChunksPerDocument = None,
    neighbours: Neighbours = 0,
    highlight: Highlight = False,
    demote_query_echo: DemoteQueryEcho = False,
    collapse_cosine: CollapseCosine = None,
    collapse_shingles: CollapseShingles = None,
    no_collapse: NoCollapse = False,
    mmr_lambda: MmrLambda = None,
    explain: Explain = False,
    timeout_ms: int | None,
    json: Json = False,
) -> None:
    """Search a collection: recall finds candidates, the reranker orders them under your instruction.

    With --json the output is the response body of POST /v1/search.
    """
    terminal = Terminal(json=json)
    import asyncio

    from winnow.api.assemble import closing
    from winnow.api.cli.instructions.variables import wanted_instruction
    from winnow.api.fields import deadline_of, parsed
    from winnow.api.schemas.search_request import SearchBody
    from winnow.api.search.first_stage import find_collection

    folder, owner = open_tenant(settings, tenant)
    wanted = wanted_instruction(folder.catalog.instructions, owner, instruction, instruction_name, variable or [])
    fields = {
        "query": query,
        "collection": collection,
        "top_k": top_k,
        "candidates": candidates,
        "recall": recall,
        "depth": depth,
        "filter": _parse_filter(where),
        "rerank": _rerank_field(no_rerank=no_rerank, always_rerank=always_rerank),
        "instruction": _instruction_field(wanted),
        "min_relevance": minimum_field(min_relevance),
        "group_by_document": group_by_document,
        "chunks_per_document": chunks_per_document,
        "neighbours": neighbours,
        "highlight": highlight,
        "demote_query_echo": demote_query_echo or None,
        "collapse": collapse_field(collapse_cosine, collapse_shingles, off=no_collapse),
        "mmr_lambda": mmr_lambda,
    }
    body = parsed(SearchBody, fields)
    chosen = find_collection(folder.catalog.collections, body.collection, asker=owner).reranker  # before loading
    parts = _assemble(terminal, settings, chosen, judged=not no_rerank)
    deadline = deadline_of(timeout_ms, settings.timeout_ms)
    answer = asyncio.run(closing(parts.search.answer(body.question(owner), deadline), *parts.pools))
    _show(terminal, answer, explain=explain, grouped=group_by_document)


@with_settings("timeout_ms", *RERANKER, *DEVICE)
def rerank(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="Text that the documents should answer.")],
    documents: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DOCUMENT]...", help="Texts to rerank; without any, stdin is read, one text per line."),
    ] = None,
    *,
    instruction: InstructionText = None,
    top_n: Annotated[
        int | None, typer.Option("--top-n", "-n", metavar="N", help="Number of results to show; all by default.")
    ] = None,
    collapse_shingles: CollapseShingles = None,
    timeout_ms: int | None,
    json: Json = False,
    reranker: Annotated[
        str | None,
        typer.Option("--reranker", metavar="NAME", help="Configured reranker to use, instead of the default."),
    ] = None,
    settings: Settings,
) -> None:
    """Rerank texts that you pass in, without a collection.

    With --json the output is the response body of POST /v1/rerank.
    """
    terminal = Terminal(json=json)
    import asyncio

    from winnow.api.assemble import closing
    from winnow.api.fields import deadline_of, parsed
    from winnow.api.model_loading import load_reranker
    from winnow.api.schemas.compat.judged_by import cut_query
    from winnow.api.schemas.compat.rerank import RerankBody, rerank_response
    from winnow.api.search.rerankers import refuse_unknown, settings_by_name, settings_for
    from winnow.rerank.instruction import DEFAULT_INSTRUCTION
    from winnow.rerank.near_duplicates import diversify
    from winnow.retrieval.records import candidates_of

    fields = {"query": query, "documents": documents or lines_of_input(), "instruction": instruction, "top_n": top_n}
    body = parsed(RerankBody, fields | {"collapse": collapse_field(None, collapse_shingles, off=False)})
    if reranker is not None:
        refuse_unknown(reranker, settings_by_name(settings))
    judging = load_reranker(settings_for(settings, reranker))
    read, warning = cut_query(query)
    ranked = judging.reranker.rank(
        read,
        candidates_of(body.texts),
        instruction=instruction or DEFAULT_INSTRUCTION,
        tenant=DEFAULT_TENANT,
        deadline=deadline_of(timeout_ms, settings.timeout_ms),
    )
    ranking = asyncio.run(closing(ranked, judging.pool))
    diversified = diversify(ranking.ranked, body.diversity) if body.diversity.is_on else None
    if json:
        shown = (ranking.ranked if diversified is None else diversified.kept)[: body.wanted]
        terminal.answer(rerank_response(ranking, shown=shown, diversified=diversified, cut_query=warning))
    else:
        _show_reranked(terminal, ranking, diversified, body.wanted)


def _assemble(terminal: Terminal, settings: Settings, chosen: str | None, *, judged: bool) -> Services:
    """Load the collection's reranker; if it is not configured, warn and keep the order of recall."""
    from winnow.api.assemble import assemble
    from winnow.api.search.rerankers import settings_for

    if judged:
        try:
            settings = settings_for(settings, chosen)
        except RerankUnavailable as error:
            terminal.warn(error.message)
            judged = False
    return assemble(settings, judged=judged)


def _rerank_field(*, no_rerank: bool, always_rerank: bool) -> bool | str:
    if no_rerank and always_rerank:
        raise InvalidRequest("--no-rerank and --always-rerank cannot be used together")
    return "always" if always_rerank else not no_rerank


def _parse_filter(where: str | None) -> object:
    import orjson

    try:
        return None if where is None else orjson.loads(where)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"--filter is not JSON: {error.msg} at column {error.colno}") from error


def _instruction_field(wanted: str | NamedInstruction | None) -> str | dict[str, object] | None:
    """The instruction as a request body has it."""
    if wanted is None or isinstance(wanted, str):
        return wanted
    return {"name": wanted.name, "version": wanted.version, "variables": dict(wanted.variables)}


def _show(terminal: Terminal, answer: Answer, *, explain: bool, grouped: bool) -> None:
    from winnow.api.schemas.search_response import search_response

    if terminal.is_json:
        terminal.answer(search_response(answer, explain=explain, grouped=grouped))
    elif terminal.is_rich:
        _draw(terminal, answer)
    else:
        _print(terminal, answer)


def _show_reranked(terminal: Terminal, ranking: Ranking, diversified: Diversified | None, wanted: int) -> None:
    columns = [
        Column(name="rank", right=True),
        Column(name="relevance", right=True, style="bold"),
        Column(name="was", right=True, style="dim"),
        Column(name="text"),
    ]
    rows = [
        (
            str(each.rank),
            number(each.relevance),
            str(each.candidate.chunk.number + 1),
            snippet(each.candidate.chunk.text) if terminal.is_rich else each.candidate.chunk.text,
        )
        for each in (ranking.ranked if diversified is None else diversified.kept)[:wanted]
    ]
    terminal.table(columns, rows)
    terminal.say(f"reranked by {ranking.judged_by}{_describe_collapsed(diversified)}")
    _warn_not_applied(terminal, ranking)


def _describe_collapsed(diversified: Diversified | None) -> str:
    collapsed = sum(map(len, diversified.collapsed.values())) if diversified else 0
    return f" · {collapsed} near-identical left out" if collapsed else ""


def _draw(terminal: Terminal, answer: Answer) -> None:
    """Draw one block per result for a person, with the numbers on the left."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "score", "relevance", "similarity"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("document", overflow="fold")
    for result in answer.results:
        best = result.best
        table.add_row(
            f"[dim]{result.rank}[/]",
            f"[bold]{number(best.score)}[/]",
            number(best.relevance),
            number(best.candidate.similarity),
            _document(result, answer),
        )
    terminal.draw(table if answer.results else "No results.")
    terminal.say(_footer(answer))
    say_calibrated(terminal, answer)
    _warn_degraded(terminal, answer)


def _warn_not_applied(terminal: Terminal, ranking: Ranking) -> None:
    if ranking.judged and not ranking.instruction_applied:
        terminal.warn(f"{ranking.judged_by} reads no instruction: the order does not follow one.")


def _warn_degraded(terminal: Terminal, answer: Answer) -> None:
    _warn_not_applied(terminal, answer.ranking)
    if answer.highlights is not None and answer.degraded is None and answer.highlights.reason is not None:
        left_out = counted(answer.highlights.found.left_out, "passage")
        terminal.warn(f"Not highlighted: {left_out} ({answer.highlights.reason}).")
    if answer.degraded is not None:
        reason = answer.degraded.reason
        terminal.warn(
            f"Not reranked ({reason}): results keep the order of recall. Run 'winnow doctor' to find out why."
        )


def _document(result: Result, answer: Answer) -> RenderableType:
    from rich.text import Text

    chunk = result.best.candidate.chunk
    context = answer.contexts.get(chunk.number)
    heading = BREADCRUMB_JOINT.join(filter(None, (chunk.title, breadcrumb(chunk.section))))
    head = f"{snippet(heading, characters=TITLE_CHARACTERS)}\n" if heading else ""
    more = f", and {len(result.others)} more" if result.others else ""
    alike = len(answer.diversified.collapsed.get(chunk.number, ())) if answer.diversified else 0
    more += f", stands for {alike} near-identical" if alike else ""
    place = f"{flat(chunk.document_id)}, {flat(cite(chunk.location)) or f'chunk {chunk.ordinal}'}{more}"
    before, after = (context.before, context.after) if context else (None, None)
    spans = answer.highlights.found.spans.get(chunk.number, ()) if answer.highlights else ()
    return Text.assemble(
        (head, "bold"),
        (place, "cyan"),
        "\n",
        (f"{flat(before.text)} " if before else "", "dim"),
        *mark_text(chunk.text, spans, whole=context is not None),
        (f" {flat(after.text)}" if after else "", "dim"),
        "\n",
    )


def _footer(answer: Answer) -> str:
    from winnow.rerank.reranker import RECALL_ORDER

    ranking, instruction = answer.ranking, answer.instruction
    retired = " (retired)" if instruction.state == "retired" else ""
    some = f"{ranking.judged} of them" if 0 < ranking.judged < len(ranking.ranked) else "all"
    under = f" under {instruction.said}{retired}" if ranking.instruction_applied else ""
    judged = (
        f"{some} reranked by {ranking.judged_by}{under}"
        if ranking.judged_by != RECALL_ORDER
        else "in the order of recall" + _SKIPPED.get(answer.rerank_skipped or "", "")
    )
    shown = f"{len(answer.results)} shown · {len(answer.recalled.candidates)} candidates"
    score = "" if ranking.ranked_by == RECALL_ORDER else f" · score is {ranking.ranked_by}"
    return f"{shown}, {judged}{score}{_describe_collapsed(answer.diversified)} · {answer.total_ms:,.0f} ms"


def _print(terminal: Terminal, answer: Answer) -> None:
    """Print one line per result for a program."""
    terminal.lines(_HEADS)
    for result in answer.results:
        best, chunk = result.best, result.best.candidate.chunk
        figures = (best.score, best.relevance, best.candidate.similarity)
        terminal.lines(
            "\t".join(
                (
                    str(result.rank),
                    *("" if figure is None else f"{figure:.6f}" for figure in figures),
                    flat(chunk.document_id),
                    str(chunk.ordinal),
                    flat(chunk.title),
                    snippet(chunk.text),
                    flat(breadcrumb(chunk.section)),
                    flat(cite(chunk.location)),
                )
            )
        )
    say_calibrated(terminal, answer)
    _warn_degraded(terminal, answer)
