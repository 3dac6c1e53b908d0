"""`winnow judgments label`: a reranker judges a sample of queries; its judgments are marked as a model's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from winnow.api.cli.judgments.command import store
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
from winnow.api.cli.terminal import Terminal
from winnow.api.settings import Settings
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.limits import CANDIDATES_MAX, JUDGMENTS_MAX
from winnow.retrieval.tenancy import DEFAULT_TENANT

if TYPE_CHECKING:
    from winnow.api.library.instructions import NamedInstruction
    from winnow.rerank.reranker import Ranking
    from winnow.retrieval.catalog.judgments import Judgment
    from winnow.retrieval.store.contract import StoreSnapshot
    from winnow.retrieval.tenancy import TenantName

QUERIES_DEFAULT: Final = 50
PER_QUERY_DEFAULT: Final = 20
THRESHOLD_DEFAULT: Final = 0.5
SEED: Final = 2026

PerQuery = Annotated[
    int, typer.Option("--per-query", metavar="N", min=1, max=CANDIDATES_MAX, help="Candidates to judge for each query.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to label."""

    tenant: TenantName
    collection: str  # of this tenant
    queries: Path | None  # None: titles of documents
    sample: int
    per_query: int  # candidates
    threshold: float
    instruction: str | NamedInstruction | None
    seed: int


@with_settings("data", "recall", *EMBEDDER, *RERANKER, *DEVICE)
def label(
    collection: Annotated[str, typer.Argument(metavar="COLLECTION", help="Name of the collection.", callback=own_name)],
    *,
    queries: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Queries to sample: JSON Lines with id and text, or a .tsv of id and text; by default the titles of "
            "documents.",
        ),
    ] = None,
    sample: Annotated[int, typer.Option(metavar="N", min=1, help="Label a sample of N queries at most.")] = (
        QUERIES_DEFAULT
    ),
    per_query: PerQuery = PER_QUERY_DEFAULT,
    threshold: Annotated[
        float, typer.Option(metavar="X", min=0.0, max=1.0, help="Relevance from which on a document has grade 1.")
    ] = THRESHOLD_DEFAULT,
    reranker: Annotated[
        str | None,
        typer.Option("--reranker", metavar="NAME", help="Configured reranker that judges, instead of the default."),
    ] = None,
    instruction: InstructionText = None,
    instruction_name: InstructionName = None,
    variable: Variables = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the sample.")] = SEED,
    tenant: TenantOption = DEFAULT_TENANT,
    settings: Settings,
    json: Json = False,
) -> None:
    """Let a reranker judge the candidates of a sample of queries, such as a large one that is too slow for searches.

    The judgments are marked as a model's: exports leave them out unless --source says otherwise.
    """
    terminal = Terminal(json=json)
    import asyncio

    from winnow.api.cli.instructions.variables import wanted_instruction
    from winnow.api.search.rerankers import refuse_unknown, settings_by_name, settings_for
    from winnow.retrieval.catalog.judgments import JudgmentSource

    if sample * per_query > JUDGMENTS_MAX:
        raise InvalidRequest(
            f"--sample {sample} times --per-query {per_query} is more than {JUDGMENTS_MAX:,} judgments, the limit of a "
            "tenant"
        )
    folder, owner = open_tenant(settings, tenant)
    folder.catalog.collections.get(owner, collection)
    if reranker is not None:
        refuse_unknown(reranker, settings_by_name(settings))
    plan = Plan(
        tenant=owner,
        collection=collection,
        queries=queries,
        sample=sample,
        per_query=per_query,
        threshold=threshold,
        instruction=wanted_instruction(
            folder.catalog.instructions, owner, instruction, instruction_name, variable or []
        ),
        seed=seed,
    )
    found, judge = asyncio.run(label_sample(terminal, settings_for(settings, reranker), plan))
    store(terminal, folder, found, source=JudgmentSource.MODEL, judge=judge)


async def label_sample(terminal: Terminal, settings: Settings, plan: Plan) -> tuple[list[Judgment], str]:
    """Return the judgments, and the name of the reranker. Raises what recall and reranking raise, `InvalidRequest`."""
    from winnow.api.assemble import assemble
    from winnow.api.assemble_search import closing_pools
    from winnow.api.cli.progress import CountProgress
    from winnow.api.model_loading import load_reranker
    from winnow.retrieval.deadline import Deadline
    from winnow.retrieval.document_fields import with_fields
    from winnow.retrieval.records import RecallMode
    from winnow.retrieval.search.recall import RecallRequest

    parts = assemble(settings, judged=False)
    opened = parts.collections.get(plan.tenant, plan.collection)
    instruction = parts.disk.catalog.instructions.applied(plan.tenant, plan.instruction, opened.collection)
    texts = _sample(terminal, plan, opened.store.snapshot())
    loaded = load_reranker(settings)
    found: list[Judgment] = []
    async with closing_pools(*parts.pools, loaded.pool):
        with CountProgress(terminal, f"labelling by {loaded.reranker.name}", total=len(texts)) as progress:
            for text in texts.values():
                request = RecallRequest(
                    query=text,
                    width=plan.per_query,
                    task=instruction.embedding_task,
                    mode=RecallMode(settings.recall),
                    falls_back_to_dense=True,
                )
                candidates = with_fields(
                    (await opened.recall.find(request)).candidates, opened.collection.rerank_fields
                )
                ranking = await loaded.reranker.rank(
                    text, candidates, instruction=instruction.text, tenant=plan.tenant, deadline=Deadline.never()
                )
                found += judgments_of(ranking, text, plan)
                progress.advance()
    return found, loaded.reranker.name


def judgments_of(ranking: Ranking, query: str, plan: Plan) -> list[Judgment]:
    """One judgment for each document; the best of its chunks decides."""
    from winnow.retrieval.catalog.judgments import Judgment, JudgmentSource, Place, digest_of

    best: dict[str, float] = {}
    for each in ranking.ranked:
        if each.relevance is not None:
            document_id = each.candidate.chunk.document_id
            best[document_id] = max(each.relevance, best.get(document_id, 0.0))
    return [
        Judgment(
            tenant=plan.tenant,
            place=Place(owner=plan.tenant, name=plan.collection),
            query_sha256=digest_of(query),
            query=query,
            document_id=document_id,
            grade=int(relevance >= plan.threshold),
            source=JudgmentSource.MODEL,
            judge=ranking.judged_by,
            at=datetime.now(UTC),
        )
        for document_id, relevance in best.items()
    ]


def _sample(terminal: Terminal, plan: Plan, snapshot: StoreSnapshot) -> Mapping[str, str]:
    from winnow.api.cli.distill.questions import read_queries, title_queries

    if plan.queries is None:
        terminal.say("No --queries: the titles of documents are the queries. Real ones may differ from them.")
        texts = title_queries(snapshot, seed=plan.seed, count=plan.sample)
    else:
        texts = read_queries(plan.queries, seed=plan.seed, count=plan.sample)
    if not texts:
        raise InvalidRequest("there are no queries to label: no document has a title, or the file has none")
    return texts
