"""Decides how many workers a cluster gets, and what each of them occupies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from winnow.retrieval.errors import SettingInvalid

CORES_PER_WORKER: Final = 4  # cores; products of small models hardly get faster with more
CPU: Final = "cpu"
CUDA: Final = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRoom:
    """What one node of a cluster has."""

    cpus: int
    gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """How many workers to start, and what each of them occupies."""

    count: int
    cpus: int
    gpus: int
    device: str  # for the model

    @property
    def needs(self) -> str:
        cores = f"{self.cpus} CPU{'s' * (self.cpus > 1)}"
        return f"{cores} and {self.gpus} GPU" if self.gpus else cores


def plan_workers(nodes: Sequence[NodeRoom], *, wanted: int | None, device: str | None) -> WorkerPlan:
    """Plan one worker per GPU, or where there is none, one per `CORES_PER_WORKER` cores.

    More workers than there is room for are planned if they are wanted: the others start when nodes join. If the wanted
    workers fit with fewer cores each, they get fewer. Raises `SettingInvalid`.
    """
    if device is not None and ":" in device:
        raise SettingInvalid(
            f"--device {device}: Ray gives each worker its device; use --device {device.split(':')[0]}"
        )
    gpus = sum(node.gpus for node in nodes)
    if device == CUDA and not gpus:
        raise SettingInvalid("--device cuda: no node of the Ray cluster has a GPU")
    if gpus and device in (None, CUDA):
        return WorkerPlan(count=wanted or gpus, cpus=1, gpus=1, device=CUDA)
    cores = next(
        (each for each in range(CORES_PER_WORKER, 1, -1) if _places(nodes, each) >= (wanted or 1)),
        1,
    )
    return WorkerPlan(count=wanted or max(_places(nodes, cores), 1), cpus=cores, gpus=0, device=device or CPU)


def _places(nodes: Sequence[NodeRoom], cores: int) -> int:
    return sum(node.cpus // cores for node in nodes)
