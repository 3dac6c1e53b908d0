"""The page in a browser, over a service whose reranker and embedder are fakes. Without a browser, tests are skipped.

All files share one browser, one service and what was written to it; `visit` is a page of the test's own. So a test that
changes what others see (the collection `docs`, a reranker that is down) changes it back, or uses names of its own.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.browser.environment import find_chromium
from tests.browser.visit import Contexts, Visit
from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from tests.wire_service import listening
from winnow.api.http.app import create_app
from winnow.rerank.instruction import DEFAULT_INSTRUCTION
from winnow.rerank.reranker import Ranking, Reranker
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.model.tokenizer import PlainTokenizer
from winnow.retrieval.records import Candidate

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


class Follows(PrefersWord):
    """Prefers the last word of the instruction, without one its own word. Fails while `is_down`."""

    is_down = False

    def ranking(self, query: str, candidates: Sequence[Candidate], instruction: str) -> Ranking:
        if self.is_down:
            raise RerankUnavailable("no reply")
        follower = PrefersWord(instruction.rsplit(maxsplit=1)[-1], name=self.name)
        return (super() if instruction == DEFAULT_INSTRUCTION else follower).ranking(query, candidates, instruction)


@contextlib.contextmanager
def service(folder: Path, tokenizer: PlainTokenizer, *rerankers: Reranker, **settings: Any) -> Iterator[str]:
    """Run a service on loopback. Yields its address."""
    with listening(create_app(parts_over(folder, tokenizer, *rerankers, **settings))) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="package")
def browser() -> Iterator[Contexts]:
    chromium = find_chromium()
    missing = [name for name in ("gradio", "playwright") if importlib.util.find_spec(name) is None]
    if chromium is None or missing:
        lacking = ", ".join([*missing, *([] if chromium else ["chromium"])])
        pytest.skip(f"not installed: {lacking}; no browser opened the page. `make test` installs what it can")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield Contexts(browser)
        browser.close()


@pytest.fixture(scope="package")
def reranker() -> Follows:
    return Follows("refund", name="follows")


@pytest.fixture(scope="package")
def address(tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer, reranker: Follows) -> Iterator[str]:
    """The service. The page is rendered: no visit waits for Gradio."""
    herons = PrefersWord("heron", name="herons", reads_instruction=False)
    with service(tmp_path_factory.mktemp("page"), tokenizer, reranker, herons) as address:
        assert httpx2.get(f"{address}/ui", timeout=120).status_code == 200
        yield address


@pytest.fixture(scope="package")
def filled(address: str) -> str:
    """The address, after the collection `docs` was written."""
    write(address, "docs", DOCUMENTS)
    return address


def write(address: str, collection: str, documents: Sequence[dict[str, Any]], **settings: Any) -> None:
    """Make a collection of these documents."""
    made = httpx2.post(f"{address}/v1/collections", json={"name": collection, **settings})
    assert made.status_code == 201, made.text
    written = httpx2.post(f"{address}/v1/collections/{collection}/documents", json={"documents": documents})
    assert written.status_code == 200, written.text


@pytest.fixture
def visit(browser: Contexts, address: str) -> Iterator[Visit]:
    visit = Visit(browser, address)
    yield visit
    visit.close()
