"""Computes every token of a shared prefix once per step, also those of its last, partly filled block.

vLLM shares whole blocks only (16 tokens on a GPU, 128 on a CPU): of a prefix of 79 tokens every other input computes 15
again. Here the first input of a step that computes such a remainder is its source, and the inputs after it count the
remainder as computed. In every layer, between vLLM's own write of keys and values and its attention, the source's rows
are also written into the block of each of those inputs.

Rule 1: nothing of vLLM's files is changed: functions of this engine's objects are replaced.
Rule 2: source and copies are in one step, so no block can be given away in between.
Rule 3: a step whose copies were not made in every layer is an engine failure. At startup the engine computes a few
inputs both ways, and shares whole blocks if the results differ.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import torch
from prometheus_client import Counter

COMPUTED: Final = Counter("winnow_computed_tokens", "Tokens that steps of the engine computed")
COPIED: Final = Counter("winnow_copied_tokens", "Tokens of shared prefixes whose keys and values were copied")
TRIED: Final = 8  # inputs at startup
BLOCKS_TRIED: Final = 3  # their length, rounded up
SAME: Final = 1e-3  # of a logit or a vector's component: no difference

Key = tuple[Any, tuple[int, ...]]  # the full blocks before the remainder, by hash, and the remainder's ids


class Found(NamedTuple):
    """What a look-up found for an input that has a remainder to share."""

    key: Key
    start: int  # first token to compute
    has_source: bool


class Copies:
    """The copies of one step, as slots of the cache."""

    def __init__(self) -> None:
        self.sources: dict[Key, int] = {}  # position of its first slot in `source_slots`
        self.source_slots: list[int] = []
        self.rows: list[int] = []  # for each copied token, its place in `source_slots`
        self.slots: list[int] = []  # for each copied token, where it goes
        self.layers = 0  # in which they were made
        self._on_device: tuple[torch.Tensor, torch.Tensor] | None = None

    def add_source(self, key: Key, first_slot: int) -> None:
        self.sources[key] = len(self.source_slots)
        self.source_slots.extend(range(first_slot, first_slot + len(key[1])))

    def add(self, key: Key, first_slot: int) -> None:
        place, length = self.sources[key], len(key[1])
        self.rows.extend(range(place, place + length))
        self.slots.extend(range(first_slot, first_slot + length))

    def placed(self, slot_mapping: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch's rows to copy and the slots to copy them to. Waits for nothing on the device.

        Rows are found by the slots that vLLM writes them to: its batch may have another order than its scheduler.
        """
        if self._on_device is None:
            wanted, rows, slots = (_moved(each, slot_mapping) for each in (self.source_slots, self.rows, self.slots))
            in_order, order = slot_mapping.sort()
            self._on_device = order[torch.searchsorted(in_order, wanted)][rows], slots
        return self._on_device


class SharedPrefix:
    """Makes the copies of one engine. All its methods run in the engine's thread."""

    def __init__(self, engine: Any) -> None:
        scheduler = engine.engine_core.engine_core.scheduler
        self._blocks = scheduler.kv_cache_manager
        self._block_size: int = self._blocks.kv_cache_config.kv_cache_groups[0].kv_cache_spec.block_size
        self._is_on = True
        self._copied = 0
        self._found: dict[str, Found] = {}
        self._copies = Copies()
        self._layers = list(engine.vllm_config.compilation_config.static_forward_context.values())
        for layer in self._layers:
            layer.impl.forward = self._copying(layer.impl, layer.impl.forward)
        self._look_up, self._blocks.get_computed_blocks = self._blocks.get_computed_blocks, self._look_up_remainder
        self._allocate, self._blocks.allocate_slots = self._blocks.allocate_slots, self._allocate_slots
        self._schedule, scheduler.schedule = scheduler.schedule, self._schedule_step
        for manager in self._blocks.coordinator.single_type_managers:
            if hasattr(manager, "_has_partial_local_hit"):  # it would copy the block before its tokens are computed
                manager._has_partial_local_hit = _never  # noqa: SLF001  there is no public switch

    def require_copies(self) -> None:
        """Raise if the copies of the last step are not in every layer."""
        if self._copies.slots and self._copies.layers != len(self._layers):
            raise RuntimeError(f"keys were copied in {self._copies.layers} of {len(self._layers)} layers")

    def try_out(self, compute: Callable[[list[list[int]], str], list[torch.Tensor]], vocabulary: int) -> str | None:
        """Compute a few inputs both ways. Returns None, or why prefixes are shared by whole blocks from now on.

        Rounding may differ between the two, but by far less than another remainder makes a difference.
        """
        drawn = random.Random(1)  # noqa: S311
        block = self._block_size
        ids = [[drawn.randrange(vocabulary) for _ in range(count)] for count in (block, block // 2, block // 2)]
        tails = [[drawn.randrange(vocabulary) for _ in range(block)] for _ in range(TRIED)]
        inputs, altered = ([[*ids[0], *remainder, *tail] for tail in tails] for remainder in ids[1:])
        shared = compute(inputs, "to the token")
        is_used = self._copied > 0
        self._is_on = False
        whole, other = compute(inputs, "by blocks"), compute(altered, "another remainder")
        apart, effect = (_apart(each, whole) for each in (shared, other))
        if not is_used:
            return "no token was shared"
        if apart > max(effect / 4, SAME):
            return f"results differ by {apart:.2g}, and by {effect:.2g} with another prefix"
        self._is_on = True
        return None

    def _schedule_step(self, *arguments: Any) -> Any:
        self._copies = Copies()
        self._found.clear()
        step = self._schedule(*arguments)
        COMPUTED.inc(step.total_num_scheduled_tokens)
        COPIED.inc(len(self._copies.slots))
        self._copied += len(self._copies.slots)
        return step

    def _look_up_remainder(self, request: Any, *arguments: Any) -> Any:
        """What vLLM finds in its cache, and the remainder if this step has a source of it."""
        blocks, computed, *more = self._look_up(request, *arguments)
        shared = getattr(request, "shared_tokens", 0)
        full, remainder = divmod(shared, self._block_size)
        if not self._is_on or not remainder or computed > shared - remainder or request.skip_reading_prefix_cache:
            return blocks, computed, *more
        before = request.block_hashes[full - 1] if full else request.cache_salt
        key = before, tuple(request.prompt_token_ids[shared - remainder : shared])
        has_source = computed == shared - remainder and key in self._copies.sources
        start = shared if has_source else computed
        self._found[request.request_id] = Found(key=key, start=start, has_source=has_source)
        return blocks, start, *more

    def _allocate_slots(self, request: Any, new: int, *arguments: Any, **options: Any) -> Any:
        blocks = self._allocate(request, new, *arguments, **options)
        found = self._found.pop(request.request_id, None)
        if blocks is None or found is None or found.start + new < (shared := request.shared_tokens):
            return blocks
        block = self._blocks.get_block_ids(request.request_id)[0][shared // self._block_size]
        if found.has_source:
            self._copies.add(found.key, block * self._block_size)
        elif found.key not in self._copies.sources:
            self._copies.add_source(found.key, block * self._block_size)
        return blocks

    def _copying(self, impl: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
        def forward_after_copying(  # noqa: PLR0917  vLLM passes these by position
            layer: Any, query: Any, key: Any, value: Any, cache: Any, metadata: Any, *more: Any, **options: Any
        ) -> Any:
            if self._copies.slots and metadata is not None:
                rows, slots = self._copies.placed(metadata.slot_mapping)
                impl.do_kv_cache_update(layer, key[rows], value[rows], cache, slots)
                self._copies.layers += 1
            return forward(layer, query, key, value, cache, metadata, *more, **options)

        return forward_after_copying


def why_not(engine: Any) -> str | None:
    """Return what keeps this engine from sharing to the token; None if nothing does."""
    config, core = engine.vllm_config, engine.engine_core.engine_core
    groups = core.scheduler.kv_cache_manager.kv_cache_config.kv_cache_groups
    window = config.model_config.max_model_len
    layers = config.compilation_config.static_forward_context.values()
    obstacles = (
        (not layers or config.parallel_config.world_size > 1, "the model computes in another process"),
        (not config.cache_config.enable_prefix_caching, "the prefix cache is off"),
        (any(layer.use_direct_call for layer in layers) and config.compilation_config.mode, "its layers are compiled"),
        (config.kv_transfer_config is not None, "another server fills the cache"),
        (len(groups) != 1, "its layers differ in their caches"),
        (BLOCKS_TRIED * groups[0].kv_cache_spec.block_size > window, "its window has few blocks"),
        (not all(_writes_before_attention(layer) for layer in layers), "a layer writes its cache in its own way"),
        ("FULL" in str(config.compilation_config.cudagraph_mode.mixed_mode()), "whole steps are captured as graphs"),
    )
    return next((reason for is_so, reason in obstacles if is_so), None)


def _writes_before_attention(layer: Any) -> bool:
    backend = getattr(layer, "attn_backend", None)
    is_apart = backend is not None and not backend.forward_includes_kv_cache_update
    is_own = is_apart and layer.kv_sharing_target_layer_name is None and layer.attn_type == "decoder"
    return is_own and hasattr(layer.impl, "do_kv_cache_update")


def shared_tokens(inputs: Sequence[list[int]]) -> int:
    """How many tokens all inputs begin with; at least one of each is left to compute."""
    if len(inputs) < 2:
        return 0
    first, last = min(inputs), max(inputs)  # in the order of lists, what these two share all share
    most = min(map(len, inputs)) - 1
    return next((place for place in range(most) if first[place] != last[place]), max(most, 0))


def _apart(some: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    return max(float((one.float() - other.float()).abs().max()) for one, other in zip(some, others, strict=True))


def _moved(numbers: list[int], like: torch.Tensor) -> torch.Tensor:
    is_gpu = like.device.type == "cuda"
    return torch.tensor(numbers, dtype=torch.int64, pin_memory=is_gpu).to(like.device, non_blocking=True)


def _never(*_: Any) -> bool:
    return False
