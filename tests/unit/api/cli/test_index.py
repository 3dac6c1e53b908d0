"""`winnow index` from the command line: what it says of an input, and how it ends."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.tiny_models import write_embedder
from winnow.api.cli.main import _exit_code, app
from winnow.retrieval.errors import InvalidRequest, WriterSuperseded
from winnow.retrieval.files.lease import OneHostLease


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
    path.write_text("".join(f'{{"id": {number}, "note": "t"}}\n' for number in range(40)), encoding="utf-8")
    for flags in ((), ("--allow-rejects",)):
        done = index(path, *flags)
        assert done.code == 1
        assert "rejected: a.jsonl:1: no text (fields 'text', 'contents', 'content', 'body', 'passage')" in done.err
        assert "a.jsonl:3" in done.err
        assert "a.jsonl:4" not in done.err
        assert "Every record was rejected; " in done.err
    assert (
        index(path, "--json").json["first_rejects"][0]
        == "a.jsonl:1: no text (fields 'text', 'contents', 'content', 'body', 'passage')"
    )


def test_nothing_taken_is_not_success(index: Indexes, tmp_path: Path) -> None:
    """Exit 3, unless that is allowed."""
    path = tmp_path / "a.jsonl"
    path.touch()
    done = index(path)
    assert done.code == 3
    assert "a.jsonl holds no documents." in done.err
    assert index(path, "--allow-rejects").code == 0


def test_a_guess_is_said_aloud(index: Indexes, tmp_path: Path) -> None:
    """On the terminal and in the report; `--encoding` ends it."""
    path = tmp_path / "a.csv"
    text = "员工因病请假，须于当日上午九点前通知直属主管，并于返岗后三日内提交医院证明。"
    path.write_bytes(f"id;text;year\n1;{text};2020\n".encode("gbk"))
    done = index(path)
    assert done.code == 0
    assert "a.csv is not UTF-8; read as gb18030 (detected)" in done.err
    assert "a.csv: separated by semicolons; number: year" in done.err
    assert index(path, "--encoding", "gbk", "--types", "text", "--json").json["notes"] == [
        "a.csv: separated by semicolons.",
        "a.csv: id = id, text = text.",
    ]


def test_a_mapping_file_and_flags_over_it(index: Indexes, tmp_path: Path) -> None:
    """YAML or JSON; a flag wins; what is wrong with the file is said with its name."""
    corpus, mapping = tmp_path / "a.jsonl", tmp_path / "m.yaml"
    corpus.write_text('{"key": "a", "head": "h", "one": "x", "two": "y"}\n', encoding="utf-8")
    mapping.write_text("id: key\ntext: [one, two]\n", encoding="utf-8")
    assert index(corpus, "--fields-file", str(mapping), "--json").json["notes"] == [
        "a.jsonl: id = key, text = one + two."
    ]
    done = index(corpus, "--fields-file", str(mapping), "--text-field", "two", "--title-field", "head")
    assert "a.jsonl: id = key, text = two, title = head." in done.err
    mapping = tmp_path / "m.json"
    mapping.write_text('{\n\t"id": "key", "text": "one"}', encoding="utf-8")
    assert index(corpus, "--fields-file", str(mapping), "--json").json["changed"] == 1
    mapping.write_text('{"body": "one"}', encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"--fields-file .*m\.json: the file has the unknown key 'body'"):
        index(corpus, "--fields-file", str(mapping))
    corpus.write_text('{"body": "x"}\n', encoding="utf-8")
    assert index(corpus, "--id-from", "line", "--json").json["added"] == 1


ENDINGS = (".md", ".txt", ".markdown", ".bin", ".csv", ".dat", ".exe", ".json", ".log", ".odt", ".png", ".pages")
PLACES = ("", "handbook", "handbook/2024", "legal/contracts", "node_modules/left-pad")


def ordinary_folder(folder: Path) -> Path:
    """60 files of 12 endings in 5 places, as a company has them: one blank, one in GBK, some in a build folder."""
    for place in PLACES:
        for ending in ENDINGS:
            path = folder / place / f"file{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = f"# {place or 'top'}\n\nWords about refunds and contracts.\n"
            path.write_text(json.dumps(content) if ending == ".json" else content, encoding="utf-8")
    (folder / "handbook" / "file.txt").write_text(" \n", encoding="utf-8")
    text = "员工因病请假，须于当日上午九点前通知直属主管，并于返岗后三日内提交医院证明。"
    (folder / "legal" / "contracts" / "file.txt").write_bytes(text.encode("gbk"))
    return folder


def test_an_ordinary_folder_is_accounted_for_file_by_file(index: Indexes, tmp_path: Path) -> None:
    """60 files of 12 endings: read, rejected, of a kind that is not read, or left out, and nothing else."""
    done = index(ordinary_folder(tmp_path / "company"), "--json")
    assert done.code == 3
    files, report = done.json["files"], done.json
    assert files["found"] == 60
    assert files["read"] == report["added"] + report["rejected"] == 20
    assert files["not_read"] == dict.fromkeys(sorted({*ENDINGS[3:]} - {".csv", ".json"}), 4)
    assert files["left_out"] == {"node_modules/": 12}
    assert files["formats"] == {"Plain text and Markdown": 12, "CSV and TSV": 4, "JSON": 4}
    assert files["read"] + sum(files["not_read"].values()) + sum(files["left_out"].values()) == 60
    assert report["first_rejects"] == ["handbook/file.txt: no text"]
    assert report["notes"] == [
        "Not UTF-8; read as gb18030 (detected): legal/contracts/file.txt. Use --encoding NAME if that is wrong."
    ]
    done = index(tmp_path / "company")
    assert (
        "60 files: 20 read (Plain text and Markdown 12, CSV and TSV 4, JSON 4), 28 of other types (.bin 4, .dat 4, "
        ".exe 4, .log 4, .odt 4, .pages 4, .png 4), 12 skipped (node_modules/ 12)."
    ) in done.err
    assert "--exclude '!node_modules/' reads files" in done.err
    assert index(tmp_path / "company", "--include", "*.md", "--exclude", "legal/", "--json").json["files"] == {
        "found": 60, "read": 3, "formats": {"Plain text and Markdown": 3}, "not_read": {},
        "left_out": {"legal/": 12, "node_modules/": 12}, "not_included": 33,
        "links_passed_over": 0,
    }  # fmt: skip


def test_a_folder_of_other_kinds_is_not_success(index: Indexes, tmp_path: Path) -> None:
    """Exit 3 with what there is, and what would be read."""
    for name in ("a.odt", "b.bin", "c"):
        (tmp_path / "folder" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "folder" / name).touch()
    done = index(tmp_path / "folder")
    assert done.code == 3
    assert "3 files: 0 read, 3 of other types (.bin 1, .odt 1, without an ending 1)." in done.err
    assert "winnow has no reader for those types" in done.err
    assert "folder holds no documents." in done.err


def test_a_name_that_is_not_utf8_ends_no_run(index: Indexes, tmp_path: Path) -> None:
    """Not as a file, not as the folder itself."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    for name in (b"/good.txt", b"/na\xefve.txt"):
        Path(os.fsdecode(os.fsencode(folder) + name)).write_text("text", encoding="utf-8")
    done = index(folder, "--json")
    assert done.code == 3
    assert (done.json["corpus"], done.json["added"], done.json["rejected"]) == ("caf\\xe9", 1, 1)
    assert done.json["first_rejects"][0].startswith("na\\xefve.txt: the file name is not UTF-8")


def test_a_run_that_another_writer_superseded_says_so(
    index: Indexes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, with what to do; repeated, the run goes through."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "1", "text": "some text"}\n', encoding="utf-8")

    def superseded(lease: OneHostLease, count: int, *, least: int) -> int:
        raise WriterSuperseded("c is now written to by another host")

    with monkeypatch.context() as patched:
        patched.setattr(OneHostLease, "take_numbers", superseded)
        words = ["index", str(path), "--collection", "c", "--data", str(index.data), "--embed-model", str(index.model)]
        patched.setattr(sys, "argv", ["winnow", *words])
        assert _exit_code() == 1
    said = capsys.readouterr().err
    assert "Another process took over writing to the collection during a pause" in said
    assert "repeat what was not acknowledged: c is now written to by another host" in said
    assert "Traceback" not in said
    assert index(path, "--json").json["added"] == 1
