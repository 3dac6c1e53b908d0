"""Instructions written one by one, as people put them: half of those that are trained on.

In the folder sentences, a file has for each preference what asks for it (`asks`) and what gives a reason for it without
asking (`reasons`), in two languages; `[x|y]` is a choice and `{0}` a name or topic. Opposites are often the same
sentence with two words exchanged, so that no word alone tells the direction. opposites.json has sentences for any two
opposite preferences, `{W}` for what is wanted and `{U}` for what is not, and names of both.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

FOLDER = Path(__file__).with_name("sentences")
Parts = dict[str, list[str]]  # asks_en, asks_zh, reasons_en, reasons_zh
SENTENCES: dict[str, Parts] = {
    kind: parts
    for path in sorted(FOLDER.glob("*.json"))
    for kind, parts in json.loads(path.read_text(encoding="utf-8")).items()
}
_OPPOSITES = json.loads(Path(__file__).with_name("opposites.json").read_text(encoding="utf-8"))
OPPOSITE = {"code": "prose", "prose": "code", "zh": "en", "en": "zh", "new": "old", "old": "new"}
OPPOSITES_TIMES = 2  # how often each counts among what asks
WAYS = {"ask": 0.3, "reason": 0.3, "reason, then ask": 0.25, "ask, then reason": 0.15}


def of_opposites(kind: str, *, chinese: bool) -> list[str]:
    """The sentences of opposites.json that ask for `kind`, with choices still open."""
    end = "zh" if chinese else "en"
    wanted, other = (_OPPOSITES["nouns"][name][end] for name in (kind, OPPOSITE[kind]))
    return [frame.replace("{W}", wanted).replace("{U}", other) for frame in _OPPOSITES[end]]


for _kind in OPPOSITE:
    for _end in ("en", "zh"):
        SENTENCES[_kind][f"asks_{_end}"] += OPPOSITES_TIMES * of_opposites(_kind, chinese=_end == "zh")


def written(kind: str, rng: random.Random, *, chinese: bool) -> str:
    """One or two sentences that prefer `kind`, with `{0}` where a name belongs and choices still open."""
    end = "zh" if chinese else "en"
    ask, reason = (rng.choice(SENTENCES[kind][f"{part}_{end}"]) for part in ("asks", "reasons"))
    way = rng.choices(list(WAYS), list(WAYS.values()))[0]
    if way == "ask":
        return ask
    if way == "reason":
        return reason
    first, second = (reason, ask) if way.startswith("reason") else (ask, reason)
    return joined(first, second, chinese=chinese)


def joined(first: str, second: str, *, chinese: bool) -> str:
    """Two sentences, with a full stop between them where the first has no mark of its own."""
    if chinese:
        return first + ("" if first[-1] in "。！？.!?" else "。") + second
    return first + (" " if first[-1] in ".!?" else ". ") + second
