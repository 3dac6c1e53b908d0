"""Linear layers of a decoder: torch's, and a faster version for CPUs."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from winnow.retrieval.model.number_type import NumberType

_onednn: Final[Any] = torch.ops.mkldnn
_HAS_ONEDNN: Final = bool(torch.backends.mkldnn.is_available()) and hasattr(_onednn, "_linear_pointwise")  # type: ignore[no-untyped-call]


class Linear:
    """y = x W'. The weight is prepared once, when the model is loaded."""

    def prepare(self, weight: Tensor) -> Tensor:
        return weight

    def operand(self, states: Tensor) -> Tensor:
        """Convert states to the `x` of products: once where several products share it."""
        return states

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.linear(x, weight)

    def product_plus(self, x: Tensor, weight: Tensor, residual: Tensor) -> Tensor:
        return torch.addmm(residual, x, weight.t())

    def gated(self, x: Tensor, gate: Tensor, up: Tensor) -> Tensor:
        """SwiGLU: silu(x gate') times (x up'), as the operand of the next product."""
        return functional.silu(functional.linear(x, gate), inplace=True).mul_(functional.linear(x, up))


class OneDnnLinear(Linear):
    """The same with oneDNN: weights in its layout, and what follows a product computed in the same pass.

    These are the operators that torch's own compiler emits for a CPU. Compared with MKL, torch's default in float32,
    the gated layer took 0.74 of the time for 1,024 tokens and 0.12 for the 20 of a query (AMD EPYC, 2 cores).
    """

    def prepare(self, weight: Tensor) -> Tensor:
        return _tensor(_onednn._reorder_linear_weight(weight, None))

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        return _tensor(_onednn._linear_pointwise(x, weight, None, "none", [], ""))

    def product_plus(self, x: Tensor, weight: Tensor, residual: Tensor) -> Tensor:
        return _tensor(_onednn._linear_pointwise.binary(x, residual, weight, None, "add"))

    def gated(self, x: Tensor, gate: Tensor, up: Tensor) -> Tensor:
        opened = _onednn._linear_pointwise(x, gate, None, "swish", [], "")
        return _tensor(_onednn._linear_pointwise.binary(x, opened, up, None, "mul"))


class MixedLinear(OneDnnLinear):
    """Multiplies bfloat16, sums in float32, and returns float32 from bfloat16: each result is rounded once.

    torch has no operator for a CPU that returns the sum itself: `out_dtype` of torch.mm is for GPUs, and
    `torch.backends.mkldnn.matmul.fp32_precision = "bf16"` changes nothing without AMX (tried on an AMD EPYC).
    """

    def prepare(self, weight: Tensor) -> Tensor:
        return super().prepare(weight.bfloat16())

    def operand(self, states: Tensor) -> Tensor:
        return states.bfloat16()

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        return super().product(x, weight).float()

    def product_plus(self, x: Tensor, weight: Tensor, residual: Tensor) -> Tensor:
        return residual + super().product(x, weight)  # widened while it is added


def linear_for(device: torch.device, number_type: NumberType) -> Linear:
    """The fastest implementation for this device and number type."""
    if number_type.is_mixed:
        return MixedLinear()
    is_float32 = number_type.products == torch.float32
    return OneDnnLinear() if _HAS_ONEDNN and device.type == "cpu" and is_float32 else Linear()


def _tensor(found: Any) -> Tensor:
    """Narrow the type: operators of `torch.ops` are untyped."""
    assert isinstance(found, Tensor)
    return found
