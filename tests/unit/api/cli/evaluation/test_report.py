"""What an evaluation says in addition to its figures."""

from __future__ import annotations

import pytest

from winnow.api.cli.evaluation.report import say_conditions
from winnow.api.cli.terminal import Terminal


def test_a_table_names_the_rerankers_that_read_no_instruction(capsys: pytest.CaptureFixture[str]) -> None:
    """Once each; recall is not one of them."""
    read = [("recall", None, False), ("two-stage-a", "a", True), ("two-stage-b", "b", False), ("rerank-b", "b", False)]
    runs = [
        {"name": name, "reranker": reranker, "instruction_applied": applied, "metrics": {"nDCG@10": 0.5}}
        for name, reranker, applied in read
    ]
    sizes = {"queries": 1, "documents": 1, "candidates": 1, "seconds": 1.0}
    say_conditions(Terminal(), {"runs": runs, "rerankers": ["a", "b"], "embedder": "e", **sizes})
    warned = [line for line in capsys.readouterr().err.splitlines() if "reads no instruction" in line]
    assert warned == ["b reads no instruction: its order does not follow one."]
