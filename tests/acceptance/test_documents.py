"""A folder of a web page, a PDF file and a mailbox goes in by the command; the service finds each fact in its place."""

from __future__ import annotations

import mailbox
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.conftest import Command
from tests.acceptance.test_http import Service
from tests.formats import test_html, test_mail, test_pdf
from tests.formats.facts import FACTS, TITLE, Fact
from tests.formats.pdf_writer import PdfWriter

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

RESULTS = 10
ASKED = FACTS[::2]
FOUND_MIN = 19  # of 20 facts, in all three formats at once, by the default settings of a small model


def write_folder(root: Path) -> Path:
    root.mkdir()
    page = test_html.page(test_html.written("<p>{text}</p>")).replace("{charset}", "gb18030")
    (root / "page.html").write_bytes(page.encode("gb18030"))
    test_pdf.write_sections(PdfWriter(root / "manual.pdf", title=TITLE, header="Velora 300: page {page}"))
    box = mailbox.mbox(root / "in.mbox")
    for number in range(8):
        box.add(test_mail.as_bytes(test_mail.write_mail(number, "both", "utf-8")))
    box.close()
    return root


def is_in_place(result: dict[str, Any], fact: Fact) -> bool:
    """Whether the result holds the fact, and says where it stands."""
    if fact.text not in result["text"]:
        return False
    name, section, location = result["document_id"], tuple(result["section"]), result["location"]
    if name == "page.html":
        return section == fact.section and location == {"anchor": test_html.anchor_of(fact)}
    if name == "manual.pdf":
        return section == fact.section and location == {"page": test_pdf.PAGE_OF[fact.section]}
    return name.startswith("in.mbox#") and result["title"] == ": ".join(fact.section)


def test_each_fact_is_found_with_its_place(winnow: Command, tmp_path: Path) -> None:
    done = winnow.run("index", str(write_folder(tmp_path / "folder")), "--collection", "docs", "--json")
    assert done.code == 0, done.err
    assert (done.json["documents"], done.json["rejected"]) == (10, 0)
    service = Service(winnow.start("serve", "--host", "127.0.0.1", "--port", "0"))
    found = 0
    with httpx2.Client(base_url=service.url, timeout=60) as client:
        for fact in ASKED:
            answer = client.post("/v1/collections/docs/search", json={"query": fact.question, "top_k": RESULTS})
            assert answer.status_code == 200, answer.text
            places = {
                each["document_id"].partition("#")[0] for each in answer.json()["results"] if is_in_place(each, fact)
            }
            found += places == {"page.html", "manual.pdf", "in.mbox"}
    assert service.stop(signal.SIGTERM)[0] == 0
    assert found >= FOUND_MIN
