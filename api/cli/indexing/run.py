"""Indexes a corpus into a data folder, with the engine that was chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from winnow.api.assemble import assemble_indexing
from winnow.api.assemble_search import closing
from winnow.api.cli.indexing.engine import RayChoice, discard_output, run_on_ray
from winnow.api.cli.options import open_tenant
from winnow.api.cli.progress import IndexProgress
from winnow.api.cli.terminal import Terminal
from winnow.api.model_loading import LoadedEmbedder, load_embedding
from winnow.api.settings import Settings

if TYPE_CHECKING:
    from winnow.api.collections.indexing import Indexing
    from winnow.api.collections.open_collections import OpenCollection
    from winnow.api.collections.requirements import Requirements
    from winnow.indexer.corpus import Corpus
    from winnow.indexer.report import IndexReport


def index_into_folder(
    terminal: Terminal,
    settings: Settings,
    source: Corpus,
    *,
    collection: str,
    tenant: str,
    required: Requirements,
    prune: tuple[bool, bool],  # whether to, and even if a part of the corpus could not be read
    ray: RayChoice | None,
) -> IndexReport:
    """Index with Ray's workers, or None in this process."""
    folder, owner = open_tenant(settings, tenant, create=True)  # before seconds of loading

    def open_with(embedding: LoadedEmbedder) -> tuple[Indexing, OpenCollection]:
        indexing = assemble_indexing(settings, folder, embedding)
        opened = indexing.open(collection, required, tenant=owner)
        terminal.say(f"{source.name} → {collection} in {settings.data} · {embedding.runs_on}")
        return indexing, opened

    async def run(embedding: LoadedEmbedder, describe: Callable[[], str]) -> IndexReport:
        indexing, opened = open_with(embedding)
        with IndexProgress(terminal, describe) as progress, discard_output():
            return await indexing.run(source, opened, progress=progress, prune=prune[0], prune_anyway=prune[1])

    if ray is not None:
        return run_on_ray(ray, settings, terminal, run)
    embedding = load_embedding(settings)
    indexing, opened = open_with(embedding)
    with IndexProgress(terminal) as progress:
        running = indexing.run(source, opened, progress=progress, prune=prune[0], prune_anyway=prune[1])
        return asyncio.run(closing(running, embedding.pool))
