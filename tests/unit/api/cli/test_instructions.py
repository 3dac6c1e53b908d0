"""`winnow instructions`: the library from the command line, for a person, a pipe and a program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.answers import check_answer
from winnow.api.cli.main import app
from winnow.api.collections.data_folder import DataFolder
from winnow.api.schemas.instructions import (
    DefaultResponse,
    DiffResponse,
    ImportedResponse,
    InstructionResponse,
    InstructionsResponse,
    PreviewResponse,
    TrialResponse,
)
from winnow.retrieval.errors import InstructionConflict, InvalidRequest, VariableRefused
from winnow.retrieval.tenancy import DEFAULT_TENANT

DRAFT = """
text: Prefer documents written in {language}.
embedding_task: in {language}
variables:
- {name: language, type: enum, allowed: [English, Chinese]}
- {name: year, type: integer, default: 2020}
note: since {year}
"""
SEARCH = ("search", "return goods", "--collection", "docs")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def said(data: Path, *words: str, stdin: str | None = None) -> str:
    done = CliRunner().invoke(app, [*words, "--data", str(data)], input=stdin)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def answered(data: Path, *words: str, stdin: str | None = None) -> Any:
    return json.loads(said(data, *words, "--json", stdin=stdin))


def test_the_library_is_written_from_the_command_line(data: Path) -> None:
    """Each command answers as the route does, and lines for a pipe."""
    first = answered(data, "instructions", "publish", "house", "first", "--note", "n", "--embedding-task", "t")
    check_answer(InstructionResponse, first)
    assert (first["state"], first["note"], first["embedding_task"]) == ("published", "n", "t")
    draft = DRAFT.replace("note: since {year}", "note: n").replace("in {language}\nvar", "in {language} {year}\nvar")
    assert answered(data, "instructions", "draft", "house", "--file", "-", stdin=draft)["state"] == "draft"
    with pytest.raises(InstructionConflict, match="house@2 is a draft"):
        said(data, "instructions", "publish", "house", "third")
    difference = answered(data, "instructions", "diff", "house", "1", "2")
    check_answer(DiffResponse, difference)
    assert [each["field"] for each in difference["changes"]] == ["text", "embedding_task", "variables"]
    lines = said(data, "instructions", "diff", "house", "1", "2").splitlines()
    assert {"-text: first", "+text: Prefer documents written in {language}."} <= set(lines)
    assert answered(data, "instructions", "publish", "house")["state"] == "published"
    assert answered(data, "instructions", "retire", "house@1")["state"] == "retired"
    with pytest.raises(InvalidRequest, match="which version of house"):
        said(data, "instructions", "retire", "house")
    said(data, "instructions", "draft", "house", "again")
    assert answered(data, "instructions", "delete", "house") == {"deleted": "house"}
    lines = said(data, "instructions", "list").splitlines()
    assert lines == [
        "name\tversion\tstate\ttext",
        "house\t1\tretired\tfirst",
        "house\t2\tpublished\tPrefer documents written in {language}.",
    ]
    check_answer(InstructionsResponse, answered(data, "instructions", "list"))
    assert "builtin/legal-statutes\t1\tpublished\t" in said(data, "instructions", "list", "--built-in")
    assert answered(data, "instructions", "show", "house")["version"] == 2
    shown = said(data, "instructions", "show", "house@2", "--yaml")
    assert (
        answered(data, "instructions", "publish", "copy", "--file", "-", stdin=shown)["variables"]
        == answered(data, "instructions", "show", "house")["variables"]
    )


def test_a_default_is_chosen_shown_and_cleared(data: Path) -> None:
    """One that needs values is refused."""
    said(
        data,
        "instructions",
        "publish",
        "needs",
        "--file",
        "-",
        stdin=DRAFT.replace("text: ", "text: '{year} ").replace("}.", "}.'").replace("note: since {year}", ""),
    )
    with pytest.raises(VariableRefused, match="language is required"):
        said(data, "instructions", "default", "needs")
    for words, expected in (
        ((), None),
        (("builtin/legal-statutes",), "builtin/legal-statutes"),
        ((), "builtin/legal-statutes"),
        (("--clear",), None),
    ):
        body = answered(data, "instructions", "default", *words)
        check_answer(DefaultResponse, body)
        assert body == {"instruction": expected}


def test_a_library_is_carried_to_another_folder(data: Path, tmp_path: Path) -> None:
    """By a file or a pipe; the same export comes out."""
    for text in ("first", "second"):
        said(data, "instructions", "publish", "house", text)
    said(data, "instructions", "publish", "other", "x")
    exported = said(data, "instructions", "export")
    assert said(data, "instructions", "export", "other").count("name:") == 1
    assert answered(data, "instructions", "export")["yaml"] == exported
    file, there = tmp_path / "library.yaml", tmp_path / "there"
    file.write_text(exported, encoding="utf-8")
    brought = answered(there, "instructions", "import", str(file))
    check_answer(ImportedResponse, brought)
    assert brought == {"added": ["house@1", "house@2", "other@1"], "unchanged": 0}
    assert said(there, "instructions", "export") == exported
    assert answered(there, "instructions", "import", "-", stdin=exported)["unchanged"] == 3


def test_a_preview_shows_the_prompt(data: Path) -> None:
    """Of a name, a text, or a file that is nowhere yet."""
    whole = said(data, "instructions", "preview", "--text", "Prefer code", "--query", "q", "--document", "d", "--ids")
    assert whole.startswith("<|im_start|>system\nJudge whether")
    assert "<Instruct>: Prefer code\n<Query>: q\n<Document>: d<|im_end|>\n" in whole
    disk = DataFolder.open(data)
    disk.catalog.database.close()
    named = answered(data, "instructions", "preview", "builtin/paper-recommendation", "--variable", "since=1999")
    check_answer(PreviewResponse, named)
    assert "in or after 1999 rank first" in named["text"]
    with pytest.raises(VariableRefused, match="since must be an integer"):
        said(data, "instructions", "preview", "builtin/paper-recommendation", "--variable", "since=late")
    with pytest.raises(InvalidRequest, match="one of NAME, --text and --file"):
        said(data, "instructions", "preview")


def test_a_trial_and_a_search_from_the_command_line(data: Path, tmp_path: Path) -> None:
    """The instructions stand in the order in which they were typed; values go to whom they concern."""
    corpus = tmp_path / "corpus.jsonl"
    rows = [{"id": "en", "text": "Goods may be returned within seven days."}, {"id": "zh", "text": "七日内可以退货。"}]
    corpus.write_text("\n".join(json.dumps(each) for each in rows), encoding="utf-8")
    said(data, "index", str(corpus), "--collection", "docs")
    said(data, "instructions", "draft", "house", "Prefer documents written in Chinese.")
    words = ("--versions", "default", "house@1", "builtin/support-language-first", "--variable", "language=Chinese")
    trial = answered(data, "instructions", "try", "return goods", "--collection", "docs", *words)
    check_answer(TrialResponse, trial)
    assert [each["instruction"]["name"] for each in trial["columns"]] == [
        "default",
        "house",
        "builtin/support-language-first",
    ]
    assert "written in Chinese" in trial["columns"][2]["text"]
    alone = answered(data, *SEARCH, "--instruction", "Prefer documents written in Chinese.")
    assert [(each["document_id"], pytest.approx(each["score"])) for each in trial["columns"][1]["results"]] == [
        (each["document_id"], each["score"]) for each in alone["results"]
    ]
    lines = said(data, "instructions", "try", "return goods", "house@1", "--collection", "docs").splitlines()
    assert [line.split("\t")[:3] for line in lines[1:]] == [["house@1", "1", "0"], ["house@1", "2", "0"]]
    with pytest.raises(InvalidRequest, match="none of these instructions has the variable 'lang'"):
        said(data, "instructions", "try", "q", "house@1", "--collection", "docs", "--variable", "lang=x")
    found = answered(
        data, *SEARCH, "--instruction-name", "builtin/support-language-first", "--variable", "language=Chinese"
    )
    assert found["instruction"]["name"] == "builtin/support-language-first"
    with pytest.raises(InvalidRequest, match="--variable needs --instruction-name"):
        said(data, *SEARCH, "--variable", "language=Chinese")
    with DataFolder.open(data).catalog.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM instructions").scalar() == 1
    assert DataFolder.open(data).catalog.instructions.default(DEFAULT_TENANT) is None
