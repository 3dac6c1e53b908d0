"""The page of limits: names and values from `retrieval/limits.py`, units and reasons from the comments there."""

from __future__ import annotations

import inspect
import re
from typing import Final

from docs.generate.markdown import code, table
from winnow.retrieval import limits

_LINE: Final = re.compile(
    r"^(?:# (?P<above>.+)\n)?(?P<name>[A-Z][A-Z_]+): Final = .*?(?:  # (?P<behind>.+))?$", re.MULTILINE
)

HEAD: Final = """# Limits

winnow bounds everything that grows. A request that exceeds a limit is refused with a message that names the limit; nothing is cut silently. The limits that an operator sets for each tenant are [settings](settings.md). What is counted over time or at a time (requests, connections, bytes in memory, waiting tokens) is counted by each process.

"""


def page() -> str:
    """All limits, in the order of the code."""
    return HEAD + table(("Limit", "Value", "Unit", "Reason"), (_row(match) for match in _matches()))


def names() -> list[str]:
    """The names of all limits."""
    return [name for name in vars(limits) if name.isupper()]


def _matches() -> list[re.Match[str]]:
    found = list(_LINE.finditer(inspect.getsource(limits)))
    assert [match["name"] for match in found] == names(), "a limit is written in a way that is not read. This is a bug."
    return found


def _row(match: re.Match[str]) -> tuple[str, str, str, str]:
    value = getattr(limits, match["name"])
    comment = match["behind"] or match["above"]
    assert comment is not None, f"{match['name']} has no comment that says its unit and reason."
    shown = value if isinstance(value, str) else f"{value:,}"
    if isinstance(value, str):
        return code(match["name"]), code(shown), "pattern", comment
    unit, _, reason = comment.partition("; ")
    return code(match["name"]), shown, unit, reason
