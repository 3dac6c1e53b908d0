"""The page's measures of two orders are those of the service, to the last digits."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from winnow.rerank.rank_correlation import kendall_tau_b, overlap, rank_biased_overlap

CASES = 200
CANDIDATES_MAX = 60


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: the page's measures were not tried")
def test_the_browser_computes_what_the_service_computes() -> None:
    """Overlap@10, RBO and tau-b of random orders, with ties, of one candidate, of none."""
    draw = random.Random(18)
    cases = []
    for case in range(CASES):
        count = 0 if case == 0 else draw.randint(1, CANDIDATES_MAX)
        candidates = list(range(count))
        cases.append(
            {
                "one": draw.sample(candidates, count),
                "other": draw.sample(candidates, count),
                "scores": [draw.choice((draw.random(), 0.5)) for _ in candidates],
                "others": [draw.choice((draw.random(), 0.5)) for _ in candidates],
            }
        )
    script = str(Path(__file__).with_name("measures_of_cases.mjs"))
    done = subprocess.run(
        ["node", script], input=json.dumps(cases), capture_output=True, text=True, timeout=60, check=True
    )
    found = json.loads(done.stdout)
    assert len(found) == CASES
    for case, (common, biased, tau) in zip(cases, found, strict=True):
        assert common == pytest.approx(overlap(case["one"], case["other"], 10), abs=1e-12)
        assert biased == pytest.approx(rank_biased_overlap(case["one"], case["other"]), abs=1e-12)
        expected = kendall_tau_b(case["scores"], case["others"])
        assert tau is None if expected is None else tau == pytest.approx(expected, abs=1e-12)
