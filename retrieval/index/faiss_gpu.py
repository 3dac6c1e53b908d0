"""One GPU, as FAISS with cuVS sees it: the only module that calls FAISS's functions for GPUs.

Each index has resources of its own: FAISS lets one thread at a time use them, and what is copied for the next
generation would otherwise keep the searches of this one waiting.
"""

from __future__ import annotations

from typing import Any, Final

import faiss

from winnow.retrieval.errors import SettingInvalid
from winnow.retrieval.index.faiss_flat import FAISS_VERSION
from winnow.retrieval.index.planner import DEVICE_SCRATCH_BYTES
from winnow.retrieval.model.gpu_memory import GpuMemory, gpu_memory
from winnow.retrieval.records import Vectors

_FAISS: Final[Any] = faiss  # the stubs do not know the GPU
_NEEDED: Final = ("StandardGpuResources", "GpuIndexFlatConfig", "GpuIndexFlatIP")
_REMEDY: Final = "install faiss-gpu-cuvs in place of faiss-cpu (pip install 'winnow-search[gpu]'), or leave it at cpu"


class FaissGpu:
    """A GPU by its number; implements `Card`."""

    def __init__(self, ordinal: int) -> None:
        self._ordinal = ordinal

    @classmethod
    def named(cls, name: str) -> FaissGpu:
        """`cuda`, which is the first, or `cuda:N`. Raises `SettingInvalid` where FAISS cannot use it."""
        if fault := missing():
            raise SettingInvalid(f"index_device is {name}, and {fault}: {_REMEDY}")
        ordinal, count = int(name.partition(":")[2] or 0), int(_FAISS.get_num_gpus())
        if ordinal >= count:
            raise SettingInvalid(f"index_device is {name}, and FAISS {FAISS_VERSION} sees {count} GPUs, from cuda:0 on")
        return cls(ordinal)

    @property
    def name(self) -> str:
        return f"cuda:{self._ordinal}"

    def memory(self) -> GpuMemory | None:
        return gpu_memory(self._ordinal)

    def flat(self, vectors: Vectors) -> Any:
        """An index of these float32 rows in half precision, by inner product, over cuVS. Raises `RuntimeError`."""
        resources = _FAISS.StandardGpuResources()
        resources.setTempMemory(DEVICE_SCRATCH_BYTES)
        config = _FAISS.GpuIndexFlatConfig()
        config.device = self._ordinal
        config.useFloat16 = True
        config.use_cuvs = True  # without it FAISS ignores who may answer
        index = _FAISS.GpuIndexFlatIP(resources, vectors.shape[1], config)
        index.add(vectors)  # at one go: FAISS then takes the room once, and copies page by page
        return _Held(index, resources)


class _Held:
    """An index, and the resources that have to live as long as it does."""

    def __init__(self, index: Any, resources: Any) -> None:
        self._index = index
        self._resources = resources

    @property
    def ntotal(self) -> int:
        return int(self._index.ntotal)

    def search(self, rows: Vectors, k: int, *, params: Any) -> Any:
        return self._index.search(rows, k, params=params)


def missing() -> str | None:
    """What keeps this build of FAISS from using any GPU; None where nothing does."""
    if any(not hasattr(faiss, name) for name in _NEEDED):
        return f"this build of FAISS ({FAISS_VERSION}) has no GPU in it"
    if not _FAISS.get_num_gpus():
        return f"FAISS {FAISS_VERSION} sees no GPU on this machine"
    return None
