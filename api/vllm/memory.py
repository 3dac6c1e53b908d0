"""Plans the memory of vLLM servers: the GPUs of each, and its share of them.

A server's need on one GPU is the sum of four figures, of which only the first is exact:

    weights       the parameters, in the format in which they are kept
    work          what one step of `batched_tokens` holds at once, and what captured steps keep for the largest of them
    cache         keys and values of one full step and one longest input; more only makes repeats cheaper
    allowance     CUDA's own context, captured graphs, what allocators leave unused

Rule 1: vLLM takes its whole share of a GPU, whatever it needs, so the shares of two servers on one GPU must add up.
Rule 2: shares grow with the GPU: a plan for a small one also works on every larger one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from winnow.api.settings import Quantization
from winnow.api.vllm.machine import Gpu, Machine
from winnow.api.vllm.model import Served
from winnow.retrieval.errors import SettingInvalid

GPU_SHARE_MAX: Final = 0.90  # of a GPU's memory, all servers together; the rest is for its driver and the screen
ALLOWANCE_BYTES: Final = 1_500_000_000  # bytes; an estimate, to be replaced when measured
FREE_MARGIN_BYTES: Final = 500_000_000  # bytes of a GPU's free memory left unused; "free" changes from moment to moment
SPLITS: Final = (1, 2, 4, 8)  # numbers of GPUs that one model may be split over; its key heads must be divisible by it
CPU_CACHE_WINDOWS: Final = 2  # longest inputs whose keys and values a CPU holds: one in progress, one cached
_GIB: Final = 1 << 30
_BYTES_OF: Final = {"float32": 4, "bfloat16": 2, "float16": 2}
_STATES: Final = 6  # copies of the hidden state that a layer holds at once, approximately
_GATES: Final = 3  # copies of the intermediate state: gate, up, and their product


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One model, and how to run it."""

    served: Served
    dtype: str
    quantization: Quantization
    batched_tokens: int
    window: int
    graph_tokens: int = 0  # of the largest step that is captured beyond those that vLLM captures


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes needed on each GPU."""

    weights: int
    work: int
    cache: int
    allowance: int = ALLOWANCE_BYTES

    @property
    def total(self) -> int:
        return self.weights + self.work + self.cache + self.allowance

    @property
    def said(self) -> str:
        """For operators, who decide what to reduce."""
        parts = ("weights", self.weights), ("work", self.work), ("cache", self.cache), ("allowance", self.allowance)
        return f"{self.total / 1e9:.1f} GB ({', '.join(f'{name} {size / 1e9:.1f}' for name, size in parts)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one server runs."""

    gpus: tuple[Gpu, ...] = ()  # empty on a CPU
    share: float = 0.0  # of the memory of each of its GPUs
    share_least: float = 0.0  # the minimum for a start
    is_alone: bool = True
    cpu_cache_gib: int = 0  # GiB of keys and values, on a CPU


def memory_need(load: Load, *, split: int = 1) -> Need:
    """Memory needed on each of `split` GPUs."""
    served, width = load.served, _BYTES_OF[load.dtype]
    shape = served.shape
    saved = served.quantizable * (width - 1) if load.quantization != "none" else 0  # one byte each
    weights = served.stored_bytes or served.parameters * width - saved
    row = (_GATES * shape.intermediate + _STATES * shape.hidden) * width
    kept = load.batched_tokens + load.window
    return Need(
        weights=math.ceil(weights / split),
        work=math.ceil((load.batched_tokens + load.graph_tokens) * row / split),
        cache=math.ceil(kept * cache_bytes_per_token(load) / split),
    )


def cache_bytes_per_token(load: Load) -> int:
    """Bytes of a key and a value, for all key heads and layers."""
    shape = load.served.shape
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * _BYTES_OF[load.dtype]


def place_servers(loads: Sequence[Load], machine: Machine, *, split: int | None = None) -> tuple[Place, ...] | None:
    """Place each model: on its own GPUs if there are enough, else all on the same ones, over as few as possible.

    None if they do not fit; `refusal` has the figures. `split` is the number of GPUs that the operator wants per model;
    raises `SettingInvalid` if there are fewer.
    """
    if not machine.gpus:
        return tuple(_on_cpu(load) for load in loads)
    room = min(_room(gpu) for gpu in machine.gpus)
    splits = _splits(machine, split)
    own = [_least_split(load, splits, room) for load in loads]
    if all(own) and sum(own) <= len(machine.gpus):
        return _apart(loads, own, machine, room)
    for each in splits:
        needs = [memory_need(load, split=each) for load in loads if _divides(load, each)]
        if len(needs) == len(loads) and sum(need.total for need in needs) <= room:
            return _together(needs, machine.gpus[:each], room)
    return None


def refusal(loads: Sequence[Load], machine: Machine, *, split: int | None = None) -> str:
    """Explain what is needed, what is available, and what to do, if `place` found no place."""
    most = max(_splits(machine, split))
    needs = " and ".join(
        f"{load.served.model} ({load.served.role}) needs {memory_need(load, split=most).said}" for load in loads
    )
    over = "" if most == 1 else f" on each of {most} GPUs"
    return (
        f"{needs}{over}, but {machine.said} has {min(_room(gpu) for gpu in machine.gpus) / 1e9:.1f} GB available; use "
        "a smaller model, fp8 or more GPUs, or run one of the two elsewhere"
    )


def _splits(machine: Machine, split: int | None) -> list[int]:
    possible = [each for each in (SPLITS if split is None else (split,)) if each <= len(machine.gpus)]
    if not possible:
        raise SettingInvalid(f"a model cannot be split over {split} GPUs; this machine has {len(machine.gpus)}")
    return possible


def _on_cpu(load: Load) -> Place:
    needed = CPU_CACHE_WINDOWS * load.window * cache_bytes_per_token(load)
    return Place(cpu_cache_gib=math.ceil(needed / _GIB))


def _room(gpu: Gpu) -> int:
    """Bytes that servers may take of this GPU."""
    allowed = int(gpu.memory_bytes * GPU_SHARE_MAX)
    return allowed if gpu.free_bytes is None else max(0, min(allowed, gpu.free_bytes - FREE_MARGIN_BYTES))


def _divides(load: Load, split: int) -> bool:
    return load.served.shape.kv_heads % split == 0 and load.served.shape.query_heads % split == 0


def _least_split(load: Load, splits: Sequence[int], room: int) -> int:
    """The fewest GPUs that suffice, or 0."""
    fitting = (each for each in splits if _divides(load, each) and memory_need(load, split=each).total <= room)
    return next(fitting, 0)


def _apart(loads: Sequence[Load], splits: Sequence[int], machine: Machine, room: int) -> tuple[Place, ...]:
    places, taken = [], 0
    for load, split in zip(loads, splits, strict=True):
        gpus = machine.gpus[taken : taken + split]
        taken += split
        need = memory_need(load, split=split)
        places.append(_place(need, gpus, room, is_alone=True))
    return tuple(places)


def _together(needs: Sequence[Need], gpus: tuple[Gpu, ...], room: int) -> tuple[Place, ...]:
    """Share the same GPUs; spare memory is divided in proportion to need."""
    whole = sum(need.total for need in needs)
    return tuple(_place(need, gpus, room * need.total // whole, is_alone=len(needs) == 1) for need in needs)


def _place(need: Need, gpus: tuple[Gpu, ...], room: int, *, is_alone: bool) -> Place:
    memory = min(gpu.memory_bytes for gpu in gpus)
    share = math.floor(room / memory * 100) / 100  # rounded down, so that the sum stays within the limit
    least = min(share, math.ceil(need.total / memory * 100) / 100)
    return Place(gpus=gpus, share=share, share_least=least, is_alone=is_alone)
