"""The routes of the page: files only, the same for everybody, and none of Gradio's own."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from winnow.api.http.app import create_app
from winnow.api.http.page.routes import Page, preferred_language
from winnow.retrieval.model.tokenizer import PlainTokenizer

needs_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="the extra `ui` is not installed: the page was not rendered"
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer) -> Iterator[TestClient]:
    parts = parts_over(tmp_path_factory.mktemp("page"), tokenizer, PrefersWord("refund"), api_key="secret")
    with TestClient(create_app(parts), base_url="http://search.example.org", follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,zh;q=0.9", "en"),
        ("en;q=0.3, ZH-hant;q=0.4", "zh"),
        ("fr,de;q=0.9", "en"),
        ("zh;q=often", "en"),
        ("zh;q=0", "en"),
    ],
)
def test_the_browser_s_language_is_the_first_choice(accepted: str, language: str) -> None:
    """English where the header names neither or cannot be read."""
    assert preferred_language(accepted) == language


def test_without_the_extra_the_root_leads_to_the_docs() -> None:
    """And /ui says what to install."""
    app = FastAPI(docs_url=None)
    Page(installed=False).add_to(app)
    client = TestClient(app, follow_redirects=False)
    assert client.get("/").headers["location"] == "docs"
    for path in ("/ui", "/ui/page/page.js"):
        missing = client.get(path)
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "page_not_installed")
        assert "winnow-search[ui]" in missing.json()["detail"]


@needs_gradio
def test_the_page_is_there_without_a_key_and_names_no_other_host(client: TestClient) -> None:
    """It holds nothing of a tenant. No address of another host stands in it, and the policy would stop one."""
    assert (client.get("/").status_code, client.get("/").headers["location"]) == (307, "ui")
    assert client.get("/ui/").headers["location"] == "../ui"
    for language in ("en", "zh"):
        page = client.get("/ui", headers={"accept-language": language})
        assert (page.status_code, page.headers["content-language"]) == (200, language)
        assert f'<html lang="{language}"' in page.text
        assert "http://" not in page.text
        assert "https://" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self' 'unsafe-eval' 'sha256-" in policy
    assert "connect-src 'self'" in policy


@needs_gradio
def test_gradio_itself_counts_nothing_and_calls_nothing(client: TestClient) -> None:
    """Analytics are off, and no event leads to Python."""
    page = client.get("/ui").text
    assert '"analytics_enabled":false' in page
    assert '"dependencies":[]' in page
    assert '"connect_heartbeat":false' in page


@needs_gradio
@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/upload",
        "gradio_api/queue/join",
        "gradio_api/queue/data",
        "gradio_api/file=/etc/hostname",
        "gradio_api/info",
        "file=/etc/hostname",
        "config",
        "login",
        "index.html",
        "page/../shell.py",
        "page/%2e%2e/shell.py",
        "page/%2e%2e%2fshell.py",
        "page//etc/hostname",
        "assets/%2e%2e/%2e%2e/%2e%2e/routes.py",
        "static/%2e%2e/index.html",
        "assets",
        "page",
        "nothing",
        "page/%00",
        "page/%ff%fe",
        "page/" + "a" * 300,
        "%00",
    ],
)
def test_no_other_file_and_no_route_of_gradio_is_reached(client: TestClient, path: str) -> None:
    """Not to read, not to write."""
    assert client.get(f"/ui/{path}").status_code in {401, 404}
    assert client.post(f"/ui/{path}", content=b"{}").status_code in {401, 405}


@needs_gradio
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("page/page.js", "javascript"),
        ("page/page.css", "text/css"),
        ("page/icon.svg", "image/svg"),
        ("theme.css", "text/css"),
        ("static/js/iframeResizer.contentWindow.min.js", "javascript"),
    ],
)
def test_what_the_page_needs_is_served(client: TestClient, path: str, kind: str) -> None:
    """With its type, which the browser may not guess."""
    served = client.get(f"/ui/{path}")
    assert served.status_code == 200
    assert kind in served.headers["content-type"]
    assert served.headers["x-content-type-options"] == "nosniff"


@needs_gradio
def test_browsers_keep_what_has_a_digest_in_its_name(client: TestClient) -> None:
    """Gradio's scripts and styles; of the page's own files they ask for a newer one."""
    scripts = re.findall(r'"\./(assets/[^"]+\.js)"', client.get("/ui").text)
    assert scripts
    assert "immutable" in client.get(f"/ui/{scripts[0]}").headers["cache-control"]
    assert client.get("/ui/page/page.js").headers["cache-control"] == "no-cache"


def test_every_file_of_the_page_travels_in_the_package() -> None:
    """pyproject.toml names the folder and the folders in it; files deeper down would be left out."""
    folder = Path(__file__).resolve().parents[5] / "api" / "http" / "page" / "static"
    below = [each for each in folder.iterdir() if each.is_dir()]
    assert all(each.is_file() for inner in below for each in inner.iterdir())
    assert max(len(list(each.iterdir())) for each in (folder, *below)) <= 25
