"""Write what a real service answers to the story into the examples of the description.

python -m tests.openapi.record
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tests.openapi.service import client_of, serving
from tests.openapi.story import Told, told
from winnow.api.http.description.examples import FILE

LINES_SHOWN: Final = 4  # of an answer that is text
OBJECTS_SHOWN: Final = 2  # of each list in an answer
_SECRETS: Final = (
    (re.compile(r"\bwk_[0-9a-z]+_[A-Za-z0-9_-]+"), "wk_0123456789ab_EXAMPLE"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]+"), "whsec_EXAMPLE"),
)


def examples(steps: Iterable[Told]) -> dict[str, Any]:
    """By operation; secrets are replaced."""
    found: dict[str, Any] = {}
    for each in steps:
        if not each.step.is_shown:
            continue
        entry = found.setdefault(each.operation, {})
        if each.path_values or each.query:
            entry.setdefault("parameters", {**each.path_values, **each.query})
        if each.body is not None:
            entry.setdefault("bodies", {})[each.step.media] = each.body
        if "status" not in entry:
            entry |= {"status": str(each.answer.status_code)} | _answer(each.answer)
    return found


def _answer(answer: Any) -> dict[str, Any]:
    media = answer.headers["content-type"].partition(";")[0]
    if media == "application/json":
        return {"media": media, "answer": _shortened(json.loads(_without_secrets(answer.text)))}
    return {"media": media, "answer": "".join(answer.text.splitlines(keepends=True)[:LINES_SHOWN])}


def _shortened(value: Any) -> Any:
    """The first objects of each list."""
    if isinstance(value, dict):
        return {name: _shortened(each) for name, each in value.items()}
    if isinstance(value, list):
        kept = value[:OBJECTS_SHOWN] if any(isinstance(each, dict) for each in value) else value
        return [_shortened(each) for each in kept]
    return value


def _without_secrets(text: str) -> str:
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as address, client_of(address) as client:
        recorded = examples(told(client))
    FILE.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(recorded)} operations\n")


if __name__ == "__main__":
    main()
