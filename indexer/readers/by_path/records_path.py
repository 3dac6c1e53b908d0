"""The path to the records of a file: `data.items[*]` in JSON, `channel/item` in XML.

A grammar of our own: what reads a file of any size as it streams by can follow names and `[*]`, but no filters,
indexes or parents, of which the path languages consist.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from winnow.retrieval.errors import InvalidRequest

STEPS_MAX: Final = 16
_STEP: Final = re.compile(r'\.?(?:"(?P<quoted>[^"]+)"|(?P<name>[^\s".\[\]*]+)|(?P<all>\*|\[\*\]))')

JsonStep: TypeAlias = str | None  # None: each item of an array, or each value of an object


def json_steps(path: str) -> tuple[JsonStep, ...]:
    """Parse a path such as `data.items[*]`, `groups[*].items` or `"a.b".*`. Raises `InvalidRequest`."""
    bare = path.strip().removeprefix("$")
    steps: list[JsonStep] = []
    place = 0
    while place < len(bare):
        found = _STEP.match(bare, place)
        if found is None or (steps and found[0][0] not in ".["):
            raise _invalid(path, 'names with dots between them, such as data.items[*]; quote names with a dot: "a.b".c')
        steps.append(None if found["all"] else found["quoted"] or found["name"])
        place = found.end()
    if len(steps) > STEPS_MAX:
        raise _invalid(path, f"at most {STEPS_MAX} names")
    return tuple(steps)


def xml_steps(path: str) -> tuple[str, ...]:
    """Parse a path such as `channel/item`; `/` at its start means the root. Raises `InvalidRequest`."""
    steps = path.strip().removeprefix("/").split("/")
    if not all(steps) or len(steps) > STEPS_MAX or any(re.search(r"[\s\[\]@*.:]", step) for step in steps):
        raise _invalid(path, "names of elements with slashes between them, such as channel/item, without prefixes")
    return tuple(steps)


def _invalid(path: str, expected: str) -> InvalidRequest:
    return InvalidRequest(f"--records-path: cannot read {path!r}; expected {expected}")
