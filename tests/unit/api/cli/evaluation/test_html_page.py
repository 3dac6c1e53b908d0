"""The page loads nothing and runs nothing, whatever texts are in it, and has every figure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from winnow.api.cli.evaluation.comparisons import compared
from winnow.api.cli.evaluation.figures import band_names
from winnow.api.cli.evaluation.html_page import page, write_page
from winnow.api.schemas.evaluation import (
    EvalCurve,
    EvalDifferences,
    EvalExtreme,
    EvalMovement,
    EvalPercentiles,
    EvalResponse,
    EvalRun,
    EvalSetting,
    EvalTimings,
    EvalTokens,
)
from winnow.retrieval.errors import WriteFailed

EVIL = "<script>alert(1)</script><img src=http://evil.test/x onerror=alert(2)>\"'></svg></style>&amp;"
NOW = datetime(2026, 11, 29, tzinfo=UTC)
VALUES = {"plain": {"nDCG@10": [0.25, 0.5, 0.75, 0.0]}, EVIL: {"nDCG@10": [0.5, 0.75, 1.0, 0.25]}}
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "section", "footer", "h1", "h2", "h3", "p", "b",
    "small", "span", "ul", "li", "div", "figure", "figcaption", "table", "caption", "thead", "tbody", "tr", "th", "td",
    "svg", "text", "line", "circle", "polyline", "rect",
}  # fmt: skip


def run(name: str, mean: float, *, is_first: bool) -> EvalRun:
    times = EvalPercentiles(p50=1.0, p90=2.0, p99=3.0)
    return EvalRun(
        name=name,
        reranker=None if is_first else EVIL,
        instruction_applied=False,
        metrics={"nDCG@10": mean},
        setting=EvalSetting(
            order="answer", collection=EVIL, embedder=EVIL, recall="dense", candidates=10, depth="full",
            instruction={"name": None, "version": None}, instruction_text=EVIL, rerank_fields=[],
        ),
        timings=EvalTimings(embed=times, recall=times, fetch=times, rerank=times, total=times),
        tokens=EvalTokens(embed=3.0, rerank=1_234.0),
        cost_per_1000=0.5,
        by_cutoff=EvalCurve(measure="nDCG", x=[1, 10], y=[0.2, mean]),
        by_reranked=EvalCurve(measure="nDCG@10", x=[0, 10], y=[0.2, mean]),
        differences=None
        if is_first
        else EvalDifferences(
            against="plain", measure="nDCG@10", edges=[-1.0, 0.0, 1.0], counts=[0, 4], wins=4, ties=0, losses=0
        ),
        movement=None
        if is_first
        else EvalMovement(
            against="plain", bands=band_names(), counts=[[7, 0, 0, 0, 0, 0], *[[0] * 6] * 5], up=1, down=2, same=7
        ),
    )  # fmt: skip


def body() -> EvalResponse:
    extreme = EvalExtreme(
        run=EVIL, against="plain", measure="nDCG@10", id=EVIL, text=EVIL, before=0.25, after=0.5, difference=0.25
    )
    return EvalResponse(
        runs=[run("plain", 0.375, is_first=True), run(EVIL, 0.625, is_first=False)],
        collection=EVIL, folder=EVIL, queries=4, documents=9, chunks=9, candidates=10, embedder=EVIL, reranker=EVIL,
        rerankers=[EVIL], instruction={}, rerank_fields=[], seconds=1.0, gpu_hour_price=2.5,
        comparisons=compared(VALUES), extremes=[extreme],
    )  # fmt: skip


class Parsed(HTMLParser):
    """Collects elements with their attributes, and checks that they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_texts_are_shown_as_texts_and_nothing_is_loaded() -> None:
    """Names, ids, queries and instructions with markup add no element and no attribute that could act."""
    parsed = Parsed(page(body(), now=NOW))
    assert parsed.open == []
    assert {tag for tag, _ in parsed.elements} <= ALLOWED
    names = {name for _, attributes in parsed.elements for name in attributes}
    assert not {each for each in names if each.startswith("on")} | (names & {"src", "href", "srcset", "data"})
    assert parsed.text.count("<script>alert(1)</script>") > 5
    (policy,) = [each["content"] for tag, each in parsed.elements if each.get("http-equiv")]
    assert str(policy).startswith("default-src 'none'; style-src 'unsafe-inline'")
    style = page(body(), now=NOW).partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"url\(|@import|@font-face", style)


def test_every_figure_is_on_the_page() -> None:
    text = Parsed(page(body(), now=NOW)).text
    for each in (
        "0.6250", "+0.2500", "4 better, 0 the same, 0 worse", "1 rise, 7 stay, 2 fall", "1,237", "0.5000", "2026-11-29",
        "The difference may be chance", "10,000 draws (seed 2026)", "2.5 for an hour",
    ):  # fmt: skip
        assert each in text, each


def test_a_single_run_has_no_comparisons() -> None:
    alone = body()
    alone["runs"], alone["comparisons"], alone["extremes"] = alone["runs"][:1], [], []
    text = Parsed(page(alone, now=NOW)).text
    assert "plain has nDCG@10 0.3750." in text
    assert "All pairs" not in text


def test_it_is_written_where_it_should_be(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", body())
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(WriteFailed, match="missing"):
        write_page(tmp_path / "missing" / "page.html", body())
