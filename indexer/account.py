"""What a corpus reports besides its records: files that were not read, and guesses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCounts:
    """Counts of the files in a folder. Each file is in exactly one of the four counts below `found`."""

    found: int = 0
    read: int = 0  # each became documents, rejects or both
    formats: Mapping[str, int] = field(default_factory=dict)  # of those that were read, as their contents show
    not_read: Mapping[str, int] = field(
        default_factory=dict
    )  # by file extension: no reader exists for it, or its libraries are missing
    left_out: Mapping[str, int] = field(default_factory=dict)  # by the pattern that excluded them
    not_included: int = 0  # matched by no --include pattern
    links_passed_over: int = 0  # links to folders whose files are read under another path


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Notes on a corpus; complete once the corpus was read to its end."""

    files: FileCounts | None = None  # None if the corpus is not a folder of files
    notes: tuple[str, ...] = ()  # sentences
    unread: tuple[str, ...] = ()  # files and folders of the corpus that could not be read, or were skipped


NOTHING: Final = Account()
