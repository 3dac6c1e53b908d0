"""Recent searches are bounded in bytes and age, and no tenant crowds out another's."""

from __future__ import annotations

import gc
import tracemalloc
from types import SimpleNamespace
from typing import Any

import pytest

from winnow.api.search.feedback import RecentSearches
from winnow.api.search.records import Question
from winnow.retrieval.errors import SearchNotFound
from winnow.retrieval.tenancy import TenantName

ONE, OTHER = TenantName("one"), TenantName("other")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def answer(number: int, *documents: str) -> Any:
    results = [
        SimpleNamespace(best=SimpleNamespace(candidate=SimpleNamespace(chunk=SimpleNamespace(document_id=each))))
        for each in documents
    ]
    return SimpleNamespace(id=f"req_{number}", results=results)


def question(tenant: TenantName, query: str = "q") -> Question:
    return Question(tenant=tenant, collection="docs", query=query, top_k=10)


def is_known(searches: RecentSearches, tenant: TenantName, number: int) -> bool:
    try:
        searches.find(tenant, f"req_{number}")
    except SearchNotFound:
        return False
    return True


def test_a_search_is_its_tenants_alone() -> None:
    searches = RecentSearches()
    searches.add(question(ONE, "a"), answer(1, "x", "y"))
    found = searches.find(ONE, "req_1")
    assert (found.query, found.collection) == ("a", "docs")
    assert [found.has_shown(each) for each in ("x", "y", "z", "")] == [True, True, False, False]
    with pytest.raises(SearchNotFound, match="req_1 is not a search"):
        searches.find(OTHER, "req_1")
    with pytest.raises(SearchNotFound):
        searches.find(ONE, "req_2")


def test_a_search_is_forgotten_after_a_while() -> None:
    clock = Clock()
    searches = RecentSearches(seconds_max=10, clock=clock)
    searches.add(question(ONE), answer(1))
    clock.now = 9.9
    searches.add(question(ONE), answer(2))
    assert is_known(searches, ONE, 1)
    clock.now = 10.0
    assert (is_known(searches, ONE, 1), is_known(searches, ONE, 2)) == (False, True)
    clock.now = 20.0
    assert not is_known(searches, ONE, 2)
    assert searches.state.bytes == 0


def test_a_flood_costs_the_flooding_tenant_its_own_searches() -> None:
    """The other's only search stays, the newest of the flood stay, and the bound holds all the time."""
    searches = RecentSearches(bytes_max=20_000)
    searches.add(question(OTHER), answer(0, "d"))
    for number in range(1, 200):
        searches.add(question(ONE, "q" * (number % 50)), answer(number, "d" * (number % 7)))
        assert searches.state.bytes <= 20_000
    assert is_known(searches, OTHER, 0)
    known = [number for number in range(1, 200) if is_known(searches, ONE, number)]
    assert known == list(range(known[0], 200))
    assert 1 < len(known) < 199


def test_an_answered_search_holds_few_bytes_of_what_it_showed() -> None:
    """A search of 100 results took 12 kB, so that a service grew by that with every request for hours."""
    searches = RecentSearches()
    tracemalloc.start()
    try:
        for number in range(300):
            searches.add(question(ONE), answer(number, *(f"document {number} {place}" for place in range(100))))
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.8 * searches.state.bytes < held < 1.2 * searches.state.bytes
    assert searches.state.bytes / 300 < 900


@pytest.mark.parametrize("text", ["", "q", "Wörter und 汉字", "half a pair: \ud83d", "\0" * 3, "x" * 5_000])
def test_what_was_asked_comes_back_as_it_was(text: str) -> None:
    """Whatever the texts hold, and whatever the ids of the documents are."""
    searches = RecentSearches()
    ids = [text, "a", "a" * 300, "ü", "a\0b"]
    asked = Question(tenant=ONE, collection=f"owner/{text[:40]}", query=text, top_k=10)
    searches.add(asked, answer(1, *ids, "a"))
    found = searches.find(ONE, "req_1")
    assert (found.collection, found.query) == (asked.collection, asked.query)
    assert all(found.has_shown(each) for each in ids)
    assert not any(found.has_shown(f"{each} ") for each in ids)
    assert (searches.state.entries, searches.state.evictions) == (1, 0)


def test_a_search_larger_than_the_room_is_not_held() -> None:
    searches = RecentSearches(bytes_max=1_000)
    searches.add(question(ONE, "q" * 8_000), answer(1))
    assert (is_known(searches, ONE, 1), searches.state.bytes) == (False, 0)
