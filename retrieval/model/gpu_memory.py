"""Memory of a GPU, from CUDA through torch: FAISS does not expose it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuMemory:
    """Memory of one GPU, counting all processes."""

    free_bytes: int
    total_bytes: int


def gpu_memory(ordinal: int) -> GpuMemory | None:
    """Memory of this GPU; None if torch does not see it or the driver does not tell."""
    import torch  # takes seconds; only needed with a GPU

    if not torch.cuda.is_available() or ordinal >= torch.cuda.device_count():
        return None
    try:
        free, total = torch.cuda.mem_get_info(ordinal)
    except RuntimeError:  # the driver does not tell
        return None
    return GpuMemory(free_bytes=int(free), total_bytes=int(total))
