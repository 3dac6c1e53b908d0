"""Some hundred requests of a few tenants, some pairs of searches and some hostile values; the commands take more."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest

from tests.tenants.alike import compared, masked
from tests.tenants.hostile import tried
from tests.tenants.life import lived
from tests.tenants.service import Log
from tests.tenants.world import Tenant, World


def test_nobody_sees_what_is_another_tenants(tmp_path: Path) -> None:
    """On any route, by any id, over restarts; and everything that is seen is what the model has."""
    life = lived(tmp_path, steps=200, tenants=5, seed=20261128)
    assert (life.leaks, life.differences) == ([], [])
    assert sum(life.asked.values()) > 200
    assert life.foreign > 100
    assert min(life.asked.values()) > 0


def test_answers_are_the_same_with_and_without_near_duplicates_of_another_tenant(tmp_path: Path) -> None:
    """To the byte, scores and counts included."""
    found = compared(tmp_path, pairs=30, seed=20261128)
    assert (found.pairs, found.differing) == (30, [])


def test_no_hostile_value_breaks_anything_on_any_route(tmp_path: Path) -> None:
    found = tried(tmp_path, count=25, seed=20261128)
    assert found.wrong == []
    assert found.prompts > 10
    assert found.statuses[200] > 50


def test_what_is_looked_for_would_be_seen() -> None:
    """A word of another tenant, whatever it stands in; not its own, not what it sent, not what it was granted."""
    world = World(random.Random(0))
    world.tenants += [Tenant(number=each, name=f"zq00{each}tenant0x", key=f"wk_{each}00000000000_5") for each in (1, 2)]
    one = world.tenants[0]
    assert world.leaked(one, 'x "ZQ002txt7x" y', sent="") == ["zq002txt7x"]
    assert world.leaked(one, "no key 200000000000 is there", sent="") == ["200000000000"]
    assert world.leaked(one, "zq001txt7x zq002doc1x zq002ttl5x", sent="/zq002doc1x", shown=["zq002ttl5x"]) == []
    assert world.leaked(None, "zq002coll1x zq002txt1x", sent="") == ["zq002txt1x"]
    assert world.betrayed("zq002coll1x zq002query1x wk_200000000000_ab") == ["zq002query1x", "wk_200000000000_ab"]


@pytest.mark.parametrize("differs", [b'"score":0.5', b'"candidates":12', b'"generation":null'])
def test_only_the_number_of_a_request_and_its_time_are_masked(differs: bytes) -> None:
    body = b'{"id":"req_%s","timings_ms":{"embed":%s},%s}'
    assert masked(body % (b"0a", b"1.0", differs)) == masked(body % (b"1b", b"2.5", differs))
    assert masked(body % (b"0a", b"1.0", differs)) != masked(body % (b"0a", b"1.0", differs.replace(b":", b":1")))


def test_the_log_that_is_looked_through_is_the_one_that_is_written() -> None:
    """With what the service withholds withheld."""
    log = Log()
    log.emit(logging.LogRecord("api", logging.INFO, "", 0, "key wk_0123456789ab_%s", ("0" * 64,), None))
    assert log.lines == ["api key wk_0123456789ab_(withheld)"]
