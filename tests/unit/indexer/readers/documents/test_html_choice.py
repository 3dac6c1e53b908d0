"""The main content, compared with the whole page: navigation goes, nothing that answers a question does."""

from __future__ import annotations

import socket

import pytest

from winnow.indexer.readers.documents.html_blocks import read_blocks
from winnow.indexer.readers.documents.html_choice import choose_blocks, find_main_text
from winnow.indexer.readers.documents.html_source import parse_page

STORY = "".join(
    f"<p>The filter number {number} was replaced in the workshop, and the pump held the pressure for many hours.</p>"
    for number in range(12)
)
TEASERS = "".join(f"<div><a href=/{number}>Other story {number}</a> <span>teaser</span></div>" for number in range(6))


def chosen(body: str) -> str:
    tree = parse_page(f"<html><body>{body}</body></html>")
    return "\n".join(block.text for block in choose_blocks(read_blocks(tree), tree))


def test_main_element_wins() -> None:
    text = chosen(
        f"<div>{TEASERS}</div><main><h2>Filters</h2>{STORY}<table><tr><th>a<th>b<tr><td>1<td>2</table></main>"
    )
    assert text.startswith("Filters\n")
    assert "1 | 2" in text
    assert "Other story" not in text


def test_main_text_is_found_without_a_main_element() -> None:
    """Trafilatura drops short tails, tables and code of an article; the element around the text keeps them."""
    text = chosen(
        f"<div class=w><div class=c1><h1>Filters</h1><div class=s>{STORY}<p>Short tail.</p><pre>code</pre>"
        f"<table><tr><th>a<th>b<tr><td>1<td>2</table></div></div><div class=c2>{TEASERS}</div></div>"
    )
    for kept in ("Filters", "number 11", "Short tail.", "code", "1 | 2"):
        assert kept in text
    assert "Other story" not in text


def test_a_wrapper_named_like_navigation_is_content() -> None:
    assert "number 3" in chosen(f"<div class='page sidebar'>{STORY}</div><div class=sidebar>menu</div>")
    assert "menu" not in chosen(f"<div class='page sidebar'>{STORY}</div><div class=sidebar>menu</div>")


def test_an_index_of_links_is_content_and_a_menu_is_not() -> None:
    links = "<ul>" + "".join(f"<li><a href=/{number}>Entry {number}</a></li>" for number in range(9)) + "</ul>"
    assert "Entry 8" in chosen(f"<h1>Index</h1>{links}")
    assert "Entry 8" not in chosen(f"{links}<div>{STORY}</div>")
    assert "Entry 8" in chosen(f"<main>{STORY}<h2>See also</h2>{links}</main>")


def test_a_title_in_the_pages_header_is_kept() -> None:
    text = chosen(f"<header><a href=/>Logo</a><h1>Filters</h1><h3>Menu</h3></header><main>{STORY}</main>")
    assert text.startswith("Filters\nThe filter")


@pytest.mark.parametrize("body", ["<p>Only this.</p>", "<main></main><p>Only this.</p>", "<nav>Only this.</nav>"])
def test_a_short_page_is_read_whole(body: str) -> None:
    assert chosen(body) == "Only this."


def test_large_and_deep_pages_skip_the_heuristics() -> None:
    assert find_main_text(parse_page("<p>x</p>" * 20_001)) == ""
    assert find_main_text(parse_page("<div>" * 300 + "text")) == ""


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert "number 3" in chosen(
        f"<link rel=canonical href='http://velora.example/'><iframe src='http://a.example'></iframe>{STORY}"
    )
