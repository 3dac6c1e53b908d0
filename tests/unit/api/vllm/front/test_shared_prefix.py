"""Which tokens do inputs share, and which rows of a batch are copied? Without vLLM."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as drawn

MODULE = "winnow.api.vllm.front.shared_prefix"
INPUTS = drawn.lists(drawn.lists(drawn.integers(0, 2), min_size=1, max_size=9), max_size=5)


@pytest.fixture(scope="module")
def front() -> Iterator[Any]:
    """The module, without a second registration of its counters."""
    kept = sys.modules.get("prometheus_client")
    sys.modules["prometheus_client"] = MagicMock()
    yield importlib.import_module(MODULE)
    del sys.modules[MODULE]
    if kept is None:
        del sys.modules["prometheus_client"]
    else:
        sys.modules["prometheus_client"] = kept


@given(inputs=INPUTS)
def test_shared_are_the_tokens_that_all_begin_with(front: Any, inputs: list[list[int]]) -> None:
    """But for the last of the shortest, which has to be computed; a single input shares nothing."""
    most = min(map(len, inputs), default=1) - 1
    alike = [place for place in range(most + 1) if len({tuple(ids[:place]) for ids in inputs}) == 1]
    assert front.shared_tokens(inputs) == (max(alike) if len(inputs) > 1 else 0)


def test_rows_are_found_whatever_the_order_of_the_batch(front: Any) -> None:
    """By the slots that the batch is written to, among rows that are padding."""
    slots = [*range(64, 64 + 40), *range(320, 320 + 9), -1, -1]
    random.Random(2).shuffle(slots)
    copies = front.Copies()
    copies.add_source(("a", (7, 7, 7)), 96)
    copies.add_source(("b", (7, 7)), 320)
    copies.add(("b", (7, 7)), 960)
    copies.add(("a", (7, 7, 7)), 480)
    rows, targets = copies.placed(torch.tensor(slots))
    assert [slots[row] for row in rows.tolist()] == [320, 321, 96, 97, 98]
    assert targets.tolist() == [960, 961, 480, 481, 482]


def engine(**changed: Any) -> Any:
    """One that shares to the token, with these changes."""
    backend = SimpleNamespace(forward_includes_kv_cache_update=changed.get("writes_itself", False))
    layer = SimpleNamespace(
        attn_backend=backend,
        kv_sharing_target_layer_name=None,
        attn_type="decoder",
        impl=SimpleNamespace(do_kv_cache_update=None),
        use_direct_call=changed.get("direct", False),
    )
    compilation = SimpleNamespace(
        static_forward_context=changed.get("layers", {"layer": layer}),
        cudagraph_mode=SimpleNamespace(mixed_mode=lambda: changed.get("graphs", "CUDAGraphMode.PIECEWISE")),
        mode=changed.get("mode", 0),
    )
    config = SimpleNamespace(
        compilation_config=compilation,
        parallel_config=SimpleNamespace(world_size=changed.get("processes", 1)),
        cache_config=SimpleNamespace(enable_prefix_caching=changed.get("cache", True)),
        kv_transfer_config=changed.get("transfer"),
        model_config=SimpleNamespace(max_model_len=changed.get("window", 48)),
    )
    group = SimpleNamespace(kv_cache_spec=SimpleNamespace(block_size=16))
    groups = SimpleNamespace(kv_cache_groups=[group] * changed.get("groups", 1))
    scheduler = SimpleNamespace(kv_cache_manager=SimpleNamespace(kv_cache_config=groups))
    core = SimpleNamespace(batch_queue=changed.get("queue"), scheduler=scheduler)
    return SimpleNamespace(vllm_config=config, engine_core=SimpleNamespace(engine_core=core))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"direct": True}, None),
        ({"layers": {}}, "another process"),
        ({"processes": 2}, "another process"),
        ({"cache": False}, "prefix cache is off"),
        ({"direct": True, "mode": 3}, "compiled"),
        ({"queue": []}, None),  # steps overlap, but are launched one after the other
        ({"transfer": "another"}, "another server"),
        ({"groups": 2}, "differ"),
        ({"window": 47}, "few blocks"),
        ({"writes_itself": True}, "in its own way"),
        ({"graphs": "CUDAGraphMode.FULL"}, "graphs"),
    ],
)
def test_an_engine_that_cannot_share_to_the_token_says_why(front: Any, changed: Any, reason: str | None) -> None:
    found = front.why_not(engine(**changed))
    assert found is None if reason is None else reason in found
