"""What is there to tell of a corpus besides its records: the files that were not read, and what was guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from winnow.indexer.decoding.encodings import Encoding


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCounts:
    """The files below a folder. Each is in exactly one of the four counts below `found`."""

    found: int = 0
    read: int = 0  # each became a document or a reject
    not_read: Mapping[str, int] = field(default_factory=dict)  # by ending: there is no reader for these
    left_out: Mapping[str, int] = field(default_factory=dict)  # by the pattern that leaves them out
    not_included: int = 0  # no --include pattern matches
    links_passed_over: int = 0  # links to folders, not files: what is behind them is read under another path


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Complete once the corpus has been read to its end."""

    files: FileCounts | None = None  # None where the corpus is no folder of files
    notes: tuple[str, ...] = ()  # sentences
    unread: tuple[str, ...] = ()  # files and folders that belong to the corpus and could not be read, or were not


NOTHING: Final = Account()


def detected_note(name: str, encoding: Encoding | None) -> tuple[str, ...]:
    """What is said of a guess at an encoding."""
    if encoding is None or not encoding.is_detected:
        return ()
    return (f"{name} is not UTF-8 and is read as {encoding.name}, as detected; --encoding NAME says otherwise.",)
