"""training/figures/by_source.py: an order is compared with the better of BM25 and hybrid recall, within each source."""

from __future__ import annotations

import random
from statistics import fmean

from training.figures.by_source import Figures, as_table, judge_sources
from winnow.retrieval.significance import compare, holm


def figures(source: str, *, lexical: float, hybrid: float, measured: float, queries: int = 60) -> list[Figures]:
    """Noisy figures around these means."""
    draw = random.Random(source)
    return [
        Figures(
            source=source,
            lexical=lexical + draw.uniform(-0.1, 0.1),
            hybrid=hybrid + draw.uniform(-0.1, 0.1),
            measured=measured + draw.uniform(-0.1, 0.1),
        )
        for _ in range(queries)
    ]


def test_each_source_is_compared_with_its_better_recall() -> None:
    """Means, intervals and p-values are those of its own queries; Holm's correction is over the sources."""
    rows = {
        "words": figures("words", lexical=0.6, hybrid=0.5, measured=0.5),
        "meaning": figures("meaning", lexical=0.3, hybrid=0.5, measured=0.6),
        "even": figures("even", lexical=0.3, hybrid=0.5, measured=0.5),
    }
    mixed = [each for several in rows.values() for each in several]
    random.Random(1).shuffle(mixed)
    found = judge_sources(mixed)
    assert list(found) == ["even", "meaning", "words"]
    better = {"words": "lexical", "meaning": "hybrid", "even": "hybrid"}
    expected = {}
    for source, verdict in found.items():
        own = [each for each in mixed if each.source == source]
        assert verdict.measured == fmean(each.measured for each in own)
        expected[source] = compare([each.measured for each in own], [getattr(each, better[source]) for each in own])
        assert verdict.difference == expected[source]
    assert [each.p_holm for each in found.values()] == holm([expected[source].p for source in found])
    assert [source for source, each in found.items() if each.is_worse] == ["words"]


def test_the_table_names_what_is_worse() -> None:
    """Or says that nothing is."""
    table = as_table(judge_sources(figures("words", lexical=0.6, hybrid=0.5, measured=0.5)))
    assert table.endswith("significantly worse: words")
    assert "| words | 60 | 0.593 | 0.489 | 0.513 | -0.080 |" in table
    assert as_table(judge_sources(figures("b", lexical=0.1, hybrid=0.2, measured=0.3))).endswith("worse: none")
