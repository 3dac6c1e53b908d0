"""The states of a job: the table is total, and every way through it ends."""

from __future__ import annotations

import pytest

from winnow.indexer.job import AFTER, Event, Job, State


def test_every_state_has_its_row():
    """No state is forgotten in the table."""
    assert set(AFTER) == set(State)


def test_every_state_can_be_reached():
    """From queued, some way leads to each other state."""
    reached, open_states = {State.QUEUED}, [State.QUEUED]
    while open_states:
        following = set(AFTER[open_states.pop()].values()) - reached
        reached |= following
        open_states.extend(following)
    assert reached == set(State)


def test_the_ends_are_done_failed_and_stopped():
    """Nothing happens to a job that is over."""
    assert {state for state, row in AFTER.items() if not row} == {State.DONE, State.FAILED, State.STOPPED}


def test_a_job_goes_through_in_order():
    """The undisturbed way."""
    job = Job()
    seen = [job.on(event) for event in (Event.STARTED, Event.COMPARED, Event.READ, Event.REMOVED, Event.PUBLISHED)]
    assert seen == [State.COMPARING, State.WRITING, State.REMOVING, State.PUBLISHING, State.DONE]
    assert job.is_over


def test_an_event_out_of_place_is_a_bug():
    """An event that the table does not know is refused, not ignored."""
    with pytest.raises(AssertionError, match="This is a bug"):
        Job().on(Event.PUBLISHED)
