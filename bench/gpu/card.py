"""Measures how fast this GPU multiplies: the ceiling that the other figures are a share of, in the same run.

    python -m bench.gpu.card

Prints one line of JSON: bf16, and float8 with a scale per row, in TFLOP/s; the median of twenty products of 8192 x 8192
random numbers.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable

import torch

SIDE = 8_192
ROUNDS = 20
WARM_UP = 5


def rate(multiply: Callable[[], torch.Tensor]) -> float:
    """TFLOP/s, by the GPU's own clock."""
    for _ in range(WARM_UP):
        multiply()
    times = []
    for _ in range(ROUNDS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        multiply()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return round(2.0 * SIDE**3 / statistics.median(times) / 1e12, 1)


def main() -> None:
    properties = torch.cuda.get_device_properties(0)
    left, right = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    left8, right8 = (each.to(torch.float8_e4m3fn) for each in (left, right))
    scales = torch.ones(SIDE, 1, device="cuda"), torch.ones(1, SIDE, device="cuda")

    def in_float8() -> torch.Tensor:
        return torch._scaled_mm(  # noqa: SLF001  the public function for this is newer than the torch of this machine
            left8, right8.t(), scale_a=scales[0], scale_b=scales[1], out_dtype=torch.bfloat16, use_fast_accum=True
        )

    found = {
        "card": properties.name,
        "gib": round(properties.total_memory / 2**30),
        "torch": torch.__version__,
        "bf16_tflops": rate(lambda: left @ right),
        "fp8_tflops": rate(in_float8),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
