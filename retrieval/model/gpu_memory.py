"""How much memory has this GPU, and how much of it is free? As CUDA tells through torch: FAISS does not pass it on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuMemory:
    """Of one GPU, all processes on it counted."""

    free_bytes: int
    total_bytes: int


def gpu_memory(ordinal: int) -> GpuMemory | None:
    """Of the GPU with this number; None where this torch sees no such GPU, and nobody knows."""
    import torch  # seconds, for whoever has a GPU only

    if not torch.cuda.is_available() or ordinal >= torch.cuda.device_count():
        return None
    try:
        free, total = torch.cuda.mem_get_info(ordinal)
    except RuntimeError:  # the driver does not say
        return None
    return GpuMemory(free_bytes=int(free), total_bytes=int(total))
