"""The tab Rerank in a real browser."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.browser.visit import Visit
from tests.unit.api.http.page.conftest import HOSTILE

CUT = {"warnings": ["only the beginning of document 1 was judged"], "winnow": {"instruction_applied": True}}


def read_file(visit: Visit, name: str, content: str | bytes) -> None:
    buffer = content.encode() if isinstance(content, str) else content
    visit.page.set_input_files("#rerank-file", {"name": name, "mimeType": "application/octet-stream", "buffer": buffer})


def documents(visit: Visit) -> Any:
    """Return the documents of the request that the page shows."""
    line = str(visit.page.text_content("#rerank-curl"))
    return json.loads(line.split("-d '", 1)[1].removesuffix("'").replace("'\\''", "'"))["documents"]


def test_a_rerank_shows_rank_score_and_movement(visit: Visit) -> None:
    """And the curl line asks the same of the same address."""
    visit.rerank("money back", "one\ntwo\nrefund")
    visit.page.wait_for_selector(".w-table")
    assert visit.texts(".w-rank") == ["1", "2", "3"]
    assert [text.split(" ", 1)[1] for text in visit.texts(".w-move")] == ["up 2", "down 1", "down 1"]
    assert visit.texts(".w-score") == ["0.900", "0.100", "0.100"]
    widths = visit.page.locator(".w-table .w-bar i").evaluate_all("bars => bars.map((bar) => bar.style.width)")
    assert widths == ["90%", "10%", "10%"]
    line = visit.page.text_content("#rerank-curl")
    assert f"'{visit.address}/v1/rerank'" in line
    assert documents(visit) == ["one", "two", "refund"]


def test_documents_as_json_are_read(visit: Visit) -> None:
    """A list, or one object per line; the count says how many."""
    visit.page.fill("#rerank-documents", '["a", {"text": "b", "year": 1}]')
    assert "2 documents" in visit.text("#rerank-documents-help")
    visit.page.fill("#rerank-documents", '{"text": "a"}\n{"text": "b"}\n{"text": "refund"}')
    assert "3 documents" in visit.text("#rerank-documents-help")
    visit.page.fill("#rerank-query", "q")
    visit.page.press("#rerank-query", "Enter")  # the keyboard alone
    visit.page.wait_for_selector(".w-table")
    assert visit.texts(".w-passage")[0] == "refund"


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("a.txt", "one\r\n\r\nrefund\n", ["one", "refund"]),
        ("a.csv", 'id,text\n1,"one, ""quoted"""\n2,refund\n', ['one, "quoted"', "refund"]),
        ("A.JSONL", '{"text": "one", "year": 1}\n"refund"\n', [{"text": "one", "year": 1}, "refund"]),
    ],
)
def test_a_file_is_read_in_the_browser(visit: Visit, name: str, content: str, read: list[Any]) -> None:
    """Nothing is sent but the rerank request; the same file can be read again after it was changed."""
    before = len(visit.calls)
    read_file(visit, name, content)
    visit.page.wait_for_function("document.getElementById('rerank-documents').value")
    assert documents(visit) == read
    assert visit.calls[before:] == []
    visit.page.fill("#rerank-query", "q")
    visit.page.click("#rerank-form .w-main")
    visit.page.wait_for_selector(".w-table")
    assert visit.calls[before:] == [f"{visit.address}/v1/rerank"]
    assert visit.texts(".w-passage")[0] == "refund"
    visit.page.fill("#rerank-documents", "")
    read_file(visit, name, content)
    visit.page.wait_for_function("document.getElementById('rerank-documents').value")


def test_a_file_that_cannot_be_read_is_told_at_the_field(visit: Visit) -> None:
    """What is wrong and what to do; the input stays, and a good file takes the error away."""
    visit.page.fill("#rerank-documents", "mine")
    for name, content, told in (
        ("a.pdf", "x", "is not a .txt, .csv or .jsonl file"),
        ("a.txt", "\n", "holds no documents"),
        ("a.txt", b"\xd6\xd0", "Save it as UTF-8"),
        ("a.txt", "x" * 8_000_001, "larger than 8 MB"),
        ("a.txt", "x\n" * 1_001, "1001 documents; at most 1,000"),
        ("a.csv", "id,body\n1,a", "Its columns are: id, body"),
        ("a.csv", 'text\n"a', "opens in line 2"),
        ("a.jsonl", '"a"\n{', "line 2"),
    ):
        read_file(visit, name, content)
        visit.page.wait_for_function(
            "told => document.getElementById('rerank-documents-error').textContent.includes(told)", arg=told
        )
        assert visit.page.input_value("#rerank-documents") == "mine"
        assert visit.focused() == "rerank-documents"
    read_file(visit, "a.txt", "good")
    visit.page.wait_for_function("document.getElementById('rerank-documents').value === 'good'")
    assert visit.page.text_content("#rerank-documents-error") == ""


def test_a_dropped_file_is_read(visit: Visit) -> None:
    """As if it had been chosen; the browser does not leave the page for it."""
    visit.page.evaluate("""() => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File(["one\\ntwo"], "a.txt"));
        const drop = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
        document.getElementById("rerank-documents").dispatchEvent(drop);
        return drop.defaultPrevented;
    }""")
    visit.page.wait_for_function("document.getElementById('rerank-documents').value === 'one\\ntwo'")


def test_an_instruction_of_the_library_has_a_field_for_each_variable(visit: Visit) -> None:
    """The service fills in its value, and the page sends the text."""
    visit.page.wait_for_selector("#rerank-instruction optgroup", state="attached")
    visit.page.select_option("#rerank-instruction", "builtin/legal-statutes")
    visit.page.fill("#rerank-variable-code", "the Moon Code")
    assert "Articles of the Moon Code" in visit.text("#rerank-instruction-reads")
    visit.page.select_option("#rerank-instruction", "builtin/support-language-first")
    assert visit.page.locator("#rerank-variable-language option").all_text_contents() == ["English", "Chinese"]
    visit.page.select_option("#rerank-instruction", "builtin/paper-recommendation")
    visit.page.fill("#rerank-variable-since", "soon")
    visit.rerank("q", "a\nb")
    assert "since" in visit.text("#rerank-instruction-error")


def test_an_instruction_of_ones_own_is_sent_as_it_is(visit: Visit) -> None:
    """Quotes and line breaks survive in the request and in the curl line."""
    visit.page.select_option("#rerank-instruction", "=text")
    visit.page.fill("#rerank-instruction-text", 'Prefer it\'s "own"\ntexts')
    with visit.page.expect_request("**/v1/rerank") as sent:
        visit.rerank("q", "a\nb")
    assert sent.value.post_data_json["instruction"] == 'Prefer it\'s "own"\ntexts'
    assert "it'\\''s" in visit.text("#rerank-curl")


def test_a_cut_document_is_marked(visit: Visit) -> None:
    """The one that the reranker read only in part, and no other."""
    answer = {
        "results": [{"index": index, "relevance_score": 0.5} for index in (1, 0)],
        "meta": CUT,
        "model": "m",
        "usage": {"total_tokens": 9},
    }
    visit.page.route("**/v1/rerank", lambda route: route.fulfill(json=answer))
    visit.rerank("q", "a\nb")
    visit.page.wait_for_selector(".w-table")
    assert [row.count("✂") for row in visit.texts(".w-table tbody tr")] == [1, 0]
    assert "read only the beginning" in visit.text(".w-cut")


def test_html_in_a_document_is_text(visit: Visit) -> None:
    """Also in the query, and in an instruction."""
    visit.page.select_option("#rerank-instruction", "=text")
    visit.page.fill("#rerank-instruction-text", HOSTILE)
    visit.rerank(HOSTILE, HOSTILE)
    visit.page.wait_for_selector(".w-table")
    assert visit.page.text_content(".w-passage") == HOSTILE
    assert visit.page.locator("#rerank-result :is(img, script)").count() == 0
    assert visit.page.title() == "winnow"


def test_errors_stand_at_their_field_in_the_service_s_words(visit: Visit) -> None:
    """And the field at fault has the focus."""
    visit.rerank(" ", "a")
    assert visit.text("#rerank-query-error") == "Invalid request: 'query': it must not be blank"
    assert visit.focused() == "rerank-query"
    visit.rerank("q", '["a", 3]')
    assert "Document 2" in visit.text("#rerank-documents-error")
    assert visit.page.text_content("#rerank-query-error") == ""
    visit.rerank("q", "")
    assert "'documents'" in visit.text("#rerank-documents-error")


def test_a_thousand_documents_and_a_long_one(visit: Visit) -> None:
    """Fifty rows at first, the others on demand; a text of 30,000 characters opens on demand."""
    long = "refund " + "x " * 15_000
    visit.rerank("q", "\n".join([long, *(f"text {number}" for number in range(999))]))
    visit.page.wait_for_selector(".w-table")
    assert visit.page.locator(".w-table tbody tr").count() == 50
    visit.page.click("#rerank-result > .w-quiet")
    assert visit.page.locator(".w-table tbody tr").count() == 1000
    visit.page.click("details.w-passage summary")
    assert len(str(visit.page.inner_text("details.w-passage"))) > 29_900
    assert visit.overflow() <= 0


def test_one_document_too_many_is_refused_at_the_field(visit: Visit) -> None:
    """By the service, in its words."""
    visit.rerank("q", "\n".join(["text"] * 1_001))
    assert "1000" in visit.text("#rerank-documents-error").replace(",", "")


def test_each_example_runs(visit: Visit) -> None:
    """A click fills the form and reranks, with the instruction's variables filled in."""
    assert visit.page.locator("#rerank-examples button").count() == 4
    visit.page.wait_for_selector("#rerank-instruction optgroup", state="attached")
    for place in range(4):
        with visit.page.expect_response("**/v1/rerank") as answered:
            visit.page.click(f"#rerank-examples button >> nth={place}")
        assert answered.value.status == 200
        assert "{" not in answered.value.request.post_data_json["instruction"]
