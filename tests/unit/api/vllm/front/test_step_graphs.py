"""Which steps are captured as CUDA graphs."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.api.vllm.front.stand_ins import imported
from winnow.api.vllm.command import GRAPH_TOKENS_BY_FRONT


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    yield from imported(monkeypatch, "step_graphs", {})


def captured(graphs: Any, most: int, *, step: int | None = None, **chosen: Any) -> Any:
    compilation = SimpleNamespace(
        cudagraph_capture_sizes=chosen.get("sizes"), max_cudagraph_capture_size=chosen.get("largest")
    )
    graphs.capture_steps(compilation, most, step_tokens=step)
    return compilation.cudagraph_capture_sizes


def test_vllms_own_sizes_are_followed_by_multiples_of_128(graphs: Any) -> None:
    own = [1, 2, 4, *range(8, 256, 8), *range(256, 513, 16)]  # as in vLLM's _set_cudagraph_sizes
    assert captured(graphs, 1_024) == [*own, 640, 768, 896, 1_024]
    assert captured(graphs, 512) == own


def test_no_size_is_larger_than_a_step(graphs: Any) -> None:
    assert captured(graphs, 4_096, step=1_000)[-2:] == [768, 896]
    assert captured(graphs, 4_096, step=100)[-2:] == [88, 96]


def test_what_the_operator_chose_stays(graphs: Any) -> None:
    assert captured(graphs, 4_096, sizes=[8]) == [8]
    assert captured(graphs, 4_096, largest=64) is None


def test_memory_is_planned_for_what_is_captured(graphs: Any) -> None:
    assert graphs.GRAPH_TOKENS == GRAPH_TOKENS_BY_FRONT


def test_none_wanted_leaves_the_choice_to_vllm(graphs: Any) -> None:
    assert captured(graphs, 0) is None
