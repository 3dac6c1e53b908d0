"""Loads what the settings of an evaluation need: models, collections with the folder's documents, instructions."""

from __future__ import annotations

import hashlib
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final

from winnow.api.assemble import Services, assemble, assemble_indexing
from winnow.api.assemble_search import closing_pools
from winnow.api.cli.evaluation.asking import Loaded, NamedSetting, Searched
from winnow.api.cli.evaluation.named_settings import Order, TypedSetting
from winnow.api.cli.evaluation.plan import Plan
from winnow.api.cli.progress import IndexProgress
from winnow.api.cli.terminal import Terminal
from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.indexing import Indexing
from winnow.api.collections.open_collections import OpenCollection
from winnow.api.collections.requirements import Requirements
from winnow.api.library.instructions import BUILT_IN, AppliedInstruction
from winnow.api.model_loading import LoadedEmbedder, load_embedding, load_reranker
from winnow.api.schemas.instruction_requests import IN_USE
from winnow.api.search.rerankers import refuse_unknown, settings_by_name, settings_for
from winnow.api.setting_values import FurtherReranker, further_rerankers
from winnow.api.settings import Settings
from winnow.indexer.readers.open_corpus import open_corpus
from winnow.rerank.reranker import Reranker
from winnow.rerank.stopping_rule import Depth
from winnow.retrieval.catalog.collections import Collection, FieldsChange
from winnow.retrieval.embed.embedder import EmbedderIdentity
from winnow.retrieval.errors import InvalidRequest
from winnow.retrieval.records import RecallMode
from winnow.retrieval.tenancy import TenantName

_NAME_MAX: Final = 63  # characters of a collection's name
_DIGEST: Final = 6  # hexadecimal digits that keep two embedders of one name apart


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """A collection with its documents."""

    searched: Searched
    collection: Collection
    documents: int
    chunks: int


async def load(terminal: Terminal, settings: Settings, plan: Plan, stack: AsyncExitStack) -> Loaded:
    """Index what is missing. `stack` closes what was opened. Raises `InvalidRequest`, and what loading raises."""
    by_choice = _reranker_settings(settings, plan)
    alone = next(iter(by_choice.values()), settings)
    parts = assemble(alone, judged=bool(by_choice))
    await stack.enter_async_context(closing_pools(*parts.pools))
    rerankers: dict[str | None, Reranker] = {}
    for choice, each in by_choice.items():
        if each is alone:
            rerankers[choice] = parts.judging.reranker
            continue
        further = load_reranker(each)
        await stack.enter_async_context(closing_pools(further.pool))
        rerankers[choice] = further.reranker
    opened = await _open_all(terminal, settings, plan, parts, stack)
    named = [_named(each, parts, plan, opened[each.embedder], rerankers) for each in plan.settings]
    first = opened[plan.settings[0].embedder]
    return Loaded(
        settings=named,
        documents=first.documents,
        chunks=first.chunks,
        embedder=first.searched.embedder,
        rerankers=tuple(dict.fromkeys(rerankers.values())) or (parts.judging.reranker,),
    )


def own_collection(base: str, identity: EmbedderIdentity) -> str:
    """Return the name of the collection of another embedder: `eval-scifact-bge-m3-1a2b3c`."""
    described = "\n".join((identity.name, identity.revision, str(identity.dimension), identity.prompt_format))
    digest = hashlib.sha256(described.encode()).hexdigest()[:_DIGEST]
    model = re.sub(r"[^a-z0-9]+", "-", identity.name.rpartition("/")[2].lower()).strip("-")[:30]
    ending = f"-{model}-{digest}" if model else f"-{digest}"
    return base[: _NAME_MAX - len(ending)] + ending


def _reranker_settings(settings: Settings, plan: Plan) -> dict[str | None, Settings]:
    """Return settings that load one reranker each, by what a setting calls it; None is the collection's own.

    Raises `InvalidRequest` for a name that is neither configured nor a model.
    """
    wanted = list(dict.fromkeys(each.reranker for each in plan.settings if each.order is not Order.RECALL))
    found: dict[str | None, Settings] = {}
    by_name = settings_by_name(settings) if any(wanted) else {}
    for choice in wanted:
        if choice is None:
            found[None] = settings_for(settings, _chosen(settings, plan))
        elif choice in by_name or not plan.is_typed:
            refuse_unknown(choice, by_name)
            found[choice] = by_name[choice]
        else:
            model = _model(choice, "reranker")
            found[choice] = replace(settings, rerank_also=(), rerank_model=model.model, rerank_url=model.urls)
    return _one_each(found)


def _one_each(found: dict[str | None, Settings]) -> dict[str | None, Settings]:
    """Settings that are equal become the same object: their reranker is loaded once."""
    known: list[Settings] = []
    for choice, each in found.items():
        same = next((other for other in known if other == each), None)
        if same is None:
            known.append(each)
        else:
            found[choice] = same
    return found


def _chosen(settings: Settings, plan: Plan) -> str | None:
    """The reranker of the collection, if the collection exists. Read before models are loaded."""
    found = _there(DataFolder.of(settings), plan.tenant).get(plan.collection)
    return None if found is None else found.reranker


def _there(disk: DataFolder, tenant: TenantName) -> dict[str, Collection]:
    return {each.name: each for each in disk.catalog.collections.of_tenant(tenant)}


def _model(text: str, key: str) -> FurtherReranker:
    try:
        (model,) = further_rerankers(text)
    except ValueError as error:
        raise InvalidRequest(f"--setting {key}={text}: {error}") from error
    return model


async def _open_all(
    terminal: Terminal, settings: Settings, plan: Plan, parts: Services, stack: AsyncExitStack
) -> dict[str | None, _Opened]:
    """Open a collection for each embedder, by what a setting calls it; None is the configured one."""
    wanted = dict.fromkeys(each.embedder for each in plan.settings)
    found: dict[str | None, _Opened] = {}
    if None in wanted:
        found[None] = await _open(terminal, plan, parts, parts.embedding, settings, is_own=plan.is_collection_named)
    for text in wanted:
        if text is None:
            continue
        model = _model(text, "embedder")
        if model.model == settings.embed_model and not model.urls:
            found[text] = found.get(None) or await _open(terminal, plan, parts, parts.embedding, settings, is_own=False)
            continue
        other = replace(
            settings, embed_model=model.model, embed_url=model.urls,
            embed_dimension=None, embed_query_prefix=None, embed_passage_prefix=None,
        )  # fmt: skip
        loaded = load_embedding(other)
        await stack.enter_async_context(closing_pools(loaded.pool))
        found[text] = await _open(terminal, plan, parts, loaded, other, is_own=False)
    return found


async def _open(
    terminal: Terminal, plan: Plan, parts: Services, embedding: LoadedEmbedder, settings: Settings, *, is_own: bool
) -> _Opened:
    """Open the collection of this embedder, and index the folder into it.

    With `is_own` the collection has the name that was typed, whatever its embedder: another one is refused.
    """
    identity = embedding.embedder.identity
    indexing = assemble_indexing(settings, parts.disk, embedding)
    if plan.source.folder is None:
        return _of(_existing(plan, indexing, identity, parts.disk, is_own=is_own), identity)
    base = _there(parts.disk, plan.tenant).get(plan.collection)
    name = plan.collection
    is_default = identity == parts.embedding.embedder.identity
    if not is_own and not (is_default if base is None else identity.accepts(base.embedder)):
        name = own_collection(plan.collection, identity)
        opened = _like(base, indexing, name, plan.tenant)
        terminal.say(f"{name} holds the documents under {identity.name}")
    else:
        opened = indexing.open(name, tenant=plan.tenant)
    with IndexProgress(terminal) as progress:
        await indexing.run(open_corpus(str(plan.source.folder)), opened, progress=progress)
    opened.searchable.refresh()
    return _of(opened, identity)


def _existing(
    plan: Plan, indexing: Indexing, identity: EmbedderIdentity, disk: DataFolder, *, is_own: bool
) -> OpenCollection:
    """Open a collection that is there. Raises `CollectionNotFound`, `InvalidRequest`."""
    collection = disk.catalog.collections.get(plan.tenant, plan.collection)
    if not is_own and not identity.accepts(collection.embedder):
        raise InvalidRequest(
            f"{plan.collection} was indexed with {collection.embedder.name}; to compare it with {identity.name}, pass "
            "the BEIR folder of its documents, from which the other collection is made"
        )
    return indexing.open(plan.collection, tenant=plan.tenant)


def _like(base: Collection | None, indexing: Indexing, name: str, tenant: TenantName) -> OpenCollection:
    """Open the collection of another embedder, cut and described like the first one."""
    if base is None:
        return indexing.open(name, tenant=tenant)
    required = Requirements(
        chunk_tokens=base.chunk_tokens,
        rerank_fields=FieldsChange(names=base.rerank_fields.names, tokens_max=base.rerank_fields.tokens_max),
        embed_fields=FieldsChange(names=base.embed_fields.names, tokens_max=base.embed_fields.tokens_max),
    )
    return indexing.open(name, required, tenant=tenant)


def _of(opened: OpenCollection, identity: EmbedderIdentity) -> _Opened:
    documents, chunks = opened.store.snapshot().counts()
    searched = Searched(
        name=opened.collection.name, embedder=identity.name, recall=opened.recall, is_cut=chunks > documents
    )
    return _Opened(searched=searched, collection=opened.collection, documents=documents, chunks=chunks)


def _named(
    typed: TypedSetting, parts: Services, plan: Plan, opened: _Opened, rerankers: dict[str | None, Reranker]
) -> NamedSetting:
    depth = Depth.FULL if typed.order is Order.RELEVANCE else Depth(parts.settings.depth)
    base = _there(parts.disk, plan.tenant).get(plan.collection)  # its instruction is that of other embedders, too
    return NamedSetting(
        name=typed.name,
        order=typed.order,
        searched=opened.searched,
        mode=typed.recall or RecallMode(parts.settings.recall),
        candidates=typed.candidates or parts.candidates,
        reranker=None if typed.order is Order.RECALL else rerankers[typed.reranker],
        depth=typed.depth or depth,
        instruction=_instruction(typed, parts, plan, base or opened.collection),
        fields=plan.fields.of(opened.collection.rerank_fields),
    )


def _instruction(typed: TypedSetting, parts: Services, plan: Plan, collection: Collection) -> AppliedInstruction:
    """The setting's own, where a draft is allowed as in a trial, or what the other flags say."""
    library, own = parts.disk.catalog.instructions, typed.instruction
    if own is None:
        return library.applied(plan.tenant, plan.instructions.default, collection)
    if own == IN_USE:
        return BUILT_IN
    if typed.reference is None:
        return library.applied(plan.tenant, own, collection)
    return library.tried(plan.tenant, plan.instructions.named[own])
