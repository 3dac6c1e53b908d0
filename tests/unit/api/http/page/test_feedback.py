"""Thumbs at the results of a search, in a real browser."""

from __future__ import annotations

import httpx2
import pytest

from tests.browser.visit import Contexts, Language, Visit

UP, DOWN = ".w-thumb >> nth=0", ".w-thumb >> nth=1"


def judgments(address: str) -> list[tuple[str, int]]:
    listed = httpx2.get(f"{address}/v1/judgments", params={"limit": 1000}).json()["judgments"]
    return [(each["document_id"], each["grade"]) for each in listed]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_thumb_becomes_a_judgment(browser: Contexts, address: str, filled: str, language: Language) -> None:
    """One for each result of the final order; a change of mind replaces it; the language may change between."""
    visit = Visit(browser, address, language=language)
    visit.search("refund heron")
    visit.page.wait_for_selector(".w-columns")
    results = visit.page.locator(".w-columns > section:nth-child(2) .w-card")
    document = str(results.first.get_attribute("data-hit")).rpartition("#")[0]
    assert visit.page.locator(".w-thumbs").count() == results.count()
    visit.page.click(UP)
    visit.page.wait_for_selector('.w-thumb[aria-pressed=true][data-grade="1"]')
    assert judgments(address)[-1] == (document, 1)
    count = len(judgments(address))
    visit.page.click("#language")
    assert visit.page.get_attribute(UP, "aria-pressed") == "true"
    visit.page.click(DOWN)
    visit.page.wait_for_selector('.w-thumb[aria-pressed=true][data-grade="0"]')
    assert visit.page.get_attribute(UP, "aria-pressed") == "false"
    assert (judgments(address)[-1], len(judgments(address))) == ((document, 0), count)
    visit.check_accessibility()
    visit.close()


@pytest.mark.usefixtures("filled")
def test_compared_results_of_a_collection_have_thumbs(visit: Visit, address: str) -> None:
    """One judgment of a document, shown in every column."""
    visit.open_tab("compare")
    visit.page.fill("#compare-collection", "docs")
    visit.page.fill("#compare-query", "heron fish")
    visit.page.click("#compare-form .w-main")
    visit.page.wait_for_selector("#compare-result .w-thumbs")
    count = len(judgments(address))
    visit.page.click("#compare-result .w-thumb >> nth=0")
    visit.page.wait_for_selector("#compare-result .w-thumb[aria-pressed=true]")
    assert visit.page.locator("#compare-result .w-thumb[aria-pressed=true]").count() == 2
    assert len(judgments(address)) == count + 1


@pytest.mark.usefixtures("filled")
def test_a_refused_thumb_says_why_beside_it(visit: Visit) -> None:
    """In the service's words; and what is refused is not shown as given."""
    visit.search("refund")
    visit.page.wait_for_selector(".w-thumbs")
    problem = '{"detail": "Search not found: it was too long ago", "error": {"param": null}}'
    visit.page.route("**/v1/feedback", lambda route: route.fulfill(status=404, body=problem))
    visit.page.click(UP)
    assert visit.text(".w-thumbs .w-error") == "Search not found: it was too long ago"
    assert visit.page.get_attribute(UP, "aria-pressed") == "false"
