"""A visit to the page: what a person does there, and everything that the network and the console of the browser saw."""

from __future__ import annotations

from typing import Any, Final, Literal

import pytest

from tests.browser.environment import AXE

DESKTOP: Final = (1440, 900)
PHONE: Final = (390, 844)
SIZES: Final = (DESKTOP, PHONE)
LOCALES: Final = {"en": "en-US", "zh": "zh-CN"}
SERIOUS: Final = frozenset({"serious", "critical"})
WAIT_MS: Final = 60_000  # of a machine that is very busy
CHECK_AXE: Final = "() => axe.run(document, {resultTypes: ['violations']})"
LIES_WITHIN: Final = """([inner, outer]) => {
    const found = [...document.querySelectorAll(inner)];
    return found.length > 0 && found.every((each) => {
        const [own, around] = [each, each.closest(outer)].map((element) => element.getBoundingClientRect());
        return own.left >= around.left && own.right <= around.right
            && own.top >= around.top && own.bottom <= around.bottom;
    });
}"""
Language = Literal["en", "zh"]


class Contexts:
    """Contexts of a browser, one for each language and theme. Visits share them, and with them Gradio's scripts."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._made: dict[tuple[Language, bool], Any] = {}

    def new_page(self, language: Language, *, dark: bool) -> Any:
        if (language, dark) not in self._made:
            self._made[language, dark] = self._browser.new_context(
                locale=LOCALES[language], color_scheme="dark" if dark else "light", reduced_motion="reduce"
            )
        return self._made[language, dark].new_page()


class Visit:
    """One page. `close` fails if the console complained or a request left the host."""

    def __init__(
        self,
        contexts: Contexts,
        address: str,
        *,
        size: tuple[int, int] = DESKTOP,
        language: Language = "en",
        dark: bool = False,
    ) -> None:
        self.address = address
        self.asked: list[str] = []
        self.calls: list[str] = []  # of those, what reaches the service: the API, and all that carries something
        self.complaints: list[str] = []
        self.page = contexts.new_page(language, dark=dark)
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("request", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear)
        self.page.goto(f"{address}/")
        self.page.wait_for_selector("html[data-ready]")

    def _note(self, request: Any) -> None:
        self.asked.append(request.url)
        if request.post_data is not None or request.url.startswith(f"{self.address}/v1/"):
            self.calls.append(request.url)

    def _hear(self, message: Any) -> None:
        """Note complaints. Chromium reports every answer of 400 and above as an error: those the tests ask for."""
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def open_tab(self, name: str) -> None:
        self.page.click(f"#tab-{name}-button")
        self.page.wait_for_selector(f"#{name}", state="visible")

    def rerank(self, query: str, documents: str) -> None:
        self.page.fill("#rerank-query", query)
        self.page.fill("#rerank-documents", documents)
        self.page.click("#rerank-form .w-main")

    def search(self, query: str, *, collection: str = "docs") -> None:
        self.open_tab("search")
        self.page.fill("#search-collection", collection)
        self.page.fill("#search-query", query)
        self.page.keyboard.press("Enter")

    def text(self, selector: str) -> str:
        """Return the text of an element as soon as it has one."""
        self.page.wait_for_function("selector => document.querySelector(selector)?.textContent", arg=selector)
        return str(self.page.text_content(selector))

    def texts(self, selector: str) -> list[str]:
        return [str(text) for text in self.page.locator(selector).all_text_contents()]

    def focused(self) -> str:
        """Return the id of the element that has the focus."""
        return str(self.page.evaluate("document.activeElement.id"))

    def overflow(self) -> int:
        """Return by how many pixels the document is wider than the window: 0 without horizontal scroll."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def lies_within(self, inner: str, outer: str) -> bool:
        """Return whether each of these elements is drawn inside of the nearest one around it that is meant."""
        return bool(self.page.evaluate(LIES_WITHIN, [inner, outer]))

    def check_accessibility(self) -> None:
        """Fail on each serious fault that axe-core finds in what is shown. Skip where axe-core is not installed."""
        if not AXE.is_file():
            pytest.skip("axe-core is not installed: `make test` installs it where npm is there")
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate(CHECK_AXE)["violations"]
        faults = [
            f"{each['id']} ({each['impact']}): {node['target']} {node['failureSummary']}"
            for each in found
            if each["impact"] in SERIOUS
            for node in each["nodes"]
        ]
        assert faults == [], "\n".join(faults)

    def close(self) -> None:
        """End the visit, and hold it to what every visit promises."""
        self.page.close()
        assert self.complaints == [], self.complaints
        assert [url for url in self.asked if not url.startswith((f"{self.address}/", "data:"))] == []
