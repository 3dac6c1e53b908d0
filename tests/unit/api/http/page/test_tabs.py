"""Compare, Instructions, Quality and Watch in a real browser, over a service whose rerankers are fakes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.browser.visit import DESKTOP, PHONE, Contexts, Language, Visit
from tests.fakes import PrefersWord
from tests.unit.api.http.page.conftest import DOCUMENTS, HOSTILE, service, write
from winnow.retrieval.model.tokenizer import PlainTokenizer

KEY: Final = "wk-typed-in-the-page"
MEASURES: Final = ("nDCG@10", "R@100")


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files in the shape of `winnow eval --json` and `--per-query`."""
    folder = tmp_path_factory.mktemp("evaluation")
    queries = [
        {
            "id": f"q{number}",
            "text": HOSTILE if number == 0 else f"query {number}",
            "runs": {
                "recall": {"nDCG@10": 0.1 * (number % 7), "R@100": 1.0},
                "two-stage": {"nDCG@10": 0.9 if number < 3 else 0.1 * (number % 5), "R@100": 1.0},
            },
            "differences": {},
        }
        for number in range(20)
    ]
    report = {
        "runs": [
            {"name": "recall", "reranker": None, "metrics": {"nDCG@10": 0.27, "R@100": 1.0}},
            {"name": "two-stage", "reranker": "m", "metrics": {"nDCG@10": 0.305, "R@100": 1.0}},
        ],
        "queries": 20,
        "documents": 300,
        "embedder": "e",
        "reranker": "m",
        "rerankers": ["m"],
        "comparisons": [
            {"measure": "nDCG@10", "run": "two-stage", "against": "recall", "mean": 0.035, "low": -0.05, "high": 0.12,
             "p": 0.4321, "p_holm": 0.8642}
        ],
    }  # fmt: skip
    files = {"json": folder / "eval.json", "jsonl": folder / "queries.jsonl", "wrong": folder / "wrong.json"}
    files["json"].write_text(json.dumps(report), encoding="utf-8")
    files["jsonl"].write_text("".join(f"{json.dumps(each)}\n" for each in queries), encoding="utf-8")
    files["wrong"].write_text('{"results": []}', encoding="utf-8")
    return files


def compare(visit: Visit, *, second: str) -> None:
    """Compare no instruction with this text, over the collection."""
    visit.open_tab("compare")
    visit.page.fill("#compare-collection", "docs")
    visit.page.fill("#compare-query", "heron refund")
    visit.page.select_option("#compare-2-instruction", "=text")
    visit.page.fill("#compare-2-instruction-text", second)
    visit.page.click("#compare-form .w-main")


def save_draft(visit: Visit, name: str, text: str) -> None:
    visit.open_tab("instructions")
    visit.page.wait_for_selector(".w-name")
    visit.page.click("#instructions-create")
    visit.page.fill("#instructions-name", name)
    visit.page.fill("#instructions-text", text)
    visit.page.click("#instructions-form .w-main")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("size", "language", "dark"),
    [(DESKTOP, "en", False), (PHONE, "en", True), (DESKTOP, "zh", True), (PHONE, "zh", False)],
)
def test_every_tab_fits_and_can_be_read(
    browser: Contexts,
    address: str,
    evaluation: dict[str, Path],
    *,
    size: tuple[int, int],
    language: Language,
    dark: bool,
) -> None:
    """Both languages, both sizes, light and dark: no horizontal scroll, and axe-core finds no serious fault."""
    visit = Visit(browser, address, size=size, language=language, dark=dark)
    visit.open_tab("watch")
    tabs = visit.page.locator('[role="tab"]')
    assert tabs.evaluate_all(
        "tabs => tabs.every((tab) => tab.contains(document.elementFromPoint("
        "tab.getBoundingClientRect().x + 9, tab.getBoundingClientRect().y + 9)))"
    )
    compare(visit, second="prefer refund")
    visit.page.wait_for_selector("#compare-result .w-card")
    assert visit.overflow() <= 0
    visit.check_accessibility()
    visit.open_tab("instructions")
    visit.page.wait_for_selector(".w-prompt")
    visit.page.click("#instructions-as-tokens")
    assert visit.overflow() <= 0
    visit.check_accessibility()
    visit.open_tab("quality")
    visit.page.set_input_files("#quality-files", [evaluation["json"], evaluation["jsonl"]])
    visit.page.wait_for_selector("#quality-result rect")
    assert visit.overflow() <= 0
    visit.check_accessibility()
    visit.open_tab("watch")
    visit.page.click("#watch-form .w-main")
    visit.page.wait_for_selector("#watch-result .w-panel, #watch-result figure")
    assert visit.overflow() <= 0
    visit.check_accessibility()
    visit.page.click("#language")
    other = {"en": "监测", "zh": "Watch"}[language]
    visit.page.wait_for_function("word => document.querySelector('#tab-watch-button').textContent === word", arg=other)
    assert visit.page.input_value("#compare-query") == "heron refund"  # what was typed stays
    visit.close()


def test_two_instructions_are_compared_over_the_same_candidates(visit: Visit, filled: str) -> None:
    """Ranks, movements and measures of each pair; the curl lines ask the same."""
    compare(visit, second="prefer waits.")
    visit.page.wait_for_selector("#compare-result .w-card")
    columns = visit.page.locator(".w-compared section")
    assert columns.count() == 2
    assert columns.nth(1).locator(".w-card").count() == columns.nth(0).locator(".w-card").count() == 3
    assert "Herons" in columns.nth(1).locator(".w-card").first.text_content()
    cells = visit.texts("#compare-result .w-figures td")
    assert cells[:2] == ["A – B", "1.000"]
    assert -1.0 <= float(cells[3]) <= 1.0 if cells[3] != "no order" else True
    lines = visit.text("#compare-curl").split("\n\n")
    assert [
        f"'{filled}/v1/{path}'" in line for path, line in zip(("search", "rerank", "rerank"), lines, strict=True)
    ] == [True] * 3
    assert '"instruction":"prefer waits."' in lines[2]


def test_a_candidate_is_marked_in_every_column_by_the_keyboard(visit: Visit, filled: str) -> None:
    """Enter marks it, and again takes the mark away."""
    compare(visit, second="prefer refund")
    visit.page.focus("#compare-result .w-card >> nth=0")
    assert visit.page.locator(".w-compared .w-same").count() >= 2
    assert visit.page.locator(".w-line.w-pointed").count() == 1
    visit.page.keyboard.press("Enter")
    assert visit.page.locator('.w-compared [aria-pressed="true"]').count() == 2
    visit.page.keyboard.press("Enter")
    assert visit.page.locator('.w-compared [aria-pressed="true"]').count() == 0


def test_rerankers_are_compared_over_pasted_documents(visit: Visit) -> None:
    """A third setting is added and removed; one that reads no instruction is told; HTML stays text."""
    visit.open_tab("compare")
    visit.page.select_option("#compare-source", "documents")
    assert not visit.page.is_visible("#compare-collection")
    visit.page.fill("#compare-documents", f"the heron\n{HOSTILE}\nneither")
    visit.page.fill("#compare-query", "q")
    visit.page.click("#compare-add")
    assert visit.page.locator(".w-setting").count() == 3
    visit.page.click("#compare-3 .w-remove")
    assert visit.page.locator(".w-setting").count() == 2
    for number, word in ((1, "refund"), (2, "refund")):
        visit.page.select_option(f"#compare-{number}-instruction", "=text")
        visit.page.fill(f"#compare-{number}-instruction-text", f"prefer {word}")
    visit.page.select_option("#compare-2-reranker", "herons")
    visit.page.click("#compare-form .w-main")
    visit.page.wait_for_selector("#compare-result .w-card")
    firsts = [
        visit.page.locator(f".w-compared section >> nth={place}").locator(".w-card-text").first for place in (0, 1)
    ]
    assert [first.text_content() for first in firsts] == [HOSTILE, "the heron"]
    assert (
        visit.text("#compare-result .w-notice")
        == "B: The reranker herons reads no instruction: it had no effect on this order."
    )
    assert visit.page.title() != "owned"


def test_errors_of_a_comparison_stand_at_their_field(visit: Visit, filled: str) -> None:
    """In the service's words, with the focus; a value that a variable lacks stands at its own setting."""
    compare(visit, second="prefer refund")
    visit.page.fill("#compare-collection", "none")
    visit.page.click("#compare-form .w-main")
    assert "none" in visit.text("#compare-collection-error")
    assert visit.focused() == "compare-collection"
    visit.page.fill("#compare-collection", "docs")
    visit.page.fill("#compare-query", " ")
    visit.page.click("#compare-form .w-main")
    assert visit.text("#compare-query-error") == "Invalid request: 'query': it must not be blank"
    visit.page.fill("#compare-query", "q")
    visit.page.select_option("#compare-1-instruction", "builtin/paper-recommendation@2")
    visit.page.fill("#compare-1-variable-since", "soon")
    visit.page.click("#compare-form .w-main")
    assert "since" in visit.text("#compare-1-instruction-error")
    visit.page.select_option("#compare-source", "documents")
    visit.page.click("#compare-form .w-main")
    assert visit.text("#compare-documents-error") == "Enter at least one document."


def test_the_prompt_is_shown_by_part_in_text_and_tokens(visit: Visit) -> None:
    """The text of each part, and a token for each piece; a variable's value changes it."""
    visit.open_tab("instructions")
    visit.page.fill("#instructions-search", "legal law")
    assert len(visit.texts(".w-name > span")) >= 1
    visit.page.click(".w-name >> nth=0")
    visit.page.fill("#instructions-query", "how long?")
    visit.page.fill("#instructions-value-code", "the Moon Code")
    visit.page.wait_for_function(
        "() => document.querySelector('.w-p-instruction')?.textContent.includes('Moon Code')"
        " || [...document.querySelectorAll('.w-p-instruction')].some((e) => e.textContent.includes('Moon Code'))"
    )
    assert visit.texts(".w-prompt .w-p-query")[0].strip() == "how long?"
    runs = visit.page.locator(".w-prompt .w-part").count()
    visit.page.click("#instructions-as-tokens")
    assert visit.page.get_attribute("#instructions-as-tokens", "aria-pressed") == "true"
    assert visit.page.locator(".w-prompt .w-token").count() > 5 * runs
    assert '"variables":{"code":"the Moon Code"}' in visit.text("#instructions-curl")


def test_a_draft_is_written_and_published(visit: Visit, address: str) -> None:
    """It is in the library at once, and in the other tabs' choices."""
    save_draft(visit, "refunds-first", "Prefer refund")
    assert visit.text("#instructions-done") == "Saved as refunds-first @1, a draft. Searches do not use it yet."
    stored = httpx2.get(f"{address}/v1/instructions/refunds-first").json()["versions"]
    assert [(each["version"], each["state"], each["text"]) for each in stored] == [(1, "draft", "Prefer refund")]
    visit.page.fill("#instructions-text", "Prefer heron")
    visit.page.click("#instructions-publish")
    visit.page.wait_for_function(
        "() => document.querySelector('#instructions-done').textContent.startsWith('Published')"
    )
    stored = httpx2.get(f"{address}/v1/instructions/refunds-first").json()["versions"]
    assert [(each["state"], each["text"]) for each in stored] == [("published", "Prefer heron")]
    visit.page.wait_for_selector("#compare-1-instruction option[value='refunds-first@1']", state="attached")
    visit.page.wait_for_selector("#rerank-instruction option[value='refunds-first']", state="attached")


def test_errors_of_a_draft_stand_at_their_field(visit: Visit) -> None:
    """In the service's words, or the page's where the variables are no JSON."""
    save_draft(visit, "Not A Name", "Prefer refund")
    assert "not a valid instruction name" in visit.text("#instructions-name-error")
    save_draft(visit, "broken", "Prefer {language}")
    assert "variable 'language' is not declared" in visit.text("#instructions-text-error")
    visit.page.fill("#instructions-variables", "[1")
    visit.page.click("#instructions-form .w-main")
    assert "not valid JSON" in visit.text("#instructions-variables-error")
    visit.page.fill("#instructions-variables", "[1]")
    visit.page.click("#instructions-form .w-main")
    assert visit.text("#instructions-variables-error") == "Variables must be a JSON list of objects with “name”."


def test_a_shadow_is_started_read_and_ended(visit: Visit, filled: str) -> None:
    """Its report shows what it compared: measures, and the searches that changed most with both orders."""
    save_draft(visit, "in-shadow", "Prefer waits.")
    visit.text("#instructions-done")
    assert visit.page.input_value("#shadow-live") == "default"  # no search can be under a draft
    visit.page.fill("#shadow-share", "1")
    visit.page.check("#shadow-keep")
    visit.page.click("#shadow-form .w-main")
    assert visit.text("#shadow-done") == "in-shadow @1 is in the shadow of default for 1 of the searches."
    for query in ("heron", "refund"):
        body = {"query": query, "collection": "docs", "rerank": "always"}
        assert httpx2.post(f"{filled}/v1/search", json=body).status_code == 200
    for _ in range(200):  # the comparisons are written after the answers
        with visit.page.expect_response(lambda response: response.url.endswith("/in-shadow/shadow")):
            visit.page.click("#shadow-report")
        if visit.page.locator("#shadow-result .w-figures").count():
            break
    assert visit.texts("#shadow-result td")[0] == "default@1 – in-shadow@1"
    visit.page.click("#shadow-result .w-example summary >> nth=0")
    assert visit.page.locator("#shadow-result .w-example >> nth=0").locator("ol").count() == 2
    visit.page.click("#shadow-stop")
    assert visit.text("#shadow-done") == "The shadow has ended. Its report stays."


def test_a_key_that_may_only_search_sees_the_service_s_words(
    browser: Contexts, tmp_path_factory: pytest.TempPathFactory, tokenizer: PlainTokenizer
) -> None:
    """It browses and previews; saving and a shadow are refused, at the key and beside the button."""
    with service(tmp_path_factory.mktemp("keyed"), tokenizer, PrefersWord("refund"), api_key=KEY) as address:
        headers = {"authorization": f"Bearer {KEY}"}
        draft = {"name": "mine", "text": "Prefer refund", "draft": True}
        assert httpx2.post(f"{address}/v1/instructions", json=draft, headers=headers).status_code == 201
        made = httpx2.post(f"{address}/v1/keys", json={"scopes": ["search"]}, headers=headers).json()
        visit = Visit(browser, address)
        visit.page.fill("#key", made["key"])
        visit.open_tab("instructions")
        visit.page.click(".w-name >> nth=0")
        visit.page.wait_for_selector(".w-prompt")
        refused = httpx2.put(
            f"{address}/v1/instructions/mine/draft",
            json={"text": "x"},
            headers={"authorization": f"Bearer {made['key']}"},
        )
        visit.page.click("#instructions-form .w-main")
        assert visit.text("#instructions-error") == visit.text("#key-error") == refused.json()["detail"]
        visit.page.click("#shadow-report")
        assert visit.text("#shadow-error") == visit.text("#key-error")
        assert made["key"] not in visit.page.content()
        visit.close()


def test_an_evaluation_is_read_in_the_browser_alone(visit: Visit, evaluation: dict[str, Path]) -> None:
    """Means, p-values, and the queries that gain and lose. Nothing is sent."""
    visit.open_tab("quality")
    before = len(visit.calls)
    visit.page.set_input_files("#quality-files", evaluation["json"])
    visit.page.wait_for_selector("#quality-result .w-mean")
    assert visit.texts("#quality-result .w-mean b") == ["0.2700", "0.3050"]
    assert "interval of the difference to recall" in visit.text("#quality-result .w-figure .w-help")
    assert visit.texts("#quality-result .w-figures td")[4:6] == ["0.4321", "0.8642"]
    visit.page.set_input_files("#quality-files", [evaluation["json"], evaluation["jsonl"]])
    visit.page.wait_for_selector("#quality-result rect")
    assert visit.page.locator("#quality-result rect").count() == 20
    assert "by a bootstrap" in visit.text("#quality-result .w-figure .w-help")
    assert HOSTILE in visit.text("#quality-result section:last-child table")
    visit.page.select_option("#quality-measure", "R@100")
    assert visit.text("#quality-result figure:last-of-type .w-help") != ""
    visit.page.select_option("#quality-run", "recall")
    assert visit.focused() == "quality-run"
    assert visit.calls[before:] == []


def test_a_file_of_something_else_is_named(visit: Visit, evaluation: dict[str, Path]) -> None:
    """What was open stays; closing leads back to the commands."""
    visit.open_tab("quality")
    visit.page.set_input_files("#quality-files", evaluation["jsonl"])
    visit.page.wait_for_selector("#quality-result .w-mean")
    visit.page.set_input_files("#quality-files", evaluation["wrong"])
    assert visit.text("#quality-files-error").startswith("wrong.json is not a file of winnow eval")
    assert visit.page.locator("#quality-result .w-mean").count() == 2
    visit.page.click("#quality-clear")
    assert "winnow eval FOLDER" in visit.text("#quality-result .w-empty code")


def test_the_watch_says_how_to_start(visit: Visit, filled: str) -> None:
    """With the lines to send, and the service's words where a field is wrong."""
    visit.open_tab("watch")
    visit.page.click("#watch-form .w-main")
    assert visit.text("#watch-result .w-notice").startswith("No stability report yet")
    assert f"'{filled}/v1/stability/sampling'" in visit.texts("#watch-result pre")[0]
    assert f"'{filled}/v1/stability?days=30'" in visit.text("#watch-curl")
    visit.page.fill("#watch-days", "0")
    visit.page.click("#watch-form .w-main")
    assert "days" in visit.text("#watch-days-error")
    assert visit.focused() == "watch-days"


def test_the_watch_shows_what_moved_and_why(visit: Visit, filled: str) -> None:
    """Recorded searches, runs of a golden set, the change as a mark, and a query before and after."""
    write(filled, "watched", DOCUMENTS)
    with httpx2.Client(base_url=f"{filled}/v1", timeout=60) as ask:
        assert ask.put("/stability/sampling", json={"share": 1, "keep_queries": True}).status_code == 200
        golden = {"name": "everyday", "collection": "watched", "queries": [{"query": "heron"}, {"query": "refund"}]}
        assert ask.post("/stability/golden", json=golden).status_code == 200
        assert ask.post("/stability/runs", json={"name": "everyday"}).status_code == 200
        assert ask.put("/stability/thresholds", json={"collection": "watched", "rbo_min": 1}).status_code == 200
        more = [{"id": f"more-{number}", "text": f"A heron and a refund {number}"} for number in range(4)]
        assert ask.post("/collections/watched/documents", json={"documents": more}).status_code == 200
        assert ask.post("/stability/runs", json={"name": "everyday"}).status_code == 200
    visit.open_tab("watch")
    visit.page.click("#watch-form .w-main")
    visit.page.wait_for_selector("#watch-result .w-dot")
    assert "watched: documents changed from store version" in visit.texts("#watch-result .w-marks li")[0]
    assert visit.lies_within("#watch-result .w-key-list", "figure")
    runs = visit.page.locator("#watch-result .w-figures >> nth=0").locator("tr")
    assert "everyday #2" in runs.nth(1).text_content()
    assert "documents (by elimination)" in runs.nth(1).text_content()
    assert re.search(r"rbo 0\.\d+ < 1", runs.nth(1).text_content() or "")
    visit.page.select_option("#watch-figure", "rbo")
    assert visit.text("#watch-result figcaption") == "RBO (p = 0.9) by day"
    visit.page.click("#watch-result .w-example summary >> nth=0")
    assert visit.page.locator("#watch-result .w-example >> nth=0").locator("ol").count() == 2
