"""Files of question and passage pairs from training.sources (xz, one JSON object per line).

A source whose name begins with `dev-` is held out completely, so that the development set has no source in common with
training lists.
"""

from __future__ import annotations

import json
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training import prepare

HELD = "dev-"
TITLED = 0.4  # questions are often made from titles: this share of passages is shown with theirs


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with lzma.open(path, "rt", encoding="utf-8") as read:
        for line in read:
            yield json.loads(line)


def shows_title(passage: str) -> bool:
    return zlib.crc32(passage[:300].encode()) % 1_000 < 1_000 * TITLED


def add(to: prepare.Gathering, path: Path) -> None:
    """Add the training pairs of a file, and twins if it has the translation of a passage."""
    by_twin: dict[tuple[str, str], dict[str, int]] = {}
    for row in lines(path):
        if row["source"].startswith(HELD):
            continue
        pieces = prepare.cut(row["passage"])
        if not pieces:
            continue
        title = (row.get("title") or "") if shows_title(row["passage"]) else ""
        kind = "code" if row.get("kind") == "code" else "prose"
        place = to.passage(row["source"], pieces[0], title=title, kind=kind)
        for piece in pieces[1:3]:
            to.passage(row["source"], piece, title=title, kind=kind)
        if row.get("question"):
            to.pair(row["source"], row["question"], place)
        if row.get("twin") and place >= 0:
            by_twin.setdefault((row["source"], row["twin"]), {})[row["lang"]] = place
    for (source, _), twin in by_twin.items():
        if len(twin) == 2:
            to.twin(source, twin["en"], twin["zh"])


def held_out(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows of each held-out source."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.jsonl.xz")):
        if path.name.startswith(HELD):
            for row in lines(path):
                found.setdefault(row["source"], []).append(row)
    return found
