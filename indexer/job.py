"""The states of an indexing job and the events that change them, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    COMPARING = "comparing"  # reading what the collection holds already
    WRITING = "writing"  # window by window: read, cut, embed, commit
    REMOVING = "removing"  # documents that the corpus no longer has
    PUBLISHING = "publishing"  # creating a generation of the index
    DONE = "done"
    FAILED = "failed"  # what was committed stays; the next run continues from there
    STOPPED = "stopped"  # by its owner; as above


class Event(StrEnum):
    """An event in the life of a job."""

    STARTED = "started"
    COMPARED = "compared"
    READ = "read"  # the corpus was read to its end
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
    """One job in the state table."""

    def __init__(self) -> None:
        self.state = State.QUEUED

    def on(self, event: Event) -> State:
        """Move to the state after this event. An event that the table lacks here is a bug of the caller."""
        assert event in AFTER[self.state], f"{event} while {self.state}. This is a bug."
        self.state = AFTER[self.state][event]
        return self.state

    @property
    def is_over(self) -> bool:
        return not AFTER[self.state]
