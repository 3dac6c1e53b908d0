"""What the pictures of Compare, Instructions, Quality and Watch show: data/corpus and the default models."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx2

from tests.browser.environment import PROJECT
from tests.browser.visit import Language, Visit

COLLECTION: Final = "corpus"
COMPARED: Final = {
    "en": ("phone stolen, can't get the six digit login code", "Prefer documents written in Chinese."),
    "zh": ("手机丢了，收不到验证码，怎么登录", "Prefer documents written in English."),
}
QUERIES: Final = ("how long may I return goods", "429 too many requests", "phone stolen, no login code", "年费能退吗")
ADDED: Final = (
    {"id": "new-return", "text": "You may return goods within fourteen days and get your money back."},
    {"id": "new-429", "text": "429 too many requests: wait for the seconds that Retry-After names, then retry."},
)
EVAL: Final = ("--queries", "24", "--candidates", "20", "--recall", "dense hybrid", "--metrics", "nDCG@10 R@100")


def show_part(visit: Visit, selector: str) -> None:
    """Scroll there: the form fills a phone's window."""
    visit.page.evaluate("selector => document.querySelector(selector).scrollIntoView()", selector)


def show_compare(visit: Visit, language: Language) -> None:
    """The same candidates without and with an instruction."""
    query, instruction = COMPARED[language]
    visit.open_tab("compare")
    visit.page.fill("#compare-collection", COLLECTION)
    visit.page.fill("#compare-query", query)
    visit.page.select_option("#compare-2-instruction", "=text")
    visit.page.fill("#compare-2-instruction-text", instruction)
    visit.page.click("#compare-form .w-main")
    visit.page.wait_for_selector("#compare-result .w-card")
    show_part(visit, "#compare-result")


def show_instructions(visit: Visit, _: Language) -> None:
    """The prompt of an instruction that ships with winnow."""
    visit.open_tab("instructions")
    visit.page.wait_for_selector(".w-prompt")
    show_part(visit, "#instructions-preview-title")


@functools.cache
def evaluation() -> tuple[str, str]:
    """Evaluate the corpus, once. Return what --json and --per-query write."""
    corpus = str(PROJECT / "data" / "corpus")
    with tempfile.TemporaryDirectory() as folder:
        queries = Path(folder) / "queries.jsonl"
        command = [sys.executable, "-m", "winnow.api.cli", "eval", corpus, *EVAL, "--json", "--data", folder]
        done = subprocess.run([*command, "--per-query", str(queries)], stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout, queries.read_text(encoding="utf-8")


def show_quality(visit: Visit, _: Language) -> None:
    """The orders of two recall modes."""
    report, queries = evaluation()
    visit.open_tab("quality")
    files = [("eval.json", "application/json", report), ("queries.jsonl", "application/jsonl", queries)]
    payloads = [{"name": name, "mimeType": kind, "buffer": text.encode()} for name, kind, text in files]
    visit.page.set_input_files("#quality-files", payloads)
    visit.page.wait_for_selector("#quality-result .w-mean")
    show_part(visit, "#quality-result")


@functools.cache
def run_golden_set(address: str) -> None:
    """Run a golden set, add two documents, and run it again."""
    ask = httpx2.Client(base_url=f"{address}/v1", timeout=120)
    golden = {"name": "everyday", "collection": COLLECTION, "queries": [{"query": query} for query in QUERIES]}
    requests = (
        ("stability/golden", golden),
        ("stability/runs", {"name": "everyday"}),
        (f"collections/{COLLECTION}/documents", {"documents": ADDED}),
        ("stability/runs", {"name": "everyday"}),
    )
    for path, body in requests:
        ask.post(path, json=body).raise_for_status()


def show_watch(visit: Visit, _: Language) -> None:
    """Two runs of a golden set with a change between them."""
    run_golden_set(visit.address)
    visit.open_tab("watch")
    visit.page.click("#watch-form .w-main")
    visit.page.wait_for_selector("#watch-result .w-dot")
    visit.page.click("#watch-result .w-example summary >> nth=0")
    show_part(visit, "#watch-result")


SHOWN: Final[dict[str, Callable[[Visit, Language], None]]] = {
    "compare": show_compare,
    "instructions": show_instructions,
    "quality": show_quality,
    "watch": show_watch,
}
HEIGHTS: Final = {"compare": 1200, "instructions": 1300, "quality": 1300, "watch": 1000}  # of the desktop's picture
