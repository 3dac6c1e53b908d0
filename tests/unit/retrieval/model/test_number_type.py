"""bf16-mixed and int8-dynamic: only products are rounded, and what stands beside a sequence does not change it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tiny_models import TinyShape, write_embedder, write_reranker
from winnow.retrieval.errors import SettingInvalid
from winnow.retrieval.model import number_type
from winnow.retrieval.model.folder import find_model
from winnow.retrieval.model.linear import MixedLinear, QuantisedLinear
from winnow.retrieval.model.number_type import (
    BF16_MIXED,
    INT8_DYNAMIC,
    bfloat16_instructions,
    int8_instructions,
    parse_number_type,
)
from winnow.retrieval.model.runtime import QwenRuntime
from winnow.retrieval.records import Vectors

CPU = torch.device("cpu")
HALF_STEP = 2.0**-8  # bfloat16: the largest relative error of rounding a number once
HALF_STEP_F32 = 2.0**-24
LENGTHS = (1, 1, 2, 7, 7, 8, 33, 300)
PREFIX = list(range(3, 40))

HALF_STEP_INT8 = 0.5 / 127  # of the largest number of a row

can_multiply = pytest.mark.skipif(not bfloat16_instructions(), reason="this CPU cannot multiply bfloat16")
can_multiply_bytes = pytest.mark.skipif(not int8_instructions(), reason="this CPU cannot multiply bytes")
MIXED = [
    pytest.param("bf16-mixed", HALF_STEP, marks=can_multiply),
    pytest.param("int8-dynamic", HALF_STEP_INT8, marks=can_multiply_bytes),
]


def sequences() -> list[list[int]]:
    generator = np.random.default_rng(1)
    return [generator.integers(0, 500, length).tolist() for length in LENGTHS]


def states_of(folder: Path, dtype: str) -> Vectors:
    return asyncio.run(runtime_of(folder, dtype).last_states(sequences(), PREFIX))


def runtime_of(folder: Path, dtype: str) -> QwenRuntime:
    is_embedder = (folder / "modules.json").exists()
    return QwenRuntime.load(
        find_model(str(folder), kind="embedder" if is_embedder else "reranker"), device="cpu", dtype=dtype
    )


def exact(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The product of the rounded operands in float64, and the most by which a sum in float32, rounded, may differ."""
    rounded, rows = x.bfloat16().double(), weight.bfloat16().double()
    product = rounded @ rows.t()
    summing = x.shape[1] * HALF_STEP_F32 * (rounded.abs() @ rows.abs().t())
    return product, HALF_STEP * product.abs() + 2 * summing


@can_multiply
@pytest.mark.parametrize("seed", range(12))
def test_products_are_those_of_rounded_operands(seed: int) -> None:
    """Of any shape, also one row. The bound follows from the number types: one rounding of a sum in float32."""
    generator = np.random.default_rng(seed)
    rows, inner, outer = (int(size) for size in generator.integers(1, 400, 3))
    random = torch.Generator().manual_seed(seed)
    x, residual = torch.randn(rows, inner, generator=random), torch.randn(rows, outer, generator=random)
    gate, up = (torch.randn(outer, inner, generator=random) / inner**0.5 for _ in range(2))
    linear = MixedLinear()
    operand, packed_gate, packed_up = linear.operand(x), linear.prepare(gate), linear.prepare(up)
    expected, bound = exact(x, gate)
    found = linear.product(operand, packed_gate)
    assert found.dtype == torch.float32
    assert ((found.double() - expected).abs() <= bound).all()
    sums = linear.product_plus(operand, packed_gate, residual)
    assert sums.dtype == torch.float32  # the sum of states is never rounded to bfloat16
    assert ((sums.double() - residual - expected).abs() <= bound + HALF_STEP_F32 * sums.abs()).all()
    raised, further = exact(x, up)
    gated = linear.gated(operand, packed_gate, packed_up).double()
    opened = torch.nn.functional.silu(expected)
    slope = 1.1  # silu's largest
    loose = (slope * bound + HALF_STEP * opened.abs()) * (raised.abs() + further) + opened.abs() * further
    assert ((gated - opened * raised).abs() <= loose + 2 * HALF_STEP * (opened * raised).abs() + 1e-6).all()


def quantised(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers from -127 to 127 in float64, and the step of each row."""
    steps = rows.abs().amax(1, keepdim=True) / 127
    return torch.round(rows / steps).double(), steps.double()


@can_multiply_bytes
@pytest.mark.parametrize("seed", range(12))
def test_products_of_bytes_are_exact(seed: int) -> None:
    """Of rows with far-off sizes, and of any shape: only the steps round, and the sum once as it becomes float32."""
    generator = np.random.default_rng(seed)
    rows, inner, outer = (int(size) for size in generator.integers(1, 700, 3))
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, inner, generator=random) * 10.0 ** torch.randint(-6, 7, (rows, 1), generator=random)
    weight = torch.randn(outer, inner, generator=random) * 10.0 ** torch.randint(-3, 4, (outer, 1), generator=random)
    residual = torch.randn(rows, outer, generator=random)
    linear = QuantisedLinear()
    operand, packed = linear.operand(x), linear.prepare(weight)
    (codes, steps), (weight_codes, weight_steps) = quantised(x), quantised(weight)
    expected = (codes @ weight_codes.t()) * steps * weight_steps.t()
    # what oneDNN sums: unsigned codes, whose 128 is taken off in float32
    summed = ((codes + 128) @ weight_codes.t()).abs() + 128 * weight_codes.sum(1).abs()
    bound = 4 * HALF_STEP_F32 * (summed * steps * weight_steps.t() + expected.abs())
    found = linear.product(operand, packed)
    assert found.dtype == torch.float32
    assert ((found.double() - expected).abs() <= bound).all()
    sums = linear.product_plus(operand, packed, residual).double()
    assert ((sums - residual - expected).abs() <= bound + 2 * HALF_STEP_F32 * (sums.abs() + expected.abs())).all()
    gated = linear.gated(operand, packed, packed)
    again = linear.operand(torch.nn.functional.silu(found) * found)
    assert (gated.codes.int() - again.codes.int()).abs().max() <= 1  # SiLU in place may round otherwise
    torch.testing.assert_close(gated.steps, again.steps)


@can_multiply_bytes
def test_rows_are_rounded_each_by_itself() -> None:
    """To the nearest of 254 steps of its own largest number; zeros stay zeros, and rows can be chosen."""
    x = torch.randn(50, 96, generator=torch.Generator().manual_seed(0)) * torch.logspace(-20, 20, 50)[:, None]
    x[7] = 0.0
    operand = QuantisedLinear().operand(x)
    back = (operand.codes.double() - 128) * operand.steps
    largest = x.abs().amax(1, keepdim=True).double()
    assert ((back - x.double()).abs() <= largest * HALF_STEP_INT8 * (1 + 1e-5)).all()
    assert (back[7] == 0).all()
    chosen = torch.tensor([3, 7, 3])
    for rows in (operand[10:20], operand[chosen]):
        assert len(rows) == len(rows.steps)
    assert (operand[chosen].codes == operand.codes[chosen]).all()


@pytest.mark.parametrize(("dtype", "half_step"), MIXED)
@pytest.mark.parametrize("shape", [TinyShape(), TinyShape(kv_heads=1, layers=2, head_dim=8), TinyShape(layers=6)])
def test_states_are_near_those_of_float32(tmp_path: Path, shape: TinyShape, dtype: str, half_step: float) -> None:
    """Each layer adds at most the rounding of its seven products, of which errors add up like random steps.

    Those of bf16-mixed are also nearer than those of bfloat16.
    """
    folder = write_reranker(tmp_path / "model", shape)
    reference, mixed, rounded = (states_of(folder, each) for each in ("float32", dtype, "bfloat16"))
    error = np.sqrt(np.mean((mixed - reference) ** 2)) / np.sqrt(np.mean(reference**2))
    assert 0.0 < error <= 3 * half_step * np.sqrt(7 * shape.layers)  # three roundings: x, the weight, the result
    if dtype == BF16_MIXED.name:
        assert error < np.sqrt(np.mean((rounded - reference) ** 2)) / np.sqrt(np.mean(reference**2))


@pytest.mark.parametrize(("dtype", "half_step"), MIXED)
@pytest.mark.parametrize("writes", [write_reranker, write_embedder])
@pytest.mark.parametrize("layers", [1, 3])
def test_neighbours_do_not_change_a_state(
    tmp_path: Path, writes: Callable[[Path, TinyShape], Path], layers: int, dtype: str, half_step: float
) -> None:
    """Alone or among others, with and without the table of tokens: closer than one rounding."""
    folder = writes(tmp_path / "model", TinyShape(layers=layers))
    runtime = runtime_of(folder, dtype)
    together = asyncio.run(runtime.last_states(sequences(), PREFIX))
    again = asyncio.run(runtime.last_states(sequences(), PREFIX))
    assert together.tobytes() == again.tobytes()
    for place, sequence in enumerate(sequences()):
        alone = asyncio.run(runtime.last_states([sequence], PREFIX))[0]
        np.testing.assert_allclose(alone, together[place], atol=2 * half_step)


@pytest.mark.parametrize(("dtype", "half_step"), MIXED)
def test_a_model_with_a_table_of_tokens_multiplies_float32(tmp_path: Path, dtype: str, half_step: float) -> None:
    """To the bit: it would lose precision for nothing. Without the table it rounds."""
    folder = write_embedder(tmp_path / "model", TinyShape(layers=1))
    assert states_of(folder, dtype).tobytes() == states_of(folder, "float32").tobytes()
    large = write_embedder(tmp_path / "large", TinyShape(layers=2))
    assert 0 < np.abs(states_of(large, dtype) - states_of(large, "float32")).max() < 50 * half_step


@can_multiply_bytes
def test_weights_of_bytes_are_counted(tmp_path: Path) -> None:
    """Between a quarter and a half of those in float32, which also count the vocabulary, as it is stored."""
    folder = write_reranker(tmp_path / "model", TinyShape(layers=6))
    whole, bytes_ = (runtime_of(folder, each).memory.weights for each in ("float32", "int8-dynamic"))
    assert 0.25 * whole < bytes_ < whole


def test_a_processor_without_bfloat16_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An emulation would be slower than float32, so it is refused."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True})
    assert bfloat16_instructions() == ()
    with pytest.raises(SettingInvalid, match="needs a CPU with AMX or AVX512-BF16, which this one lacks; use float32"):
        parse_number_type("bf16-mixed", CPU)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "amx_bf16": True})
    monkeypatch.setattr(number_type.torch.backends.mkldnn, "is_available", lambda: True)
    assert bfloat16_instructions() == ("AMX", "AVX512-BF16")
    assert parse_number_type("bf16-mixed", CPU) is BF16_MIXED
    with pytest.raises(SettingInvalid, match="is for a CPU; use bfloat16 on cuda:0"):
        parse_number_type("bf16-mixed", torch.device("cuda:0"))


def test_a_processor_without_products_of_bytes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older instructions saturate sums of two products, which would be wrong and not only slow."""
    monkeypatch.setattr(number_type.torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, "avx512_bf16": True})
    assert int8_instructions() == ()
    with pytest.raises(SettingInvalid, match="int8-dynamic needs a CPU with AMX or AVX512-VNNI, which this one lacks"):
        parse_number_type("int8-dynamic", CPU)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True})
    assert int8_instructions() == ("AVX512-VNNI",)
    assert parse_number_type("int8-dynamic", CPU) is INT8_DYNAMIC
    with pytest.raises(SettingInvalid, match="int8-dynamic is for a CPU; use bfloat16 on cuda:0"):
        parse_number_type("int8-dynamic", torch.device("cuda:0"))
