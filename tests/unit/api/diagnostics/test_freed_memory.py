"""api/diagnostics/freed_memory.py: when freed memory goes back to the system."""

from __future__ import annotations

import asyncio

import pytest

from winnow.api.diagnostics.freed_memory import GROWTH_BYTES, GROWTH_BYTES_IDLE, IDLE_CPU_SECONDS, FreedMemory

MEGABYTE = 1_000_000


class Process:
    """A process whose freed memory is known."""

    def __init__(self, resident: int, freed: int = 0) -> None:
        self.resident, self.freed, self.times = resident, freed, 0
        self.cpu_seconds = 0.0
        self.cpu_seconds_a_look = 1.0

    def give_back(self) -> None:
        self.times += 1
        self.resident, self.freed = self.resident - self.freed, 0

    def memory(self) -> FreedMemory:
        return FreedMemory(resident=lambda: self.resident, give_back=self.give_back, cpu_seconds=self.work)

    def work(self) -> float:
        self.cpu_seconds += self.cpu_seconds_a_look
        return self.cpu_seconds


def test_it_is_given_back_after_growth_and_not_otherwise() -> None:
    process = Process(600 * MEGABYTE, freed=40 * MEGABYTE)
    memory = process.memory()
    seen = []
    for grown, freed in ((0, 0), (GROWTH_BYTES - 1, MEGABYTE), (1, MEGABYTE), (0, 0)):
        process.resident, process.freed = process.resident + grown, process.freed + freed
        memory.look()
        seen.append((process.times, process.resident // MEGABYTE))
    assert seen == [(1, 560), (1, 575), (2, 574), (2, 574)]


def test_an_idle_process_gives_little_back_too() -> None:
    """No request waits for it then; what cannot be given back is not tried again and again."""
    process = Process(600 * MEGABYTE)
    memory = process.memory()
    memory.look()
    process.resident, process.freed = 600 * MEGABYTE + GROWTH_BYTES_IDLE, MEGABYTE
    memory.look()
    assert process.times == 1
    process.cpu_seconds_a_look = IDLE_CPU_SECONDS
    for _ in range(3):
        memory.look()
    assert (process.times, process.freed) == (2, 0)


def test_growth_counts_from_the_least() -> None:
    """A closed collection may leave hundreds of megabytes, which must not hide the growth after it."""
    process = Process(600 * MEGABYTE)
    memory = process.memory()
    memory.look()
    for resident in (400, 416):
        process.resident = resident * MEGABYTE
        memory.look()
    assert process.times == 2


@pytest.mark.parametrize("resident", [None, 0])
def test_nothing_is_done_where_memory_is_unknown(resident: int | None) -> None:
    def fail() -> None:
        raise AssertionError

    FreedMemory(resident=lambda: resident, give_back=fail).look()


async def test_it_looks_until_the_block_ends() -> None:
    process = Process(0)

    def resident() -> int:
        process.resident += GROWTH_BYTES
        return process.resident

    async with FreedMemory(resident=resident, give_back=process.give_back).running(look_seconds=0.0):
        while process.times < 3:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)  # for a look that was running
    ended = process.times
    await asyncio.sleep(0.05)
    assert process.times == ended
