"""The rows of the campaigns with foreign clients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.clients.cases import Outcome, Row, read_rows, write_rows

ROW = Row(
    client="openai",
    version="7.0.0",
    language="javascript",
    route="POST /v1/embeddings",
    case="401",
    outcome=Outcome.WORKS,
    note="AuthenticationError",
)


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Of both languages together, by client."""
    other = replace(ROW, client="cohere", language="python", outcome=Outcome.NOT_APPLICABLE)
    write_rows("javascript", [ROW], folder=tmp_path)
    write_rows("python", [other], folder=tmp_path)
    assert read_rows(tmp_path) == [other, ROW]


def test_a_row_of_another_language_is_refused(tmp_path: Path) -> None:
    """Each campaign replaces its own file only."""
    with pytest.raises(ValueError, match="python"):
        write_rows("python", [ROW], folder=tmp_path)


def test_an_unknown_case_is_refused() -> None:
    """A misspelt case would be a column of its own."""
    with pytest.raises(ValueError, match="4xx"):
        replace(ROW, case="4xx")
