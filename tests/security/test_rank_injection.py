"""What is written into a passage to be found: the table of docs is made by the script; here its most telling line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real_models import bundled_model
from tests.security.rank_injection import TEMPLATES, count_first, index_injected, topics
from winnow.api.assemble import assemble
from winnow.api.settings import load

ECHOES_MAX = 6  # of 24, with the option


def test_the_corpus_is_what_the_table_says() -> None:
    """24 questions in two languages, 12 templates, and no injected passage is an answer."""
    asked = topics()
    assert len(asked) == 24
    assert {each.language for each in asked} == {"en", "zh"}
    assert len(TEMPLATES) == 12
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
