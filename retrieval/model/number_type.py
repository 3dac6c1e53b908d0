"""The number types in which a model may be computed, and what a processor needs for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch

from winnow.retrieval.errors import SettingInvalid

# torch's name of each to the usual one
_BFLOAT16: Final = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}
_INT8: Final = {"amx_int8": "AMX", "avx512_vnni": "AVX512-VNNI"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberType:
    """How numbers are kept during a computation."""

    name: str
    states: torch.dtype  # of everything but matrix products
    products: torch.dtype  # of their inputs and weights; they are summed in float32, whole numbers exactly

    @property
    def is_mixed(self) -> bool:
        return self.states != self.products


FLOAT32: Final = NumberType(name="float32", states=torch.float32, products=torch.float32)
BFLOAT16: Final = NumberType(name="bfloat16", states=torch.bfloat16, products=torch.bfloat16)
FLOAT16: Final = NumberType(name="float16", states=torch.float16, products=torch.float16)
BF16_MIXED: Final = NumberType(name="bf16-mixed", states=torch.float32, products=torch.bfloat16)
INT8_DYNAMIC: Final = NumberType(name="int8-dynamic", states=torch.float32, products=torch.int8)
_BY_NAME: Final = {each.name: each for each in (FLOAT32, BFLOAT16, FLOAT16, BF16_MIXED, INT8_DYNAMIC)}


def parse_number_type(name: str | None, device: torch.device) -> NumberType:
    """None is bfloat16 on CUDA, else float32. Raises `SettingInvalid`, also for what the device cannot compute."""
    if name is None:
        return BFLOAT16 if device.type == "cuda" else FLOAT32
    found = _BY_NAME.get(name)
    if found is None:
        raise SettingInvalid(f"unknown dtype {name!r}; use one of {', '.join(_BY_NAME)}")
    if found.is_mixed:
        _require_instructions(found, device)
    return found


def _require_instructions(wanted: NumberType, device: torch.device) -> None:
    if device.type != "cpu":
        raise SettingInvalid(f"dtype {wanted.name} is for a CPU; use bfloat16 on {device}")
    known = _INT8 if wanted.products == torch.int8 else _BFLOAT16
    if not _found(known):
        raise SettingInvalid(
            f"dtype {wanted.name} needs a CPU with {' or '.join(known.values())}, which this one lacks; use float32"
        )


def bfloat16_instructions() -> tuple[str, ...]:
    """The instructions of this CPU that multiply bfloat16; empty if it has none, or torch cannot use them."""
    return _found(_BFLOAT16)


def int8_instructions() -> tuple[str, ...]:
    """The instructions of this CPU that multiply bytes and sum without overflow; empty as above."""
    return _found(_INT8)


def _found(known: Mapping[str, str]) -> tuple[str, ...]:
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return ()
    ask = getattr(torch.cpu, "get_capabilities", None)  # an old torch does not tell
    found = ask() if ask else {}
    return tuple(called for name, called in known.items() if found.get(name))
