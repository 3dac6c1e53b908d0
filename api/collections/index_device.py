"""The device that searches indexes, and requirements for indexes built for it.

The settings name the device; whether FAISS can use it is checked when a command starts, not at the first search.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from winnow.api.settings import Settings
from winnow.retrieval.errors import DeviceUnusable
from winnow.retrieval.index.faiss_gpu import FaissGpu
from winnow.retrieval.index.gpu_index import IndexDevice
from winnow.retrieval.index.planner import CPU, IndexWish

_log = logging.getLogger(__name__)


def index_device(settings: Settings) -> IndexDevice | None:
    """Return the GPU, or None for the CPU. Raises `SettingInvalid` if FAISS cannot use the configured GPU."""
    return None if settings.index_device == CPU else IndexDevice(FaissGpu.named(settings.index_device))


def index_wish(settings: Settings, device: IndexDevice | None) -> IndexWish:
    """Return the requirements of new indexes: for the device if FAISS works correctly there, else for the CPU.

    All its memory counts: the current index leaves when the next one comes.
    """
    if device is None:
        return settings.index_wish
    try:
        device.require_correct()
    except DeviceUnusable as unusable:
        _log.warning("indexes are built for the CPU: %s", unusable.message)
        return settings.index_wish
    memory = device.memory()
    total = None if memory is None else memory.total_bytes
    return replace(settings.index_wish, device=device.name, device_memory_bytes=total)
