"""In which state is an indexing job, and what may happen to it there? The whole answer is the table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    COMPARING = "comparing"  # what does the collection hold already?
    WRITING = "writing"  # window after window: read, cut, embedded, committed
    REMOVING = "removing"  # documents that the corpus no longer has
    PUBLISHING = "publishing"  # a generation of the index
    DONE = "done"
    FAILED = "failed"  # what was committed stays; running it again goes on from there
    STOPPED = "stopped"  # by its owner; as above


class Event(StrEnum):
    """What happens to a job."""

    STARTED = "started"
    COMPARED = "compared"
    READ = "read"  # the corpus is at its end
    REMOVED = "removed"
    PUBLISHED = "published"
    FAILED = "failed"
    STOPPED = "stopped"


_ENDS: Final = {Event.FAILED: State.FAILED, Event.STOPPED: State.STOPPED}

AFTER: Final[Mapping[State, Mapping[Event, State]]] = {
    State.QUEUED: {Event.STARTED: State.COMPARING, Event.STOPPED: State.STOPPED},
    State.COMPARING: {Event.COMPARED: State.WRITING, **_ENDS},
    State.WRITING: {Event.READ: State.REMOVING, **_ENDS},
    State.REMOVING: {Event.REMOVED: State.PUBLISHING, **_ENDS},
    State.PUBLISHING: {Event.PUBLISHED: State.DONE, **_ENDS},
    State.DONE: {},
    State.FAILED: {},
    State.STOPPED: {},
}


class Job:
    """One job on its way through the table."""

    def __init__(self) -> None:
        self.state = State.QUEUED

    def on(self, event: Event) -> State:
        """The state after this event. An event that the table does not know here is a bug of the caller."""
        assert event in AFTER[self.state], f"{event} while {self.state}. This is a bug."
        self.state = AFTER[self.state][event]
        return self.state

    @property
    def is_over(self) -> bool:
        return not AFTER[self.state]
