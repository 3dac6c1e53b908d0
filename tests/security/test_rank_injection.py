"""What is written into a passage to be found: the table of docs is made by the script; here its most telling lines.

In addition, honest passages that repeat their query (repeating.json): logs, minutes, change logs, pages of questions.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real_models import bundled_model
from tests.security.rank_injection import TEMPLATES, count_first, index_injected, topics
from winnow.api.assemble import assemble
from winnow.api.search.records import Question
from winnow.api.settings import load
from winnow.retrieval.deadline import Deadline
from winnow.retrieval.tenancy import DEFAULT_TENANT

ECHOES_MAX = 6  # of 24
REPEATING = json.loads((Path(__file__).parent / "repeating.json").read_text(encoding="utf-8"))["topics"]


def test_the_corpus_is_what_the_table_says() -> None:
    """24 questions in two languages, 16 templates, and no injected passage is an answer."""
    asked = topics()
    assert len(asked) == 24
    assert {each.language for each in asked} == {"en", "zh"}
    assert len(TEMPLATES) == 16
    assert not any(each.answer in make(each) for each in asked for make in TEMPLATES.values())


@pytest.mark.timeout(120)
async def test_the_option_takes_first_places_from_echoes(tmp_path: Path) -> None:
    """Three copies of the query lead to an irrelevant passage, and with the option hardly ever."""
    bundled_model("embedder")
    parts = assemble(load({"data": str(tmp_path)}, environment={}), judged=False)
    asked = topics()
    await index_injected(parts, "echo", asked, TEMPLATES["query echo x3"])
    counts = await count_first(parts, "echo", asked, candidates=10)
    for plain, demoted in counts.values():
        assert plain > 2 * ECHOES_MAX, "without an attack nothing would be shown"
        assert demoted <= ECHOES_MAX


@pytest.mark.timeout(240)
@pytest.mark.parametrize("template", ["query echo x3", "query echo x2"])
async def test_the_default_order_does_not_trust_copies(tmp_path: Path, template: str) -> None:
    """Recall places nearly all copies first, the reranker does not, and what it says counts."""
    bundled_model("embedder")
    bundled_model("reranker")
    parts = assemble(load({"data": str(tmp_path)}, environment={}))
    asked = topics()
    await index_injected(parts, "echo", asked, TEMPLATES[template])
    counts = await count_first(parts, "echo", asked, candidates=6)
    recalled, default = counts["lexical"][0], counts["default"][0]
    assert recalled > 2 * ECHOES_MAX, "without an attack nothing would be shown"
    assert default <= ECHOES_MAX
    assert default <= counts["relevance"][0] + 2


@pytest.mark.timeout(240)
async def test_honest_repetitions_keep_their_place(tmp_path: Path) -> None:
    """They come first, but for two of which the reranker says that another passage is at least as relevant."""
    bundled_model("embedder")
    bundled_model("reranker")
    parts = assemble(load({"data": str(tmp_path)}, environment={}))
    parts.ingest.make(DEFAULT_TENANT, "docs")
    rows = [{"id": f"answer-{each.number}", "text": each.answer} for each in topics()]
    for number, topic in enumerate(REPEATING):
        rows.append({"id": f"repeating-{number}", "text": topic["repeating"]})
        rows += [{"id": f"other-{number}-{at}", "text": text} for at, text in enumerate(topic["others"])]
    await parts.ingest.upsert(DEFAULT_TENANT, "docs", iter(enumerate(rows, start=1)))
    places = []
    for number, topic in enumerate(REPEATING):
        question = Question(tenant=DEFAULT_TENANT, collection="docs", query=topic["query"], top_k=10, candidates=10)
        found = (await parts.search.answer(question, Deadline.never())).ranking.ranked
        [own] = [each for each in found if each.candidate.chunk.document_id == f"repeating-{number}"]
        assert own.relevance is not None
        assert found[0].relevance is not None
        assert own.rank == 1 or found[0].relevance > own.relevance - 0.001
        places.append(own.rank)
    assert places.count(1) >= len(REPEATING) - 2
    assert max(places) <= 3
