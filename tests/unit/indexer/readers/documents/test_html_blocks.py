"""What becomes text, and what does not."""

from __future__ import annotations

import pytest

from winnow.indexer.readers.documents.html_blocks import Block, read_blocks
from winnow.indexer.readers.documents.html_source import parse_page
from winnow.retrieval.records import PartKind


def blocks(body: str) -> list[Block]:
    return read_blocks(parse_page(f"<html><body>{body}</body></html>")).blocks


def texts(body: str) -> list[str]:
    return [block.text for block in blocks(body)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<p>a &lt; b &amp; c&nbsp;d &#8364; &nosuch;</p>", ["a < b & c d € &nosuch;"]),
        ("<p>one<br>two<br/>three</p>", ["one\ntwo\nthree"]),
        ("<p>a\n  b\t c</p>", ["a b c"]),
        ("a<p>b</p>c<div>d</div>e", ["a", "b", "c", "d", "e"]),
        ("<p>Donau&shy;dampf\u200bschiff</p>", ["Donaudampfschiff"]),
        ("<p><ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp>字<rt>ji</rt></ruby>です</p>", ["漢字です"]),
        ("<p>H<sub>2</sub>O <q>yes</q></p>", ["H2O “yes”"]),
        ("<p>a<script>b</script>c<style>d</style>e<template>f</template>g<noscript>h</noscript>i</p>", ["acegi"]),
        ("<p>a<span hidden>b</span>c<span style='color:red; display: none'>d</span>e</p>", ["ace"]),
        ("<p>a<span hidden=until-found>b</span><i aria-hidden=true>icon</i></p>", ["ab"]),
        ("<p>choose <select><option>x</option></select><button>y</button> now</p>", ["choose now"]),
        ("<ul><li>a<ul><li>b</li></ul></li><li><p>c</p></li></ul>", ["- a", "  - b", "- c"]),
        ("<ol start=3><li>a<li>b</ol>", ["3. a", "4. b"]),
        ("<dl><dt>term<dd>meaning</dl>", ["term", "  meaning"]),
        ("<svg><title>logo</title><text>x</text></svg><p>a</p>", ["a"]),
        ("<math><mi>x</mi><annotation>\\x</annotation></math>", ["x"]),
        ("<dialog>closed</dialog><dialog open>open</dialog>", ["open"]),
        ("<p>a<!-- b -->c<?php d ?></p>", ["ac"]),
    ],
)
def test_text(body: str, expected: list[str]) -> None:
    assert texts(body) == expected


def test_headings_have_levels_and_no_permalinks() -> None:
    body = (
        "<h1>A <em>b</em><a class=headerlink href='#a'>¶</a></h1><h3>C<br>d</h3><div role=heading aria-level=4>E</div>"
    )
    assert [(block.level, block.text) for block in blocks(body)] == [(1, "A b"), (3, "C d"), (4, "E")]


def test_a_sign_that_links_to_its_heading_is_no_text() -> None:
    assert texts("<h2><a href='#x'>§</a>Examples</h2><h2>§ 5 Terms</h2><p>C<a href='#'>#</a>") == [
        "Examples",
        "§ 5 Terms",
        "C",
    ]


def test_code_keeps_its_lines_and_indentation() -> None:
    (block,) = blocks("<pre>\ndef f():\n    <b>return</b> 1  \n\n  &lt;x&gt;<br>end\n</pre>")
    assert block.kind is PartKind.CODE
    assert block.text == "def f():\n    return 1\n\n  <x>\nend"


def test_a_deep_page_does_not_exhaust_the_stack() -> None:
    assert texts("<div><b>" * 900 + "deep" + "</b></div>" * 900 + "<p>after</p>") == ["deep", "after"]


def test_regions_around_the_content_are_known() -> None:
    found = read_blocks(
        parse_page(
            "<nav>a</nav><div class='side-bar x sidebar'>b</div><div class='with-sidebars'>c</div><header>d</header>"
            "<article><header>e</header><aside>f</aside></article><div role=navigation>g</div>"
        )
    )
    around = "".join(found.blocks[number].text for each in found.around for number in each)
    assert around == "abdg"
    assert ["".join(found.blocks[number].text for number in each) for each in found.main] == ["ef"]
