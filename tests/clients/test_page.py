"""The page of compatibility says what the rows say, of every client that is tried."""

from __future__ import annotations

from collections import defaultdict

from tests.clients.cases import CASES, Outcome, read_rows
from tests.clients.page import PAGE, page_of
from tests.clients.run import PROGRAMS, TRIED

COHERE = {"5", "7"}  # major versions: langchain-cohere needs the older one


def test_the_page_is_written_from_the_rows() -> None:
    assert PAGE.read_text(encoding="utf-8") == page_of(read_rows())


def test_every_client_has_a_row_for_every_case() -> None:
    """A program that ended early would leave cases out."""
    cases = defaultdict(set)
    for row in read_rows():
        if row.language == "python":
            cases[row.client, row.version, row.route].add(row.case)
    assert {key: set(CASES) - found for key, found in cases.items() if found != set(CASES)} == {}
    assert {client for client, _, _ in cases} == {each.client for each in TRIED}
    assert {version.partition(".")[0] for client, version, _ in cases if client == "cohere"} == COHERE


def test_what_does_not_work_says_why() -> None:
    assert [row for row in read_rows() if row.outcome is not Outcome.WORKS and not row.note] == []


def test_every_program_is_run() -> None:
    assert {path.stem for path in PROGRAMS.glob("with_*.py")} == {each.program for each in TRIED}
