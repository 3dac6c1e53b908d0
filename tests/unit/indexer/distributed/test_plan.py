"""How many workers, and what each occupies."""

from __future__ import annotations

import pytest

from winnow.indexer.distributed.plan import NodeRoom, plan_workers
from winnow.retrieval.errors import SettingInvalid


def nodes(*rooms: tuple[int, int]) -> list[NodeRoom]:
    return [NodeRoom(cpus=cpus, gpus=gpus) for cpus, gpus in rooms]


@pytest.mark.parametrize(
    ("rooms", "wanted", "device", "expected"),
    [
        ([(2, 0)], None, None, (1, 2, 0, "cpu")),
        ([(2, 0)], 2, None, (2, 1, 0, "cpu")),
        ([(1, 0), (1, 0), (0, 0)], 2, None, (2, 1, 0, "cpu")),
        ([(16, 0), (16, 0)], None, None, (8, 4, 0, "cpu")),
        ([(16, 0), (16, 0)], 3, None, (3, 4, 0, "cpu")),
        ([(6, 0), (6, 0)], 4, "cpu", (4, 3, 0, "cpu")),
        ([(1, 0)], 5, None, (5, 1, 0, "cpu")),
        ([(0, 0)], None, None, (1, 1, 0, "cpu")),
        ([(32, 2), (32, 4), (8, 0)], None, None, (6, 1, 1, "cuda")),
        ([(32, 2)], 3, "cuda", (3, 1, 1, "cuda")),
        ([(32, 2)], None, "cpu", (8, 4, 0, "cpu")),
    ],
)
def test_one_worker_per_gpu_or_per_few_cores(
    rooms: list[tuple[int, int]], wanted: int | None, device: str | None, expected: tuple[int, int, int, str]
):
    """Wanted workers that do not fit get fewer cores; beyond one core each, they wait for nodes."""
    plan = plan_workers(nodes(*rooms), wanted=wanted, device=device)
    assert (plan.count, plan.cpus, plan.gpus, plan.device) == expected


@pytest.mark.parametrize(
    ("device", "message"), [("cuda:1", "use --device cuda"), ("cuda", "no node of the Ray cluster has a GPU")]
)
def test_a_device_that_workers_cannot_have_is_refused(device: str, message: str):
    with pytest.raises(SettingInvalid, match=message):
        plan_workers(nodes((4, 0)), wanted=None, device=device)


def test_a_plan_says_what_a_worker_needs():
    assert plan_workers(nodes((8, 1)), wanted=None, device=None).needs == "1 CPU and 1 GPU"
    assert plan_workers(nodes((8, 0)), wanted=None, device=None).needs == "4 CPUs"
