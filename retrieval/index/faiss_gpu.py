"""Access to one GPU through FAISS with cuVS. The only module that calls FAISS's GPU functions.

Each index has its own resources: FAISS lets only one thread at a time use them, so copying the next generation would
otherwise block the searches of the current one.
"""

from __future__ import annotations

from typing import Any, Final

import faiss

from winnow.retrieval.errors import SettingInvalid
from winnow.retrieval.index.faiss_flat import FAISS_VERSION
from winnow.retrieval.index.planner import DEVICE_SCRATCH_BYTES
from winnow.retrieval.model.gpu_memory import GpuMemory, gpu_memory
from winnow.retrieval.records import Vectors

_FAISS: Final[Any] = faiss  # its stubs lack the GPU
_NEEDED: Final = ("StandardGpuResources", "GpuIndexFlatConfig", "GpuIndexFlatIP")
_REMEDY: Final = "install faiss-gpu-cuvs in place of faiss-cpu (pip install 'winnow-search[gpu]'), or leave it at cpu"


class FaissGpu:
    """A GPU by its ordinal; implements `Card`."""

    def __init__(self, ordinal: int) -> None:
        self._ordinal = ordinal

    @classmethod
    def named(cls, name: str) -> FaissGpu:
        """Find the GPU `cuda` (the first) or `cuda:N`. Raises `SettingInvalid` if FAISS cannot use it."""
        if fault := missing():
            raise SettingInvalid(f"index_device is {name}, but {fault}: {_REMEDY}")
        ordinal, count = int(name.partition(":")[2] or 0), int(_FAISS.get_num_gpus())
        if ordinal >= count:
            raise SettingInvalid(f"index_device is {name}, but FAISS {FAISS_VERSION} sees {count} GPUs (from cuda:0)")
        return cls(ordinal)

    @property
    def name(self) -> str:
        return f"cuda:{self._ordinal}"

    def memory(self) -> GpuMemory | None:
        return gpu_memory(self._ordinal)

    def flat(self, vectors: Vectors) -> Any:
        """Copy these float32 rows into an inner-product index in half precision, over cuVS. Raises `RuntimeError`."""
        resources = _FAISS.StandardGpuResources()
        resources.setTempMemory(DEVICE_SCRATCH_BYTES)
        config = _FAISS.GpuIndexFlatConfig()
        config.device = self._ordinal
        config.useFloat16 = True
        config.use_cuvs = True  # without it FAISS ignores selectors
        index = _FAISS.GpuIndexFlatIP(resources, vectors.shape[1], config)
        index.add(vectors)  # all at once: FAISS then allocates once, and copies page by page
        return _Held(index, resources)


class _Held:
    """An index, and the resources that must live as long as it does."""

    def __init__(self, index: Any, resources: Any) -> None:
        self._index = index
        self._resources = resources

    @property
    def ntotal(self) -> int:
        return int(self._index.ntotal)

    def search(self, rows: Vectors, k: int, *, params: Any) -> Any:
        return self._index.search(rows, k, params=params)


def missing() -> str | None:
    """Why this build of FAISS cannot use any GPU; None if it can."""
    if any(not hasattr(faiss, name) for name in _NEEDED):
        return f"this build of FAISS ({FAISS_VERSION}) has no GPU support"
    if not _FAISS.get_num_gpus():
        return f"FAISS {FAISS_VERSION} sees no GPU on this machine"
    return None
