"""What the process that parses is asked, and what it answers.

Rule 1: plain values only, because the answer comes from a process that a hostile file may have taken over. Rule 2: the
parent believes nothing of it that it has not checked (`frames`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from winnow.indexer.corpus import Refused
from winnow.retrieval.records import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A file to parse."""

    path: str
    name: str  # id of its document: path within the corpus, with slashes
    encoding: str | None = None
    has_ocr: bool = False
    resume_after: int = 0  # members of an archive up to this number are done
    broken: tuple[int, ...] = ()  # members that broke an earlier process


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The format of the file, as its content shows."""

    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member of an archive is parsed next."""

    number: int  # counted from 1 through all archives in the file
    name: str  # id of its document


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Members of an archive that no parser exists for."""

    ending: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The file was parsed to its end, or cannot be parsed further."""

    reason: str | None = None  # None: the end


Outcome: TypeAlias = Document | Refused | Opened | Member | Skipped | Ended
