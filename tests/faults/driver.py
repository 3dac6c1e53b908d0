"""Runs one operation after the other, and says what was acknowledged as soon as it was.

    python -m tests.faults.driver     reads lines {"root": ..., "operation": ...}, answers each with events, then "end"

Somebody else decides which of its system calls fail, and may end it at any of them: what it has said until then is what
was acknowledged. After an operation it writes once more through the same store, as a service would.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.faults.scripted import OPERATIONS, aftermath, opened, write
from winnow.retrieval.errors import StorageError


def _say(event: str, detail: str = "") -> None:
    print(json.dumps({"event": event, "detail": detail}), flush=True)


def _run(root: Path, operation: str) -> None:
    try:
        store = opened(root)
        OPERATIONS[operation].run(root, store)
    except StorageError as error:
        _say("failed", f"{type(error).__name__}: {error}")
    else:
        _say("acknowledged")
    try:
        write(store, aftermath("it"))
    except StorageError as error:
        _say("refused afterwards", f"{type(error).__name__}: {error}")
    else:
        _say("acknowledged afterwards")


def main() -> None:
    _say("ready")
    for line in sys.stdin:
        job = json.loads(line)
        try:
            _run(Path(job["root"]), job["operation"])
        except Exception as error:  # noqa: BLE001  whatever else comes out is what the test is looking for
            _say("unexpected", f"{type(error).__name__}: {error}")
        _say("end")


if __name__ == "__main__":
    main()
