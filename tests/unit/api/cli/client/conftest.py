"""A service on loopback, and the command line over its data folder or over its address."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from tests.wire_service import listening
from winnow.api.cli import main
from winnow.api.http.app import create_app
from winnow.retrieval.model.tokenizer import PlainTokenizer

KEY = "secret"


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `winnow` in this process, in a folder of the test."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["winnow", *words])
        capfd.readouterr()
        code = main._exit_code()
        shown = capfd.readouterr()
        return Ended(code, shown.out, shown.err)

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def url(data: Path, tokenizer: PlainTokenizer) -> Iterator[str]:
    """Its reranker prefers passages with the word refund."""
    with listening(create_app(parts_over(data, tokenizer, PrefersWord("refund"), api_key=KEY))) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def remote(run: Run, url: str) -> Run:
    """Runs `winnow` against the service."""
    return lambda *words: run(*words, "--url", url, "--key", KEY)


@pytest.fixture
def local(run: Run, data: Path) -> Run:
    """Runs `winnow` in the service's data folder."""
    return lambda *words: run(*words, "--data", str(data))
