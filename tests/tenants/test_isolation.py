"""Some hundred requests of a few tenants, some pairs of searches, some hostile values; the commands take more."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tenants.hostile_values import tried
from tests.tenants.random_requests import lived
from tests.tenants.same_answers import compared, masked
from tests.tenants.service import Log
from tests.tenants.timing import Row, area, measured
from tests.tenants.world import Tenant, World


def test_nobody_sees_what_is_another_tenants(tmp_path: Path, place: Path | str) -> None:
    """On any route, by any id, over restarts; and everything that is seen is what the model has."""
    catalog_url = place if isinstance(place, str) else None
    life = lived(tmp_path, steps=200, tenants=5, seed=20261128, catalog_url=catalog_url)
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


def test_every_case_is_timed_and_answered_alike(tmp_path: Path) -> None:
    """What the time of two answers tells is not looked at here: the command takes thousands."""
    rows = measured(tmp_path, pairs=2, warm=0, seconds_max=120, seed=20261128)
    assert len(rows) > 15
    assert {row.pairs for row in rows} == {2}


@given(
    there=st.lists(st.integers(0, 5), min_size=1, max_size=9),
    nowhere=st.lists(st.integers(0, 5), min_size=1, max_size=9),
)
def test_the_area_is_the_share_of_comparisons_won(there: list[int], nowhere: list[int]) -> None:
    """A draw is half a win."""
    won = [(one > other) + 0.5 * (one == other) for one in there for other in nowhere]
    assert area(np.array(there, float), np.array(nowhere, float)) == pytest.approx(sum(won) / len(won))


@pytest.mark.parametrize(("auc", "should_tell", "is_right"), [
    (0.549, False, True), (0.451, False, True), (0.551, False, False), (0.449, False, False), (0.6, True, True),
    (0.4, True, True), (0.5, True, False),
])  # fmt: skip
def test_a_time_that_tells_is_wrong_in_either_direction(auc: float, should_tell: bool, is_right: bool) -> None:  # noqa: FBT001
    """And a control in which nothing is to be seen is, too."""
    row = Row(case="", pairs=1, auc=auc, low=0, high=1, slower=0, there_ms=0, nowhere_ms=0, should_tell=should_tell)
    assert row.is_right == is_right


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
