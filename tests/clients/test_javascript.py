"""What the campaign with JavaScript clients recorded is complete, and of the versions that are pinned."""

from __future__ import annotations

import json

from tests.clients.cases import CASES, Outcome, read_rows
from tests.clients.node import JAVASCRIPT
from tests.clients.run_javascript import LANGUAGE, TRIED

ROWS = [row for row in read_rows() if row.language == LANGUAGE]


def test_every_client_was_tried_in_every_case() -> None:
    """On every route that it calls, with the version of the lock file. The newest are pinned by hand."""
    pinned = json.loads((JAVASCRIPT / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert {(row.client, row.version) for row in ROWS} == {(each.client, pinned[each.client]) for each in TRIED}
    routes = {(row.client, row.route) for row in ROWS}
    assert sorted((row.client, row.route, row.case) for row in ROWS) == sorted(
        (*route, case) for route in routes for case in CASES
    )


def test_every_client_works_where_a_case_applies() -> None:
    """A case that a client cannot do is a fault of the service until shown otherwise."""
    assert [row for row in ROWS if row.outcome is Outcome.REFUSED] == []
    assert all((JAVASCRIPT / f"{each.program}.js").is_file() for each in TRIED)
