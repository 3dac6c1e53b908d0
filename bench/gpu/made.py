"""Generates embedding-like vectors on the GPU, with queries on the same topics and the truth, for bench.gpu.index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch

from winnow.retrieval.records import Vectors

K: Final = 100
DIMENSION: Final = 1_024
LATENT: Final = 96  # dimensions in which the vectors really differ
CLUSTER_SIZE: Final = 100
SPREAD: Final = 0.7
BLOCK: Final = 500_000  # vectors; 2 GB
QUERIES: Final = 200


class Made:
    """Vectors on many topics, in blocks; queries on the same, and the truth once all are read."""

    def __init__(self, count: int, *, seed: int = 1) -> None:
        self.count = count
        self._chance = torch.Generator(device="cuda").manual_seed(seed)
        self._basis = self._normal(LATENT, DIMENSION)
        self._things = self._normal(max(1, count // CLUSTER_SIZE), LATENT)
        self._asked = self._some(QUERIES)
        self._best = torch.empty(QUERIES, 0, device="cuda")
        self._nearest = torch.empty(QUERIES, 0, dtype=torch.int64, device="cuda")

    @property
    def queries(self) -> Vectors:
        asked: Vectors = self._asked.cpu().numpy()
        return asked

    @property
    def truth(self) -> list[set[int]]:
        return [set(row) for row in self._nearest.cpu().tolist()]

    def blocks(self) -> Iterator[Vectors]:
        """Yield all blocks; only once."""
        for start in range(0, self.count, BLOCK):
            block = self._some(min(BLOCK, self.count - start))
            best = torch.cat([self._best, self._asked @ block.T], dim=1)
            numbers = torch.arange(start, start + len(block), device="cuda").expand(QUERIES, -1)
            self._best, at = best.topk(min(K, best.shape[1]), dim=1)
            self._nearest = torch.cat([self._nearest, numbers], dim=1).gather(1, at)
            yield block.cpu().numpy()

    def _some(self, count: int) -> torch.Tensor:
        about = torch.randint(len(self._things), (count,), generator=self._chance, device="cuda")
        near = self._things[about] + SPREAD * self._normal(count, LATENT)
        return torch.nn.functional.normalize(near @ self._basis, dim=1)

    def _normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=self._chance, device="cuda")
