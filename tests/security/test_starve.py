"""A short round of the attacks: the others are served, and neither memory nor log grows without end."""

from __future__ import annotations

import pytest

from tests.security.starve import GROWTH_MB_MAX, LOG_KB_MAX, run

pytestmark = [pytest.mark.acceptance, pytest.mark.alone, pytest.mark.timeout(180)]
SECONDS = 1.0
LONGEST_MS = 5_000  # of a machine that does other work, too; what the factor is, the long run measures


async def test_one_caller_does_not_starve_the_others() -> None:
    """Half headers, bodies that stop, huge JSON, huge YAML."""
    for found in await run(["headers", "bodies", "json", "yaml"], SECONDS):
        assert found.searches, found
        assert not found.failed, found
        assert found.growth_mb < GROWTH_MB_MAX, found
        assert found.log_kb_a_minute < LOG_KB_MAX, found
        assert found.p99_ms < LONGEST_MS, found
