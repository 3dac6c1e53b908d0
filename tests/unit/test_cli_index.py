"""`winnow index` from the command line: what it says of an input, and how it ends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli import app
from tests.tiny_models import write_embedder


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Indexes:
    """Runs `winnow index` with a tiny model."""

    data: Path
    model: Path

    def __call__(self, corpus: Path | str, *flags: str, stdin: bytes | None = None) -> Ended:
        words = ["index", str(corpus), "--collection", "c", "--data", str(self.data), "--embed-model", str(self.model)]
        done = CliRunner().invoke(app, [*words, *flags], input=stdin)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ended(done.exit_code, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embedder(tmp_path_factory.mktemp("models") / "embedder")


@pytest.fixture
def index(tmp_path: Path, model: Path) -> Indexes:
    return Indexes(tmp_path / "data", model)


def test_forty_of_forty_rejected_is_a_failure(index: Indexes, tmp_path: Path) -> None:
    """Exit 1 with the first reasons on the terminal, also where rejects are allowed."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"id": {number}, "body": "t"}}\n' for number in range(40)), encoding="utf-8")
    for flags in ((), ("--allow-rejects",)):
        done = index(path, *flags)
        assert done.code == 1
        assert "rejected: a.jsonl:1: no text (field 'text')" in done.err
        assert "a.jsonl:3" in done.err
        assert "a.jsonl:4" not in done.err
        assert "Every record was rejected; " in done.err
    assert index(path, "--json").json["first_rejects"][0] == "a.jsonl:1: no text (field 'text')"


def test_nothing_taken_is_not_success(index: Indexes, tmp_path: Path) -> None:
    """Exit 3, unless that is allowed."""
    path = tmp_path / "a.jsonl"
    path.touch()
    done = index(path)
    assert done.code == 3
    assert "a.jsonl gave no document." in done.err
    assert index(path, "--allow-rejects").code == 0


def test_a_guess_is_said_aloud(index: Indexes, tmp_path: Path) -> None:
    """On the terminal and in the report; `--encoding` ends it."""
    path = tmp_path / "a.csv"
    text = "员工因病请假，须于当日上午九点前通知直属主管，并于返岗后三日内提交医院证明。"
    path.write_bytes(f"id;text;year\n1;{text};2020\n".encode("gbk"))
    done = index(path)
    assert done.code == 0
    assert "a.csv is not UTF-8 and is read as gb18030, as detected" in done.err
    assert "a.csv: separated by semicolons; number: year" in done.err
    assert index(path, "--encoding", "gbk", "--types", "text", "--json").json["notes"] == [
        "a.csv: separated by semicolons."
    ]
