"""The engines of `winnow index`: what computes the vectors."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

import winnow
from winnow.api.cli.terminal import Terminal
from winnow.api.formatting import counted
from winnow.api.settings import Settings, prepare_ray
from winnow.retrieval.errors import InvalidRequest, SettingInvalid

if TYPE_CHECKING:
    from winnow.api.model_loading import LoadedEmbedder
    from winnow.indexer.distributed.plan import WorkerPlan
    from winnow.indexer.distributed.ray_workers import RayCluster
    from winnow.indexer.report import IndexReport

WORKERS_MAX: Final = 256  # workers; three windows of each are held in memory
PANEL: Final = "Several machines"


class Engine(StrEnum):
    """What computes the vectors of a corpus."""

    LOCAL = "local"
    RAY = "ray"


EngineName = Annotated[
    Engine,
    typer.Option(
        "--engine",
        help="Where chunks are embedded: local is this process, ray are workers on the nodes of a Ray cluster "
        "(pip install 'winnow-search[ray]'). Everything else happens in this process.",
        rich_help_panel=PANEL,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Ray cluster: auto (this machine is a node of it) or the head node's HOST:PORT. By default a cluster is "
        "started on this machine and ends with the command.",
        rich_help_panel=PANEL,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=WORKERS_MAX,
        help="Number of Ray workers, each with the model in memory. By default one per GPU of the cluster, or one per "
        "4 CPUs if it has no GPU.",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RayChoice:
    """What was asked of Ray."""

    address: str | None  # None: a cluster of our own
    workers: int | None


Run: TypeAlias = "Callable[[LoadedEmbedder, Callable[[], str]], Coroutine[Any, Any, IndexReport]]"  # and workers' state


def choose_ray(engine: Engine, *, address: str | None, workers: int | None, settings: Settings) -> RayChoice | None:
    """Return None for the local engine. Raises `InvalidRequest` for options that do not go together."""
    if engine is Engine.LOCAL:
        for flag, value in (("--ray-address", address), ("--workers", workers)):
            if value is not None:
                raise InvalidRequest(f"{flag} needs --engine ray")
        return None
    if settings.url is not None:
        raise InvalidRequest(f"--engine ray cannot be used with a service ({settings.url}), which embeds by itself")
    return RayChoice(address=address, workers=workers)


def run_on_ray(choice: RayChoice, settings: Settings, terminal: Terminal, run: Run) -> IndexReport:
    """Run with an embedder that gives windows to workers.

    Raises what the run does, `SettingInvalid` and `EmbedderUnavailable`.
    """
    from winnow.api.model_loading import embedder_identity

    prepare_ray(own_cluster=choice.address is None)
    try:
        from winnow.indexer.distributed.ray_workers import RayCluster
    except ImportError as missing:
        raise SettingInvalid("--engine ray needs Ray: pip install 'winnow-search[ray]'") from missing
    embedder_identity(settings)  # a model that is missing here is missed before a cluster is started
    place = "starting on this machine" if choice.address is None else f"connecting to {choice.address}"
    terminal.say(f"Ray: {place}")
    with discard_output(), RayCluster(choice.address) as cluster:
        return asyncio.run(_run(choice, settings, terminal, run, cluster))


async def _run(choice: RayChoice, settings: Settings, terminal: Terminal, run: Run, cluster: RayCluster) -> IndexReport:
    from winnow.api.model_loading import LoadedEmbedder, embedder_identity, load_embedder
    from winnow.indexer.distributed.plan import plan_workers
    from winnow.indexer.distributed.worker_pool import WorkerPool
    from winnow.retrieval.model.folder import find_model
    from winnow.retrieval.model.tokenizer import PlainTokenizer

    device = "cpu" if settings.embed_url else settings.device  # servers compute, so workers need no GPU
    plan = plan_workers(cluster.nodes(), wanted=choice.workers, device=device)
    identity = embedder_identity(settings)
    folder = find_model(settings.embed_model, kind="embedder", source=settings.model_source)
    tokenizer = PlainTokenizer.load(folder.path)
    pool = WorkerPool(
        partial(cluster.start, plan, partial(load_embedder, worker_settings(settings, plan))),
        identity=identity,
        version=winnow.__version__,
        wanted=plan.count,
        tokenizer=tokenizer,
        needs=plan.needs,
        tell=terminal.say,
    )
    terminal.say(f"Ray: starting {counted(plan.count, 'worker')} of {plan.needs} each")
    async with pool:
        embedding = LoadedEmbedder(
            embedder=pool,
            tokenizer=tokenizer,
            runs_on=f"{identity.name} on {counted(plan.count, 'Ray worker')}",
            device=plan.device,
            windows_max=pool.windows_max,
        )
        report = await run(embedding, pool.describe)
        return replace(report, engine=pool.report(Engine.RAY, choice.address))


def worker_settings(settings: Settings, plan: WorkerPlan) -> Settings:
    """The settings that workers need: the model's alone, so no key and no address of a database travels."""
    model = Path(settings.embed_model)
    return Settings(
        embed_model=str(model.resolve()) if model.is_dir() else settings.embed_model,
        embed_url=settings.embed_url,
        embed_dimension=settings.embed_dimension,
        embed_query_prefix=settings.embed_query_prefix,
        embed_passage_prefix=settings.embed_passage_prefix,
        device=plan.device,
        dtype=settings.dtype,
        model_source=settings.model_source,
    )


@contextlib.contextmanager
def discard_output() -> Iterator[None]:
    """Keep Ray's own messages about lost processes off standard output, where the report belongs."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
