"""The page in a browser, over a service whose reranker and embedder are fakes. Without a browser, tests are skipped.

A module's tests share one browser, one service and what was written to it; `visit` is a page of the test's own.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.browser.environment import find_chromium
from tests.browser.visit import Visit
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from tests.wire_service import listening
from winnow.api.http.app import create_app
from winnow.rerank.reranker import Reranker
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.model.tokenizer import PlainTokenizer

HOSTILE: Final = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> refund"
DOCUMENTS: Final = (
    {
        "id": "a/herons",
        "title": "Herons",
        "text": "The heron strikes at fish. 😀 It waits.",
        "year": 2021,
        "kind": "bird",
    },
    {"id": "refunds", "title": "Refunds", "text": "A refund follows the heron within a week.", "year": 2024},
    {"id": "hostile", "title": "<b>Hostile</b>", "text": HOSTILE, "draft": True},
)


class Failing(PrefersWord):
    """A reranker that fails while `is_down`."""

    is_down = False

    async def rank(self, *args: Any, **options: Any) -> Any:
        if self.is_down:
            raise RerankUnavailable("no reply")
        return await super().rank(*args, **options)


@contextlib.contextmanager
def service(folder: Path, tokenizer: PlainTokenizer, *rerankers: Reranker, **settings: Any) -> Iterator[str]:
    """Run a service on loopback. Yields its address."""
    with listening(create_app(parts_over(folder, tokenizer, *rerankers, **settings))) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = find_chromium()
    missing = [name for name in ("gradio", "playwright") if importlib.util.find_spec(name) is None]
    if chromium is None or missing:
        lacking = ", ".join([*missing, *([] if chromium else ["chromium"])])
        pytest.skip(f"not installed: {lacking}; no browser opened the page. `make test` installs what it can")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def reranker() -> Failing:
    return Failing("refund")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer, reranker: Failing) -> Iterator[str]:
    with service(tmp_path_factory.mktemp("browser"), tokenizer, reranker) as address:
        yield address


@pytest.fixture(scope="module")
def filled(address: str) -> str:
    """The address, after the collection `docs` was written."""
    assert httpx2.post(f"{address}/v1/collections", json={"name": "docs"}).status_code == 201
    written = httpx2.post(f"{address}/v1/collections/docs/documents", json={"documents": DOCUMENTS})
    assert written.status_code == 200
    return address


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    visit = Visit(browser, address)
    yield visit
    visit.close()
