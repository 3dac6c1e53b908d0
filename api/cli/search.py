"""`winnow search` and `winnow rerank`: run one query and show the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from winnow.api.cli.calibration.minimum import MinRelevance, minimum_field
from winnow.api.cli.client.shown_results import show_reranked, show_results
from winnow.api.cli.client.typed_instruction import TypedInstruction
from winnow.api.cli.options import (
    DEVICE,
    EMBEDDER,
    RERANKER,
    SERVICE,
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
from winnow.api.cli.terminal import Terminal
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest, RerankUnavailable
from winnow.retrieval.interrupts import ending_at_once
from winnow.retrieval.quick_start import quick_start
from winnow.retrieval.tenancy import DEFAULT_TENANT
from winnow.retrieval.torch_start import map_torch

if TYPE_CHECKING:
    from winnow.api.assemble_search import Searching
    from winnow.api.library.instructions import NamedInstruction
    from winnow.api.schemas.compat.rerank import RerankResponse
    from winnow.api.schemas.search_response import SearchResponse

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


@with_settings(
    "data", *SERVICE, "candidates", "recall", "depth", "timeout_ms", *EMBEDDER, *RERANKER, *DEVICE,
    asked=("candidates", "recall", "depth", "timeout_ms"),
)  # fmt: skip
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
    fields = {
        "query": query,
        "collection": collection,
        "top_k": top_k,
        "candidates": candidates,
        "recall": recall,
        "depth": depth,
        "filter": _parse_filter(where),
        "rerank": _rerank_field(no_rerank=no_rerank, always_rerank=always_rerank),
        "min_relevance": minimum_field(min_relevance),
        "group_by_document": group_by_document,
        "chunks_per_document": chunks_per_document,
        "neighbours": neighbours,
        "highlight": highlight,
        "demote_query_echo": demote_query_echo or None,
        "collapse": collapse_field(collapse_cosine, collapse_shingles, off=no_collapse),
        "mmr_lambda": mmr_lambda,
        "timeout_ms": timeout_ms,
        "explain": explain,
    }
    chosen = TypedInstruction(text=instruction, name=instruction_name, variables=variable or ())
    if settings.url is not None:
        from winnow.api.cli.client.asked import ask_search

        answer = ask_search(settings, fields, chosen)
    else:
        with quick_start(), ending_at_once():
            answer = _search_folder(terminal, settings, tenant, fields, chosen)
    show_results(terminal, answer)


@with_settings(*SERVICE, "timeout_ms", *RERANKER, *DEVICE, asked=("timeout_ms",))
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
    fields = {
        "query": query,
        "documents": documents or lines_of_input(),
        "instruction": instruction,
        "top_n": top_n,
        "collapse": collapse_field(None, collapse_shingles, off=False),
        "timeout_ms": timeout_ms,
    }
    if settings.url is not None:
        from winnow.api.cli.client.asked import ask_rerank

        answer = ask_rerank(settings, fields, reranker)
    else:
        answer = _rerank_here(settings, fields, reranker)
    show_reranked(Terminal(json=json), answer)


def _search_folder(
    terminal: Terminal, settings: Settings, tenant: str, fields: Mapping[str, object], chosen: TypedInstruction
) -> SearchResponse:
    """Answer from the data folder."""
    import asyncio

    from winnow.api.assemble_search import closing
    from winnow.api.cli.instructions.variables import wanted_instruction
    from winnow.api.fields import deadline_of, parsed
    from winnow.api.schemas.search_request import SearchBody
    from winnow.api.schemas.search_response import search_response
    from winnow.api.search.first_stage import find_collection

    folder, owner = open_tenant(settings, tenant)
    if not settings.embed_url:
        map_torch()  # after the libraries of the store, which would wait for it
    library = folder.catalog.instructions
    wanted = wanted_instruction(library, owner, chosen.text, chosen.name, chosen.variables)
    body = parsed(SearchBody, {**fields, "instruction": _instruction_field(wanted)})
    question = body.question(owner)
    own = find_collection(folder.catalog.collections, question.collection, asker=owner).reranker  # before loading
    parts = _assemble(terminal, settings, own, judged=body.rerank is not False)
    deadline = deadline_of(body.timeout_ms, settings.timeout_ms)
    answer = asyncio.run(closing(parts.search.answer(question, deadline), *parts.pools))
    return search_response(answer, explain=body.explain, grouped=body.group_by_document)


def _rerank_here(settings: Settings, fields: Mapping[str, object], reranker: str | None) -> RerankResponse:
    """Answer with a model that is loaded here."""
    import asyncio

    from winnow.api.assemble_search import closing
    from winnow.api.fields import deadline_of, parsed
    from winnow.api.model_loading import load_reranker
    from winnow.api.schemas.compat.judged_by import cut_query
    from winnow.api.schemas.compat.rerank import RerankBody, rerank_response
    from winnow.api.search.rerankers import refuse_unknown, settings_by_name, settings_for
    from winnow.rerank.instruction import DEFAULT_INSTRUCTION
    from winnow.rerank.near_duplicates import diversify
    from winnow.retrieval.records import candidates_of

    body = parsed(RerankBody, fields)
    if reranker is not None:
        refuse_unknown(reranker, settings_by_name(settings))
    judging = load_reranker(settings_for(settings, reranker))
    read, warning = cut_query(body.query)
    ranked = judging.reranker.rank(
        read,
        candidates_of(body.texts),
        instruction=body.instruction if isinstance(body.instruction, str) else DEFAULT_INSTRUCTION,
        tenant=DEFAULT_TENANT,
        deadline=deadline_of(body.timeout_ms, settings.timeout_ms),
    )
    ranking = asyncio.run(closing(ranked, judging.pool))
    diversified = diversify(ranking.ranked, body.diversity) if body.diversity.is_on else None
    shown = (ranking.ranked if diversified is None else diversified.kept)[: body.wanted]
    return rerank_response(ranking, shown=shown, diversified=diversified, cut_query=warning)


def _assemble(terminal: Terminal, settings: Settings, chosen: str | None, *, judged: bool) -> Searching:
    """Load the collection's reranker; if it is not configured, warn and keep the order of recall."""
    from winnow.api.assemble_search import assemble_search
    from winnow.api.search.rerankers import settings_for

    if judged:
        try:
            settings = settings_for(settings, chosen)
        except RerankUnavailable as error:
            terminal.warn(error.message)
            judged = False
    return assemble_search(settings, judged=judged)


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
