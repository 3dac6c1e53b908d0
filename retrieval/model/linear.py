"""Linear layers of a decoder: torch's, and faster versions for CPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

import torch
from torch import Tensor
from torch.nn import functional

from winnow.retrieval.model.number_type import NumberType

_onednn: Final[Any] = torch.ops.mkldnn
_whole_numbers: Final[Any] = torch.ops.onednn
WINDOW_ROWS_MAX: Final = 512  # rows; more are not faster, and each size takes memory
_FINE_ROWS: Final = 256
_STEP: Final = 64  # rows
_STEPS: Final = 127  # of eight bits, to either side of zero
_CODE_OF_ZERO: Final = 128
_STEP_MIN: Final = 1e-30  # of a row of zeros
_HAS_ONEDNN: Final = bool(torch.backends.mkldnn.is_available()) and hasattr(_onednn, "_linear_pointwise")  # type: ignore[no-untyped-call]


class Linear(Protocol):
    """y = x W'. The weight is prepared once, when the model is loaded."""

    def prepare(self, weight: Tensor) -> Any: ...

    def operand(self, states: Tensor) -> Any:
        """Convert states to the `x` of products: once where several products share it."""
        ...

    def product(self, x: Any, weight: Any) -> Tensor: ...

    def product_plus(self, x: Any, weight: Any, residual: Tensor) -> Tensor: ...

    def gated(self, x: Any, gate: Any, up: Any) -> Any:
        """SwiGLU: silu(x gate') times (x up'), as the operand of the next product."""
        ...


class TorchLinear:
    """torch's own products, on any device."""

    def prepare(self, weight: Tensor) -> Tensor:
        return weight

    def operand(self, states: Tensor) -> Tensor:
        return states

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.linear(x, weight)

    def product_plus(self, x: Tensor, weight: Tensor, residual: Tensor) -> Tensor:
        return torch.addmm(residual, x, weight.t())

    def gated(self, x: Tensor, gate: Tensor, up: Tensor) -> Tensor:
        return functional.silu(functional.linear(x, gate), inplace=True).mul_(functional.linear(x, up))


class OneDnnLinear(TorchLinear):
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


@dataclass(frozen=True, slots=True)
class QuantisedRows:
    """Rows of whole numbers from -127 to 127, each with a step of its own."""

    codes: Tensor  # (rows, width), uint8: the number plus 128
    steps: Tensor  # (rows, 1), float32

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, chosen: slice | Tensor) -> Self:
        return type(self)(self.codes[chosen], self.steps[chosen])

    @property
    def is_cuda(self) -> bool:
        return self.codes.is_cuda


@dataclass(frozen=True, slots=True)
class QuantisedWeight:
    """A weight of whole numbers from -127 to 127, with a step for each of its rows, in oneDNN's layout."""

    codes: Tensor
    steps: Tensor  # (rows,)
    zeros: Tensor  # (rows,): all 0
    offsets: Tensor  # (rows,): what the 128 in `QuantisedRows` adds to a product of steps of 1, negated

    @property
    def tensors(self) -> list[Tensor]:
        return [self.codes, self.steps, self.zeros, self.offsets]


class QuantisedLinear:
    """Multiplies whole numbers of eight bits and sums them exactly; the result is float32.

    A row of `x` is rounded to 254 steps of its own, so no row changes another's result. torch's own dynamic
    quantisation has one step for all rows: a score would depend on the others of its batch. Codes are unsigned,
    because oneDNN has fast products of unsigned by signed bytes only.
    """

    def prepare(self, weight: Tensor) -> QuantisedWeight:
        rows = weight.float()
        steps = rows.abs().amax(dim=1).clamp_(min=_STEP_MIN).div_(_STEPS)
        codes = torch.round(rows / steps[:, None])
        return QuantisedWeight(
            codes=_tensor(_whole_numbers.qlinear_prepack(codes.to(torch.int8), None)),
            steps=steps,
            zeros=torch.zeros(len(rows), dtype=torch.int64),
            offsets=codes.sum(dim=1).mul_(steps).mul_(-_CODE_OF_ZERO),
        )

    def operand(self, states: Tensor) -> QuantisedRows:
        steps = states.abs().amax(dim=-1, keepdim=True).clamp_(min=_STEP_MIN).div_(_STEPS)
        codes = (states / steps).round_().to(torch.int8)  # torch is five times as fast here as with unsigned bytes
        return QuantisedRows(codes.view(torch.uint8).bitwise_xor_(_CODE_OF_ZERO), steps)  # adds 128

    def product(self, x: QuantisedRows, weight: QuantisedWeight) -> Tensor:
        return self._of_codes(x, weight).mul_(x.steps)

    def product_plus(self, x: QuantisedRows, weight: QuantisedWeight, residual: Tensor) -> Tensor:
        return torch.addcmul(residual, self._of_codes(x, weight), x.steps)

    def gated(self, x: QuantisedRows, gate: QuantisedWeight, up: QuantisedWeight) -> QuantisedRows:
        opened = functional.silu(self.product(x, gate), inplace=True)
        return self.operand(opened.mul_(self.product(x, up)))

    def _of_codes(self, x: QuantisedRows, weight: QuantisedWeight) -> Tensor:
        """(rows of x, rows of the weight): the product as if every row of `x` had a step of 1."""
        steps = 1.0, 0, weight.codes, weight.steps, weight.zeros, weight.offsets, 1.0, 0
        return _tensor(_whole_numbers.qlinear_pointwise(x.codes, *steps, torch.float32, "none", [], ""))


def linear_for(device: torch.device, number_type: NumberType) -> Linear:
    """The fastest implementation for this device and number type."""
    if number_type.is_mixed:
        return QuantisedLinear() if number_type.products == torch.int8 else MixedLinear()
    is_float32 = number_type.products == torch.float32
    return OneDnnLinear() if _HAS_ONEDNN and device.type == "cpu" and is_float32 else TorchLinear()


def in_windows(compute: Callable[..., Tensor], *operands: Tensor | QuantisedRows) -> Tensor:
    """Apply a function of rows to matrices with the same number of rows, on a CPU in windows of few sizes.

    oneDNN generates code for each number of rows and keeps it, 0.6 MB for each product: a service that reranks texts of
    all lengths would grow by hundreds of megabytes. No row depends on another, so windows change no result.
    """
    windows = [] if operands[0].is_cuda else list(row_windows(len(operands[0])))
    if len(windows) < 2:
        return compute(*operands)
    found = [compute(*(each[start:stop] for each in operands))[new - start :] for start, new, stop in windows]
    return torch.cat(found)


def row_windows(rows: int) -> Iterator[tuple[int, int, int]]:
    """Yield windows that cover all rows: start, the first row that no window before has, and stop.

    Their sizes are powers of two up to `_FINE_ROWS`, and multiples of `_STEP` from there to `WINDOW_ROWS_MAX`. A window
    may begin before the end of the one before it.
    """
    new = 0
    while new < rows:
        left = rows - new
        size = min(1 << (left - 1).bit_length() if left <= _FINE_ROWS else -(-left // _STEP) * _STEP, WINDOW_ROWS_MAX)
        if size > rows:
            size = 1 << (left.bit_length() - 1) if left <= _FINE_ROWS else left // _STEP * _STEP
        stop = min(new + size, rows)
        yield stop - size, new, stop
        new = stop


def _tensor(found: Any) -> Tensor:
    """Narrow the type: operators of `torch.ops` are untyped."""
    assert isinstance(found, Tensor)
    return found
