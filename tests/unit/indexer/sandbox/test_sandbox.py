"""A parser that breaks a limit costs its own file, and nothing else."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from winnow.indexer.corpus import Refused
from winnow.indexer.sandbox.limits import REFUSALS_PER_FILE_MAX, ParseLimits
from winnow.indexer.sandbox.outcomes import Ended, Member, Opened, Outcome, Task
from winnow.indexer.sandbox.sandbox import Sandbox
from winnow.retrieval.errors import CorpusUnreadable
from winnow.retrieval.records import Document

ENTRY = "tests.unit.indexer.sandbox.misbehaving:parse"


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """With a folder of its own for temporary files, which is empty at the end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("SECRET", "canary")
    before, others = open_files(), set(children())
    with Sandbox(ENTRY, ParseLimits(seconds=1, memory_mb=128)) as made:
        yield made
    assert list(tmp_path.iterdir()) == []
    assert open_files() <= before  # files of other tests may be closed meanwhile, when their objects are collected
    assert set(children()) <= others


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


def children() -> list[str]:
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return path.read_text(encoding="ascii").split() if path.exists() else []


def outcomes(sandbox: Sandbox, name: str, path: str = "/") -> list[Outcome]:
    found = list(sandbox.outcomes(Task(path=path, name=name)))
    return [each for each in found if not isinstance(each, Opened)]


def end(sandbox: Sandbox, name: str) -> str | None:
    last = outcomes(sandbox, name)[-1]
    assert isinstance(last, Ended)
    return last.reason


def test_a_loop_ends_and_what_was_read_before_stays(sandbox: Sandbox):
    """Bounded in CPU time, not by the clock of a busy machine."""
    reason = "parsing used more than 1 s of CPU time; --parse-seconds allows more"
    assert outcomes(sandbox, "loop") == [Document(id="loop#1", text="before"), Ended(reason=reason)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("grow", "parsing used more than 128 MB of memory"),
        ("crash", "its parser crashed (SIGSEGV)"),
        ("abort", "its parser crashed (SIGABRT)"),
        ("exit", "its parser ended unexpectedly (exit code 7)"),
        ("garbage", "its parser answered in an unexpected form"),
        ("steal", "its parser answered in an unexpected form"),
        ("raise", "it is damaged or unusual: parsing failed with KeyError"),
    ],
)
def test_a_broken_limit_is_a_reason(sandbox: Sandbox, name: str, reason: str):
    """And the next file is read."""
    assert (end(sandbox, name) or "").startswith(reason)
    assert outcomes(sandbox, "next") == [Document(id="next", text="well"), Ended()]


def test_a_process_that_waits_is_ended(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch):
    """CPU time does not pass while it sleeps."""
    monkeypatch.setattr(ParseLimits, "waiting_seconds", 0.3)
    assert end(sandbox, "sleep") == "parsing took more than 0 s; --parse-seconds allows more"


def test_members_behind_a_broken_one_are_read(sandbox: Sandbox):
    """In a fresh process; each that breaks one is refused by its name."""
    found = [each for each in outcomes(sandbox, "archive") if not isinstance(each, Member)]
    reason = "its parser ended unexpectedly (exit code 7)"
    assert found == [
        Document(id="archive/1", text="1"),
        Refused(id="archive/2", reason=reason),
        Refused(id="archive/3", reason=reason),
        Document(id="archive/4", text="4"),
        Ended(),
    ]


def test_output_is_bounded(sandbox: Sandbox):
    """A text that is too long, and refusals without end."""
    assert outcomes(sandbox, "huge") == [
        Refused(id="huge", reason="the text has 4000001 characters; the limit is 4000000"),
        Ended(),
    ]
    found = outcomes(sandbox, "flood")
    assert len(found) == REFUSALS_PER_FILE_MAX + 1
    assert found[-1] == Ended(
        reason=f"more than {REFUSALS_PER_FILE_MAX} of its parts were refused; the rest was not read"
    )


def test_odd_texts_and_prints_disturb_nothing(sandbox: Sandbox):
    """Metadata that is not JSON is refused; what a library prints goes nowhere."""
    (odd, _) = outcomes(sandbox, "odd")
    assert isinstance(odd, Refused)
    assert odd.reason.startswith("the metadata is not JSON")
    assert outcomes(sandbox, "print") == [Document(id="print", text="well"), Ended()]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems confine Python code only")
def test_a_parser_cannot_escape(sandbox: Sandbox, tmp_path: Path):
    """No socket, no program, no file, no signal, not even from C; threads and temporary files work."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "kept").write_text("kept", encoding="utf-8")
    found = {
        (each.id or "").removeprefix("escape#"): each.reason
        for each in outcomes(sandbox, "escape", str(place))
        if isinstance(each, Refused)
    }
    assert (found.pop("thread"), found.pop("temporary"), found.pop("environment")) == ("None", "1", "True")
    assert set(found.values()) == {"refused"}
    assert len(found) == 9
    assert {path.name: path.read_text(encoding="utf-8") for path in place.iterdir()} == {"kept": "kept"}
    (place / "kept").unlink()
    place.rmdir()


def test_a_stop_ends_a_reading_at_once(sandbox: Sandbox):
    """From another thread, while the parser is at work."""
    found = sandbox.outcomes(Task(path="/", name="sleep"))
    next(found)
    threading.Timer(0.1, sandbox.stop).start()
    with pytest.raises(CorpusUnreadable, match="reading was stopped"):
        list(found)


def test_a_reading_that_is_given_up_leaves_nothing(sandbox: Sandbox):
    """As when the run fails for another reason."""
    found = sandbox.outcomes(Task(path="/", name="flood"))
    next(found)
    found.close()
    assert outcomes(sandbox, "next") == [Document(id="next", text="well"), Ended()]


def test_a_process_that_cannot_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not a reject of every file."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with (
        Sandbox("tests.missing:parse", ParseLimits()) as broken,
        pytest.raises(CorpusUnreadable, match="cannot start the process that parses documents"),
    ):
        list(broken.outcomes(Task(path="/", name="a")))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with (
        Sandbox(ENTRY, ParseLimits()) as broken,
        pytest.raises(CorpusUnreadable, match="No such file or directory"),
    ):
        list(broken.outcomes(Task(path="/", name="a")))
    assert list(tmp_path.iterdir()) == []


def test_left_over_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Those of a process that is gone; those of one that runs stay."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = tmp_path / "winnow-parse-4194304-abc"  # no process has this number
    mine = tmp_path / f"winnow-parse-{os.getpid()}-abc"
    for folder in (gone, mine):
        folder.mkdir()
        (folder / "member-1").touch()
    with Sandbox(ENTRY, ParseLimits()):
        pass
    assert list(tmp_path.iterdir()) == [mine]
