"""On which device are indexes searched, and what is asked of those that are built for it?

Settings name the device; whether FAISS can use it is found out when a command starts, and not at the first search.
"""

from __future__ import annotations

from dataclasses import replace

from api.settings import Settings
from retrieval.device_index import IndexDevice
from retrieval.faiss_gpu import FaissGpu
from retrieval.recipes import CPU, IndexWish


def index_device(settings: Settings) -> IndexDevice | None:
    """None where indexes are searched on the CPU. Raises `SettingInvalid` where FAISS cannot use the GPU set."""
    return None if settings.index_device == CPU else IndexDevice(FaissGpu.named(settings.index_device))


def index_wish(settings: Settings, device: IndexDevice | None) -> IndexWish:
    """What is asked of the indexes that are built; all the device's memory counts, as what is there now will leave."""
    memory = None if device is None else device.memory()
    return replace(
        settings.index_wish,
        device=CPU if device is None else device.name,
        device_memory_bytes=None if memory is None else memory.total_bytes,
    )
