"""The page by the keyboard alone: everything is reached, seen and left, and no step loses the focus."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.browser.visit import Contexts, Visit

pytestmark = pytest.mark.usefixtures("filled")

TABS: Final = ("rerank", "search", "compare", "instructions", "quality", "watch")
STEPS_MAX: Final = 200
OUTLINE_PX_MIN: Final = 2
# Marks what Tab should reach, in the order of the document: shown, enabled, and not taken out by tabindex.
MARK: Final = """() => {
    const wanted = "a[href], button, input, select, textarea, summary, [tabindex]";
    const reached = [...document.querySelectorAll(wanted)].filter((each) =>
        each.tabIndex >= 0 && !each.disabled && each.checkVisibility({visibilityProperty: true}));
    reached.forEach((each, place) => { each.dataset.place = String(place); });
    return reached.length;
}"""
# What has the focus: its place, and whether a person sees it and its outline. A file's input lies above its label.
FOCUSED: Final = """() => {
    const element = document.activeElement;
    if (element === document.body) return null;
    const shown = element.closest(".w-file") ?? element;
    const box = shown.getBoundingClientRect();
    const [left, right] = [Math.max(box.left, 0), Math.min(box.right, innerWidth)];
    const [top, bottom] = [Math.max(box.top, 0), Math.min(box.bottom, innerHeight)];
    const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    const style = getComputedStyle(shown);
    return {
        place: Number(element.dataset.place ?? -1),
        name: element.id || element.className || element.tagName,
        visible: right > left && bottom > top && hit !== null && (shown.contains(hit) || hit.contains(shown)),
        outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
        transparent: /(transparent|, 0\\))$/.test(style.outlineColor),
    };
}"""


def walk(visit: Visit, key: str) -> Iterator[dict[str, Any]]:
    """Press a key until the focus has left the document, and tell of each element that it met."""
    for _ in range(STEPS_MAX):
        visit.page.keyboard.press(key)
        focused = visit.page.evaluate(FOCUSED)
        if focused is None:
            return
        yield focused
    pytest.fail(f"{STEPS_MAX} times {key}, and the focus is still in the page")


def fill(visit: Visit, tab: str) -> None:
    """Show what the tab has: results, open panels."""
    if tab == "rerank":
        visit.rerank("money back", "one\nrefund\n" + "long " * 100)
        visit.page.wait_for_selector(".w-table")
    elif tab == "search":
        visit.search("heron")
        visit.page.wait_for_selector(".w-columns")
        visit.page.click("#search-filter-panel summary")
        visit.page.click("#search-filter-add")
    elif tab == "compare":
        visit.page.fill("#compare-collection", "docs")
        visit.page.fill("#compare-query", "heron")
        visit.page.click("#compare-add")
        visit.page.click("#compare-form .w-main")
        visit.page.wait_for_selector("#compare-result .w-card")
    elif tab == "instructions":
        visit.page.wait_for_selector(".w-prompt")
    elif tab == "watch":
        visit.page.click("#watch-form .w-main")
        visit.page.wait_for_selector("#watch-result :is(.w-panel, figure)")
    for summary in visit.page.locator(f"#{tab} .w-request:not([open]) summary").all():
        summary.click()


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_is_walked_through_and_left(browser: Contexts, address: str, tab: str) -> None:
    """Forwards and backwards, in the order of the document, with nothing left out; each stop is seen and outlined."""
    visit = Visit(browser, address)
    visit.open_tab(tab)
    fill(visit, tab)
    visit.page.evaluate("document.activeElement.blur()")
    visit.page.evaluate("window.getSelection().removeAllRanges()")
    expected = list(range(visit.page.evaluate(MARK)))
    visit.page.focus("#key")  # the first of the page
    stops = [visit.page.evaluate(FOCUSED), *walk(visit, "Tab")]
    assert [stop["place"] for stop in stops] == expected, [stop["name"] for stop in stops]
    assert [stop["name"] for stop in stops if not stop["visible"]] == []
    assert [stop["name"] for stop in stops if stop["outline"] < OUTLINE_PX_MIN or stop["transparent"]] == []
    assert f"tab-{tab}-button" in [stop["name"] for stop in stops]
    visit.page.focus(f'[data-place="{expected[-1]}"]')
    backwards = itertools.islice(walk(visit, "Shift+Tab"), len(expected) - 1)
    assert [stop["place"] for stop in backwards] == expected[-2::-1]
    visit.close()


def test_tabs_are_opened_by_the_keyboard(visit: Visit) -> None:
    """Each is reached by Tab and opened by Enter or the space bar."""
    assert visit.page.locator('[role="tab"]:visible').count() == len(TABS)
    visit.page.focus("#docs")
    for name in TABS:
        visit.page.keyboard.press("Tab")
        assert visit.focused() == f"tab-{name}-button"
        visit.page.keyboard.press("Space" if name in TABS[::2] else "Enter")
        visit.page.wait_for_selector(f"#{name}", state="visible")
        assert visit.focused() == f"tab-{name}-button"
        assert visit.page.get_attribute(f"#tab-{name}-button", "aria-selected") == "true"


def test_a_document_is_opened_and_closed(visit: Visit) -> None:
    """The focus stays in the dialog while it is open, and returns to the passage."""
    visit.search("heron")
    visit.page.wait_for_selector(".w-columns")
    visit.page.focus(".w-card >> nth=1")
    hit = visit.page.evaluate("document.activeElement.dataset.hit")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector("#document-text mark")
    assert visit.page.evaluate("document.activeElement.closest('dialog')?.id") == "document"
    names = [stop["name"] for stop in walk(visit, "Tab")]
    assert set(names) <= {"document-close", "document-earlier", "document-text", "document-later"}
    visit.page.keyboard.press("Escape")
    assert visit.page.evaluate("document.activeElement.dataset.hit") == hit


def test_a_choice_keeps_the_focus(visit: Visit) -> None:
    """Of an instruction, a comparison of the filter, an instruction of the library: what is drawn again keeps it."""
    visit.page.wait_for_selector("#rerank-instruction optgroup", state="attached")
    visit.page.focus("#rerank-instruction")
    visit.page.keyboard.press("ArrowDown")
    visit.page.wait_for_selector("#rerank-instruction-text")
    assert visit.focused() == "rerank-instruction"
    visit.open_tab("search")
    visit.page.wait_for_selector("#collections option", state="attached")
    visit.page.fill("#search-collection", "docs")
    visit.page.click("#search-filter-panel summary")
    visit.page.click("#search-filter-add")
    for part in ("key", "operator"):
        visit.page.focus(f"#search-filter-{part}-0")
        visit.page.keyboard.press("ArrowDown")
        assert visit.focused() == f"search-filter-{part}-0"
    visit.open_tab("instructions")
    visit.page.wait_for_selector(".w-name")
    visit.page.focus(".w-name >> nth=2")
    chosen = visit.focused()
    visit.page.keyboard.press("Enter")
    assert visit.page.get_attribute(f'[id="{chosen}"]', "aria-pressed") == "true"
    assert visit.focused() == chosen


def test_a_button_keeps_the_focus_while_its_request_runs(visit: Visit) -> None:
    """And after it; pressed again meanwhile, it asks nothing more."""
    held: list[Any] = []
    visit.page.route("**/v1/rerank", lambda route: held.append(route))  # noqa: PLW0108  Playwright wants a function
    visit.page.fill("#rerank-query", "q")
    visit.page.fill("#rerank-documents", "a\nrefund")
    visit.page.focus("#rerank-form .w-main")
    for _ in range(2):
        visit.page.keyboard.press("Space")
        visit.page.wait_for_selector('#rerank-form .w-main[aria-disabled="true"]')
        assert visit.page.evaluate("document.activeElement.className") == "w-main"
    while not held:
        visit.page.wait_for_timeout(10)
    for route in held:
        route.continue_()
    visit.page.wait_for_selector(".w-table")
    assert len(held) == 1
    assert visit.page.evaluate("document.activeElement.className") == "w-main"


def test_more_rows_take_the_focus_along(visit: Visit) -> None:
    """To the result, since the button that showed them is gone."""
    visit.rerank("q", "\n".join(f"text {number}" for number in range(60)))
    visit.page.focus("#rerank-result > .w-quiet")
    visit.page.keyboard.press("Enter")
    assert visit.page.locator(".w-table tbody tr").count() == 60
    assert visit.focused() == "rerank-result"
