"""Writes docs/reference/compatibility.md from the rows of both languages: python -m tests.clients.page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from tests.clients.cases import CASES, Outcome, Row, read_rows

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference" / "compatibility.md"
MARKS: Final = {Outcome.WORKS: "✓", Outcome.REFUSED: "✗", Outcome.NOT_APPLICABLE: "–"}
LANGUAGES: Final = {"python": "Python", "javascript": "JavaScript"}
HEAD: Final = """\
<!-- Written by `python -m tests.clients.page` from tests/clients/results. Run the campaign, then it. -->

# Compatibility

Clients of other services, tried against a real `winnow serve`. How to point each of them at your service: [Use clients
that you already have](../how-to/clients.md).

| Case | What is shown |
| --- | --- |
{cases}

✓ works. ✗ the client cannot do it with this service. – does not apply. The notes below the tables say why, and name the
client's own error.

The bundled models judged: the query "return goods bought online", an English and a Chinese answer, and the instruction
"Prefer documents written in Chinese", which moves the Chinese answer up. 503 and degraded are a service whose model
server cannot be reached; 429 is a tenant with few requests a minute. `python -m tests.clients.run --install` repeats it
for Python, `python -m tests.clients.run_javascript --install` for JavaScript.
"""


def page_of(rows: Iterable[Row]) -> str:
    """Return the page as Markdown."""
    kept = sorted(rows)
    parts = [HEAD.format(cases="\n".join(f"| {name} | {what} |" for name, what in CASES.items()))]
    for language, title in LANGUAGES.items():
        spoken = [row for row in kept if row.language == language]
        if spoken:
            parts.append(f"## {title}\n\n{_table(spoken)}\n")
            parts += _notes(spoken)
    return "\n".join(parts)


def _table(rows: list[Row]) -> str:
    lines = [f"| Client | Route | {' | '.join(CASES)} |", f"| --- | --- |{' :-: |' * len(CASES)}"]
    for (client, version, route), cases in groupby(rows, key=lambda row: (row.client, row.version, row.route)):
        marks = {row.case: MARKS[row.outcome] for row in cases}
        lines.append(f"| {client} {version} | {route} | {' | '.join(marks.get(case, '') for case in CASES)} |")
    return "\n".join(lines)


def _notes(rows: list[Row]) -> Iterator[str]:
    order = list(CASES)
    for (client, version), group in groupby(rows, key=lambda row: (row.client, row.version)):
        yield f"### {client} {version}\n"
        for route, cases in groupby(group, key=lambda row: row.route):
            noted = sorted((row for row in cases if row.note), key=lambda row: order.index(row.case))
            lines = "\n".join(f"    - {row.case} {MARKS[row.outcome]}: {row.note}" for row in noted)
            yield f"- `{route}`\n{lines}\n" if noted else f"- `{route}`\n"


def write_page() -> None:
    PAGE.write_text(page_of(read_rows()), encoding="utf-8")


if __name__ == "__main__":
    write_page()
