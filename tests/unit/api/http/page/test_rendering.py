"""The frame of the page is rendered by a process of its own: ahead of the first visit, once, and again if it failed."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from winnow.api.http.page import rendering, routes
from winnow.api.http.page.routes import Page

FRAME = {"pages": {"en": "<p>drawn", "zh": "<p>画好"}, "theme": "", "policy": "default-src 'none'", "folders": {}}
WRITES_RUN = "import pathlib, sys; run = pathlib.Path(sys.argv[1]); run.write_text(run.read_text() + 'r'); "
PRINTS = WRITES_RUN + f"print('a greeting'); print({json.dumps(FRAME)!r})"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a letter for each run of the renderer. Nothing is rendered yet."""
    path = tmp_path / "runs"
    path.write_text("")
    monkeypatch.setattr(rendering, "_rendered", [])
    monkeypatch.setattr(routes, "AHEAD_AFTER_SECONDS", 0)
    renders(monkeypatch, path, PRINTS)
    return path


def renders(monkeypatch: pytest.MonkeyPatch, runs: Path, script: str) -> None:
    monkeypatch.setattr(rendering, "RENDERER", (sys.executable, "-c", script, str(runs)))


def client_of(page: Page) -> TestClient:
    """A service that has nothing but the page."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with page.running():
            yield

    app = FastAPI(lifespan=lifespan)
    page.add_to(app)
    return TestClient(app, raise_server_exceptions=False)


def test_it_is_rendered_ahead_and_once(runs: Path) -> None:
    """A visitor waits for the rendering that runs; the next ones, and those of another app, for none."""
    with client_of(Page(installed=True, ahead=True)) as client:
        assert client.get("/ui").text == "<p>drawn"
        assert client.get("/ui", headers={"accept-language": "zh"}).text == "<p>画好"
    with client_of(Page(installed=True)) as client:
        assert client.get("/ui").status_code == 200
    assert runs.read_text() == "r"


def test_nothing_is_rendered_where_nobody_asked(runs: Path) -> None:
    """Not by an app that is not to do it ahead, and not without the extra."""
    for page in (Page(installed=True), Page(installed=False, ahead=True)):
        with client_of(page) as client:
            assert client.get("/nothing").status_code == 404
    assert runs.read_text() == ""


def test_a_rendering_that_failed_is_repeated(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the next visitor."""
    with client_of(Page(installed=True)) as client:
        renders(monkeypatch, runs, WRITES_RUN + "sys.exit('no memory')")
        assert client.get("/ui").status_code == 500
        renders(monkeypatch, runs, PRINTS)
        assert client.get("/ui").text == "<p>drawn"
    assert runs.read_text() == "rr"


def test_a_failure_ahead_is_logged(
    runs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the renderer's last words; the service goes on."""
    renders(monkeypatch, runs, WRITES_RUN + "sys.exit('no memory')")
    with client_of(Page(installed=True, ahead=True)) as client:
        while not caplog.records:
            assert client.get("/nothing").status_code == 404
    assert "no memory" in caplog.text


def test_a_stop_ends_the_renderer(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once; nothing of it is left."""
    script = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(600)"
    renders(monkeypatch, runs, script)
    with client_of(Page(installed=True, ahead=True)) as client:
        while not runs.read_text():
            assert client.get("/nothing").status_code == 404
    with pytest.raises(ProcessLookupError):
        os.kill(int(runs.read_text()), 0)
