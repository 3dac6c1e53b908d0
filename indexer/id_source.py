"""Where the id of a record without one comes from."""

from __future__ import annotations

from enum import StrEnum


class IdSource(StrEnum):
    """Neither is as good as an id: when it changes, the record counts as another document."""

    LINE = "line"  # source and line: changes as soon as a line is inserted above
    HASH = "hash"  # of title and text: changes with either
