"""rerank/admission.py: bounded as a whole, and no tenant takes the room of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.rerank.admission import AdmissionControl
from winnow.retrieval.concurrency.fair_limiter import equal
from winnow.retrieval.errors import RerankOverloaded


def test_a_flood_leaves_room_for_others() -> None:
    """It has three quarters, another the rest, and both are told whose fault it is."""
    room = AdmissionControl(1_000, weight_of=equal)
    with ExitStack() as waiting:
        for _ in range(7):
            waiting.enter_context(room.admitted("flood", 100))
        with pytest.raises(RerankOverloaded, match="already has about 700 tokens waiting"):
            waiting.enter_context(room.admitted("flood", 100))
        waiting.enter_context(room.admitted("other", 200))
        with pytest.raises(RerankOverloaded, match="your tenant already has about 200 tokens waiting"):
            waiting.enter_context(room.admitted("other", 40))
        with pytest.raises(RerankOverloaded, match="about 900 tokens are waiting; the limit is 1000"):
            waiting.enter_context(room.admitted("third", 101))
        assert (room.tokens, room.refused, room.refused_own) == (900, 1, 2)
    assert (room.tokens, room.tokens_of("flood")) == (0, 0)


def test_a_weight_makes_the_share_larger() -> None:
    """Three times its weight of what is left."""
    room = AdmissionControl(1_000, weight_of=lambda tenant: 3.0 if tenant == "large" else 1.0)
    with ExitStack() as waiting:
        waiting.enter_context(room.admitted("large", 800))
        waiting.enter_context(room.admitted("large", 100))
        with pytest.raises(RerankOverloaded):
            waiting.enter_context(room.admitted("large", 1))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 400), st.booleans()), max_size=60))
def test_who_has_nothing_waiting_is_refused_only_where_there_is_no_room(
    taken: Sequence[tuple[str, int, bool]],
) -> None:
    """And never where nothing waits; the whole is never exceeded by more than one request that came alone."""
    room = AdmissionControl(1_000, weight_of=equal)
    held: list[tuple[str, int, ExitStack]] = []
    own: Counter[str] = Counter()
    for tenant, tokens, leaves in taken:
        if leaves and held:
            gone, gave, stack = held.pop(0)
            stack.close()
            own[gone] -= gave
        total = own.total()
        stack = ExitStack()
        try:
            stack.enter_context(room.admitted(tenant, tokens))
        except RerankOverloaded:
            assert total > 0
            assert total + tokens > 1_000 or own[tenant] + tokens > 3 * (1_000 - total - tokens)
            assert own[tenant] or total + tokens > 1_000
        else:
            assert total == 0 or total + tokens <= 1_000
            held.append((tenant, tokens, stack))
            own[tenant] += tokens
        assert (room.tokens, room.tokens_of(tenant)) == (own.total(), own[tenant])
