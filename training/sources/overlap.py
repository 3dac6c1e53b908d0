"""Contents of the test collections, so that nothing of them is trained on: long runs of the same words."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

RUN = {"en": 8, "zh": 13}  # words, and characters
TOO_MUCH = 0.15  # of a text's runs
_TOKEN = re.compile(r"[a-z0-9]+|[\u4e00-\u9fff]")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def runs(text: str) -> set[int]:
    tokens = _TOKEN.findall(text.lower())
    length = RUN["zh" if len(_CHINESE.findall(text)) * 3 > len(tokens) else "en"]
    if len(tokens) < length:
        return {hash(tuple(tokens))} if len(tokens) > 3 else set()
    return {hash(tuple(tokens[at : at + length])) for at in range(len(tokens) - length + 1)}


class Collections:
    """Runs of words of all questions and documents below a folder of collections."""

    def __init__(self, folder: Path) -> None:
        self._runs: set[int] = set()
        self.dropped = 0
        for path in sorted(folder.glob("*/*.jsonl.gz")):
            for text in _texts(path):
                self._runs |= runs(text)

    def hold(self, *texts: str | None) -> bool:
        """Whether one of these texts shares more with the collections than a phrase."""
        for text in texts:
            own = runs(text) if text else set()
            if own and len(own & self._runs) > TOO_MUCH * len(own):
                self.dropped += 1
                return True
        return False


def _texts(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]
