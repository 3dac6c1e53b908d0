"""The operator's OCR command: limits, failures, and its text in place of a page that is an image."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.unit.indexer.readers.documents.test_pdf import write
from winnow.api.setting_values import ocr_command
from winnow.indexer.corpus import Record, Reject
from winnow.indexer.readers.folder import FolderCorpus
from winnow.indexer.readers.untrusted.ocr import OUTPUT_BYTES_MAX, OcrCommand, OcrFailed, OcrRuns
from winnow.retrieval.errors import CorpusUnreadable

PRINTS = "import sys; print('第', sys.argv[2], 'page of', sys.argv[1].rpartition('/')[2], flush=True)"


def runs(code: str, *, seconds: float = 20.0) -> OcrRuns:
    """A command that runs this Python code."""
    return OcrRuns(OcrCommand(arguments=(sys.executable, "-c", code, "{file}", "{page}"), seconds=seconds))


def read(ocr: OcrRuns) -> str:
    document = ocr.read_page(Path("/data/a; b $(c).pdf"), 3, "a.pdf#page-3")
    assert document.id == "a.pdf#page-3"
    assert document.parts[0].location.page == 3
    return document.text


def test_the_command_gets_file_and_page_without_a_shell() -> None:
    assert read(runs(PRINTS)) == "第 3 page of a; b $(c).pdf"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("pass", "the OCR command found none"),
        ("print('  ')", "the OCR command found none"),
        ("import sys; sys.exit('no language data')", r"exit code 1 \(no language data\)"),
        ("while True: print('x' * 9999)", f"printed more than {OUTPUT_BYTES_MAX} bytes"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "exit code -15"),
    ],
)
def test_failures_are_reasons(code: str, reason: str) -> None:
    with pytest.raises(OcrFailed, match=reason):
        read(runs(code))
    with pytest.raises(OcrFailed, match="cannot be started: No such file"):
        OcrRuns(OcrCommand(arguments=("/no/such/program", "{file}"))).read_page(Path("a"), 1, "a")


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """The time limit ends the whole process group."""
    told = tmp_path / "child"
    code = (
        "import subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        f"open({str(told)!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    with pytest.raises(OcrFailed, match="took more than 3 s"):
        read(runs(code, seconds=3.0))
    child = int(told.read_text())
    deadline = time.monotonic() + 20
    while _is_running(child):
        assert time.monotonic() < deadline, "the child outlived the command"
        time.sleep(0.02)


def test_a_stop_ends_the_command() -> None:
    ocr = runs("import time; time.sleep(600)", seconds=600.0)
    stopper = threading.Timer(0.5, ocr.stop)
    stopper.start()
    with pytest.raises(CorpusUnreadable, match="stopped"):
        read(ocr)
    with pytest.raises(CorpusUnreadable, match="stopped"):
        read(ocr)
    stopper.join()


def test_pages_of_a_folder_are_read_by_the_command(tmp_path: Path) -> None:
    """Each page that is an image becomes a document; without the command it is a reject."""
    root = tmp_path / "folder"
    root.mkdir()
    write(root / "mixed.pdf", ["first page", None, "third page"])
    write(root / "scan.pdf", [None, None])
    command = OcrCommand(arguments=(sys.executable, "-c", PRINTS, "{file}", "{page}"))
    with_ocr = list(FolderCorpus(root=root, ocr=command).entries())
    texts = {each.document.id: each.document.text for each in with_ocr if isinstance(each, Record)}
    assert texts == {
        "mixed.pdf#page-2": "第 2 page of mixed.pdf",
        "mixed.pdf": "first page\n\nthird page",
        "scan.pdf#page-1": "第 1 page of scan.pdf",
        "scan.pdf#page-2": "第 2 page of scan.pdf",
    }
    without = list(FolderCorpus(root=root).entries())
    assert {each.id: each.reason for each in without if isinstance(each, Reject)} == {
        "mixed.pdf#page-2": "no text, page 2: it is an image; name an OCR program with --ocr-command",
        "scan.pdf": "no text: 2 of 2 pages are images; name an OCR program with --ocr-command",
    }
    failing = OcrCommand(arguments=(sys.executable, "-c", "raise SystemExit(4)", "{file}"))
    reasons = [each.reason for each in FolderCorpus(root=root, ocr=failing).entries() if isinstance(each, Reject)]
    assert reasons == [f"no text, page {page}: the OCR command ended with exit code 4" for page in (2, 1, 2)]


@pytest.mark.parametrize("line", ["./ocr.sh", "./ocr.sh {page}", "./ocr.sh 'unclosed {file}", "{file}"])
def test_a_command_line_must_name_the_file(line: str) -> None:
    with pytest.raises(ValueError, match=r"^(it is not a command line|its arguments must contain)"):
        ocr_command(line)
    assert ocr_command("ocr --lang 'chi_sim eng' {file} {page}") == ("ocr", "--lang", "chi_sim eng", "{file}", "{page}")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
