"""api/assemble.py and, for a search, api/assemble_search.py are the only places that wire services."""

from __future__ import annotations

import ast
from pathlib import Path

API = Path(__file__).resolve().parents[3] / "api"
SEARCHING = frozenset({"FirstStage", "OpenCollections", "Quotas", "Rerankers", "Search"})
WIRED = frozenset({
    "Access", "Accounting", "Folding", "Indexing", "Ingest", "OpenCollections", "Services", "Shadowing", "StorageRoom",
    "Trials", "UsageMeter",
})  # fmt: skip


def test_only_the_composition_root_makes_services() -> None:
    """A second place would forget the next part that a service needs."""
    made = {
        (call.func.id, file.relative_to(API).as_posix())
        for file in API.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in WIRED | SEARCHING
    }
    wired, searching = {(name, "assemble.py") for name in WIRED}, {(name, "assemble_search.py") for name in SEARCHING}
    assert made == wired | searching
