"""The contract of workers: processes, perhaps of other machines, that each hold the embedding model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from winnow.retrieval.embed.embedder import EmbedderIdentity, Embeddings, Passage
from winnow.retrieval.errors import ModelUnusable, SettingInvalid


class WorkerLost(Exception):
    """A worker, its node or the connection to it is gone, or the worker failed in an unknown way."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason  # one sentence, without a full stop


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """The model that a worker has loaded."""

    identity: EmbedderIdentity
    runs_on: str  # device and number format, or the servers


class Worker(Protocol):
    """One worker. All methods raise `WorkerLost`, and the `WinnowError` leaves that the model raises there."""

    @property
    def name(self) -> str:
        """Machine and process, for operators."""
        ...

    @property
    def version(self) -> str:
        """Version of winnow that is installed there."""
        ...

    async def load(self) -> LoadedModel:
        """Load the model; called once, before anything is embedded."""
        ...

    async def embed(self, passages: Sequence[Passage]) -> Embeddings:
        """Embed one window as the local engine would: in one call."""
        ...

    def stop(self) -> None:
        """End the process, if it still runs. Returns at once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCount:
    """What one worker did."""

    name: str
    runs_on: str
    windows: int  # whose vectors it computed
    lost: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """What the workers of a run did. Part of the run's report."""

    name: str
    address: str | None  # None if the run started a cluster of its own
    windows_sent_again: int  # because a worker was lost
    workers: list[WorkerCount] = field(default_factory=list)


def require_version(worker: Worker, version: str) -> None:
    """Raise `SettingInvalid` if the worker runs another version of winnow, which might compute other vectors."""
    if worker.version != version:
        raise SettingInvalid(
            f"worker {worker.name} has winnow {worker.version} and this command {version}; install one version on "
            "every node"
        )


def require_model(worker: Worker, loaded: LoadedModel, identity: EmbedderIdentity) -> None:
    """Raise `ModelUnusable` if the worker's model differs from this command's in any way that changes vectors."""
    if loaded.identity != identity:
        raise ModelUnusable(
            f"worker {worker.name} has {_describe(loaded.identity)} and this command {_describe(identity)}; put the "
            "same model on every node"
        )


def _describe(identity: EmbedderIdentity) -> str:
    return f"{identity.name} ({identity.revision[:12]}, {identity.dimension} dimensions, {identity.prompt_format})"
