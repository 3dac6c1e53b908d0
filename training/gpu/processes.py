"""One process per GPU: ranks, sums over processes, and a clock that all of them share."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Processes:
    """Started by torchrun, or one process alone."""

    def __init__(self) -> None:
        self.world = int(os.environ.get("WORLD_SIZE", "1"))  # noqa: TID251 (torchrun speaks through it)
        self.rank = int(os.environ.get("RANK", "0"))  # noqa: TID251
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))  # noqa: TID251
        if self.world > 1:
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def add_up(self, tensor: Tensor) -> None:
        if self.world > 1:
            dist.all_reduce(tensor)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        if self.world == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        flat /= self.world
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def same(self, parameters: Iterable[nn.Parameter]) -> None:
        """Copy the first process's parameters to all."""
        if self.world > 1:
            for parameter in parameters:
                dist.broadcast(parameter.data, 0)

    def agreed(self, number: float) -> float:
        """The first process's number."""
        if self.world == 1:
            return number
        told = torch.tensor([number], dtype=torch.float64)
        dist.broadcast(told, 0)
        return float(told[0])

    def close(self) -> None:
        if self.world > 1:
            dist.destroy_process_group()


STILL_MOST = 5.0  # seconds between two readings; what is longer was no work: the process was stopped


class Clock:
    """Share of its seconds that a phase has used, equal in all processes; time before an interruption counts."""

    def __init__(self, processes: Processes, seconds: float, *, used: float = 0.0, every: int = 10) -> None:
        self.processes, self.seconds, self.used, self.every = processes, max(seconds, 1e-9), used, every
        self.began = time.monotonic()
        self.calls, self.share = 0, used / self.seconds

    def restart(self) -> None:
        """Exclude what must not count: compilation, a measurement."""
        self.began = time.monotonic()

    def read(self) -> float:
        if self.calls % self.every == 0:
            self.share = self.processes.agreed((self.used + time.monotonic() - self.began) / self.seconds)
        self.calls += 1
        return self.share


class Ending:
    """Share of the way to an end that a file has, in epoch seconds, and that may be moved while the phase runs.

    What is left of the share is spread over what is left of the time, so that it reaches 1 at the end wherever that is,
    and after the process was stopped for a while, too: the share stands still meanwhile.
    """

    def __init__(self, processes: Processes, end: Path, *, used: float = 0.0, every: int = 10) -> None:
        self.processes, self.end, self.every = processes, end, every
        self.share, self.calls, self.before = used, 0, time.time()

    def restart(self) -> None:
        """As `Clock.restart`: what went by since the last reading does not count."""
        self.before = time.time()

    def read(self) -> float:
        if self.calls % self.every == 0:
            now = time.time()
            left = float(self.end.read_text(encoding="utf-8")) - now
            worked = min(now - self.before, STILL_MOST)
            share = 1.0 if left <= 0 else self.share + (1 - self.share) * worked / (worked + left)
            self.share, self.before = self.processes.agreed(share), now
        self.calls += 1
        return self.share
