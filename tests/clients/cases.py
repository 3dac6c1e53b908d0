"""The cases that each foreign client is tried with, and the rows in which the campaigns record how they ended.

Each language writes one file, RESULTS/LANGUAGE.json: a list of rows, sorted, one a line. The page of compatibility is
made of these files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

RESULTS: Final = Path(__file__).with_name("results")
CASES: Final = {
    "success": "A correct request succeeds, and the client returns the order that the service answered.",
    "401": "An unknown key raises the client's own error for it, with the service's message.",
    "404": "An unknown collection, model or document raises the client's own error for it.",
    "422": "A request that the service refuses raises the client's own error for it, with the reason.",
    "429": "A caller over its rate limit gets the client's own error, or the client waits as `Retry-After` says.",
    "503": "A service that is overloaded gives the client's own error, or the client tries again.",
    "degraded": "Where nothing was reranked, the client still returns the answer; the note says where it says so.",
    "null fields": "Optional fields that the client sends as null count as left out.",
    "instruction": "An instruction reaches the reranker: the order changes with it.",
}


class Outcome(StrEnum):
    """How a case ended."""

    WORKS = "works"
    REFUSED = "refused"  # the client cannot do it with this service; the note says why
    NOT_APPLICABLE = "n/a"  # nothing in the client or the route can lead to it; the note says why


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Row:
    """One case with one client, as the client's own calls showed it."""

    client: str  # the package's name in its registry
    version: str
    language: str  # "python" or "javascript"
    route: str  # "POST /v2/rerank"
    case: str
    outcome: Outcome
    note: str = ""  # one sentence for users: the error's class, the option that is needed

    def __post_init__(self) -> None:
        if self.case not in CASES:
            raise ValueError(f"{self.case!r} is none of the cases: {', '.join(CASES)}")

    @classmethod
    def from_json(cls, fields: dict[str, str]) -> Self:
        return cls(**{**fields, "outcome": Outcome(fields["outcome"])})


def write_rows(language: str, rows: Iterable[Row], *, folder: Path = RESULTS) -> Path:
    """Write the rows of a language, and return the file."""
    kept = sorted(rows)
    if any(each.language != language for each in kept):
        raise ValueError(f"The file of {language} holds rows of {language} only")
    folder.mkdir(exist_ok=True)
    path = folder / f"{language}.json"
    lines = ",\n".join(json.dumps(asdict(each), ensure_ascii=False) for each in kept)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return path


def read_rows(folder: Path = RESULTS) -> list[Row]:
    """Return the rows of all languages, by client."""
    files = sorted(folder.glob("*.json"))
    return sorted(Row.from_json(each) for path in files for each in json.loads(path.read_text(encoding="utf-8")))
