"""The page in a real browser, over a service whose reranker and embedder are fakes. Skipped without Chromium."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes import PrefersWord
from tests.unit.api.http.routes.test_routes import parts_over
from tests.wire_service import listening
from winnow.api.http.app import create_app
from winnow.retrieval.errors import RerankUnavailable
from winnow.retrieval.model.tokenizer import PlainTokenizer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = [name for name in ("gradio", "playwright") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or bool(MISSING),
    reason=f"not installed: {', '.join([*MISSING, *([] if CHROMIUM else ['chromium'])])}; no browser opened the page",
)
SIZES = ((1440, 900), (390, 844))
KEY = "wk-typed-in-the-page"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> refund"


class Failing(PrefersWord):
    """A reranker that fails while `is_down`."""

    is_down = False

    async def rank(self, *args: Any, **options: Any) -> Any:
        if self.is_down:
            raise RerankUnavailable("no reply")
        return await super().rank(*args, **options)


@pytest.fixture(scope="module")
def reranker() -> Failing:
    return Failing("refund")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer, reranker: Failing) -> Iterator[str]:
    parts = parts_over(tmp_path_factory.mktemp("browser"), tokenizer, reranker)
    app = create_app(parts)
    with listening(app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """One page, and everything that its network and console saw."""

    def __init__(self, browser: Any, address: str, *, size: tuple[int, int] = SIZES[0], locale: str = "en-US") -> None:
        self.address = address
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, locale=locale)
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear)
        self.page.goto(f"{address}/")
        self.page.wait_for_selector("html[data-ready]")

    def _hear(self, message: Any) -> None:
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def rerank(self, query: str, documents: str) -> None:
        self.page.fill("#rerank-query", query)
        self.page.fill("#rerank-documents", documents)
        self.page.click("#rerank-form .w-main")

    def search(self, query: str) -> None:
        self.page.click("#tab-search-button")
        self.page.fill("#search-collection", "docs")
        self.page.fill("#search-query", query)
        self.page.keyboard.press("Enter")

    def text(self, selector: str) -> str:
        self.page.wait_for_function("selector => document.querySelector(selector)?.textContent", arg=selector)
        return str(self.page.text_content(selector))

    def close(self) -> None:
        self.context.close()
        assert self.complaints == []
        assert [url for url in self.asked if not url.startswith(self.address) and not url.startswith("data:")] == []


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    visit = Visit(browser, address)
    yield visit
    visit.close()


@pytest.fixture(scope="module")
def filled(address: str) -> None:
    import httpx2

    documents = [
        {"id": "a/herons", "title": "Herons", "text": "The heron strikes at fish. 😀 It waits."},
        {"id": "refunds", "title": "Refunds", "text": "A refund follows the heron within a week."},
        {"id": "hostile", "title": "<b>Hostile</b>", "text": HOSTILE},
    ]
    assert httpx2.post(f"{address}/v1/collections", json={"name": "docs"}).status_code == 201
    assert httpx2.post(f"{address}/v1/collections/docs/documents", json={"documents": documents}).status_code == 200


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("size", SIZES, ids=["desktop", "phone"])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_both_languages_fit_both_sizes(browser: Any, address: str, size: tuple[int, int], locale: str) -> None:
    """The browser's language first, the other one by a button; no horizontal scroll anywhere."""
    word, other = ("Rerank", "重排") if locale == "en-US" else ("重排", "Rerank")
    visit = Visit(browser, address, size=size, locale=locale)
    assert visit.text("#rerank-form .w-main") == word
    visit.page.click("#rerank-examples button >> nth=0")
    visit.page.wait_for_selector(".w-table")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    visit.search("heron")
    visit.page.wait_for_selector(".w-columns")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    visit.page.click("#language")
    visit.page.wait_for_function(
        "word => document.querySelector('#rerank-form .w-main').textContent === word", arg=other
    )
    assert visit.page.text_content("#tab-rerank-button") == other
    assert visit.page.input_value("#search-query") == "heron"  # what was typed stays
    visit.close()


def test_a_rerank_shows_rank_score_and_movement(visit: Visit) -> None:
    """And the curl line asks the same of the same address."""
    visit.rerank("money back", "one\ntwo\nrefund")
    visit.page.wait_for_selector(".w-table")
    assert visit.page.locator(".w-rank").all_text_contents() == ["1", "2", "3"]
    assert [text.split(" ", 1)[1] for text in visit.page.locator(".w-move").all_text_contents()] == [
        "up 2", "down 1", "down 1"
    ]  # fmt: skip
    line = visit.page.text_content("#rerank-curl")
    assert f"'{visit.address}/v1/rerank'" in line
    assert '"documents":["one","two","refund"]' in line


def test_an_instruction_of_the_library_has_a_field_for_each_variable(visit: Visit) -> None:
    """The service fills in its value, and the page sends the text."""
    visit.page.wait_for_selector("#rerank-instruction optgroup", state="attached")
    visit.page.select_option("#rerank-instruction", "builtin/legal-statutes")
    visit.page.fill("#rerank-variable-code", "the Moon Code")
    assert "Articles of the Moon Code" in visit.text("#rerank-instruction-reads")
    visit.page.select_option("#rerank-instruction", "builtin/paper-recommendation")
    visit.page.fill("#rerank-variable-since", "soon")
    visit.rerank("q", "a\nb")
    assert "since" in visit.text("#rerank-instruction-error")


def test_html_in_a_document_is_text(visit: Visit, filled: None) -> None:
    """In the table, in both columns, in the opened document and in its title."""
    visit.rerank("refund", HOSTILE)
    visit.page.wait_for_selector(".w-table")
    assert visit.page.text_content(".w-passage") == HOSTILE
    visit.search("refund")
    visit.page.click('.w-card[data-hit^="hostile"] >> nth=0')
    visit.page.wait_for_selector("#document-text mark")
    assert visit.page.text_content("#document-text") == HOSTILE
    assert visit.page.text_content("#document-title") == "<b>Hostile</b>"
    assert visit.page.title() != "owned"


def test_errors_stand_at_their_field_in_the_service_s_words(visit: Visit, filled: None) -> None:
    """And the field at fault has the focus."""
    visit.rerank(" ", "a")
    assert visit.text("#rerank-query-error") == "Invalid request: 'query': it must not be blank"
    assert visit.page.evaluate("document.activeElement.id") == "rerank-query"
    visit.rerank("q", '["a", 3]')
    assert "Document 2" in visit.text("#rerank-documents-error")
    visit.search("heron")
    visit.page.fill("#search-filter", '{"x": 1}')
    visit.page.click("#search-form .w-main")
    assert visit.text("#search-filter-error").startswith("Invalid request: 'filter'")
    visit.page.fill("#search-filter", "")
    visit.page.fill("#search-collection", "none")
    visit.page.click("#search-form .w-main")
    assert "none" in visit.text("#search-collection-error")


def test_a_search_shows_both_orders_times_and_the_document(visit: Visit, filled: None) -> None:
    """By the keyboard alone; an emoji before the hit moves no offset."""
    visit.search("heron")
    visit.page.wait_for_selector(".w-columns")
    assert visit.page.locator(".w-columns section").count() == 2
    assert visit.page.locator(".w-times dt").all_text_contents() == ["Embed", "Recall", "Fetch", "Rerank", "Total"]
    visit.page.focus('.w-card[data-hit^="a/herons"] >> nth=0')
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector("#document-text mark")
    assert visit.page.text_content("#document-text mark") == "The heron strikes at fish. 😀 It waits."
    visit.page.keyboard.press("Escape")
    assert not visit.page.is_visible("#document")


def test_a_degraded_answer_says_so_at_the_top(visit: Visit, filled: None, reranker: Failing) -> None:
    """In words; no passage has a score that it was not given."""
    reranker.is_down = True
    try:
        visit.search("heron waits")
        assert "in recall’s order" in visit.text(".w-degraded")
        assert "not reranked" in visit.text(".w-columns section:last-child .w-card-score")
    finally:
        reranker.is_down = False


def test_a_service_that_is_gone_is_told(visit: Visit) -> None:
    """Beside the button; what was typed stays, and the next try works."""
    visit.page.route("**/v1/rerank", lambda route: route.abort())
    visit.rerank("q", "a\nrefund")
    assert "does not answer" in visit.text("#rerank-error")
    visit.page.unroute("**/v1/rerank")
    visit.page.click("#rerank-form .w-main")
    visit.page.wait_for_selector(".w-table")
    assert visit.page.text_content("#rerank-error") == ""


def test_a_thousand_documents_and_a_long_one(visit: Visit) -> None:
    """Fifty rows at first, the others on demand; a long text opens on demand."""
    visit.rerank("q", "\n".join(["refund " + "x " * 15_000, *(f"text {number}" for number in range(999))]))
    visit.page.wait_for_selector(".w-table")
    assert visit.page.locator(".w-table tbody tr").count() == 50
    visit.page.click("#rerank-result > .w-quiet")
    assert visit.page.locator(".w-table tbody tr").count() == 1000
    assert visit.page.locator("details.w-passage").count() == 1


def test_a_key_stays_in_the_page(browser: Any, tmp_path_factory: Any, tokenizer: PlainTokenizer) -> None:
    """A wrong one is refused at its field; a right one works. Neither is stored, printed or part of an address."""
    parts = parts_over(tmp_path_factory.mktemp("keyed"), tokenizer, PrefersWord("refund"), api_key=KEY)
    with listening(create_app(parts)) as port:
        visit = Visit(browser, f"http://127.0.0.1:{port}")
        assert "key" in visit.text("#key-error").lower()
        visit.page.fill("#key", "wrong")
        visit.rerank("q", "a\nrefund")
        assert visit.page.locator(".w-table").count() == 0
        visit.page.fill("#key", KEY)
        visit.page.click("#rerank-form .w-main")
        visit.page.wait_for_selector(".w-table")
        assert "Bearer $WINNOW_KEY" in visit.page.text_content("#rerank-curl")
        assert KEY not in visit.page.content()
        assert visit.page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
        assert not any(KEY in url for url in visit.asked)
        visit.close()
