"""retrieval/index/planner.py: the choice is a function, it fits into memory, and it says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.retrieval.errors import MemoryTooSmall
from winnow.retrieval.index.memory import available_bytes
from winnow.retrieval.index.planner import (
    APPROXIMATE_COUNT_MIN,
    BUILDABLE,
    CPU,
    DEVICE_COUNT_MIN,
    EXACT_RECALL,
    GPU_EXACT_COUNT_MAX,
    SAMPLE_MAX,
    SAMPLE_PER_LIST,
    SCAN_BYTES_MAX,
    Conditions,
    Plan,
    Recipe,
    choose_plan,
    device_bytes,
    lists_for,
    vector_bytes,
)

anything = st.builds(
    Conditions,
    count=st.integers(0, 200_000_000),
    dimension=st.integers(8, 8_192),
    memory_bytes=st.none() | st.integers(0, 2**42),
    device=st.sampled_from(["cpu", "cuda:0", "cuda:1"]),
    device_memory_bytes=st.none() | st.integers(0, 2**38),
    recall_target=st.floats(0.5, 1.0),
    writes_per_second=st.floats(0, 10_000),
)


def chosen_or_refused(conditions: Conditions, wanted: Recipe | None = None) -> Plan | MemoryTooSmall:
    try:
        return choose_plan(conditions, wanted=wanted)
    except MemoryTooSmall as refused:
        return refused


@given(conditions=anything, wanted=st.none() | st.sampled_from(BUILDABLE))
def test_what_is_chosen_fits_or_is_refused_with_figures(conditions: Conditions, wanted: Recipe | None) -> None:
    """Whatever the conditions are; and the same conditions give the same plan."""
    plan = chosen_or_refused(conditions, wanted)
    if isinstance(plan, MemoryTooSmall):
        assert f"{conditions.count:,} vectors with {conditions.dimension} dimensions" in plan.detail
        assert " needs " in plan.detail
        assert conditions.memory_bytes is not None
        return
    assert plan == choose_plan(conditions, wanted=wanted)
    assert conditions.memory_bytes is None or plan.building_bytes <= conditions.memory_bytes
    assert plan.building_bytes >= plan.index_bytes
    assert plan.reason
    if wanted is not None and (wanted is Recipe.EXACT or conditions.count >= APPROXIMATE_COUNT_MIN):
        assert plan.recipe.stored is wanted
    compared = vector_bytes(conditions.count, conditions.dimension)
    if wanted is None and conditions.recall_target > EXACT_RECALL and compared > SCAN_BYTES_MAX:
        assert plan.recipe.stored is Recipe.EXACT


@given(conditions=anything, wanted=st.none() | st.sampled_from(BUILDABLE))
def test_a_device_is_used_where_it_gains_and_holds_it_and_else_it_is_said_why_not(
    conditions: Conditions, wanted: Recipe | None
) -> None:
    """And then the plan is that of a machine without one, but for the reason."""
    plan = chosen_or_refused(conditions, wanted)
    without = chosen_or_refused(replace(conditions, device=CPU), wanted)
    if isinstance(plan, MemoryTooSmall) or isinstance(without, MemoryTooSmall):
        return
    needed = device_bytes(count=conditions.count, dimension=conditions.dimension)
    gains = DEVICE_COUNT_MIN <= conditions.count <= GPU_EXACT_COUNT_MAX and wanted in {None, Recipe.EXACT}
    holds = conditions.device_memory_bytes is None or needed <= conditions.device_memory_bytes
    if conditions.device == CPU or not (gains and holds):
        assert replace(plan, reason="") == replace(without, reason="")
        assert plan.reason.endswith(without.reason)
        assert (conditions.device in plan.reason) == (conditions.device != CPU and wanted in {None, Recipe.EXACT})
        assert plan.device_bytes == 0
    elif plan.recipe is Recipe.GPU_FLAT:
        assert (plan.device_bytes, plan.recipe.stored) == (needed, Recipe.EXACT)
        assert conditions.device in plan.reason
    else:
        assert f"{Recipe.GPU_FLAT} needs" in plan.reason  # of the host's memory, in which it lies as well


@given(conditions=anything, more=st.integers(0, 2**42))
def test_more_memory_never_refuses_what_less_could_hold(conditions: Conditions, more: int) -> None:
    """And the plan it gives is at least as large: small indexes are for small machines."""
    memory, small = conditions.memory_bytes, chosen_or_refused(conditions)
    if memory is None or isinstance(small, MemoryTooSmall):
        return
    parts = {name: getattr(conditions, name) for name in Conditions.__dataclass_fields__}
    large = choose_plan(Conditions(**{**parts, "memory_bytes": memory + more}))
    assert large.building_bytes >= small.building_bytes or large.recipe is Recipe.HNSW


@given(count=st.integers(0, 2**31))
def test_lists_are_learned_from_enough_vectors(count: int) -> None:
    """At least as many for each list as FAISS asks for, unless there is one list only."""
    lists = lists_for(count)
    assert lists == 1 or min(count, SAMPLE_MAX) >= SAMPLE_PER_LIST * lists


@pytest.mark.parametrize(
    ("conditions", "recipe", "reason"),
    [
        (Conditions(count=0, dimension=384), Recipe.EXACT, "few enough"),
        (Conditions(count=SCAN_BYTES_MAX // 2_048, dimension=512), Recipe.EXACT, "few enough"),
        (Conditions(count=SCAN_BYTES_MAX // 2_048 + 1, dimension=512), Recipe.HNSW, "too many to compare"),
        (Conditions(count=SCAN_BYTES_MAX // 4_096 + 1, dimension=1_024), Recipe.HNSW, "too many to compare"),
        (Conditions(count=100_000, dimension=512), Recipe.EXACT, "few enough"),
        (Conditions(count=100_000, dimension=512, recall_target=0.95), Recipe.HNSW, "too many to compare"),
        (Conditions(count=10**6, dimension=384, recall_target=0.999), Recipe.EXACT, "the recall target is 0.999"),
        (Conditions(count=10**6, dimension=384, writes_per_second=100), Recipe.IVF_RABITQ, "100 chunks are written"),
        (Conditions(count=10**6, dimension=384, memory_bytes=2_100_000_000), Recipe.IVF_RABITQ, "hnsw needs 2,147"),
        (Conditions(count=10**6, dimension=384, memory_bytes=1_800_000_000), Recipe.IVF_PQ, "ivf-rabitq needs"),
        (Conditions(count=10**6, dimension=1_024, device="cuda:0"), Recipe.GPU_FLAT, "cuda:0 compares 1,000,000 vec"),
        (
            Conditions(count=10**6, dimension=1_024, device="cuda:0", device_memory_bytes=3 * 10**9),
            Recipe.HNSW,
            "gpu-flat needs 3,072 MB on cuda:0, which has 3,000 MB; 1,000,000 vectors are too many",
        ),
        (
            Conditions(count=10**8, dimension=1_024, device="cuda:0"),
            Recipe.HNSW,
            "more than cuda:0 is known to",
        ),
        (Conditions(count=5_000, dimension=384, device="cuda:1"), Recipe.EXACT, "too few to gain from cuda:1"),
    ],
)
def test_the_choice_and_its_reason(conditions: Conditions, recipe: Recipe, reason: str) -> None:
    """The cases that people will meet."""
    plan = choose_plan(conditions)
    assert plan.recipe is recipe
    assert reason in plan.reason


def test_what_does_not_fit_is_refused_with_what_each_recipe_needs() -> None:
    """So that the reader can buy the memory, or choose."""
    with pytest.raises(
        MemoryTooSmall, match=r"10 MB are available; hnsw needs .* MB, ivf-rabitq needs .* ivf-pq needs"
    ):
        choose_plan(Conditions(count=10**6, dimension=384, memory_bytes=10_000_000))


def test_memory_is_what_the_machine_and_the_control_group_leave(tmp_path: Path) -> None:
    """Whichever is less; files that the kernel has cached do not count; where nobody says anything, nobody knows."""
    machine, membership, groups = tmp_path / "meminfo", tmp_path / "cgroup", tmp_path / "groups"
    group = groups / "a" / "b"
    group.mkdir(parents=True)

    def available() -> int | None:
        return available_bytes(machine=machine, membership=membership, groups=groups)

    assert available() is None
    machine.write_text("MemTotal: 9999 kB\nMemAvailable:    2000 kB\n")
    membership.write_text("0::/a/b\n")
    assert available() == 2_048_000
    (group / "memory.current").write_text("900000\n")
    (group / "memory.max").write_text("max\n")
    assert available() == 2_048_000
    (group / "memory.max").write_text("1000000\n")
    assert available() == 100_000
    (group / "memory.stat").write_text("anon 1\ninactive_file 50000\n")
    assert available() == 150_000


@pytest.mark.parametrize("path", ["/../../host/path", "/", "/not/to/be/seen"])
def test_a_container_that_sees_its_group_as_the_root_is_bounded_by_it(tmp_path: Path, path: str) -> None:
    """Also by one of the first version, and by the groups around its own."""
    (tmp_path / "memory").mkdir()
    (tmp_path / "cgroup").write_text(f"3:cpu:/x\n4:memory:{path}\n0::/\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("700\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("100\n")
    nothing = tmp_path / "nothing"
    assert available_bytes(machine=nothing, membership=tmp_path / "cgroup", groups=tmp_path) == 600


def test_this_machine_says_what_it_has() -> None:
    """Linux does."""
    assert (available_bytes() or 0) > 10_000_000
