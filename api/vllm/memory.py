"""How much memory does a vLLM server need, and does it fit? Each gets its place: its GPUs, and its share of them.

A server's need on one GPU is the sum of four figures, of which only the first is exact:

    weights       the parameters, in the format they are kept in
    work          what one step of `batched_tokens` holds at once
    cache         keys and values of one full step and one longest input; more of it only makes repeats cheaper
    allowance     CUDA's own context, captured graphs, what allocators leave unused

Rule 1: vLLM takes its share of a GPU whole, whatever it needs, so two servers on one GPU must be given shares that
add up. Rule 2: shares grow with the GPU: a plan for a small one holds on every larger one.
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

GPU_SHARE_MAX: Final = 0.90  # of a GPU's memory, all servers together; the rest is its driver's, and the screen's
ALLOWANCE_BYTES: Final = 1_500_000_000  # bytes; an allowance, to be replaced when it has been measured
FREE_MARGIN_BYTES: Final = 500_000_000  # bytes of a GPU's free memory left alone; "free" is a moment's figure
SPLITS: Final = (1, 2, 4, 8)  # GPUs that one model may be spread over; its key heads must divide by it
CPU_CACHE_WINDOWS: Final = 2  # longest inputs whose keys and values a CPU holds: one at work, one remembered
_GIB: Final = 1 << 30
_BYTES_OF: Final = {"float32": 4, "bfloat16": 2, "float16": 2}
_STATES: Final = 6  # copies of the hidden state that a layer holds at once, about
_GATES: Final = 3  # copies of the intermediate state: gate, up, and their product


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One model, and how it is to be run."""

    served: Served
    dtype: str
    quantization: Quantization
    batched_tokens: int
    window: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes on each of its GPUs."""

    weights: int
    work: int
    cache: int
    allowance: int = ALLOWANCE_BYTES

    @property
    def total(self) -> int:
        return self.weights + self.work + self.cache + self.allowance

    @property
    def said(self) -> str:
        """For the operator, who has to decide what to take away."""
        parts = ("weights", self.weights), ("work", self.work), ("cache", self.cache), ("allowance", self.allowance)
        return f"{self.total / 1e9:.1f} GB ({', '.join(f'{name} {size / 1e9:.1f}' for name, size in parts)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one server runs."""

    gpus: tuple[Gpu, ...] = ()  # empty on a CPU
    share: float = 0.0  # of the memory of each of its GPUs
    share_least: float = 0.0  # with which it would start, just
    is_alone: bool = True
    cpu_cache_gib: int = 0  # GiB of keys and values, on a CPU


def need_of(load: Load, *, split: int = 1) -> Need:
    """On each of `split` GPUs."""
    served, width = load.served, _BYTES_OF[load.dtype]
    shape = served.shape
    saved = served.quantizable * (width - 1) if load.quantization == "fp8" else 0  # one byte each
    weights = served.stored_bytes or served.parameters * width - saved
    row = (_GATES * shape.intermediate + _STATES * shape.hidden) * width
    kept = load.batched_tokens + load.window
    return Need(
        weights=math.ceil(weights / split),
        work=math.ceil(load.batched_tokens * row / split),
        cache=math.ceil(kept * cache_bytes_per_token(load) / split),
    )


def cache_bytes_per_token(load: Load) -> int:
    """A key and a value, of every key head of every layer."""
    shape = load.served.shape
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * _BYTES_OF[load.dtype]


def placed(loads: Sequence[Load], machine: Machine, *, split: int | None = None) -> tuple[Place, ...] | None:
    """A place for each: GPUs of its own where there are enough, else all on the same ones, spread as little as can be.

    None where they do not fit, for which `refusal` has the figures. `split` is the number of GPUs that the operator
    wants each model spread over; where there are fewer, that raises `SettingInvalid`.
    """
    if not machine.gpus:
        return tuple(_on_cpu(load) for load in loads)
    room = min(_room(gpu) for gpu in machine.gpus)
    splits = _splits(machine, split)
    own = [_least_split(load, splits, room) for load in loads]
    if all(own) and sum(own) <= len(machine.gpus):
        return _apart(loads, own, machine, room)
    for each in splits:
        needs = [need_of(load, split=each) for load in loads if _divides(load, each)]
        if len(needs) == len(loads) and sum(need.total for need in needs) <= room:
            return _together(needs, machine.gpus[:each], room)
    return None


def refusal(loads: Sequence[Load], machine: Machine, *, split: int | None = None) -> str:
    """What is needed, what is there, and what could be done, where `placed` found no place."""
    most = max(_splits(machine, split))
    needs = " and ".join(
        f"{load.served.model} ({load.served.role}) needs {need_of(load, split=most).said}" for load in loads
    )
    over = "" if most == 1 else f" on each of {most} GPUs"
    return (
        f"{needs}{over}, and {machine.said} has {min(_room(gpu) for gpu in machine.gpus) / 1e9:.1f} GB for it; take a "
        "smaller model, fp8, more GPUs, or run one of the two elsewhere"
    )


def _splits(machine: Machine, split: int | None) -> list[int]:
    possible = [each for each in (SPLITS if split is None else (split,)) if each <= len(machine.gpus)]
    if not possible:
        raise SettingInvalid(f"a model cannot be spread over {split} GPUs; there are {len(machine.gpus)}")
    return possible


def _on_cpu(load: Load) -> Place:
    needed = CPU_CACHE_WINDOWS * load.window * cache_bytes_per_token(load)
    return Place(cpu_cache_gib=math.ceil(needed / _GIB))


def _room(gpu: Gpu) -> int:
    """Bytes that servers may take of it."""
    allowed = int(gpu.memory_bytes * GPU_SHARE_MAX)
    return allowed if gpu.free_bytes is None else max(0, min(allowed, gpu.free_bytes - FREE_MARGIN_BYTES))


def _divides(load: Load, split: int) -> bool:
    return load.served.shape.kv_heads % split == 0 and load.served.shape.query_heads % split == 0


def _least_split(load: Load, splits: Sequence[int], room: int) -> int:
    """0 where no number of GPUs is enough."""
    fitting = (each for each in splits if _divides(load, each) and need_of(load, split=each).total <= room)
    return next(fitting, 0)


def _apart(loads: Sequence[Load], splits: Sequence[int], machine: Machine, room: int) -> tuple[Place, ...]:
    places, taken = [], 0
    for load, split in zip(loads, splits, strict=True):
        gpus = machine.gpus[taken : taken + split]
        taken += split
        need = need_of(load, split=split)
        places.append(_place(need, gpus, room, is_alone=True))
    return tuple(places)


def _together(needs: Sequence[Need], gpus: tuple[Gpu, ...], room: int) -> tuple[Place, ...]:
    """What is left over goes to each in proportion to its need."""
    whole = sum(need.total for need in needs)
    return tuple(_place(need, gpus, room * need.total // whole, is_alone=len(needs) == 1) for need in needs)


def _place(need: Need, gpus: tuple[Gpu, ...], room: int, *, is_alone: bool) -> Place:
    memory = min(gpu.memory_bytes for gpu in gpus)
    share = math.floor(room / memory * 100) / 100  # down, so that shares still add up
    least = min(share, math.ceil(need.total / memory * 100) / 100)
    return Place(gpus=gpus, share=share, share_least=least, is_alone=is_alone)
