"""Takes the pictures of docs/images, in both languages and both sizes, over data/corpus and the default models.

    python -m tests.browser.screenshots                  # starts a service of its own, over a temporary data folder
    python -m tests.browser.screenshots --only search    # one tab
    python -m tests.browser.screenshots --address URL    # a service that runs; its collection is `corpus`

Needs Chromium, and a font for Chinese (Debian: fonts-noto-cjk).
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Final, get_args

from PIL import Image

from tests.browser import tab_pictures
from tests.browser.environment import PROJECT, find_chromium
from tests.browser.visit import DESKTOP, PHONE, Contexts, Language, Visit

FOLDER: Final = PROJECT / "docs" / "images"
BYTES_MAX: Final = 150_000  # of a picture
QUALITIES: Final = (90, 80, 70, 60)  # of WebP: the best that is small enough
SIZES: Final = {"desktop": DESKTOP, "phone": PHONE}
HEIGHTS: Final = {
    "rerank": 900,
    "search": 1440,
} | tab_pictures.HEIGHTS  # of the desktop's picture; a phone's is its window
COLLECTION: Final = "corpus"
SEARCHES: Final = {
    "en": ("phone stolen, can't get the six digit login code", "builtin/support-language-first"),
    "zh": ("年费套餐用了两个月不想要了，剩下的钱能退吗", "builtin/support-language-first-zh"),
}
WINNOW: Final = (sys.executable, "-m", "winnow.api.cli")


def show_rerank(visit: Visit, _: Language) -> None:
    """The fourth example: answers in one language first."""
    visit.page.click("#rerank-examples button >> nth=3")
    visit.page.wait_for_selector(".w-table")
    visit.page.wait_for_function("document.querySelector('#rerank-instruction-reads').textContent")


def show_search(visit: Visit, language: Language) -> None:
    """A question under an instruction, limited to support articles by a filter."""
    query, instruction = SEARCHES[language]
    visit.open_tab("search")
    visit.page.fill("#search-collection", COLLECTION)
    visit.page.select_option("#search-instruction", instruction)
    visit.page.click("#search-filter-panel summary")
    visit.page.fill("#search-filter", '{"type": "eq", "key": "line", "value": "support"}')
    visit.page.fill("#search-query", query)
    visit.page.press("#search-query", "Enter")
    visit.page.wait_for_selector(".w-columns .w-card")


TABS: Final[dict[str, Callable[[Visit, Language], None]]] = {
    "rerank": show_rerank,
    "search": show_search,
} | tab_pictures.SHOWN


@contextlib.contextmanager
def service() -> Iterator[str]:
    """Index the corpus and run a service on a free port. Yields its address."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = str(PROJECT / "data" / "corpus")
        index = [*WINNOW, "index", corpus, "--collection", COLLECTION, "--data", folder]
        subprocess.run(index, check=True, stdout=subprocess.DEVNULL)
        # Without a cache of scores: the pictures of both sizes show the tokens and times of a first request.
        serve = [*WINNOW, "serve", "--port", "0", "--data", folder, "--judgement-cache-mb", "0"]
        with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            try:
                listening = next(line for line in process.stderr if line.startswith("Listening"))
                threading.Thread(target=process.stderr.read, daemon=True).start()  # a full pipe would stop the service
                yield listening.split()[1]
            finally:
                process.terminate()


def picture(shot: bytes) -> bytes:
    """Return a screenshot as WebP, at the best quality that is small enough."""
    image = Image.open(BytesIO(shot))
    for quality in QUALITIES:
        written = BytesIO()
        image.save(written, "WEBP", quality=quality, method=6)
        if written.tell() < BYTES_MAX:
            return written.getvalue()
    raise SystemExit("A picture is larger than 150 kB at the lowest quality: show less in it.")


def take(contexts: Contexts, address: str, tab: str, language: Language, size: str) -> Path:
    visit = Visit(contexts, address, size=SIZES[size], language=language)
    TABS[tab](visit, language)
    visit.page.evaluate("document.activeElement.blur()")
    visit.page.mouse.move(0, 0)  # nothing is pointed at
    if size == "desktop":
        visit.page.set_viewport_size({"width": DESKTOP[0], "height": HEIGHTS[tab]})
        visit.page.evaluate("window.scrollTo(0, 0)")
    path = FOLDER / f"page-{tab}-{language}-{size}.webp"
    path.write_bytes(picture(visit.page.screenshot()))
    visit.close()
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--address")
    parser.add_argument("--only", choices=TABS)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with contextlib.ExitStack() as stack:
        address = options.address or stack.enter_context(service())
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox"]
        )
        contexts = Contexts(browser)
        for tab in [options.only] if options.only else TABS:
            for language in get_args(Language):
                for size in SIZES:
                    path = take(contexts, address, tab, language, size)
                    print(f"{path.relative_to(PROJECT)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
