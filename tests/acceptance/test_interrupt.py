"""Real processes, killed and interrupted: nothing of `winnow index` is lost or half there, and a start ends at once."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.indexing.interrupt import COLLECTION, Bench, Outcome, outcome, write_corpus
from tests.tiny_models import write_embedder
from winnow.retrieval.files.layout import Layout
from winnow.retrieval.tenancy import DEFAULT_TENANT

pytestmark = pytest.mark.acceptance

DOCUMENTS = 600  # three windows


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("interrupt")
    write_corpus(folder / "corpus.jsonl", documents=DOCUMENTS)
    return Bench(corpus=folder / "corpus.jsonl", embed_model=str(write_embedder(folder / "embed")))


@pytest.fixture(scope="module")
def undisturbed(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, float]:
    """What an undisturbed run leaves, and how long it works."""
    data = tmp_path_factory.mktemp("undisturbed")
    seconds = bench.working_seconds(data)
    return outcome(data), seconds


def test_an_undisturbed_run_is_complete(undisturbed: tuple[Outcome, float]):
    """Every good record is there, every bad one is named, and a generation serves all chunks."""
    left, _ = undisturbed
    assert len(left.documents) == DOCUMENTS
    assert len(left.rejects.splitlines()) == 3
    assert left.generation_serves_all


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_killed_run_goes_on_to_the_same_collection(
    bench: Bench, undisturbed: tuple[Outcome, float], tmp_path: Path, share: float
):
    """SIGKILL at some moment of the work; run again, the documents, spans and bits of the vectors are the same."""
    expected, seconds = undisturbed
    trial = bench.trial(tmp_path / "data", expected, kill_after=share * seconds)
    assert trial.is_equal
    assert trial.skipped_by_resumed == trial.documents_then


def test_an_interrupted_run_says_so_and_goes_on(bench: Bench, undisturbed: tuple[Outcome, float], tmp_path: Path):
    """SIGINT ends the run with 130; what was committed stays, and the next run ends as an undisturbed one."""
    expected, seconds = undisturbed
    data = tmp_path / "data"
    process = bench.start(data)
    lock = Layout(data).collection(DEFAULT_TENANT, COLLECTION).lock
    while not lock.exists():
        assert process.poll() is None
    with pytest.raises(Exception, match="timed out"):
        process.wait(
            timeout=seconds / 4
        )  # by then it has begun, and is far from done, also where the machine idles now
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    bench.run(data)
    assert outcome(data) == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_service_ends_wherever_its_start_is_interrupted(tmp_path: Path, number: signal.Signals):
    """A first Ctrl-C could be lost, and another module be half imported, which ended in a traceback."""
    command = [sys.executable, "-m", "winnow.api.cli", "serve", "--port", "0", "--data", str(tmp_path)]
    codes = {0, 128 + number, -number}  # once it answers, as an interrupted command, and as if nothing handled it
    for seconds in (0, 0.3, 0.8, 1.3, 1.8):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            while not handles_sigterm(process):  # until then Python starts, which has its own traceback
                assert process.poll() is None
            time.sleep(seconds)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        assert process.returncode in codes, said
        assert "Traceback" not in said


def handles_sigterm(process: subprocess.Popen[str]) -> bool:
    caught = re.search(r"^SigCgt:\s+(\w+)$", Path(f"/proc/{process.pid}/status").read_text("ascii"), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)
