"""Asks the queries of an evaluation over HTTP: what is measured is the service as it answers.

Each query is searched twice at most: once in recall's order, as deep as the measures look, and once reranked. The
service decides its models; which instruction it applies, and whether relevance has weight under it, is asked first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from winnow.api.cli.client.asked import instruction_field, search_at
from winnow.api.cli.client.service import Service
from winnow.api.cli.client.typed_instruction import TypedInstruction
from winnow.api.cli.client.upload import REJECTS, Pruning, open_collection, upload
from winnow.api.cli.evaluation.asking import (
    CHUNKS_PER_DOCUMENT_MARGIN,
    Answered,
    Cost,
    Loaded,
    NamedSetting,
    Places,
    Scored,
    Searched,
)
from winnow.api.cli.evaluation.cases import Case
from winnow.api.cli.evaluation.named_settings import Order, TypedSetting
from winnow.api.cli.evaluation.plan import Plan
from winnow.api.cli.progress import IndexProgress
from winnow.api.cli.terminal import Terminal
from winnow.api.collections.requirements import ANY
from winnow.api.library.instructions import BUILT_IN, AppliedInstruction, InstructionSource
from winnow.api.schemas.instruction_requests import IN_USE
from winnow.api.settings import Settings
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.rerank.reranker import RecallOrder
from winnow.retrieval.catalog.instructions import State
from winnow.retrieval.errors import InvalidRequest, RerankUnavailable
from winnow.retrieval.limits import CANDIDATES_MAX
from winnow.retrieval.records import RecallMode

if TYPE_CHECKING:
    from winnow.api.schemas.collections import CollectionResponse
    from winnow.api.schemas.search_response import ExplainedCandidate, SearchResponse

PROBE: Final = "winnow"  # a query that asks the service what it applies
Chosen: TypeAlias = str | dict[str, object] | None  # an instruction as a request has it


class ServiceReranker(RecallOrder):
    """Names the reranker of a service, which ranks there."""

    def __init__(self, name: str, *, reads_instruction: bool, has_weight: bool) -> None:
        self.name = name
        self.reads_instruction = reads_instruction
        self._has_weight = has_weight

    def changes_order(self, instruction: str) -> bool:  # noqa: ARG002  the contract's
        return self._has_weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the requests of a setting hold."""

    setting: NamedSetting
    body: Mapping[str, Any]  # of both searches
    is_reranked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAsking:
    """Asks a service. Stands where `Asking` stands over a data folder."""

    service: Service
    asked: Sequence[Asked]
    width: int  # chunks that recall finds

    @property
    def settings(self) -> Sequence[NamedSetting]:
        return [each.setting for each in self.asked]

    async def ask(self, case: Case, *, begin: int = 0) -> dict[str, Answered]:
        """Answer one query. Returns an answer per setting, by name; asks the setting at `begin` first."""
        one, place = _OneQuery(asking=self, query=case.text), begin % len(self.asked)
        ordered = (*self.asked[place:], *self.asked[:place])
        return {each.setting.name: await asyncio.to_thread(one.answer, each) for each in ordered}


@dataclass(frozen=True, slots=True, kw_only=True)
class _OneQuery:
    """One query under all settings; remembers the answers that they share."""

    asking: ServiceAsking
    query: str
    answers: dict[str, SearchResponse] = field(default_factory=dict)

    def answer(self, asked: Asked) -> Answered:
        recalled = self._search({**asked.body, "rerank": False, "candidates": self.asking.width})
        behind = sorted(recalled["explain"], key=lambda each: each["recall_rank"])
        if not asked.is_reranked:
            return Answered(scored=_scored([], behind), cost=_cost(recalled, None), places=None)
        found = self._search({**asked.body, "rerank": "always", "candidates": asked.setting.candidates})
        if found["degraded"] is not None:
            raise RerankUnavailable(f"the service did not rerank ({found['degraded']['reason']}): {self.query[:80]}")
        head = _ordered(found["explain"], asked.setting.order)
        places = _places(behind, [each for each, _ in head])
        return Answered(scored=_scored(head, behind), cost=_cost(recalled, found), places=places)

    def _search(self, body: dict[str, Any]) -> SearchResponse:
        key = repr(sorted(body.items(), key=lambda each: each[0]))
        if key not in self.answers:
            asked = {**body, "query": self.query, "top_k": 1, "explain": True}
            self.answers[key] = search_at(self.asking.service, asked)
        return self.answers[key]


def load_from_service(
    terminal: Terminal, settings: Settings, plan: Plan, default: TypedInstruction, *, depth: int
) -> tuple[Loaded, ServiceAsking]:
    """Upload what is missing, and ask the service what each setting means there.

    Raises `InvalidRequest` for what a search cannot choose.
    """
    service, name = Service.of(settings), plan.collection
    for setting in plan.settings:
        _refuse_chosen(setting)
    if plan.source.folder is not None:
        open_collection(service, name, ANY)
        corpus, rejects = open_corpus(str(plan.source.folder)), Path(REJECTS.format(collection=name))
        with IndexProgress(terminal) as progress:
            upload(service, corpus, name, progress=progress, rejects=rejects, prune=Pruning.NEVER)
    described: CollectionResponse = service.get("collections", name)
    documents, chunks = described["documents"] or 0, described["chunks"] or 0
    searched = Searched(name=name, embedder=described["embedder"]["name"], recall=None, is_cut=chunks > documents)
    asked = [_asked(service, each, default, searched, candidates=settings.candidates) for each in plan.settings]
    wanted = depth * CHUNKS_PER_DOCUMENT_MARGIN if searched.is_cut else depth
    deepest = max((each.setting.candidates for each in asked if each.is_reranked), default=0)
    rerankers = {each.setting.reranker.name: each.setting.reranker for each in asked if each.setting.reranker}
    loaded = Loaded(
        settings=[each.setting for each in asked],
        documents=documents,
        chunks=chunks,
        embedder=searched.embedder,
        rerankers=tuple(rerankers.values()) or (RecallOrder(),),
    )
    return loaded, ServiceAsking(service=service, asked=asked, width=min(CANDIDATES_MAX, max(wanted, deepest)))


def _refuse_chosen(typed: TypedSetting) -> None:
    for key, value in (("reranker", typed.reranker), ("embedder", typed.embedder), ("depth", typed.depth)):
        if value is not None:
            raise InvalidRequest(f"{key}={value}: at a service a search uses the {key} that is set there")


def _asked(
    service: Service, typed: TypedSetting, default: TypedInstruction, searched: Searched, *, candidates: int | None
) -> Asked:
    chosen = _chosen(service, typed, default)
    body: dict[str, Any] = {"collection": searched.name}
    body |= {} if chosen is None else {"instruction": chosen}
    body |= {} if typed.recall is None else {"recall": typed.recall.value}
    wanted = typed.candidates or candidates
    count = {} if wanted is None else {"candidates": wanted}
    asked = {**body, **count, "query": PROBE, "top_k": 1}
    probe = search_at(service, asked)
    has_weight = probe["rerank_skipped"] != "no_weight"
    if not has_weight:
        probe = search_at(service, asked | {"rerank": "always"})
    name = probe["judged_by"]
    reranker = ServiceReranker(name, reads_instruction=probe["instruction_applied"], has_weight=has_weight)
    order = typed.order
    setting = NamedSetting(
        name=typed.name,
        order=order,
        searched=searched,
        mode=RecallMode(probe["recall"]),
        candidates=wanted or probe["usage"]["candidates"],
        reranker=None if order is Order.RECALL else reranker,
        instruction=_applied(service, chosen, probe),
    )
    return Asked(setting=setting, body=body, is_reranked=setting.is_reranked)


def _chosen(service: Service, typed: TypedSetting, default: TypedInstruction) -> Chosen:
    """The setting's own instruction, or what the other flags say."""
    own = typed.instruction
    if own is None:
        return instruction_field(service, default)
    if own == IN_USE:
        return BUILT_IN.text
    if typed.reference is None:
        return own
    return instruction_field(service, TypedInstruction(name=own, variables=default.variables))


def _applied(service: Service, chosen: Chosen, probe: SearchResponse) -> AppliedInstruction:
    """The instruction that the service applied, with its text."""
    told = probe["instruction"]
    name, version = told["name"], told["version"]
    if told["source"] == InstructionSource.BUILT_IN or chosen == BUILT_IN.text:
        return BUILT_IN
    if isinstance(chosen, str):
        text = chosen
    else:
        wanted = chosen or {"name": name, "version": version}
        text = service.post("instructions", "preview", body={"instruction": wanted})["text"]
    state = None if told["state"] is None else State(told["state"])
    return AppliedInstruction(
        text=text, source=InstructionSource(told["source"]), name=name, version=version, state=state
    )


def _ordered(explained: Sequence[ExplainedCandidate], order: Order) -> list[tuple[ExplainedCandidate, float]]:
    """What was reranked, best first, with the score that orders it."""
    alone = order is Order.RELEVANCE
    judged = [each for each in explained if each["relevance"] is not None]
    judged.sort(key=lambda each: (-(each["relevance"] or 0.0), each["recall_rank"]) if alone else (each["rank"], 0))
    return [(each, (each["relevance"] if alone else each["score"]) or 0.0) for each in judged]


def _scored(head: Sequence[tuple[ExplainedCandidate, float]], behind: Sequence[ExplainedCandidate]) -> Scored:
    """Each document once, at its best place; recall's scores behind the head are moved below its last one."""
    placed = {_chunk(each) for each, _ in head}
    rest = [each for each in behind if _chunk(each) not in placed]
    moved = min(0.0, head[-1][1] - (rest[0]["score"] or 0.0)) if head and rest else 0.0
    found: Scored = {}
    for each, score in (*head, *((each, (each["score"] or 0.0) + moved) for each in rest)):
        found.setdefault(each["document_id"], score)
    return found


def _places(behind: Sequence[ExplainedCandidate], head: Sequence[ExplainedCandidate]) -> Places | None:
    """How recall's order became the reranked one; None where recall found others when it looked less deep."""
    place_of = {_chunk(each): place for place, each in enumerate(behind)}
    reranked = tuple(place_of.get(_chunk(each), -1) for each in head)
    if set(reranked) != set(range(len(reranked))):
        return None
    return Places(owners=tuple(each["document_id"] for each in behind), reranked=reranked)


def _chunk(each: ExplainedCandidate) -> tuple[str, int]:
    return each["document_id"], each["ordinal"]


def _cost(recalled: SearchResponse, reranked: SearchResponse | None) -> Cost:
    """As the service measured it. What recall took is that of the search in recall's order."""
    took = recalled["timings_ms"]
    return Cost(
        embed_ms=took["embed"],
        recall_ms=took["recall"],
        fetch_ms=took["fetch"],
        rerank_ms=None if reranked is None else reranked["timings_ms"]["rerank"],
        embed_tokens=recalled["usage"]["embed_tokens"],
        rerank_tokens=0 if reranked is None else reranked["usage"]["rerank_tokens"],
    )
