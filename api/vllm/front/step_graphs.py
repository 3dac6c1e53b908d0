"""Which steps the engine captures as CUDA graphs, to launch them at once.

Launching a step kernel by kernel takes the host about as long for 3,000 tokens as for 10,000. The GPU is done with a
small step sooner than that and waits for its host: with the first portion of a request, or with any step of a small
model. vLLM captures steps of at most 512 tokens, which is what generating needs. Here larger ones are captured as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

GRAPH_TOKENS: Final = 4_096  # the largest step that is captured by default: the first portion of a request, and less
SPACING: Final = 128  # tokens between sizes: a step is padded by half of that on average, about 2 % of 3,000
_OWN_MOST: Final = 512  # tokens; vLLM's own largest size


def capture_steps(compilation: Any, most: int, *, step_tokens: int | None) -> None:
    """Capture steps of at most `most` tokens, unless the operator has chosen sizes. 0: vLLM's own choice."""
    is_chosen = compilation.cudagraph_capture_sizes is not None or compilation.max_cudagraph_capture_size is not None
    if most and not is_chosen:
        compilation.cudagraph_capture_sizes = list(sizes(min(most, step_tokens or most)))


def sizes(most: int) -> Iterator[int]:
    """Yield vLLM's own sizes, then multiples of `SPACING`, ascending, in tokens."""
    every = (1, 2, 4, *range(8, 256, 8), *range(256, _OWN_MOST, 16), *range(_OWN_MOST, most + 1, SPACING))
    return (each for each in every if each <= most)
