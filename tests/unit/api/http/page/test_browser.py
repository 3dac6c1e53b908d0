"""The page in a real browser, in both languages, both sizes, light and dark; errors, keys and hostile texts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.visit import SIZES, Language, Visit
from tests.fakes import PrefersWord
from tests.unit.api.http.page.conftest import HOSTILE, Failing, service
from winnow.retrieval.model.tokenizer import PlainTokenizer

KEY = "wk-typed-in-the-page"


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("size", SIZES, ids=["desktop", "phone"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_both_languages_fit_both_sizes(browser: Any, address: str, size: tuple[int, int], language: Language) -> None:
    """The browser's language first, the other one by a button; no horizontal scroll anywhere."""
    word, other = ("Rerank", "重排") if language == "en" else ("重排", "Rerank")
    visit = Visit(browser, address, size=size, language=language)
    assert visit.text("#rerank-form .w-main") == word
    visit.page.click("#rerank-examples button >> nth=0")
    visit.page.wait_for_selector(".w-table")
    assert visit.overflow() <= 0
    visit.search("heron")
    visit.page.wait_for_selector(".w-columns")
    assert visit.overflow() <= 0
    visit.page.click("#language")
    visit.page.wait_for_function(
        "word => document.querySelector('#rerank-form .w-main').textContent === word", arg=other
    )
    assert visit.page.text_content("#tab-rerank-button") == other
    assert visit.page.input_value("#search-query") == "heron"  # what was typed stays
    visit.close()


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_axe_finds_no_serious_fault(browser: Any, address: str, *, language: Language, dark: bool) -> None:
    """Empty, with results, with an error at a field, and in an opened document."""
    visit = Visit(browser, address, language=language, dark=dark)
    visit.check_accessibility()
    visit.page.click("#rerank-examples button >> nth=0")
    visit.page.wait_for_selector(".w-table")
    visit.page.fill("#rerank-query", " ")
    visit.page.click("#rerank-form .w-main")
    visit.text("#rerank-query-error")
    visit.check_accessibility()
    visit.search("heron")
    visit.page.wait_for_selector(".w-columns")
    visit.check_accessibility()
    visit.page.click(".w-card >> nth=0")
    visit.page.wait_for_selector("#document-text mark")
    visit.check_accessibility()
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


def test_html_in_a_document_is_text(visit: Visit, filled: str) -> None:
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


def test_errors_stand_at_their_field_in_the_service_s_words(visit: Visit, filled: str) -> None:
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


def test_a_search_shows_both_orders_times_and_the_document(visit: Visit, filled: str) -> None:
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


def test_a_degraded_answer_says_so_at_the_top(visit: Visit, filled: str, reranker: Failing) -> None:
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
    folder = tmp_path_factory.mktemp("keyed")
    with service(folder, tokenizer, PrefersWord("refund"), api_key=KEY) as address:
        visit = Visit(browser, address)
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
