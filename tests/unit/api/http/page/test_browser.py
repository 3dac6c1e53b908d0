"""The page in a real browser: languages, sizes, light and dark, accessibility, keys, a service that is gone."""

from __future__ import annotations

import httpx2
import pytest

from tests.browser.visit import SIZES, Contexts, Language, Visit
from tests.fakes import PrefersWord
from tests.unit.api.http.page.conftest import Follows, service
from winnow.retrieval.model.tokenizer import PlainTokenizer

KEY = "wk-typed-in-the-page"


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("size", SIZES, ids=["desktop", "phone"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_both_languages_fit_both_sizes(
    browser: Contexts, address: str, size: tuple[int, int], language: Language
) -> None:
    """The browser's language first, the other one by a button; no horizontal scroll anywhere."""
    word, other = ("Rerank", "重排") if language == "en" else ("重排", "Rerank")
    visit = Visit(browser, address, size=size, language=language)
    assert visit.text("#rerank-form .w-main") == word
    visit.page.click("#rerank-examples button >> nth=0")
    visit.page.wait_for_selector(".w-table")
    visit.page.click("#rerank .w-request summary")
    assert visit.overflow() <= 0
    visit.search("heron")
    visit.page.wait_for_selector(".w-columns")
    visit.page.click("#search-filter-panel summary")
    for _ in range(2):
        visit.page.click("#search-filter-add")
    visit.page.fill("#search-filter", '{"type": "in", "key": "' + "k" * 200 + '", "value": [1, 2]}')
    assert visit.overflow() <= 0
    visit.page.click(".w-card >> nth=0")
    visit.page.wait_for_selector("#document-text mark")
    assert visit.overflow() <= 0
    visit.page.keyboard.press("Escape")
    visit.page.click("#language")
    visit.page.wait_for_function(
        "word => document.querySelector('#rerank-form .w-main').textContent === word", arg=other
    )
    assert visit.page.text_content("#tab-rerank-button") == other
    assert visit.page.input_value("#search-query") == "heron"  # what was typed stays
    assert visit.page.evaluate("document.documentElement.lang") == ("zh" if language == "en" else "en")
    visit.close()


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_axe_finds_no_serious_fault(browser: Contexts, address: str, *, language: Language, dark: bool) -> None:
    """Empty, with results, with errors at fields, with a filter, and in an opened document."""
    visit = Visit(browser, address, language=language, dark=dark)
    assert visit.page.evaluate("document.body.classList.contains('dark')") is dark
    visit.check_accessibility()
    visit.page.click("#rerank-examples button >> nth=0")
    visit.page.wait_for_selector(".w-table")
    visit.page.fill("#rerank-query", " ")
    visit.page.click("#rerank-form .w-main")
    visit.text("#rerank-query-error")
    visit.check_accessibility()
    visit.search("heron")
    visit.page.wait_for_selector(".w-columns")
    visit.page.click("#search-filter-panel summary")
    visit.page.click("#search-filter-add")
    visit.check_accessibility()
    visit.page.click(".w-card >> nth=0")
    visit.page.wait_for_selector("#document-text mark")
    visit.check_accessibility()
    visit.close()


def test_the_theme_follows_the_button(visit: Visit) -> None:
    """Light first where the system is light; the colours change."""
    colour = "getComputedStyle(document.body).backgroundColor"
    light = visit.page.evaluate(colour)
    visit.page.click("#theme")
    assert visit.page.evaluate("document.body.classList.contains('dark')")
    assert visit.page.evaluate(colour) != light


def test_a_service_that_is_gone_is_told(
    browser: Contexts, tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer
) -> None:
    """In the middle of a visit: both tabs tell it at their buttons, and what was typed and shown stays."""
    with service(tmp_path_factory.mktemp("gone"), tokenizer, PrefersWord("refund")) as address:
        visit = Visit(browser, address)
        visit.rerank("q", "a\nrefund")
        visit.page.wait_for_selector(".w-table")
    visit.page.click("#rerank-form .w-main")
    assert "does not answer" in visit.text("#rerank-error")
    assert visit.page.input_value("#rerank-documents") == "a\nrefund"
    assert visit.page.locator(".w-table").count() == 1
    visit.search("heron")
    assert "does not answer" in visit.text("#search-error")
    assert visit.page.text_content("#search-form .w-main") == "Search"  # ready for the next try
    visit.page.fill("#key", "anything")
    assert "does not answer" in visit.text("#key-error")
    visit.close()


def test_an_interrupted_request_works_at_the_next_try(visit: Visit) -> None:
    """The error goes as soon as the answer is there."""
    visit.page.route("**/v1/rerank", lambda route: route.abort())
    visit.rerank("q", "a\nrefund")
    assert "does not answer" in visit.text("#rerank-error")
    visit.page.unroute("**/v1/rerank")
    visit.page.click("#rerank-form .w-main")
    visit.page.wait_for_selector(".w-table")
    assert visit.page.text_content("#rerank-error") == ""


def test_an_answer_that_is_no_json_is_told(visit: Visit) -> None:
    """As of a proxy in between: its status, and nothing of its text."""
    visit.page.route("**/v1/rerank", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    visit.rerank("q", "a")
    assert "502" in visit.text("#rerank-error")
    assert "gateway" not in visit.text("#rerank-error")


def test_an_answer_without_a_reason_is_told(visit: Visit) -> None:
    """As of a gateway with errors of its own shape, or of a login page that answers 200."""
    for status, body in ((429, '{"message": "slow down"}'), (200, "<h1>Log in</h1>")):
        answered = {"status": status, "body": body}
        visit.page.route("**/v1/rerank", lambda route: route.fulfill(**answered))  # noqa: B023  (of this round)
        visit.rerank("q", "a")
        visit.page.wait_for_function(
            "status => document.querySelector('#rerank-error').textContent.includes(status)", arg=str(status)
        )
        visit.page.unroute("**/v1/rerank")
    assert visit.page.locator(".w-table").count() == 0


def test_a_key_that_no_header_can_hold_is_told_at_its_field(visit: Visit) -> None:
    """Such as one with a full-width character: nothing is sent."""
    before = len(visit.calls)
    visit.page.fill("#key", "wk-１２３")
    assert "ASCII" in visit.text("#key-error")
    visit.rerank("q", "a")
    visit.page.wait_for_function("document.activeElement.id === 'key'")
    assert visit.calls[before:] == []


def test_an_overloaded_service_is_told_in_its_own_words(visit: Visit, reranker: Follows) -> None:
    """The same text that curl gets."""
    reranker.is_down = True
    try:
        visit.rerank("q", "a\nb")
        told = visit.text("#rerank-error")
        refused = httpx2.post(f"{visit.address}/v1/rerank", json={"query": "q", "documents": ["a", "b"]})
    finally:
        reranker.is_down = False
    assert refused.status_code == 503
    assert told == refused.json()["detail"]


def test_a_key_stays_in_the_page(
    browser: Contexts, tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer
) -> None:
    """A wrong one is refused at its field; a right one works. Neither is stored, printed or part of an address."""
    with service(tmp_path_factory.mktemp("keyed"), tokenizer, PrefersWord("refund"), api_key=KEY) as address:
        visit = Visit(browser, address)
        assert "key" in visit.text("#key-error").lower()
        visit.page.fill("#key", "wrong")
        visit.rerank("q", "a\nrefund")
        visit.page.wait_for_function("document.activeElement.id === 'key'")
        assert visit.page.get_attribute("#key", "aria-invalid") == "true"
        assert visit.page.locator(".w-table").count() == 0
        visit.page.fill("#key", KEY)
        visit.page.click("#rerank-form .w-main")
        visit.page.wait_for_selector(".w-table")
        assert visit.page.text_content("#key-error") == ""
        visit.page.wait_for_selector("#rerank-instruction optgroup", state="attached")  # the library came with the key
        assert "Bearer $WINNOW_KEY" in visit.page.text_content("#rerank-curl")
        assert KEY not in visit.page.content()
        assert visit.page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
        assert not any(KEY in url for url in visit.asked)
        visit.page.reload()
        visit.page.wait_for_selector("html[data-ready]")
        assert visit.page.input_value("#key") == ""
        visit.close()


def test_a_key_that_may_only_search_is_no_error(
    browser: Contexts, tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer
) -> None:
    """Its lists stay empty, nothing is told, and a collection that is typed in is searched."""
    with service(tmp_path_factory.mktemp("scoped"), tokenizer, PrefersWord("refund"), api_key=KEY) as address:
        admin = {"authorization": f"Bearer {KEY}"}
        assert httpx2.post(f"{address}/v1/collections", json={"name": "docs"}, headers=admin).status_code == 201
        document = {"id": "refunds", "text": "A refund follows."}
        httpx2.post(f"{address}/v1/collections/docs/documents", json=document, headers=admin)
        made = httpx2.post(f"{address}/v1/keys", json={"scopes": ["search"]}, headers=admin)
        assert made.status_code == 201, made.text
        visit = Visit(browser, address)
        visit.text("#key-error")
        visit.page.fill("#key", made.json()["key"])
        visit.page.wait_for_function("document.getElementById('key-error').textContent === ''")
        visit.search("refund")
        visit.page.wait_for_selector(".w-columns")
        visit.close()


def test_the_address_of_the_service_leads_to_the_page(visit: Visit) -> None:
    """`/` leads to /ui, whose title is that of the product; the links to the documentation stay on the host."""
    assert visit.page.url == f"{visit.address}/ui"
    assert visit.page.title() == "winnow"
    assert visit.page.get_attribute("#docs", "href") == f"{visit.address}/docs"
