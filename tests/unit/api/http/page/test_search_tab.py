"""The tab Search in a real browser."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tests.browser.visit import PHONE, Visit
from tests.unit.api.http.page.conftest import HOSTILE, Follows, write

pytestmark = pytest.mark.usefixtures("filled")
LINES = ".w-lines path"


def body(visit: Visit) -> Any:
    """Return the request that the page shows."""
    return json.loads(str(visit.page.text_content("#search-curl")).split("-d '", 1)[1].removesuffix("'"))


def open_filter(visit: Visit, collection: str = "docs") -> None:
    visit.open_tab("search")
    visit.page.wait_for_selector("#collections option", state="attached")  # the attributes come with the list
    visit.page.fill("#search-collection", collection)
    visit.page.click("#search-filter-panel summary")


def test_a_search_shows_both_orders_times_and_the_document(visit: Visit) -> None:
    """By the keyboard alone; an emoji before the hit moves no offset."""
    visit.search("heron")
    visit.page.wait_for_selector(".w-columns")
    assert visit.page.locator(".w-columns section").count() == 2
    assert visit.texts(".w-times dt") == ["Embed", "Recall", "Fetch", "Rerank", "Total"]
    assert visit.page.locator(".w-times .w-bar").count() == 4
    visit.page.focus('.w-card[data-hit^="a/herons"] >> nth=0')
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector("#document-text mark")
    assert visit.page.text_content("#document-text mark") == "The heron strikes at fish. 😀 It waits."
    assert "2021" in visit.text("#document-facts")
    visit.page.keyboard.press("Escape")
    assert not visit.page.is_visible("#document")


def test_both_scores_stand_in_their_columns(visit: Visit) -> None:
    """Recall's similarity and BM25 on the left, relevance and movement on the right."""
    visit.search("heron")
    visit.page.wait_for_selector(".w-columns")
    left, right = (visit.texts(f".w-columns section:nth-of-type({side}) .w-card-score") for side in (1, 2))
    assert len(left) == len(right) == 3
    assert all("similarity" in text for text in left)
    assert any("BM25" in text for text in left)
    assert [text.split()[-1] for text in right] == ["0.900", "0.900", "0.100"]
    assert visit.page.locator(".w-columns section:nth-of-type(2) .w-move").count() == 3


def test_lines_join_the_two_places_of_a_passage(visit: Visit) -> None:
    """One for each passage, from its card to its card; pointing at one marks it in both columns."""
    visit.search("heron")
    visit.page.wait_for_selector(LINES)
    joined = visit.page.evaluate("""() => [...document.querySelectorAll(".w-lines path")].map((path) => {
        const frame = document.querySelector(".w-lines").getBoundingClientRect();
        const cards = [...document.querySelectorAll(`.w-card[data-hit="${path.dataset.hit}"]`)];
        const [from, to] = cards.map((card) => card.getBoundingClientRect());
        const [start, end] = [0, path.getTotalLength()].map((at) => path.getPointAtLength(at));
        const middle = (box) => box.top + box.height / 2 - frame.top;
        const off = [start.x - (from.right - frame.left), end.x - (to.left - frame.left),
                     start.y - middle(from), end.y - middle(to)];
        return Math.max(...off.map(Math.abs));
    })""")
    assert len(joined) == 3
    assert max(joined) < 2  # pixels
    visit.page.hover(".w-card >> nth=0")
    assert visit.page.locator(".w-card.w-marked").count() == 2
    assert visit.page.locator(f"{LINES}.w-marked").count() == 1
    visit.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})  # one column above the other: no lines
    visit.page.wait_for_function("!document.querySelector('.w-lines path')")
    assert visit.overflow() <= 0


def test_a_search_sends_what_was_chosen(visit: Visit) -> None:
    """Recall, candidates, results, depth and reranker; the curl line is the request."""
    visit.search("heron")
    visit.page.wait_for_selector(".w-columns")
    visit.page.select_option("#search-recall", "lexical")
    visit.page.select_option("#search-depth", "adaptive")
    visit.page.select_option("#search-rerank", "never")
    visit.page.fill("#search-candidates", "7")
    visit.page.fill("#search-results", "2")
    with visit.page.expect_request("**/v1/search") as sent:
        visit.page.click("#search-form .w-main")
    assert sent.value.post_data_json == body(visit)
    assert body(visit) == {
        "query": "heron", "collection": "docs", "candidates": 7, "top_k": 2, "neighbours": 1,
        "recall": "lexical", "depth": "adaptive", "rerank": False,
    }  # fmt: skip
    visit.page.wait_for_function("document.querySelector('.w-notice')?.textContent.includes('reranker is off')")
    assert (
        visit.page.locator(".w-columns section:last-child .w-card, .w-columns section:nth-of-type(2) .w-card").count()
        == 2
    )
    assert "not run" in visit.texts(".w-times dd")


def test_the_builder_writes_the_json(visit: Visit) -> None:
    """Attributes with their types; a comparison for each; the request has the filter."""
    open_filter(visit)
    assert visit.text("#search-filter-count") == "none"
    visit.page.click("#search-filter-add")
    assert visit.texts("#search-filter-key-0 option") == ["draft (yes/no)", "kind (text)", "year (number)"]
    assert visit.focused() == "search-filter-key-0"
    assert visit.lies_within(".w-condition .w-remove", ".w-condition")
    visit.page.select_option("#search-filter-key-0", "year")
    visit.page.select_option("#search-filter-operator-0", "gte")
    visit.page.fill("#search-filter-value-0", "2022")
    assert json.loads(visit.page.input_value("#search-filter")) == {"type": "gte", "key": "year", "value": 2022}
    visit.page.click("#search-filter-add")
    visit.page.select_option("#search-filter-key-1", "kind")
    visit.page.select_option("#search-filter-operator-1", "absent")
    assert visit.page.locator("#search-filter-value-1").count() == 0
    visit.page.select_option("#search-filter-join", "or")
    wanted = {"type": "or", "filters": [
        {"type": "gte", "key": "year", "value": 2022}, {"type": "eq", "key": "kind", "value": None},
    ]}  # fmt: skip
    assert json.loads(visit.page.input_value("#search-filter")) == wanted
    assert body(visit)["filter"] == wanted
    assert visit.text("#search-filter-count") == "2"
    visit.page.click(".w-condition >> nth=1 >> .w-remove")
    assert json.loads(visit.page.input_value("#search-filter"))["key"] == "year"
    assert visit.focused() == "search-filter-add"
    visit.page.fill("#search-query", "heron")
    visit.page.press("#search-query", "Enter")
    visit.page.wait_for_selector(".w-columns")
    assert {hit.split("#")[0] for hit in visit.page.locator(".w-card").evaluate_all(
        "cards => cards.map((card) => card.dataset.hit)")} == {"refunds"}  # fmt: skip


def test_the_json_writes_the_builder(visit: Visit) -> None:
    """What rows can show becomes rows; what they cannot is left to the JSON, and never changed."""
    open_filter(visit)
    flat = '{"type": "and", "filters": [{"type": "eq", "key": "draft", "value": true}, {"type": "in", "key": "kind", "value": ["bird", "a,b"]}]}'  # noqa: E501
    visit.page.fill("#search-filter", flat)
    assert visit.page.input_value("#search-filter-key-0") == "draft"
    assert visit.page.input_value("#search-filter-value-0") == "true"
    assert visit.page.input_value("#search-filter-value-1") == 'bird, "a,b"'
    assert visit.page.input_value("#search-filter") == flat
    nested = '{"type": "or", "filters": [{"type": "and", "filters": []}, {"type": "eq", "key": "kind", "value": "x"}]}'
    visit.page.fill("#search-filter", nested)
    assert "cannot show this filter" in visit.text("#search-filter-nested")
    assert visit.page.locator(".w-condition").count() == 0
    assert not visit.page.is_visible("#search-filter-add")
    assert body(visit)["filter"] == json.loads(nested)
    visit.page.fill("#search-filter", "")
    assert visit.page.is_visible("#search-filter-add")
    assert "filter" not in body(visit)


@pytest.fixture(scope="module")
def numbered(filled: str) -> tuple[str, str]:
    """A collection with two numbers that JavaScript would round."""
    numbers = ("9007199254740993", "9007199254740995")
    documents = [{"id": each, "text": "A heron with a number.", "number": int(each)} for each in numbers]
    write(filled, "numbered", documents)
    return numbers


def test_a_long_integer_keeps_its_digits(visit: Visit, numbered: tuple[str, str]) -> None:
    """JavaScript would round it: in the builder, in the JSON, in the request, and where the document shows it."""
    long, other = numbered
    open_filter(visit, "numbered")
    visit.page.click("#search-filter-add")
    visit.page.fill("#search-filter-value-0", long)
    assert long in visit.page.input_value("#search-filter")
    visit.page.fill("#search-query", "heron")
    with visit.page.expect_request("**/v1/search") as sent:
        visit.page.press("#search-query", "Enter")
    assert f'"value":{long}' in sent.value.post_data
    assert f'"value":{long}' in visit.text("#search-curl")
    visit.page.click(f'.w-card[data-hit^="{long}"] >> nth=0')
    visit.page.wait_for_selector("#document-text mark")
    assert visit.texts("#document-facts dd")[-1] == long
    visit.page.keyboard.press("Escape")
    visit.page.fill("#search-filter", '{"type": "in", "key": "number", "value": [' + other + ", 7]}")
    assert visit.page.input_value("#search-filter-value-0") == f"{other}, 7"
    assert f'"value":[{other},7]' in visit.text("#search-curl")


def test_an_error_of_the_filter_opens_its_panel(visit: Visit) -> None:
    """It would not be seen otherwise. An unknown collection is told at its own field."""
    visit.search("heron")
    visit.page.wait_for_selector(".w-columns")
    visit.page.click("#search-filter-panel summary")
    visit.page.fill("#search-filter", '{"type": "eq", "key": "yeer", "value": 1}')
    visit.page.click("#search-filter-panel summary")
    assert not visit.page.is_visible("#search-filter")
    visit.page.click("#search-form .w-main")
    assert "'yeer'" in visit.text("#search-filter-error")
    assert visit.page.is_visible("#search-filter")
    assert visit.focused() == "search-filter"
    visit.page.fill("#search-filter", '{"type": ')
    visit.page.click("#search-form .w-main")
    visit.page.wait_for_function(
        "document.querySelector('#search-filter-error').textContent.includes('not valid JSON')"
    )
    visit.page.fill("#search-filter", "")
    visit.page.fill("#search-collection", "none")
    visit.page.click("#search-form .w-main")
    assert "none" in visit.text("#search-collection-error")


def test_errors_of_numbers_stand_at_their_fields(visit: Visit) -> None:
    """`top_k` is the field Results."""
    visit.search("heron")
    for field in ("candidates", "results"):
        visit.page.fill(f"#search-{field}", "5000")
        visit.page.click("#search-form .w-main")
        assert visit.text(f"#search-{field}-error")
        assert visit.focused() == f"search-{field}"
        visit.page.fill(f"#search-{field}", "5")


def test_a_degraded_answer_says_so_at_the_top(visit: Visit, reranker: Follows) -> None:
    """In words; no passage has a score that it was not given."""
    reranker.is_down = True
    try:
        visit.search("heron waits")
        assert "in recall’s order" in visit.text(".w-degraded")
        assert "not reranked" in visit.text(".w-columns section:nth-of-type(2) .w-card-score")
        assert visit.page.evaluate("document.querySelector('#search-result').firstChild.className").endswith(
            "w-degraded"
        )
    finally:
        reranker.is_down = False


def test_nothing_found_is_told(visit: Visit) -> None:
    """No empty columns."""
    open_filter(visit)
    visit.page.fill("#search-filter", '{"type": "lt", "key": "year", "value": 1}')
    visit.page.fill("#search-query", "heron")
    visit.page.click("#search-form .w-main")
    visit.page.wait_for_function("document.querySelector('#search-result').textContent.includes('Nothing found')")
    assert visit.page.locator(".w-columns").count() == 0


def test_html_in_a_document_is_text(visit: Visit) -> None:
    """In both columns, in the opened document and in its title."""
    visit.search("refund")
    visit.page.click('.w-card[data-hit^="hostile"] >> nth=0')
    visit.page.wait_for_selector("#document-text mark")
    assert visit.page.text_content("#document-text") == HOSTILE
    assert visit.page.text_content("#document-title") == "<b>Hostile</b>"
    assert visit.page.locator(":is(#search-result, #document) :is(img, script, b b)").count() == 0
    assert visit.page.title() == "winnow"


@pytest.fixture(scope="module")
def long(filled: str) -> str:
    """A document of 30,000 characters in a collection of its own; the sentence in its middle is the hit."""
    sentences = [f"Sentence {number} of the long one is about nothing." for number in range(700)]
    sentences[350] = "Only here a refund is promised to the heron."
    text = " ".join(sentences)
    assert len(text) > 30_000
    write(filled, "long", [{"id": "long/one", "title": "Long", "text": text}], chunk_tokens=32)
    return text


def test_a_long_document_opens_around_the_hit(visit: Visit, long: str) -> None:
    """The hit marked and in view, its neighbours shaded, and the rest of the text on demand, each character once."""
    visit.search("refund promised heron", collection="long")
    visit.page.click(".w-columns section:nth-of-type(2) .w-card >> nth=0")
    visit.page.wait_for_selector("#document-text mark")
    hit = visit.text("#document-text mark")
    assert "Only here a refund is" in hit
    box, window = visit.page.locator("#document-text mark").bounding_box(), visit.page.viewport_size
    assert box["y"] > 0
    assert box["y"] + box["height"] < window["height"]
    near = visit.texts("#document-text .w-near")
    assert len(near) == 2
    assert near[0] + hit + near[1] in long
    assert len(str(visit.page.text_content("#document-text"))) < 6_000
    for name in ("earlier", "later"):
        while visit.page.is_visible(f"#document-{name}"):
            size = len(str(visit.page.text_content("#document-text")))
            visit.page.click(f"#document-{name}")
            visit.page.wait_for_function(
                "size => document.getElementById('document-text').textContent.length > size", arg=size
            )
    assert visit.page.text_content("#document-text") == long


def test_a_document_that_is_gone_is_told(visit: Visit, filled: str) -> None:
    """In the opened dialog, in the service's words; the passage stays."""
    document = {"id": "brief", "text": "A brief heron."}
    assert httpx2.post(f"{filled}/v1/collections/docs/documents", json=document).status_code == 200
    visit.search("brief heron")
    visit.page.wait_for_selector('.w-card[data-hit^="brief"]')
    assert httpx2.delete(f"{filled}/v1/collections/docs/documents/brief").status_code == 200
    visit.page.click('.w-card[data-hit^="brief"] >> nth=0')
    assert "brief" in visit.text("#document-error")
    assert visit.page.text_content("#document-text mark") == "A brief heron."
    visit.page.click("#document-close")
    assert not visit.page.is_visible("#document")
