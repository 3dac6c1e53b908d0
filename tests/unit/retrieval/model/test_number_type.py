"""bf16-mixed: only the operands and results of products are rounded, whatever stands beside a sequence."""

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
from winnow.retrieval.model.linear import MixedLinear
from winnow.retrieval.model.number_type import BF16_MIXED, bfloat16_instructions, parse_number_type
from winnow.retrieval.model.runtime import QwenRuntime
from winnow.retrieval.records import Vectors

CPU = torch.device("cpu")
HALF_STEP = 2.0**-8  # bfloat16: the largest relative error of rounding a number once
HALF_STEP_F32 = 2.0**-24
LENGTHS = (1, 1, 2, 7, 7, 8, 33, 300)
PREFIX = list(range(3, 40))

can_multiply = pytest.mark.skipif(not bfloat16_instructions(), reason="this CPU cannot multiply bfloat16")


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


@can_multiply
@pytest.mark.parametrize("shape", [TinyShape(), TinyShape(kv_heads=1, layers=1, head_dim=8), TinyShape(layers=6)])
def test_states_are_nearer_to_float32_than_those_of_bfloat16(tmp_path: Path, shape: TinyShape) -> None:
    """And each layer adds at most the rounding of its seven products, of which errors add up like random steps."""
    folder = write_reranker(tmp_path / "model", shape)
    reference, mixed, rounded = (states_of(folder, each) for each in ("float32", "bf16-mixed", "bfloat16"))
    error = np.sqrt(np.mean((mixed - reference) ** 2)) / np.sqrt(np.mean(reference**2))
    assert 0.0 < error <= 3 * HALF_STEP * np.sqrt(7 * shape.layers)  # three roundings: x, the weight, the result
    assert error < np.sqrt(np.mean((rounded - reference) ** 2)) / np.sqrt(np.mean(reference**2))


@can_multiply
@pytest.mark.parametrize("writes", [write_reranker, write_embedder])
@pytest.mark.parametrize("layers", [1, 3])
def test_neighbours_do_not_change_a_state(
    tmp_path: Path, writes: Callable[[Path, TinyShape], Path], layers: int
) -> None:
    """Alone or among others, with and without the table of tokens: far closer than one rounding to bfloat16."""
    folder = writes(tmp_path / "model", TinyShape(layers=layers))
    runtime = runtime_of(folder, "bf16-mixed")
    together = asyncio.run(runtime.last_states(sequences(), PREFIX))
    again = asyncio.run(runtime.last_states(sequences(), PREFIX))
    assert together.tobytes() == again.tobytes()
    for place, sequence in enumerate(sequences()):
        alone = asyncio.run(runtime.last_states([sequence], PREFIX))[0]
        np.testing.assert_allclose(alone, together[place], atol=2 * HALF_STEP)


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
